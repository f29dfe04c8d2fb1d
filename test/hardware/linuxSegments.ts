// Linux's descriptor table as user mode can feel it (arch/x86/kernel/cpu/common.c, gdt_page), and which selectors are worth trying. The entry of
// the processor's number (0x78) is left out: its limit differs from run to run.

/** Selectors of code and data at privilege 3, with which Linux runs a program. */
export const USER_CS = 0x33;
export const USER_SS = 0x2b;

/** Descriptors by index. The others are zero, or like the kernel's own: out of sight from privilege 3. */
const DESCRIPTORS: Readonly<Record<number, bigint>> = {
  1: 0x00cf_9b00_0000_ffffn, // kernel code, 32 bits
  2: 0x00af_9b00_0000_ffffn, // kernel code
  3: 0x00cf_9300_0000_ffffn, // kernel data
  4: 0x00cf_fb00_0000_ffffn, // user code, 32 bits
  5: 0x00cf_f300_0000_ffffn, // user data
  6: 0x00af_fb00_0000_ffffn, // user code
  8: 0x0000_8b00_0000_206fn, // TSS, busy; its upper half is 9
};
const ENTRIES = 16;

export const GDT = new BigUint64Array(ENTRIES).map((_, i) => DESCRIPTORS[i] ?? 0n);

const GATES = 256;
/** A present 64-bit interrupt gate of DPL 0 to kernel code: INT n from privilege 3 is #GP, whatever n. */
const KERNEL_GATE = 0x8e00_0010_0000n;

/** Two words to a gate. */
export const IDT = new BigUint64Array(2 * GATES).map((_, i) => (i % 2 === 0 ? KERNEL_GATE : 0n));
/** INT n to these goes somewhere: INT3, INTO, and the system call of 32-bit programs. */
export const OPEN_GATES: readonly number[] = [3, 4, 0x80];

/** Null, privileged, of the wrong type, absent, in the LDT that there is not, beyond the limit. */
// prettier-ignore
const UNFIT = [0, 1, 2, 3, 0x08, 0x0b, 0x10, 0x13, 0x18, 0x1b, 0x40, 0x43, 0x48, 0x50, 0x53, 0x60, 0x6b, 0x73, 0x34, 0x37, 0x80, 0x83, 0xfff8, 0xffff];
const DATA = [0x2b, 0x28, 0x29, 0x2a];
const CODE64 = [0x33, 0x30, 0x31, 0x32];
const CODE32 = [0x23, 0x20];

/** For CS, of 64-bit code: without 32-bit code, which cases of their own are about (scene.ts). */
export const CODE_SELECTORS = [
  ...CODE64,
  ...CODE64,
  ...CODE64,
  ...CODE64,
  USER_CS,
  USER_CS,
  USER_CS,
  ...DATA,
  ...UNFIT,
];
export const ALL_SELECTORS = [...DATA, ...DATA, ...DATA, ...CODE64, ...CODE32, ...UNFIT];
