// Runs an instruction, or a few in a row, on the processor underneath, in user mode, and reports what they did. Cases come in on stdin, results go out on
// stdout; the layout of both is in native.ts. Linux on x86-64.
//
// How: the process provokes one trap and never leaves its handler's loop: the handler stores what the last case left, puts the next case's
// registers into the signal context and returns, so that the kernel's sigreturn loads all of them, RSP included. The rest of the
// code pages is INT3, which ends a case; with `step` set, TF ends it after one instruction wherever it went.
#define _GNU_SOURCE
#include <asm/prctl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

enum { PAGE = 4096, CODE = 0x20000000, CODE_PAGES = 2, DATA = 0x30000000, DATA_PAGES = 2, WINDOW = DATA + PAGE - 128, WINDOW_SIZE = 256, GS_BASE = DATA + 64 };
enum { TF = 0x100, STEP = 1 };

struct test_case {
  uint8_t bytes[128];
  uint8_t length, step, pad[2];
  uint32_t offset; // of the first byte in the code pages
  uint64_t gpr[16], rflags;
  uint8_t window[WINDOW_SIZE];
};

struct result {
  uint64_t gpr[16], rip, rflags, cr2;
  uint32_t vector, error; // of the exception that ended the case: 3 or 1 (INT3, TF) when the instruction retired
  uint32_t stray, pad;    // data outside the window was changed
  uint8_t window[WINDOW_SIZE];
};

/* Order of struct gregs by register number: RAX RCX RDX RBX RSP RBP RSI RDI R8 .. R15. */
static const int order[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                              REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

static struct test_case *cases;
static struct result *results;
static size_t count, done;
static uint8_t *const code = (uint8_t *)(uintptr_t)CODE, *const data = (uint8_t *)(uintptr_t)DATA, *const window = (uint8_t *)(uintptr_t)WINDOW;
static const uint8_t zeros[PAGE];

static void write_all(const void *from, size_t size) {
  for (const char *p = from; size > 0;) {
    ssize_t n = write(1, p, size);
    if (n <= 0) _exit(3);
    p += n, size -= n;
  }
}

static void finish(const greg_t *g) {
  struct result *r = &results[done];
  const struct test_case *c = &cases[done];
  for (int i = 0; i < 16; i++) r->gpr[i] = g[order[i]];
  r->vector = g[REG_TRAPNO];
  r->error = g[REG_ERR];
  r->cr2 = r->vector == 14 ? g[REG_CR2] : 0;
  r->rip = g[REG_RIP] - (r->vector == 3); // INT3 reports behind itself
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
  g[REG_RIP] = CODE + c->offset;
  g[REG_EFL] = c->rflags | (c->step ? TF : 0);
}

static void on_signal(int signal, siginfo_t *info, void *context) {
  (void)info;
  __asm__ volatile("pushfq; andq $~0x244000, (%%rsp); popfq" ::: "cc", "memory"); // a case may have set ID, AC or NT
  static int started;
  greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;
  if (signal == SIGALRM) g[REG_TRAPNO] = 255; // the case never ended
  if (started) finish(g);
  started = 1;
  if (done == count) {
    write_all(results, count * sizeof *results);
    _exit(0);
  }
  struct itimerval watchdog = {.it_value = {.tv_sec = 2}};
  if ((done & 0xfff) == 0) setitimer(ITIMER_REAL, &watchdog, NULL);
  start(g);
}

static void *map(uintptr_t at, size_t size, int protection) {
  void *p = mmap((void *)at, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (p == (void *)at) return p;
  fprintf(stderr, "cannot map %zu bytes at %#lx\n", size, (unsigned long)at);
  exit(2);
}

int main(void) {
  uint64_t n;
  if (fread(&n, sizeof n, 1, stdin) != 1) return 2;
  count = n;
  cases = malloc(count * sizeof *cases);
  results = calloc(count, sizeof *results);
  if (!cases || !results || fread(cases, sizeof *cases, count, stdin) != count) return 2;

  memset(map(CODE, CODE_PAGES * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC), 0xcc, CODE_PAGES * PAGE);
  map(DATA, DATA_PAGES * PAGE, PROT_READ | PROT_WRITE);
  if (syscall(SYS_arch_prctl, ARCH_SET_GS, (unsigned long)GS_BASE)) return 2;

  stack_t stack = {.ss_sp = malloc(1 << 18), .ss_size = 1 << 18};
  sigaltstack(&stack, NULL);
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  sigfillset(&action.sa_mask);
  static const int signals[] = {SIGSEGV, SIGILL, SIGFPE, SIGBUS, SIGTRAP, SIGALRM};
  for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) sigaction(signals[i], &action, NULL);
  raise(SIGTRAP);
  return 3;
}
