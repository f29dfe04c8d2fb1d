// Breakpoints as the processor's insides meet them: what an access matches, and that neither slices nor engines nor
// breakpoints that are not met show. What they do to a program is in test/system/{breakpoints,watchpoints}.s.

import { describe, expect, it } from 'vitest';
import { ACCESS } from '../../src/cpu/memory/access.ts';
import { Breakpoints } from '../../src/cpu/breakpoints.ts';
import { Controls } from '../../src/cpu/controls.ts';
import type { Cpu } from '../../src/cpu/cpu.ts';
import { EXIT } from '../../src/cpu/exit.ts';
import { watchSignal } from '../../src/cpu/fault.ts';
import { readRflags, writeRflags } from '../../src/cpu/rflags.ts';
import type { CpuState } from '../../src/cpu/state.ts';
import { TAGS } from '../../src/cpu/memory/views.ts';
import { DR7, GPR, RFLAGS, SHADOW } from '../../src/x86/names/registers.ts';
import { VECTOR } from '../../src/x86/names/vectors.ts';
import { Random } from '../hardware/random.ts';
import { bareCpu, CODE, DATA, resetState } from './bare.ts';
import { fingerprint, program, runToEnd } from './program.ts';
import { AT, handler } from './systemImage.ts';
import { TestSystem } from './system.ts';

const ON = { execution: 0, write: 1, port: 2, access: 3 } as const;
const LEN: Readonly<Record<number, number>> = { 1: 0, 2: 1, 8: 2, 4: 3 };

interface Breakpoint {
  readonly on: keyof typeof ON;
  readonly at: bigint;
  readonly bytes?: number;
  readonly disabled?: boolean;
}

/** Sets DR0 to DR3 and DR7. Whoever caches them is to be told. */
function setBreakpoints(state: CpuState, breakpoints: readonly Breakpoint[]): void {
  let dr7 = DR7.FIXED;
  breakpoints.forEach(({ on, at, bytes = 1, disabled = false }, i) => {
    state.views.u64[state.at('dr', i) >> 3] = BigInt.asUintN(64, at);
    dr7 |= BigInt(ON[on] | (LEN[bytes]! << 2)) << BigInt(DR7.FIELDS_SHIFT + 4 * i);
    if (!disabled) dr7 |= 1n << BigInt(2 * i);
  });
  state.views.u64[state.at('dr', 7) >> 3] = dr7;
}

function setAndRefresh(cpu: Cpu, breakpoints: readonly Breakpoint[]): void {
  setBreakpoints(cpu.state, breakpoints);
  cpu.mmu.breakpointsChanged();
}

const words = (address: bigint): [number, number] => [
  Number(BigInt.asIntN(32, address)),
  Number(BigInt.asIntN(32, address >> 32n)),
];

describe('what an access matches', () => {
  const { cpu } = bareCpu();
  const breakpoints = new Breakpoints(cpu.state);
  const hitsOf = (at: bigint, bytes: number, write: boolean): number => {
    breakpoints.hits = 0;
    breakpoints.noteAccess(...words(at), bytes | (write ? ACCESS.WRITE : 0));
    return breakpoints.hits;
  };

  it('every byte in common counts, wherever the boundary of halves and of the address space lies', () => {
    const random = new Random(11);
    for (const base of [0x2_0000n, 0xffff_fff8n, 0xffff_ffff_ffff_fff8n, 0xffff_8000_0000_0000n]) {
      for (let i = 0; i < 500; i++) {
        const watchedBytes = [1, 2, 4, 8][random.below(4)]!;
        const watched = BigInt.asUintN(64, base + BigInt(random.below(16)));
        const at = BigInt.asUintN(64, base + BigInt(random.below(16)));
        const bytes = [1, 2, 4, 8][random.below(4)]!;
        setBreakpoints(cpu.state, [{ on: 'access', at: watched, bytes: watchedBytes }]);
        breakpoints.refresh();
        const first = watched - (watched % BigInt(watchedBytes));
        const bytesOf = (from: bigint, count: number): bigint[] =>
          Array.from({ length: count }, (_, n) => BigInt.asUintN(64, from + BigInt(n)));
        const meant = bytesOf(at, bytes).some((byte) => bytesOf(first, watchedBytes).includes(byte));
        expect(hitsOf(at, bytes, random.below(2) === 1), `${bytes} at ${at}, ${watchedBytes} at ${watched}`).toBe(
          meant ? 1 : 0,
        );
      }
    }
  });

  it('a disabled breakpoint that matches is told of beside an enabled one, and alone is not', () => {
    setBreakpoints(cpu.state, [
      { on: 'write', at: 0x1000n, disabled: true },
      { on: 'access', at: 0x1000n },
      { on: 'write', at: 0x1008n, disabled: true },
    ]);
    expect(breakpoints.refresh()).toBe(true);
    expect(hitsOf(0x1000n, 1, true)).toBe(0b011);
    expect(hitsOf(0x1000n, 1, false)).toBe(0b010);
    expect(hitsOf(0x1008n, 1, true)).toBe(0);
  });

  it('hides from views what accesses would need to pass unseen, of that page alone', () => {
    setBreakpoints(cpu.state, [
      { on: 'write', at: 0x1000n },
      { on: 'access', at: 0x2000n },
      { on: 'execution', at: 0x3000n },
      { on: 'access', at: 0x4000n, disabled: true },
    ]);
    breakpoints.refresh();
    const writes = TAGS.WRITE | TAGS.CODE;
    const hidden = [0x1ff0n, 0x2ff0n, 0x3000n, 0x4000n].map((at) => breakpoints.hiddenTags(...words(at)));
    expect(hidden).toEqual([writes, writes | TAGS.READ, 0, 0]);
    expect([0x2fffn, 0x3ffen].map((at) => breakpoints.inPage(...words(at)))).toEqual([false, true]);
  });

  it('leaves an instruction of a block undone, unless it is run by itself', () => {
    setBreakpoints(cpu.state, [{ on: 'write', at: 0x1000n }]);
    breakpoints.refresh();
    const check = (): void => breakpoints.checkAccess(0xffd, 0, 4 | ACCESS.WRITE);
    expect(check).toThrow(watchSignal as unknown as Error);
    breakpoints.alone = true;
    expect(check).not.toThrow();
    breakpoints.alone = false;
  });
});

describe('breakpoints that are not met', () => {
  const source = `
        mov $${DATA}, %edi; mov $200, %ecx; mov $0x41, %eax
        rep stosb
        mov $50, %ecx
again:  mov %rcx, ${DATA + 0x100}(,%rcx,8)
        add ${DATA + 0x100}(,%rcx,8), %rdx
        push %rdx; call leaf; pop %rbx
        dec %ecx; jnz again
        mov $${DATA}, %esi; mov $${DATA + 0x1000}, %edi; mov $300, %ecx
        rep movsq
        hlt
leaf:   incl ${DATA + 0x80}
        ret`;
  it.each(['wasm', 'bigint'] as const)('change nothing on %s', async (engine) => {
    const bare = bareCpu({ engine });
    const code = await program(source);
    const run = (breakpoints: readonly Breakpoint[], slice: number): string => {
      resetState(bare.cpu);
      bare.processor.views.u8.fill(0, bare.ram + DATA, bare.ram + DATA + 0x4000);
      bare.load(CODE, code);
      setAndRefresh(bare.cpu, breakpoints);
      const { units } = runToEnd(bare.cpu, slice);
      setAndRefresh(bare.cpu, []);
      return `${units} units, ${fingerprint(bare, DATA, DATA + 0x4000)}`;
    };
    const without = run([], 1e6);
    const unmet: readonly Breakpoint[] = [
      { on: 'execution', at: BigInt(CODE + 1) },
      { on: 'access', at: BigInt(DATA + 0xff8), bytes: 8 },
      { on: 'write', at: BigInt(DATA + 0x1ff8), bytes: 8 },
      { on: 'port', at: BigInt(DATA) },
    ];
    for (const slice of [1e6, 97, 1]) expect(run(unmet, slice), `in slices of ${slice}`).toBe(without);
  });
});

describe.each(['wasm', 'bigint'] as const)('on %s', (engine) => {
  const system = new TestSystem(engine);
  const { cpu, state } = system;
  const load = async (source: string, at = AT.CODE): Promise<void> => system.writeBytes(at, await program(source, at));

  /** Counts in R15 and lets an instruction breakpoint be passed. */
  const COUNT = 'inc %r15d; orl $0x10000, 16(%rsp); iretq';

  it('breakpoints that are met come at the same instructions, however the run is sliced', async () => {
    const source = `
        mov $${AT.DATA}, %edi; mov $20, %ecx
        rep stosl
        mov $4, %ecx
again:  incl ${AT.DATA + 16}
        push %rcx; pop %rdx
        nop
        dec %ecx; jnz again
        mov $${AT.DATA}, %esi; mov $${AT.DATA + 256}, %edi; mov $30, %ecx
        rep movsb
        hlt`;
    const code = await program(source, AT.CODE);
    const count = await program(COUNT, handler(VECTOR.DB));
    const nop = BigInt(AT.CODE + code.indexOf(0x90));
    const start = (): void => {
      system.reset();
      cpu.controls = new Controls();
      system.writeBytes(AT.CODE, code);
      system.writeBytes(handler(VECTOR.DB), count);
      setAndRefresh(cpu, [
        { on: 'execution', at: nop },
        { on: 'write', at: BigInt(AT.DATA + 16), bytes: 4 },
        { on: 'access', at: BigInt(AT.DATA + 24), bytes: 4 },
        { on: 'write', at: BigInt(AT.DATA + 256 + 9) },
      ]);
    };
    const end = (): unknown => [
      Array.from({ length: 16 }, (_, i) => system.gpr(i)),
      state.rip,
      readRflags(state),
      state.views.u64[state.at('dr', 6) >> 3],
      Buffer.from(system.memory().subarray(AT.DATA, AT.DATA + 0x200)).toString('hex'),
    ];
    start();
    const { units } = runToEnd(cpu, 1e6);
    // Twice in STOS, four times INC, four times NOP; in MOVS four reads and a write.
    expect(system.gpr(15)).toBe(2n + 4n + 4n + 4n + 1n);
    const whole = end();
    for (let n = 1; n < units; n++) {
      start();
      expect(cpu.enter(n, Infinity)).toBe(EXIT.BUDGET);
      expect(cpu.used).toBe(n);
      expect(runToEnd(cpu, 1e6).units).toBe(units - n);
      expect(end(), `after ${n} units`).toEqual(whole);
    }
  });

  it('a breakpoint comes before the exit of its instruction; RF lasts until that is stepped over', async () => {
    system.reset();
    cpu.controls = new Controls();
    await load('cpuid; nop; hlt');
    setAndRefresh(cpu, [{ on: 'execution', at: BigInt(AT.CODE) }]);
    expect(cpu.enter(1000, Infinity)).toBe(EXIT.HLT);
    expect(state.rip).toBe(BigInt(handler(VECTOR.DB)));

    cpu.setRip(BigInt(AT.CODE));
    writeRflags(state, RFLAGS.FIXED | RFLAGS.RF);
    for (let i = 0; i < 2; i++) {
      expect(cpu.enter(1000, Infinity)).toBe(EXIT.CPUID);
      expect(readRflags(state) & RFLAGS.RF).toBe(RFLAGS.RF);
    }
    cpu.skip();
    expect(readRflags(state) & RFLAGS.RF).toBe(0);
  });

  it('between iterations of a REP, wherever a slice ends there, RF is set; behind the last it is not', async () => {
    system.reset();
    cpu.controls = new Controls();
    await load(`mov $${AT.DATA}, %edi; mov $4, %ecx; rep stosl; hlt`);
    const flags = [3, 1, 1, 1].map((units) => {
      expect(cpu.enter(units, Infinity)).toBe(EXIT.BUDGET);
      return readRflags(state) & RFLAGS.RF;
    });
    expect(flags).toEqual([RFLAGS.RF, RFLAGS.RF, RFLAGS.RF, 0]);
  });

  it('STI and MOV SS block interrupts under TF too', async () => {
    for (const [source, shadow] of [
      ['sti; nop; hlt', SHADOW.STI],
      ['mov %eax, %ss; nop; hlt', SHADOW.MOV_SS],
    ] as const) {
      system.reset();
      cpu.controls = new Controls();
      state.setGpr(GPR.RAX, 0x10n);
      writeRflags(state, RFLAGS.FIXED | RFLAGS.TF);
      await load(source);
      cpu.enter(1, Infinity);
      expect(state.shadow).toBe(shadow);
    }
  });
});
