// Lockstep finds what is wrong: planted semantics, planted memory, a planted record; and finds nothing where nothing is.

import { CODE } from '../../src/cpu/segments/codeMode.ts';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { assembleText } from '../../src/cli/load.ts';
import { RECORD } from '../../src/cpu/code/records.ts';
import { pageAddress } from '../../src/cpu/memory/secondStage.ts';
import type { Image } from '../../src/vmm/image.ts';
import type { Row } from '../../src/x86/row.ts';
import { dst, src, type Semantics } from '../../src/x86/semantics.ts';
import { FORMS } from '../../src/x86/tables.ts';
import { nativeAvailable } from '../hardware/native.ts';
import { lockstep, type Difference, type Outcome } from './lockstep.ts';
import { machineKind, type MachineDriver, type MachineKind } from './machineDriver.ts';
import { nativeKind } from './nativeDriver.ts';
import { qemuAvailable } from '../peers/qemu.ts';
import { qemuKind } from './qemuDriver.ts';
import { differenceText } from './report.ts';

const UNITS = 80_000;
const guest = (rounds: number): string => `
        .include "asm/start.s"
        .include "asm/console.s"
        .text
        .globl  _start
_start: movl    $${rounds}, %ecx
        leaq    cell(%rip), %rdi
again:  addq    %rcx, %rax
        movq    %rax, (%rdi)
        decl    %ecx
        jnz     again
wrong:  bswapq  %rax
        movq    %rax, %rbx
        jmp     power_off
        .bss
cell:   .skip   8
`;

/** Long enough by default that the difference lies in the middle of a stretch. */
const boot = (rounds = 20_000): Promise<Image> => assembleText(guest(rounds), 'lockstep.s');
const kinds = (image: Image): [MachineKind, MachineKind] => [
  machineKind(image, { engine: 'wasm' }),
  machineKind(image, { engine: 'bigint' }),
];

function differenceOf(outcome: Outcome): Difference {
  if (outcome.kind !== 'difference') throw new Error('the machines agree');
  return outcome.difference;
}

/** Replaces the semantics that the evaluator looks up; generated code has been compiled before. */
function plant(form: string, wrong: Semantics): void {
  const { row } = FORMS.find(({ name }) => name === form)!;
  vi.spyOn(row as Required<Row>, 'semantics').mockImplementation(wrong);
}

afterEach(() => vi.restoreAllMocks());

describe('lockstep', () => {
  it('finds no difference between generated code and the evaluator, to the end of the guest', async () => {
    const outcome = await lockstep(kinds(await boot()), 10 * UNITS);
    expect(outcome).toMatchObject({ kind: 'agreement', agreement: { ended: 'power-off' } });
  });

  it('stops at the instruction whose semantics are wrong, and shows both sides', async () => {
    const image = await boot();
    plant('bswap.64.r', (op) => op.write(dst, op.read(dst)));
    const difference = differenceOf(await lockstep(kinds(image), 2 * UNITS));
    const text = differenceText(difference, ['one', 'other']);
    expect(difference).toMatchObject({ units: 80_002, span: 1, names: ['rax'] });
    expect(text).toContain('<wrong>');
    expect(text).toContain('handler=bswap.64.r slots=RAX');
    expect(text.match(/^rax .*/m)![0]).toBe(
      'rax            0xbebe910              0x10e9eb0b00000000     0xbebe910              *',
    );
  });

  it('stops at a store of a wrong value, before anything reads it', async () => {
    const image = await boot();
    plant('mov.64.m.r', (op) => op.write(dst, op.read(src).xor(op.k(op.isMemory(dst) ? 1 : 0))));
    const difference = differenceOf(await lockstep(kinds(image), UNITS));
    expect(difference).toMatchObject({ units: 3, span: 1, names: [] });
    expect(difference.memory!.bytes.map((bytes) => bytes.slice(0, 4))).toEqual(['204e', '214e']);
  });

  it('names the stretch when only a cached record is wrong', async () => {
    const image = await boot();
    const [own, other] = kinds(image);
    const start = async (): Promise<MachineDriver> => {
      const driver = await own.start();
      const { advance } = driver;
      const tamper = (units: number): Promise<void> => {
        driver.advance = advance;
        const ran = driver.advance(units);
        const { blocks, secondStage, views } = driver.machine.processor;
        const wrong = Number(image.symbols.find('wrong')!.address);
        const at = blocks.find(pageAddress(secondStage.lookup(wrong >> 12)), wrong & 0xfff, CODE.LONG);
        views.u16[(at + RECORD.slots) >> 1]! += 8; // RAX becomes RCX
        return ran;
      };
      driver.advance = tamper;
      return driver;
    };
    const tampered: MachineKind = { ...own, start };
    const difference = differenceOf(await lockstep([tampered, other], 2 * UNITS));
    expect(difference.names).toContain('rbx');
    expect(difference.span).toBeGreaterThan(1);
    expect(difference.units).toBeLessThanOrEqual(80_002);
    expect(difference.units + difference.span).toBeGreaterThan(80_002);
  });
});

describe.each([
  ['qemu', qemuAvailable(), (own: MachineKind) => qemuKind(own)],
  ['native', nativeAvailable(), (own: MachineKind) => nativeKind(own)],
] as const)('lockstep against %s', (name, available, kindOf) => {
  const own = async (): Promise<MachineKind> =>
    machineKind(await boot(100), { engine: 'bigint', tracksUndefined: true });

  it.skipIf(available !== true)('finds no difference where nothing is wrong', async () => {
    const kind = await own();
    const outcome = await lockstep([kind, kindOf(kind)], 1000);
    expect(outcome).toMatchObject({ kind: 'agreement', agreement: { ended: 'power-off' } });
  });

  it.skipIf(available !== true)('stops at the instruction whose semantics are wrong', async () => {
    const kind = await own();
    plant('bswap.64.r', (op) => op.write(dst, op.read(dst)));
    const difference = differenceOf(await lockstep([kind, kindOf(kind)], 1000));
    expect(difference).toMatchObject({ units: 402, span: 1, names: ['rax'] });
    expect(differenceText(difference, [kind.name, name])).toContain('<wrong>');
  });
});
