// Decode speed: blocks of the largest loops decoded to records again and again, in millions of instructions a second.

import { CODE as MODE } from '../src/cpu/segments/codeMode.ts';
import { assembleText } from '../src/cli/load.ts';
import { RECORD } from '../src/cpu/code/records.ts';
import { bareCpu, CODE } from '../test/cpu/bare.ts';
import { measured, time, type Measured } from './clock.ts';
import { sourceOf } from './loops.ts';

const PASSES = 20_000;

export async function decodeSpeed(rounds: number): Promise<Measured> {
  const bare = bareCpu();
  const { blocks, views } = bare.processor;
  const starts: number[] = [];
  for (const name of ['sort', 'bytecode', 'hash'] as const) {
    const image = await assembleText(sourceOf(name), `${name}.s`);
    const at = CODE + starts.length * 4096;
    bare.load(at, image.segments[0]!.bytes);
    starts.push(bare.ram + at);
  }
  const pass = (): number => {
    let instructions = 0;
    for (let i = 0; i < PASSES; i++) {
      for (const page of starts) {
        const block = blocks.scratch(page, 0, MODE.LONG, 64, 4096);
        instructions += views.u16[(block + RECORD.remaining) >> 1]!;
      }
    }
    return instructions;
  };
  pass();
  return measured(Array.from({ length: rounds }, () => 1000 / time(pass)));
}
