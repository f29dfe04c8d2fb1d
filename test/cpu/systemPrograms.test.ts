// System code as programs: what microcode gets from the decoder, and what happens between instructions: shadows, single
// steps, windows, events. Handlers are HLT, so the place where a program ends tells what it raised.

import { beforeEach, describe, expect, it } from 'vitest';
import { Controls } from '../../src/cpu/controls.ts';
import { EXIT, type ExitReason } from '../../src/cpu/exit.ts';
import { readRflags, writeRflags } from '../../src/cpu/rflags.ts';
import { segmentBase, segmentSelector } from '../../src/cpu/segments/segments.ts';
import { exitName } from '../../src/cpu/vmexit.ts';
import { CR4, GPR, RFLAGS, SEGMENT } from '../../src/x86/names/registers.ts';
import { VECTOR } from '../../src/x86/names/vectors.ts';
import { program } from './program.ts';
import { AT, SEL, handler } from './systemImage.ts';
import { TestSystem } from './system.ts';

const NO_VECTOR = -1;

describe.each(['wasm', 'bigint'] as const)('on %s', (engine) => {
  const system = new TestSystem(engine);
  const { cpu, state } = system;

  const reset = (cpl: 0 | 3 = 0): void => {
    system.reset(cpl);
    cpu.controls = new Controls();
  };
  beforeEach(() => reset());

  const load = async (source: string): Promise<void> => system.writeBytes(AT.CODE, await program(source, AT.CODE));
  const enter = (budget = 1000): ExitReason => cpu.enter(budget, Infinity);
  /** Runs to HLT: the vector whose handler it is in, NO_VECTOR for the program's own. */
  const run = async (source: string): Promise<number> => {
    await load(source);
    expect(exitName(enter())).toBe('HLT');
    const offset = Number(state.rip) - AT.HANDLERS;
    return offset >= 0 && offset < 0x1000 ? offset >> 4 : NO_VECTOR;
  };
  const onStack = (word: number): bigint => system.read(system.gpr(GPR.RSP) + BigInt(8 * word));

  describe('operands', () => {
    // prettier-ignore
    it.each<[string, string, () => unknown, unknown]>([
      ['lgdt', 'lgdt pointer(%rip); hlt; pointer: .word 0x7f; .quad 0x4000', () => [state.gdtrBase, state.gdtrLimit], [0x4000n, 0x7f]],
      ['lidt through a register', 'mov $pointer, %rbx; lidt (%rbx); hlt; pointer: .word 0xfff; .quad 0x5000', () => [state.idtrBase, state.idtrLimit], [0x5000n, 0xfff]],
      ['sldt, 64 bits', 'mov $-1, %rax; sldt %rax; hlt', () => system.gpr(GPR.RAX), BigInt(SEL.LDT)],
      ['sldt, 16 bits', 'mov $-1, %rax; sldt %ax; hlt', () => system.gpr(GPR.RAX), 0xffff_ffff_ffff_0000n | BigInt(SEL.LDT)],
      ['str to memory', 'movq $-1, 0x14000; str 0x14000; hlt', () => system.read(AT.DATA), 0xffff_ffff_ffff_0000n | BigInt(SEL.TSS)],
      ['ltr', `mov $${SEL.OTHER_TSS}, %r9d; ltr %r9w; str %r10d; hlt`, () => system.gpr(10), BigInt(SEL.OTHER_TSS)],
      ['smsw', 'smsw %r11; hlt', () => system.gpr(11), 0x8001_0031n],
      ['mov to a segment', `mov $${SEL.BASED_DATA}, %ecx; mov %ecx, %fs; mov %fs, %edx; hlt`, () => [segmentBase(state, SEGMENT.FS), system.gpr(GPR.RDX)], [0x1234_5678n, BigInt(SEL.BASED_DATA)]],
      ['mov of a segment to memory', 'movq $-1, 0x14000; mov %cs, 0x14000; hlt', () => system.read(AT.DATA), 0xffff_ffff_ffff_0008n],
      ['push and pop', `pushq $${SEL.BASED_DATA}; pop %gs; push %gs; pop %rax; hlt`, () => [segmentBase(state, SEGMENT.GS), system.gpr(GPR.RAX)], [0x1234_5678n, BigInt(SEL.BASED_DATA)]],
      ['lss', 'lss pointer(%rip), %esp; hlt; pointer: .long 0xd000; .word 0x10', () => [system.gpr(GPR.RSP), segmentSelector(state, SEGMENT.SS)], [0xd000n, SEL.KDATA]],
      ['lfs', `lfs pointer(%rip), %ebx; hlt; pointer: .long 0x77; .word ${SEL.BASED_DATA}`, () => [system.gpr(GPR.RBX), segmentBase(state, SEGMENT.FS)], [0x77n, 0x1234_5678n]],
      ['mov to and from control registers', 'mov $0x14008, %r14; mov %r14, %cr2; mov %cr2, %r13; mov %cr8, %r12; hlt', () => [state.cr2, system.gpr(13)], [0x1_4008n, 0x1_4008n]],
      ['mov to and from debug registers', 'mov $0x1234, %r9; mov %r9, %db3; mov %db3, %rbx; hlt', () => system.gpr(GPR.RBX), 0x1234n],
      ['wrmsr and rdmsr', 'mov $0xc0000102, %ecx; mov $0x12345678, %eax; mov $0xffff8000, %edx; wrmsr; xor %eax, %eax; rdmsr; hlt', () => [state.kernelGsBase, system.gpr(GPR.RAX)], [0xffff_8000_1234_5678n, 0x1234_5678n]],
      ['wrfsbase and rdfsbase', 'mov $0x123456789a, %rax; wrfsbase %rax; rdfsbase %edx; hlt', () => [segmentBase(state, SEGMENT.FS), system.gpr(GPR.RDX)], [0x12_3456_789an, 0x3456_789an]],
      ['invpcid', 'mov $2, %eax; invpcid 0x14000, %rax; hlt', () => system.gpr(GPR.RAX), 2n],
      ['lar', `mov $${SEL.KCODE}, %ecx; lar %ecx, %edx; hlt`, () => [system.gpr(GPR.RDX), readRflags(state) & RFLAGS.ZF], [0xaf_9b00n, RFLAGS.ZF]],
      ['lsl from memory', `movw $${SEL.TSS}, 0x14000; lsl 0x14000, %r8d; hlt`, () => system.gpr(8), 0x67n],
      ['verr', `mov $${SEL.EXECUTE_ONLY}, %ecx; or $-1, %eax; verr %cx; hlt`, () => readRflags(state) & RFLAGS.ZF, 0],
      ['rdtscp', 'mov $0xc0000103, %ecx; mov $7, %eax; xor %edx, %edx; wrmsr; rdtscp; hlt', () => system.gpr(GPR.RCX), 7n],
    ])('%s', async (_, source, actual, expected) => {
      state.cr4 |= CR4.FSGSBASE;
      cpu.controls = Controls.none();
      cpu.controls.hltExiting = true;
      expect(await run(source)).toBe(NO_VECTOR);
      expect(actual()).toEqual(expected);
    });
  });

  describe('far transfers', () => {
    it.each([
      ['ljmp, 32-bit offset', 'ljmp *pointer(%rip); ud2; pointer: .long there; .word 8; there: hlt'],
      ['ljmp, 64-bit offset', 'rex.w ljmp *pointer(%rip); ud2; pointer: .quad there; .word 8; there: hlt'],
      ['lcall and lret', 'lcall *pointer(%rip); hlt; pointer: .long there; .word 8; there: lret'],
      ['lcall and lretq, 64 bits', 'rex.w lcall *pointer(%rip); hlt; pointer: .quad there; .word 8; there: lretq'],
      ['lretq to a pushed address', 'pushq $8; pushq $there; lretq; ud2; there: hlt'],
      ['lretq, releasing', 'push %rbx; pushq $8; pushq $there; lretq $8; ud2; there: hlt'],
    ])('%s', async (_, source) => {
      expect(await run(source)).toBe(NO_VECTOR);
      expect(system.gpr(GPR.RSP)).toBe(BigInt(AT.STACK));
    });
    it('to ring 3 and back by SYSCALL', async () => {
      state.star = (BigInt(SEL.KDATA | 3) << 48n) | (BigInt(SEL.KCODE) << 32n);
      state.fmask = 0x200n;
      const source = `
        lea kernel(%rip), %rax
        mov %rax, %rdx
        shr $32, %rdx
        mov $0xc0000082, %ecx
        wrmsr
        lea user(%rip), %rcx
        mov $0x202, %r11d
        sysretq
      user:
        syscall
        ud2
      kernel:
        mov %cs, %r15d
        hlt`;
      cpu.controls.allowMsr(0xc0000082, 'write');
      expect(await run(source)).toBe(NO_VECTOR);
      expect([state.cpl, system.gpr(15), system.gpr(GPR.R11)]).toEqual([0, BigInt(SEL.KCODE), 0x202n]);
    });
    it('to ring 3 by IRETQ, where HLT is #GP on the stack of the TSS', async () => {
      const source = `pushq $${SEL.UDATA | 3}; pushq $0xd000; pushq $0x202; pushq $${SEL.UCODE | 3}; pushq $there; iretq; there: hlt`;
      expect(await run(source)).toBe(VECTOR.GP);
      expect(system.gpr(GPR.RSP)).toBe(BigInt(AT.RSP0 - 48));
      expect([onStack(2), onStack(4)]).toEqual([BigInt(SEL.UCODE | 3), 0xd000n]);
    });
  });

  describe('exceptions', () => {
    it.each([
      ['ud2', VECTOR.UD],
      ['xor %ecx, %ecx; div %ecx', VECTOR.DE],
      ['mov 0x40000000, %eax', VECTOR.PF],
      ['mov $0x800000000000, %rax; mov (%rax), %eax', VECTOR.GP],
      ['mov $0x800000000000, %rbp; mov (%rbp), %eax', VECTOR.SS],
      ['int3', VECTOR.BP],
      ['int $0x80', 0x80],
      ['.byte 0xf1', VECTOR.DB],
      [`mov $${SEL.ABSENT_DATA}, %eax; mov %eax, %ds`, VECTOR.NP],
    ])('%s', async (source, vector) => {
      expect(await run(`${source}; hlt`)).toBe(vector);
    });
    it('cost one unit each: the instruction none, its delivery one', async () => {
      await load('nop; ud2');
      expect(enter(2)).toBe(EXIT.BUDGET);
      expect([cpu.used, state.rip]).toEqual([2, BigInt(handler(VECTOR.UD))]);
    });
    it('INT n costs one unit', async () => {
      await load('int $0x80');
      expect(enter(1)).toBe(EXIT.BUDGET);
      expect([cpu.used, state.rip]).toEqual([1, BigInt(handler(0x80))]);
    });
    it('a stack page that is absent exits, and the event that is injected again is delivered', async () => {
      await load('ud2');
      state.setGpr(GPR.RSP, BigInt(AT.STACK));
      system.unmap(AT.STACK - 4096);
      expect(enter()).toBe(EXIT.EPT_VIOLATION);
      expect([state.rip, cpu.used]).toEqual([BigInt(AT.CODE), 0]);
      const { vectoringEvent } = state;
      system.map(AT.STACK - 4096);
      state.entryEvent = vectoringEvent;
      expect(enter()).toBe(EXIT.HLT);
      expect(state.rip).toBe(BigInt(handler(VECTOR.UD)));
      expect([onStack(0), onStack(1), onStack(3)]).toEqual([BigInt(AT.CODE), BigInt(SEL.KCODE), BigInt(AT.STACK)]);
    });
    it('an exit for memory does not tell the length of an earlier one', async () => {
      await load('cpuid; mov 0x14000, %eax');
      system.unmap(AT.DATA);
      expect(enter()).toBe(EXIT.CPUID);
      expect(state.exitLength).toBe(2);
      cpu.skip();
      expect(enter()).toBe(EXIT.EPT_VIOLATION);
      expect(cpu.exit()).toMatchObject({ rip: BigInt(AT.CODE + 2), length: 0, gpa: BigInt(AT.DATA), access: 'read' });
    });
    it('a triple fault exits at the instruction that began it', async () => {
      state.idtrLimit = 0;
      await load('nop; ud2');
      expect(enter()).toBe(EXIT.TRIPLE_FAULT);
      expect(state.rip).toBe(BigInt(AT.CODE + 1));
      expect(cpu.exit()).toMatchObject({
        first: { vector: VECTOR.UD },
        last: { vector: VECTOR.GP, errorCode: VECTOR.DF * 8 + 3 },
      });
    });
  });

  describe('between instructions', () => {
    const window = (): string => exitName(enter());
    it('STI holds interrupts off for one instruction', async () => {
      await load('sti; nop; nop; hlt');
      cpu.controls.interruptWindow = true;
      expect(window()).toBe('INTERRUPT_WINDOW');
      expect([state.rip, cpu.used]).toEqual([BigInt(AT.CODE + 2), 2]);
    });
    it.each([
      ['an access', 'sti; mov (%rsp), %eax; nop; hlt', 4],
      ['a jump', 'sti; jmp there; hlt; there: nop; hlt', 4],
      ['a call', 'sti; call there; hlt; there: nop; hlt', 7],
      ['STI', 'sti; sti; nop; hlt', 2],
      ['an instruction that looks at flags', 'sti; pushfq; nop; hlt', 2],
      ['an instruction that is repeated', 'sti; rep movsb; nop; hlt', 3],
      ['an instruction that microcode executes', 'sti; mov %cr2, %rax; nop; hlt', 4],
    ])('STI lets an interrupt in behind %s', async (_, source, offset) => {
      await load(source);
      const there = [BigInt(AT.CODE + offset), 2];
      // Once more when the blocks are linked.
      for (const awaited of [true, false, true]) {
        cpu.setRip(BigInt(AT.CODE));
        writeRflags(state, RFLAGS.FIXED);
        cpu.controls.interruptWindow = awaited;
        expect(window()).toBe(awaited ? 'INTERRUPT_WINDOW' : 'HLT');
        if (awaited) expect([state.rip, cpu.used]).toEqual(there);
      }
    });
    it('STI with interrupts on holds nothing off', async () => {
      writeRflags(state, RFLAGS.FIXED | RFLAGS.IF);
      await load('sti; nop; hlt');
      expect(cpu.enter(1, Infinity)).toBe(EXIT.BUDGET);
      expect(cpu.interruptible()).toBe(true);
    });
    it('STI; CLI never lets an interrupt in', async () => {
      await load('sti; cli; nop; hlt');
      cpu.controls.interruptWindow = true;
      expect(window()).toBe('HLT');
    });
    it('STI; HLT stops in HLT with the window open behind it', async () => {
      await load('sti; hlt; nop');
      cpu.controls.interruptWindow = true;
      expect(window()).toBe('HLT');
      cpu.skip();
      expect(cpu.interruptible()).toBe(true);
      expect(window()).toBe('INTERRUPT_WINDOW');
      expect(state.rip).toBe(BigInt(AT.CODE + 2));
    });
    it('MOV SS holds interrupts off for one instruction, as IF had let them in', async () => {
      writeRflags(state, RFLAGS.FIXED | RFLAGS.IF);
      await load(`mov $${SEL.KDATA}, %eax; mov %eax, %ss; mov $0xd000, %esp; nop; hlt`);
      expect(cpu.enter(2, Infinity)).toBe(EXIT.BUDGET);
      expect(cpu.interruptible()).toBe(false);
      cpu.controls.interruptWindow = true;
      expect(window()).toBe('INTERRUPT_WINDOW');
      expect(system.gpr(GPR.RSP)).toBe(0xd000n);
    });
    it('POPF opens the window at once', async () => {
      await load('pushq $0x202; popfq; nop; hlt');
      cpu.controls.interruptWindow = true;
      expect(window()).toBe('INTERRUPT_WINDOW');
      expect(cpu.used).toBe(2);
    });
    it('IRETQ opens it too, and unblocks NMIs', async () => {
      await load(
        'mov %rsp, %rax; pushq $0x10; push %rax; pushq $0x202; pushq $8; pushq $there; iretq; there: nop; hlt',
      );
      state.nmiBlocked = 1;
      cpu.controls.nmiWindow = true;
      expect(window()).toBe('NMI_WINDOW');
      cpu.controls.nmiWindow = false;
      cpu.controls.interruptWindow = true;
      expect(window()).toBe('INTERRUPT_WINDOW');
      expect(system.gpr(GPR.RSP)).toBe(BigInt(AT.STACK));
    });
    it('an injected interrupt is delivered at entry, before any instruction', async () => {
      writeRflags(state, RFLAGS.FIXED | RFLAGS.IF);
      await load('nop; hlt');
      cpu.inject({ type: 'external', vector: 0x40, errorCode: null });
      expect(enter()).toBe(EXIT.HLT);
      expect([state.rip, cpu.used, onStack(0)]).toEqual([BigInt(handler(0x40)), 1, BigInt(AT.CODE)]);
    });
    it('TF traps behind each instruction, with the next RIP and no RF', async () => {
      await load('pushq $0x102; popfq; nop; nop; hlt');
      // The instruction after POPF is the first that traps.
      expect(enter()).toBe(EXIT.HLT);
      expect(state.rip).toBe(BigInt(handler(VECTOR.DB)));
      expect([onStack(0), onStack(2)]).toEqual([BigInt(AT.CODE + 7), 0x102n]);
      expect(state.views.u64[state.at('dr', 6) >> 3]! & 0x4000n).toBe(0x4000n);
    });
    it('a fault leaves no single-step trap behind', async () => {
      writeRflags(state, RFLAGS.FIXED | RFLAGS.TF);
      expect(await run('ud2')).toBe(VECTOR.UD);
      expect(state.pendingDb).toBe(0);
    });
    it('INT n under TF does not trap in the handler', async () => {
      writeRflags(state, RFLAGS.FIXED | RFLAGS.TF);
      expect(await run('int $0x80')).toBe(0x80);
      expect(onStack(2) & 0x100n).toBe(0x100n);
    });
    it('MOV SS holds the single-step trap off until behind the next instruction', async () => {
      writeRflags(state, RFLAGS.FIXED | RFLAGS.TF);
      state.setGpr(GPR.RAX, BigInt(SEL.KDATA));
      expect(await run('mov %eax, %ss; mov $0xd000, %esp; nop')).toBe(VECTOR.DB);
      expect(onStack(0)).toBe(BigInt(AT.CODE + 2 + 5));
    });
    it('HLT under TF traps, though nothing else would wake the CPU', async () => {
      writeRflags(state, RFLAGS.FIXED | RFLAGS.TF);
      cpu.controls.hltExiting = false;
      await load('hlt; nop');
      expect(enter()).toBe(EXIT.HLT);
      expect(state.rip).toBe(BigInt(handler(VECTOR.DB) + 1));
      expect(onStack(0)).toBe(BigInt(AT.CODE + 1));
    });
    it('an interrupt waits for the single-step trap', async () => {
      writeRflags(state, RFLAGS.FIXED | RFLAGS.TF | RFLAGS.IF);
      await load('nop; nop');
      expect(cpu.enter(1, Infinity)).toBe(EXIT.BUDGET);
      expect(cpu.interruptible()).toBe(false);
    });
    it('STAC and CLAC switch views within a block', async () => {
      state.cr4 |= CR4.SMAP;
      system.write(AT.PAGE_TABLE + AT.STACK / 512 - 8, BigInt(AT.STACK - 4096) | 3n);
      for (const page of [AT.GDT, AT.IDT, AT.TSS, AT.HANDLERS, AT.CODE])
        system.write(AT.PAGE_TABLE + page / 512, BigInt(page) | 3n);
      cpu.mmu.translation.restored();
      expect(await run('stac; mov 0x14000, %eax; clac; mov 0x14008, %eax; hlt')).toBe(VECTOR.PF);
      expect(state.cr2).toBe(BigInt(AT.DATA + 8));
    });
  });
});
