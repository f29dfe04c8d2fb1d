// Exits that are served while generated code waits: whoever serves them sees the same exits at the same units, each device
// register is touched once, and the guest ends in the same state as when every exit ends `run`.

import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { Controls } from '../../src/cpu/controls.ts';
import { EXIT, type ExitReason } from '../../src/cpu/exit.ts';
import { exitName } from '../../src/cpu/vmexit.ts';
import { GPR } from '../../src/x86/names/registers.ts';
import { bareCpu, DATA, MEMORY, resetState, type Bare } from './bare.ts';
import { fingerprint, program } from './program.ts';

const DEVICE = 0x30_0000;
const ABSENT = 0x40_0000;
const PAGE = 4096;

/** Every way in which an instruction exits, or exits several times, between instructions that keep the sum of what they got. */
const SOURCE = `
    mov $${DEVICE}, %rbx
    mov $${ABSENT}, %r12
    mov $20, %r15d
    sti
again:
    mov %r15d, %eax
    cpuid
    add %rax, %r14
    mov (%rbx), %eax                # a load
    add %rax, %r14
    mov %r14, 8(%rbx)               # a store of eight bytes
    addl $3, 16(%rbx)               # a load and a store
    mov ${PAGE - 3}(%rbx), %rdx     # in two parts
    add %rdx, %r14
    mov %r14d, ${PAGE - 2}(%rbx)
    lea 32(%rbx), %rsi
    mov $${DATA}, %edi
    mov $5, %ecx
    rep movsb                       # from the device, byte by byte
    push 24(%rbx)
    pop %rdx
    add %rdx, %r14
    inb $0x60, %al
    add %rax, %r14
    inl $0x62, %eax
    outw %ax, $0x64
    mov $${DATA}, %esi
    mov $0x66, %edx
    mov $3, %ecx
    rep outsb
    lea 40(%rbx), %rdi
    insb                            # from a port to the device
    movl $7, (%r12)                 # memory that is not there yet
    mov ${PAGE}(%r12), %eax
    addl $1, 48(%rbx)               # a load and a store behind it
    add $${2 * PAGE}, %r12
    wbinvd
    mov %cr8, %rax
    dec %r15d
    jnz again
    hlt
`;

interface Plan {
  /** Whether exits are served in place. */
  readonly inPlace: boolean;
  /** Units granted, over and over. */
  readonly grants: readonly number[];
  /** Which exits are answered with false after they were served, over and over. */
  readonly refused: readonly boolean[];
}

/** Runs the program to its HLT: what was seen of it. */
function follow(bare: Bare, code: Uint8Array, { inPlace, grants, refused }: Plan) {
  const { cpu, processor, load } = bare;
  const { state } = cpu;
  resetState(cpu);
  cpu.controls = new Controls();
  processor.views.u8.fill(0, bare.ram + DATA, bare.ram + MEMORY);
  processor.secondStage.markMmio(DEVICE >> 12, 2);
  processor.secondStage.unmap(ABSENT >> 12, 64);
  cpu.flushTlb();
  load(Number(state.rip), code);
  const touched: string[] = [];
  let units = 0;
  let ended = false;
  let grant = 0;
  let asked = 0;
  let outside = 0;
  const enter = (): void => cpu.grant(grants[grant++ % grants.length]!, Infinity);

  const serve = (reason: ExitReason): void => {
    const exit = cpu.exit();
    // An interrupt that waits: it could be taken at the next instruction.
    cpu.controls.interruptWindow = exit.reason !== 'INTERRUPT_WINDOW' && touched.length % 3 === 0;
    touched.push(
      `${units} ${exitName(reason)} ${JSON.stringify(exit, (_, v: unknown) => (typeof v === 'bigint' ? `${v}` : v))}`,
    );
    if (exit.reason === 'HLT') ended = true;
    else if (exit.reason === 'INTERRUPT_WINDOW') return;
    else if (exit.reason === 'EPT_MISCONFIG') cpu.complete(exit.gpa * 0x0101_0101n + BigInt(touched.length));
    else if (exit.reason === 'IO_INSTRUCTION') cpu.complete(exit.port + touched.length);
    else if (exit.reason === 'EPT_VIOLATION') {
      const page = Number(exit.gpa >> 12n);
      processor.secondStage.map(page, 1, bare.ram + page * PAGE, { writable: true });
    } else {
      state.setGpr(GPR.RAX, BigInt(touched.length));
      cpu.skip();
    }
  };
  cpu.serveExit = !inPlace
    ? null
    : (reason) => {
        units += cpu.used;
        if (!cpu.guestMode.calls.inBlock) outside++;
        serve(reason);
        if (ended || refused[asked++ % refused.length]!) return false;
        enter();
        return true;
      };
  while (!ended) {
    enter();
    const reason = cpu.run();
    units += cpu.used;
    if (reason !== EXIT.BUDGET && reason !== EXIT.SERVED) {
      outside++;
      serve(reason);
    }
    if (units > 1e6) throw new Error('the program never ends');
  }
  cpu.serveExit = null;
  return { seen: { touched, units, state: fingerprint(bare, DATA, MEMORY), tsc: state.tsc }, outside };
}

describe.each(['wasm', 'bigint'] as const)('exits in place, on %s', (engine) => {
  const bare = bareCpu({ engine });
  let code: Uint8Array;
  beforeAll(async () => {
    code = await program(SOURCE);
  });
  const never = [false];
  const begin = (): void => void (bare.cpu.state.tsc = 0n);
  const plain = (grants: readonly number[]): ReturnType<typeof follow>['seen'] => {
    begin();
    return follow(bare, code, { inPlace: false, grants, refused: never }).seen;
  };
  const served = (grants: readonly number[], refused: readonly boolean[]): ReturnType<typeof follow>['seen'] => {
    begin();
    return follow(bare, code, { inPlace: true, grants, refused }).seen;
  };

  it('are those that end run, at the same units', () => {
    const one = plain([1000]);
    expect(one.touched.length).toBeGreaterThan(500);
    expect(served([1000], never)).toEqual(one);
  });

  it('are served within a block, many of them; for instructions of several accesses, and repeated ones, generated code is left', () => {
    begin();
    const { seen, outside } = follow(bare, code, { inPlace: true, grants: [1000], refused: never });
    expect(outside).toBeGreaterThan(0);
    expect(seen.touched.length - outside).toBeGreaterThan(150);
  });

  it('leave generated code where the units granted anew do not reach to the end of the block', () => {
    const one = plain([1000]);
    for (const grant of [1, 2, 3, 5]) expect(served([grant], never)).toEqual(one);
  });

  it('end run where whoever serves them says so', () => {
    expect(served([1000], [true])).toEqual(plain([1000]));
  });

  it('are the same, however many units are granted and whichever are refused', () => {
    const one = plain([1000]);
    const grants = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 20 });
    const refused = fc.array(fc.boolean(), { minLength: 1, maxLength: 20 });
    const runs = engine === 'wasm' ? 20 : 5;
    fc.assert(
      fc.property(grants, refused, (some, which) => {
        expect(served(some, which)).toEqual(one);
      }),
      { numRuns: runs },
    );
  });
});
