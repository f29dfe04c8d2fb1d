// Runs system code on the processor underneath, in a virtual machine of its own, and reports what it did. Cases come in on stdin, results go
// out on stdout; the layout of both is in kvm.ts. Needs /dev/kvm.
//
// Each case starts from the same memory image with a few words changed and from the registers given, and runs until HLT, a shutdown, or an
// access to memory that is not there. The result has all registers and every word of memory that differs from the case's start.
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <signal.h>
#include <errno.h>

enum { MSRS = 9, MAX_CPUID = 256 };

static void need(int ok, const char *what) {
  if (ok) return;
  perror(what);
  exit(1);
}

static void take(void *to, size_t bytes) {
  if (fread(to, 1, bytes, stdin) != bytes) exit(2);
}

static void give(const void *from, size_t bytes) { fwrite(from, 1, bytes, stdout); }

static void on_alarm(int signal) { (void)signal; }

int main(void) {
  int kvm = open("/dev/kvm", O_RDWR);
  need(kvm >= 0, "/dev/kvm");
  int vm = ioctl(kvm, KVM_CREATE_VM, 0);
  need(vm >= 0, "KVM_CREATE_VM");
  uint32_t size, cases;
  take(&size, 4);
  take(&cases, 4);
  uint8_t *memory = mmap(0, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  uint8_t *image = malloc(size), *start = malloc(size);
  take(image, size);
  need(ioctl(vm, KVM_SET_TSS_ADDR, 0xfffbd000) == 0, "KVM_SET_TSS_ADDR");
  struct kvm_userspace_memory_region region = {.memory_size = size, .userspace_addr = (uintptr_t)memory};
  need(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) == 0, "KVM_SET_USER_MEMORY_REGION");
  int vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
  need(vcpu >= 0, "KVM_CREATE_VCPU");
  struct kvm_run *run = mmap(0, ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);

  struct kvm_cpuid2 *cpuid = calloc(1, sizeof *cpuid + MAX_CPUID * sizeof *cpuid->entries);
  cpuid->nent = MAX_CPUID;
  need(ioctl(kvm, KVM_GET_SUPPORTED_CPUID, cpuid) == 0, "KVM_GET_SUPPORTED_CPUID");
  need(ioctl(vcpu, KVM_SET_CPUID2, cpuid) == 0, "KVM_SET_CPUID2");
  give(&cpuid->nent, 4);
  for (unsigned i = 0; i < cpuid->nent; i++) {
    struct kvm_cpuid_entry2 *e = &cpuid->entries[i];
    uint32_t words[6] = {e->function, e->index, e->eax, e->ebx, e->ecx, e->edx};
    give(words, sizeof words);
  }

  struct sigaction action = {.sa_handler = on_alarm};
  sigaction(SIGALRM, &action, 0);

  struct kvm_vcpu_events quiet, events;
  need(ioctl(vcpu, KVM_GET_VCPU_EVENTS, &quiet) == 0, "KVM_GET_VCPU_EVENTS");
  for (uint32_t n = 0; n < cases; n++) {
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    struct { struct kvm_msrs head; struct kvm_msr_entry entries[MSRS]; } msrs = {.head.nmsrs = MSRS};
    uint32_t pokes, injected, error;
    take(&regs, sizeof regs);
    take(&sregs, sizeof sregs);
    take(msrs.entries, sizeof msrs.entries);
    take(&injected, 4);
    take(&error, 4);
    take(&pokes, 4);
    memcpy(memory, image, size);
    for (uint32_t i = 0; i < pokes; i++) {
      struct { uint64_t address, value; } poke;
      take(&poke, sizeof poke);
      memcpy(memory + poke.address, &poke.value, 8);
    }
    memcpy(start, memory, size);
    int refused = ioctl(vcpu, KVM_SET_SREGS, &sregs) != 0;
    need(ioctl(vcpu, KVM_SET_REGS, &regs) == 0, "KVM_SET_REGS");
    need(ioctl(vcpu, KVM_SET_MSRS, &msrs) == MSRS, "KVM_SET_MSRS");
    events = quiet;
    // Injection in VMX's layout: vector, type in bits 8 to 10, error code valid in bit 11, valid in bit 31.
    if (injected >> 31) {
      unsigned type = injected >> 8 & 7, vector = injected & 255;
      if (type == 0 || type == 4) events.interrupt = (typeof(events.interrupt)){.injected = 1, .nr = vector, .soft = type == 4};
      else if (type == 2) events.nmi.injected = 1;
      else events.exception = (typeof(events.exception)){.injected = 1, .nr = vector, .has_error_code = injected >> 11 & 1, .error_code = error};
    }
    struct kvm_mp_state runnable = {.mp_state = KVM_MP_STATE_RUNNABLE};
    ioctl(vcpu, KVM_SET_MP_STATE, &runnable);
    need(ioctl(vcpu, KVM_SET_VCPU_EVENTS, &events) == 0, "KVM_SET_VCPU_EVENTS");
    struct itimerval second = {.it_value.tv_sec = 1}, never = {0};
    setitimer(ITIMER_REAL, &second, 0);
    int result = refused ? 0 : ioctl(vcpu, KVM_RUN, 0);
    int failed = result < 0 && errno != EINTR;
    setitimer(ITIMER_REAL, &never, 0);
    uint32_t reason = refused ? 253 : failed ? 254 : result < 0 ? 255 : run->exit_reason;

    ioctl(vcpu, KVM_GET_REGS, &regs);
    ioctl(vcpu, KVM_GET_SREGS, &sregs);
    ioctl(vcpu, KVM_GET_MSRS, &msrs);
    ioctl(vcpu, KVM_GET_VCPU_EVENTS, &events);
    uint32_t masked = events.nmi.masked, changed = 0;
    for (uint32_t at = 0; at < size; at += 8) changed += memcmp(memory + at, start + at, 8) != 0;
    give(&reason, 4);
    give(&masked, 4);
    give(&regs, sizeof regs);
    give(&sregs, sizeof sregs);
    give(msrs.entries, sizeof msrs.entries);
    give(&changed, 4);
    for (uint32_t at = 0; at < size; at += 8) {
      if (memcmp(memory + at, start + at, 8) == 0) continue;
      give(&at, 4);
      give(memory + at, 8);
    }
  }
  return 0;
}
