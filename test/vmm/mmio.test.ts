// Device memory: every form that touches it in several parts touches each register exactly once, in the processor's order,
// though its instruction is executed again after every exit.
//
// The guest finds memory up to 4 MiB and the device behind it, mapped one to one by a large page that it adds to the boot
// loader's page directory. The last bytes of memory and the first of the device are neighbours.

import { describe, expect, it } from 'vitest';
import { TestMmioDevice } from '../../src/testing/mmioDevice.ts';
import type { Machine } from '../../src/vmm/machine.ts';
import { GPR } from '../../src/x86/names/registers.ts';
import { bootGuest, MEMORY, POWER_OFF } from './guest.ts';

const MAP_DEVICE = 'movq $0x400083, 0xb010';
/** Loads of the device see its offsets: byte n is n. */
const countUp = (offset: number): number => offset & 0xff;

interface Played {
  readonly accesses: readonly string[];
  readonly device: TestMmioDevice;
  readonly machine: Machine;
  reg(index: number): bigint;
  ram(gpa: number, length: number): number[];
}

/** Runs `code` with RDI at the device; the machine must switch itself off. */
async function play(code: string): Promise<Played> {
  const device = new TestMmioDevice(MEMORY, 4096, countUp);
  const machine = await bootGuest(`${MAP_DEVICE}; movl $0x400000, %edi; ${code}; ${POWER_OFF}`);
  machine.mmio.connect(device);
  const result = machine.run({ maxCycles: 10_000_000 });
  expect(result.kind).toBe('power-off');
  const { state, mmu } = machine.processor.cpus[0]!;
  return {
    accesses: device.accesses,
    device,
    machine,
    reg: (index) => state.gpr(index),
    ram: (gpa, length) => [...mmu.peek(BigInt(gpa), length)!],
  };
}

describe('one access', () => {
  it.each([
    ['movb (%rdi), %bl', ['r1@0=0x0']],
    ['movw 2(%rdi), %bx', ['r2@2=0x302']],
    ['movl 4(%rdi), %ebx', ['r4@4=0x7060504']],
    ['movq 8(%rdi), %rbx', ['r8@8=0xf0e0d0c0b0a0908']],
    ['movzbl 5(%rdi), %ebx', ['r1@5=0x5']],
    ['movslq 4(%rdi), %rbx', ['r4@4=0x7060504']],
    ['movq $-2, (%rdi)', ['w8@0=0xfffffffffffffffe']],
    ['movb $0x7f, 3(%rdi)', ['w1@3=0x7f']],
    ['cmpl $1, 4(%rdi)', ['r4@4=0x7060504']],
    ['testb $1, (%rdi)', ['r1@0=0x0']],
    ['btl $3, 4(%rdi)', ['r4@4=0x7060504']],
    ['imull $3, 4(%rdi), %ebx', ['r4@4=0x7060504']],
    ['setnz 7(%rdi)', ['w1@7=0x0'], 'xorl %eax, %eax'],
    ['cmovzl 4(%rdi), %ebx', ['r4@4=0x7060504'], 'testl %edi, %edi'],
  ])('%s', async (code, accesses, before = 'nop') => {
    expect((await play(`${before}; ${code}`)).accesses).toEqual(accesses);
  });
});

describe('read, then write', () => {
  it.each([
    ['incl 16(%rdi)', ['r4@16=0x13121110', 'w4@16=0x13121111']],
    ['negb 1(%rdi)', ['r1@1=0x1', 'w1@1=0xff']],
    ['addq $1, 8(%rdi)', ['r8@8=0xf0e0d0c0b0a0908', 'w8@8=0xf0e0d0c0b0a0909']],
    ['lock orw $0x8000, 2(%rdi)', ['r2@2=0x302', 'w2@2=0x8302']],
    ['shll $4, 4(%rdi)', ['r4@4=0x7060504', 'w4@4=0x70605040']],
    ['btsl $0, 4(%rdi)', ['r4@4=0x7060504', 'w4@4=0x7060505']],
    ['xchgl %eax, 4(%rdi)', ['r4@4=0x7060504', 'w4@4=0x55']],
    ['lock xaddl %eax, 4(%rdi)', ['r4@4=0x7060504', 'w4@4=0x7060559']],
  ])('%s', async (code, accesses) => {
    expect((await play(`movl $0x55, %eax; ${code}`)).accesses).toEqual(accesses);
  });

  it('CMPXCHG that succeeds stores the new value', async () => {
    const { accesses } = await play('movl $0x7060504, %eax; movl $0x99, %ecx; lock cmpxchgl %ecx, 4(%rdi)');
    expect(accesses).toEqual(['r4@4=0x7060504', 'w4@4=0x99']);
  });

  it('CMPXCHG that fails stores the old one back, as processors do, and loads it', async () => {
    const { accesses, reg } = await play('movl $1, %eax; lock cmpxchgl %ecx, 4(%rdi); movl %eax, %ebx');
    expect(accesses).toEqual(['r4@4=0x7060504', 'w4@4=0x7060504']);
    expect(reg(GPR.RBX)).toBe(0x7060504n);
  });
});

describe('between memory and device', () => {
  it('a load takes the rest from the device once', async () => {
    const { accesses, reg } = await play('movl $0xddccbbaa, 0x3ffffc; movl 0x3ffffe, %ebx');
    expect(accesses).toEqual(['r2@0=0x100']);
    expect(reg(GPR.RBX)).toBe(0x0100ddccn);
  });

  it('a store leaves its parts in both', async () => {
    const { accesses, ram } = await play('movq $0x11223344, 0x3ffffd');
    expect(accesses).toEqual(['w5@0=0x11']);
    expect(ram(0x3ffffd, 3)).toEqual([0x44, 0x33, 0x22]);
  });

  it('a read-modify-write reads and writes the device part once', async () => {
    const { accesses, ram } = await play('movb $0xff, 0x3fffff; addw $1, 0x3fffff');
    expect(accesses).toEqual(['r1@0=0x0', 'w1@0=0x1']);
    expect(ram(0x3fffff, 1)).toEqual([0]);
  });
});

describe('strings', () => {
  it('REP STOS writes each element once', async () => {
    const { accesses, reg } = await play('movl $0x55, %eax; movl $3, %ecx; cld; rep stosl');
    expect(accesses).toEqual(['w4@0=0x55', 'w4@4=0x55', 'w4@8=0x55']);
    expect(reg(GPR.RDI)).toBe(0x40000cn);
    expect(reg(GPR.RCX)).toBe(0n);
  });

  it('REP STOS downwards', async () => {
    const { accesses } = await play('movb $7, %al; addq $2, %rdi; movl $3, %ecx; std; rep stosb; cld');
    expect(accesses).toEqual(['w1@2=0x7', 'w1@1=0x7', 'w1@0=0x7']);
  });

  it('REP MOVS from the device, from memory to it, and within it', async () => {
    const from = await play('movl $0x400010, %esi; movl $0x300000, %edi; movl $2, %ecx; rep movsq');
    expect(from.accesses).toEqual(['r8@16=0x1716151413121110', 'r8@24=0x1f1e1d1c1b1a1918']);
    expect(from.ram(0x300000, 16)).toEqual(Array.from({ length: 16 }, (_, i) => 16 + i));
    const to = await play('movq $0x41424344, 0x300000; movl $0x300000, %esi; movl $2, %ecx; rep movsw');
    expect(to.accesses).toEqual(['w2@0=0x4344', 'w2@2=0x4142']);
    const within = await play('movl $0x400020, %esi; movl $2, %ecx; rep movsb');
    expect(within.accesses).toEqual(['r1@32=0x20', 'w1@0=0x20', 'r1@33=0x21', 'w1@1=0x21']);
  });

  it('REPNE SCAS and REPE CMPS read what they compare once', async () => {
    const scas = await play('movb $2, %al; movl $10, %ecx; repne scasb');
    expect(scas.accesses).toEqual(['r1@0=0x0', 'r1@1=0x1', 'r1@2=0x2']);
    const cmps = await play('movl $0x400000, %esi; movl $0x400100, %edi; movl $2, %ecx; repe cmpsb');
    expect([...cmps.accesses].sort()).toEqual(['r1@0=0x0', 'r1@1=0x1', 'r1@256=0x0', 'r1@257=0x1'].sort());
  });

  it('a string element that crosses from memory into the device', async () => {
    const { accesses, ram } = await play('movl $0x3ffffe, %edi; movl $0x11223344, %eax; stosl');
    expect(accesses).toEqual(['w2@0=0x1122']);
    expect(ram(0x3ffffe, 2)).toEqual([0x44, 0x33]);
  });

  it('OUTS sends a byte of the device to a port, INS fills one', async () => {
    const { accesses, machine } = await play('movb $0x41, (%rdi); movl $0x400000, %esi; movw $0xe9, %dx; outsb; insb');
    expect(accesses).toEqual(['w1@0=0x41', 'r1@0=0x41', 'w1@0=0xe9']);
    expect(machine.console.text).toBe('A');
  });
});

describe('the stack', () => {
  it('PUSH and POP', async () => {
    const pushed = await play('movq %rsp, %rbx; movl $0x400040, %esp; pushq $5; popq %rcx; movq %rbx, %rsp');
    expect(pushed.accesses).toEqual(['w8@56=0x5', 'r8@56=0x5']);
    expect(pushed.reg(GPR.RCX)).toBe(5n);
    const memory = await play('pushq 8(%rdi); popq (%rdi)');
    expect(memory.accesses).toEqual(['r8@8=0xf0e0d0c0b0a0908', 'w8@0=0xf0e0d0c0b0a0908']);
  });

  it('CALL and RET through it', async () => {
    const { accesses } = await play('movq %rsp, %rbx; movl $0x400040, %esp; call 1f; 1: movq %rbx, %rsp');
    expect(accesses).toEqual([expect.stringMatching(/^w8@56=0x1000/)]);
    const back = await play(
      'leaq 1f(%rip), %rax; movq %rax, (%rdi); movq %rsp, %rbx; movq %rdi, %rsp; ret; 1: movq %rbx, %rsp',
    );
    expect(back.accesses).toEqual([expect.stringMatching(/^w8@0=0x1000/), expect.stringMatching(/^r8@0=0x1000/)]);
  });

  it('the frame of an exception, and IRETQ from it', async () => {
    // An IDT with one gate, for #UD; the handler steps over UD2, which has two bytes.
    const { accesses, reg } = await play(
      `leaq handler(%rip), %rax; movw %ax, 0x300060; movw $0x10, 0x300062; movw $0x8e00, 0x300064; shrl $16, %eax; movw %ax, 0x300066
       movw $0xfff, 0x300ff6; movq $0x300000, 0x300ff8; lidt 0x300ff6
       movq %rsp, %rbx; movl $0x400800, %esp; ud2; movq %rbx, %rsp; movl $1, %ecx; jmp done
       handler: addq $2, (%rsp); iretq
       done: nop`,
    );
    expect(reg(GPR.RCX)).toBe(1n);
    const top = 0x800;
    const places = accesses.map((access) => access.split('=')[0]);
    expect([...places.slice(0, 5)].sort()).toEqual([1, 2, 3, 4, 5].map((i) => `w8@${top - 8 * i}`).sort());
    expect(places.slice(5, 7)).toEqual([`r8@${top - 40}`, `w8@${top - 40}`]);
    expect([...places.slice(7)].sort()).toEqual([1, 2, 3, 4, 5].map((i) => `r8@${top - 8 * i}`).sort());
  });
});

describe('an interrupt', () => {
  /** Moves 40 bytes within the device while a timer interrupts every few thousand cycles; RBP counts the interrupts. */
  const INTERRUPTED = `
    .include "asm/start.s"
    .include "asm/msr.s"
    .include "asm/console.s"
    .include "asm/idt.s"
    .include "asm/x2apic.s"
    .include "asm/timer.s"
    .equ PERIOD, 5000
    .text
    .globl _start
  _start:
    ${MAP_DEVICE}
    call idt_init
    set_gate 0xec, tick
    call x2apic_enable
    movl $0xec, %edi
    call timer_init
    xorl %ebp, %ebp
    read_tsc
    leaq PERIOD(%rax), %rdi
    call timer_arm
    sti
    movl $0x400000, %edi
    movl $0x400020, %esi
    movl $40, %ecx
    rep movsb
    jmp power_off
  tick:
    push_registers
    read_tsc
    leaq PERIOD(%rax), %rdi
    call timer_arm
    x2apic_eoi
    pop_registers
    incl %ebp
    iretq`;

  it('waits until an element is moved: the device never sees a part twice', async () => {
    const device = new TestMmioDevice(MEMORY, 4096, countUp);
    // Set in advance, deadlines so near would leave the copy no time between two interrupts.
    const machine = await bootGuest(INTERRUPTED, { params: { lapicTimerAdvance: false } });
    machine.mmio.connect(device);
    expect(machine.run({ maxCycles: 10_000_000 }).kind).toBe('power-off');
    expect(machine.processor.cpus[0]!.state.gpr(GPR.RBP)).toBeGreaterThan(5n);
    // What was read may be what was written before: 32 bytes lie between source and destination.
    const moved = Array.from({ length: 40 }, (_, i) => i + 32);
    expect(device.accesses).toEqual(
      moved.flatMap((from, to) => [from, to].map((at, j) => `${'rw'[j]}1@${at}=0x${from.toString(16)}`)),
    );
  });
});

describe('an NMI that a store to the ICR sends to its own CPU', () => {
  /** RBP counts the NMIs. */
  const SELF_NMI = `
    .include "asm/start.s"
    .include "asm/console.s"
    .include "asm/idt.s"
    .text
    .globl _start
  _start:
    movl $0xc0000083, %eax              # the APIC's GiB, one to one
    movq %rax, 0xa018
    xorl %edx, %edx                     # from x2APIC to xAPIC mode, by way of none
    movl $0x1b, %ecx
    movl $0xfee00100, %eax
    wrmsr
    movl $0xfee00900, %eax
    wrmsr
    call idt_init
    set_gate 2, nmi
    xorl %ebp, %ebp
    movl $0xfee00000, %ebx
    movl $0x1ff, 0xf0(%rbx)
    movl $0, 0x310(%rbx)
    movl $0x4400, 0x300(%rbx)
    jmp power_off
  nmi:
    incl %ebp
    iretq`;

  it.each([false, true])(
    'is taken once, behind the store (every exit out of generated code: %s)',
    async (noInPlace) => {
      const machine = await bootGuest(SELF_NMI, { noInPlace });
      expect(machine.run({ maxCycles: 10_000_000 }).kind).toBe('power-off');
      expect(machine.processor.cpus[0]!.state.gpr(GPR.RBP)).toBe(1n);
    },
  );
});

describe('what no device answers', () => {
  it('reads as ones and is named once, with its count', async () => {
    const { machine, reg } = await play('movl 0x401000, %ebx; movl %ebx, 0x401000; movl 0x401000, %ebx');
    expect(reg(GPR.RBX)).toBe(0xffff_ffffn);
    expect(machine.diagnostics).toMatchObject([
      { what: 'mmio-read', index: 0x401000, count: 2 },
      { what: 'mmio-write', index: 0x401000, count: 1 },
    ]);
  });
});
