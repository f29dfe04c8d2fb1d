// Who is asked: the processor underneath, or in its place, for code that its kernel gives no segments for, bochs.
import { bochs } from '../peers/bochs.ts';
import type { Bits } from './bits.ts';
import { hostFromAnswers, hostLeaves, identifyHost, type Host } from './host.ts';

import { askPeer } from './monitor.ts';
import { nativeAvailable, runNative } from './native.ts';
import { NATIVE, type NativeCase, type NativeResult } from './nativeCase.ts';
import { plainScene } from './scene.ts';

export interface Oracle {
  readonly host: Host;
  ask(cases: readonly NativeCase[]): Promise<readonly NativeResult[]>;
}

const NOP = 0x90;
const CPUID = [0x0f, 0xa2];
const XGETBV = [0x0f, 0x01, 0xd0];
const [RAX, RCX, RDX, RBX, RSP] = [0, 1, 2, 3, 4];
const NOT_CANONICAL = 1n << 63n;

const plainCase = (bytes: readonly number[], registers: Readonly<Record<number, bigint>> = {}): NativeCase => ({
  bytes: Uint8Array.from(bytes),
  offset: 0,
  step: false,
  gpr: Array.from({ length: 16 }, (_, i) => registers[i] ?? 0n),
  rflags: 2n,
  window: new Uint8Array(NATIVE.WINDOW_SIZE),
});
const legacyCase = (...of: Parameters<typeof plainCase>): NativeCase => ({
  ...plainCase(...of),
  selectors: plainScene(32),
});

const retires = (test: NativeCase): boolean => runNative([test])[0]!.vector === null;

/**
 * True, or why the processor underneath cannot be asked. A hypervisor that runs its guests' kernels in ring 3 (PVM) enters and leaves user mode by
 * itself: it answers for the processor, and begins no case with an RSP that is not canonical.
 */
export function processorAvailable(): true | string {
  const available = nativeAvailable();
  if (available !== true) return available;
  return retires(plainCase([NOP], { [RSP]: NOT_CANONICAL }))
    ? true
    : 'is answered by a hypervisor here, which user mode is entered through';
}

/** The same for 16- and 32-bit code. Some kernels take LDT entries that then do nothing. */
export function segmentsAvailable(): true | string {
  const available = processorAvailable();
  if (available !== true) return available;
  try {
    return retires(legacyCase([NOP])) ? true : 'finds no segments of 16- and 32-bit code here';
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** True, or why nobody can be asked about code of so many bits. */
export function oracleAvailable(bits: Bits): true | string {
  if (bits === 64) return processorAvailable();
  const segments = segmentsAvailable();
  const peer = bochs.available();
  return segments === true || peer === true ? true : `${segments}, and ${peer}`;
}

/** Only where `oracleAvailable`. */
export async function oracleFor(bits: Bits): Promise<Oracle> {
  if (bits === 64 || segmentsAvailable() === true)
    return { host: identifyHost(), ask: (cases) => Promise.resolve(runNative(cases)) };
  return { host: await identifyBochs(), ask: (cases) => askPeer(bochs, cases) };
}

/** What bochs is, as its guests see it. */
export async function identifyBochs(): Promise<Host> {
  const leaves = hostLeaves();
  const questions = leaves.map(({ leaf, subleaf }) =>
    legacyCase(CPUID, { [RAX]: BigInt(leaf), [RCX]: BigInt(subleaf) }),
  );
  const answers = await askPeer(bochs, [...questions, legacyCase(XGETBV)]);
  const xcr0 = answers.at(-1)!.gpr[RAX]!;
  const results = answers.slice(0, -1).map(({ gpr }) => {
    const [eax, ebx, ecx, edx] = [RAX, RBX, RCX, RDX].map((register) => Number(gpr[register]!));
    return { eax: eax!, ebx: ebx!, ecx: ecx!, edx: edx! };
  });
  return { ...hostFromAnswers(results, xcr0, true), standIn: `bochs ${bochs.version() ?? ''}`.trim() };
}
