// The same bytes on several machines: a payload is called over and over by bench/driver.s, and time is taken between the guest's
// writes to the debug port.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { assembleText, packageFolder } from '../src/cli/load.ts';
import type { Image } from '../src/vmm/image.ts';
import { bochs } from '../test/peers/bochs.ts';
import type { Output } from '../test/peers/peer.ts';
import { qemu } from '../test/peers/qemu.ts';
import { runOnTrapline, startOf } from '../test/peers/trapline.ts';
import { measured, type Measured } from './clock.ts';

/** Dots until everything is compiled that will be. */
const WARM_UP = 3;
const PATIENCE = 120_000;

export interface Payload {
  readonly name: string;
  /** A function that returns its result in RAX. */
  readonly source: string;
  readonly result: bigint;
}

export type MachineName = 'trapline' | 'QEMU' | 'bochs';

/** Why a machine is not measured; missing ones only. */
export function missingPeers(): Partial<Record<MachineName, string>> {
  const missing: Partial<Record<MachineName, string>> = {};
  for (const { name, available } of [qemu, bochs]) {
    const answer = available();
    if (answer !== true) missing[name as MachineName] = answer;
  }
  return missing;
}

async function image(payload: Payload, each: number, periods: number): Promise<Image> {
  const driver = readFileSync(join(packageFolder(), 'bench', 'driver.s'), 'utf8');
  const sizes = `.equ EACH, ${each}\n.equ PERIODS, ${periods}\n`;
  return assembleText(sizes + driver + payload.source, `${payload.name}.s`);
}

/** Milliseconds of one call, over the dots after the warm-up. */
function perCall({ bytes, times }: Output, { name, result }: Payload, each: number, machine: string): Measured {
  const text = Buffer.from(bytes).toString('latin1');
  const found = BigInt(`0x${text.replace(/^\.+/, '') || '0'}`);
  if (found !== result)
    throw new Error(`${name} on ${machine} ends with RAX = 0x${found.toString(16)}, not 0x${result.toString(16)}`);
  const dots = text.lastIndexOf('.') + 1;
  const periods = Array.from({ length: dots - 1 }, (_, i) => (times[i + 1]! - times[i]!) / each);
  return measured(periods.slice(WARM_UP));
}

/** Milliseconds for one call of the payload on each machine that is there. `each`: calls between two times, by machine. */
export async function onMachines(
  payload: Payload,
  rounds: number,
  each: Readonly<Record<MachineName, number>>,
): Promise<Partial<Record<MachineName, Measured>>> {
  const found: Partial<Record<MachineName, Measured>> = {};
  const periods = WARM_UP + rounds;
  const own = await image(payload, each.trapline, periods);
  found.trapline = perCall(runOnTrapline(own), payload, each.trapline, 'trapline');
  for (const peer of [qemu, bochs]) {
    if (peer.available() !== true) continue;
    const name = peer.name as MachineName;
    const start = await startOf(await image(payload, each[name], periods));
    found[name] = perCall(await peer.run(start, PATIENCE), payload, each[name], name);
  }
  return found;
}
