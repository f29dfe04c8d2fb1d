// Runs an instruction, or a few in a row, on the processor underneath, in user mode, and reports what they did. Cases come in on stdin, results go out on
// stdout; the layout of both is in native.ts. Linux on x86-64.
//
// How: the process provokes one trap and never leaves its handler's loop: the handler stores what the last case left, puts the next case's
// registers into the signal context and returns, so that the kernel's sigreturn loads all of them, RSP included. The rest of the
// code pages is INT3, which ends a case; with `step` set, TF ends it after one instruction wherever it went. A case may load segment
// registers and write the bases of FS and GS, on which glibc's thread-local storage rests: the handler takes them back first of all, so it
// must be compiled without stack protector.
//
// A case that names a code segment of its own runs in that one, with the other segments that it names: 16- and 32-bit code, through an LDT. CS and
// SS go through the signal context, the others the handler loads, since sigreturn leaves them alone.
//
// `oracle cpuid LEAF.SUBLEAF ..` says instead what processor this is: a line of four registers for each leaf, then XCR0, then whether FSGSBASE
// is enabled.
#define _GNU_SOURCE
#include <asm/ldt.h>
#include <asm/prctl.h>
#include <cpuid.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

enum { PAGE = 4096, CODE = 0x20000000, CODE_PAGES = 2, DATA = 0x30000000, DATA_PAGES = 2, WINDOW = DATA + PAGE - 128, WINDOW_SIZE = 256 };
enum { GS_BASE = DATA + 64, FS_BASE = DATA + 128 };
enum { TF = 0x100, BREAKPOINT = 3, PAGE_FAULT = 14, NEVER_ENDED = 255, FSGSBASE_ENABLED = 2 };
enum { ES, CS, SS, DS, FS, GS, WRITE_LDT = 0x11 };

struct test_case {
  uint8_t bytes[128];
  uint8_t length, step, pad[2];
  uint32_t offset; // of the first byte in the code pages
  uint64_t gpr[16], rflags, rip;
  uint16_t selectors[6], pad2[2]; // CS 0: 64-bit code with Linux's segments, and FS_BASE and GS_BASE
  uint8_t window[WINDOW_SIZE];
};

struct result {
  uint64_t gpr[16], rip, rflags, cr2;
  uint32_t vector, error; // of the exception that ended the case: 3 or 1 (INT3, TF) when the instruction retired
  uint32_t stray;         // data outside the window was changed
  uint16_t selectors[6];
  uint64_t fs_base, gs_base;
  uint8_t window[WINDOW_SIZE];
};

/* Order of struct gregs by register number: RAX RCX RDX RBX RSP RBP RSI RDI R8 .. R15. */
static const int order[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                              REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

static struct test_case *cases;
static struct result *results;
static size_t count, done;
static uint64_t own_fs, user_segments;
static uint8_t *const code = (uint8_t *)(uintptr_t)CODE, *const data = (uint8_t *)(uintptr_t)DATA, *const window = (uint8_t *)(uintptr_t)WINDOW;
static const uint8_t zeros[PAGE];

static void write_all(const void *from, size_t size) {
  for (const char *p = from; size > 0;) {
    ssize_t n = write(1, p, size);
    if (n <= 0) _exit(3);
    p += n, size -= n;
  }
}

/* Not glibc's: that one may touch thread-local storage. */
static inline long arch_prctl(int what, uint64_t argument) {
  long status = SYS_arch_prctl;
  __asm__ volatile("syscall" : "+a"(status) : "D"((long)what), "S"(argument) : "rcx", "r11", "memory");
  return status;
}

/* What the case left in the segment registers; then those that this program needs. CS and SS are in the signal context. */
static inline void take_segments(struct result *r) {
  __asm__ volatile("movw %%es, %0" : "=m"(r->selectors[ES]));
  __asm__ volatile("movw %%ds, %0" : "=m"(r->selectors[DS]));
  __asm__ volatile("movw %%fs, %0" : "=m"(r->selectors[FS]));
  __asm__ volatile("movw %%gs, %0" : "=m"(r->selectors[GS]));
  arch_prctl(ARCH_GET_FS, (uint64_t)&r->fs_base);
  arch_prctl(ARCH_GET_GS, (uint64_t)&r->gs_base);
  __asm__ volatile("movl %0, %%es; movl %0, %%ds; movl %0, %%fs; movl %0, %%gs" : : "r"(0));
  arch_prctl(ARCH_SET_FS, own_fs);
}

/* The data segments of a case; nothing of glibc from here on. */
static inline void give_segments(const struct test_case *c) {
  if (!c->selectors[CS]) {
    arch_prctl(ARCH_SET_GS, GS_BASE);
    arch_prctl(ARCH_SET_FS, FS_BASE);
    return;
  }
  __asm__ volatile("movw %0, %%es" : : "m"(c->selectors[ES]));
  __asm__ volatile("movw %0, %%ds" : : "m"(c->selectors[DS]));
  arch_prctl(ARCH_SET_GS, 0); // the base of a null selector
  arch_prctl(ARCH_SET_FS, 0);
  __asm__ volatile("movw %0, %%gs" : : "m"(c->selectors[GS]));
  __asm__ volatile("movw %0, %%fs" : : "m"(c->selectors[FS]));
}

static void finish(const greg_t *g) {
  struct result *r = &results[done];
  const struct test_case *c = &cases[done];
  for (int i = 0; i < 16; i++) r->gpr[i] = g[order[i]];
  r->vector = g[REG_TRAPNO];
  r->error = g[REG_ERR];
  r->cr2 = r->vector == PAGE_FAULT ? g[REG_CR2] : 0;
  r->rip = g[REG_RIP] - (r->vector == BREAKPOINT); // INT3 reports behind itself
  r->selectors[CS] = (uint64_t)g[REG_CSGSFS];
  r->selectors[SS] = (uint64_t)g[REG_CSGSFS] >> 48;
  r->rflags = g[REG_EFL] & ~(uint64_t)TF;
  memcpy(r->window, window, WINDOW_SIZE);
  memset(window, 0, WINDOW_SIZE);
  for (int i = 0; i < DATA_PAGES; i++) {
    if (memcmp(data + i * PAGE, zeros, PAGE) == 0) continue;
    r->stray = 1;
    memset(data + i * PAGE, 0, PAGE);
  }
  memset(code + c->offset, 0xcc, c->length);
  done++;
}

static void start(greg_t *g) {
  const struct test_case *c = &cases[done];
  memcpy(code + c->offset, c->bytes, c->length);
  memcpy(window, c->window, WINDOW_SIZE);
  for (int i = 0; i < 16; i++) g[order[i]] = c->gpr[i];
  g[REG_RIP] = c->rip;
  g[REG_EFL] = c->rflags | (c->step ? TF : 0);
  g[REG_CSGSFS] = c->selectors[CS] ? c->selectors[CS] | (uint64_t)c->selectors[SS] << 48 : user_segments;
}

static void on_signal(int signal, siginfo_t *info, void *context) {
  (void)info;
  __asm__ volatile("pushfq; andq $~0x244000, (%%rsp); popfq" ::: "cc", "memory"); // a case may have set ID, AC or NT
  static int started;
  static struct result before_the_first;
  take_segments(started ? &results[done] : &before_the_first);
  greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;
  if (signal == SIGPROF) g[REG_TRAPNO] = NEVER_ENDED;
  if (started) finish(g);
  else user_segments = g[REG_CSGSFS];
  started = 1;
  if (done == count) {
    write_all(results, count * sizeof *results);
    _exit(0);
  }
  struct itimerval watchdog = {.it_value = {.tv_sec = 2}};
  if ((done & 0xfff) == 0) setitimer(ITIMER_PROF, &watchdog, NULL);
  start(g);
  give_segments(&cases[done]);
}

static void *map(uintptr_t at, size_t size, int protection) {
  void *p = mmap((void *)at, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (p == (void *)at) return p;
  fprintf(stderr, "cannot map %zu bytes at %#lx\n", size, (unsigned long)at);
  exit(2);
}

static int identify(int leaves, char **names) {
  for (int i = 0; i < leaves; i++) {
    unsigned leaf = 0, subleaf = 0, eax = 0, ebx = 0, ecx = 0, edx = 0;
    if (sscanf(names[i], "%x.%x", &leaf, &subleaf) != 2) return 2;
    __get_cpuid_count(leaf, subleaf, &eax, &ebx, &ecx, &edx); // leaves the zeros if there is no such leaf
    printf("%x %x %x %x\n", eax, ebx, ecx, edx);
  }
  unsigned low = 0, high = 0, eax, ebx, ecx, edx;
  if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & bit_OSXSAVE)) __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  printf("%x%08x\n%d\n", high, low, (getauxval(AT_HWCAP2) & FSGSBASE_ENABLED) != 0);
  return 0;
}

/* Entries as modify_ldt(2) takes them. */
static int read_ldt(uint64_t entries) {
  struct user_desc entry;
  for (; entries > 0; entries--) {
    if (fread(&entry, sizeof entry, 1, stdin) != 1) return 0;
    if (syscall(SYS_modify_ldt, WRITE_LDT, &entry, sizeof entry) == 0) continue;
    perror("modify_ldt");
    return 0;
  }
  return 1;
}

int main(int argc, char **argv) {
  if (argc > 2 && strcmp(argv[1], "cpuid") == 0) return identify(argc - 2, argv + 2);
  uint64_t head[2]; // entries of the LDT, cases
  if (fread(head, sizeof head, 1, stdin) != 1 || !read_ldt(head[0])) return 2;
  count = head[1];
  cases = malloc(count * sizeof *cases);
  results = calloc(count, sizeof *results);
  if (!cases || !results || fread(cases, sizeof *cases, count, stdin) != count) return 2;

  memset(map(CODE, CODE_PAGES * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC), 0xcc, CODE_PAGES * PAGE);
  map(DATA, DATA_PAGES * PAGE, PROT_READ | PROT_WRITE);
  if (arch_prctl(ARCH_GET_FS, (uint64_t)&own_fs)) return 2;

  stack_t stack = {.ss_sp = malloc(1 << 18), .ss_size = 1 << 18};
  sigaltstack(&stack, NULL);
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  sigfillset(&action.sa_mask);
  static const int signals[] = {SIGSEGV, SIGILL, SIGFPE, SIGBUS, SIGTRAP, SIGPROF};
  for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) sigaction(signals[i], &action, NULL);
  raise(SIGTRAP);
  return 3;
}
