// What two runs of a case disagree on, as text for a person. Flags that the row leaves undefined do not count.
import { GPR } from '../../src/x86/names/registers.ts';
import type { FormCase } from './cases.ts';
import { NATIVE, type NativeCase, type NativeResult } from './native.ts';
import type { GuestResult } from './guest.ts';

const NAMES = Object.keys(GPR);
const FLAG_BITS: Readonly<Record<string, bigint>> = { c: 1n, p: 4n, a: 0x10n, z: 0x40n, s: 0x80n, o: 0x800n };
/** CF PF AF ZF SF DF OF and AC, ID, NT: RF and IF are the processor's own affair. */
const COMPARED = 0x24_4cd5n;

const bitsOf = (flags: string): bigint => [...flags].reduce((bits, flag) => bits | FLAG_BITS[flag]!, 0n);
const hex = (value: bigint | number): string => `0x${value.toString(16)}`;
const bytesText = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

const PAGE_FAULT = 14;
const GENERAL_PROTECTION = 13;
const PRESENT = 1;
const CANONICAL_HALF = 1n << 47n;
const LOW_HALF = 0xffff_ffffn;

/** A case with what it leaves undefined: as the row of its form says, or as a sequence has found for itself. */
export interface Compared extends NativeCase {
  readonly form?: FormCase['form'];
  readonly undefinedFlags?: { readonly atEnd: string; readonly anywhere: string };
}

/** Where the processor underneath is known to do something else than the manual says or leaves open. */
interface Leniency {
  readonly ignoreAll: boolean;
  readonly ignoreFlags: boolean;
  readonly ignoreStack: boolean;
  /** Which registers count in their lower half only. */
  readonly low: ReadonlySet<string>;
  readonly ignoredError: number;
}

function leniency({ form, gpr }: Compared, native: NativeResult, guest: GuestResult): Leniency {
  const mnemonic = form?.row.mnemonic ?? '';
  const faulted = native.vector !== null;
  const repeats = form !== undefined && form.rep !== '';
  return {
    // CALL to a target that is not canonical: the manual raises #GP before the push; Intel's processors push first, so that the
    // push may fault instead, or be seen in memory although the instruction has not retired.
    ignoreAll:
      mnemonic === 'call' && guest.vector === GENERAL_PROTECTION && faulted && native.vector !== GENERAL_PROTECTION,
    ignoreStack: mnemonic === 'call' && guest.vector === GENERAL_PROTECTION,
    // REP CMPS and SCAS restore the flags of before the first iteration when a later one faults (SDM vol. 2, REP). trapline
    // executes each iteration as an instruction of its own.
    ignoreFlags: repeats && faulted && /^(cmps|scas)$/.test(mnemonic),
    // With an address size of 32 bits Intel's processors clear the upper halves although nothing was moved: when the first iteration
    // faults and when ECX is 0 (KVM models the latter: string_registers_quirk in arch/x86/kvm/emulate.c).
    low: new Set(
      repeats && form.addressSize === 32 && (faulted || (gpr[1]! & LOW_HALF) === 0n) ? ['RCX', 'RSI', 'RDI'] : [],
    ),
    // The upper half of the address space belongs to the kernel underneath, whose pages may be present.
    ignoredError: native.vector === PAGE_FAULT && native.cr2 >= CANONICAL_HALF ? PRESENT : 0,
  };
}

/** The differences between the processor underneath and trapline; none: an empty list. */
export function differences(test: Compared, native: NativeResult, guest: GuestResult): string[] {
  const found: string[] = [];
  const differ = (what: string, theirs: string | number | null, ours: string | number | null) => {
    if (theirs !== ours) found.push(`${what} is ${theirs}, not ${ours}`);
  };
  if (guest.left !== null) return [`trapline left with ${guest.left}`];
  const { ignoreAll, ignoreFlags, ignoreStack, low, ignoredError } = leniency(test, native, guest);
  if (ignoreAll) return [];
  differ('exception', native.vector, guest.vector);
  if (native.vector !== guest.vector) return found;
  differ('error code', hex(native.errorCode & ~ignoredError), hex(guest.errorCode & ~ignoredError));
  differ('CR2', hex(native.cr2), hex(guest.cr2));
  differ('RIP', hex(native.rip), hex(guest.rip));
  native.gpr.forEach((value, i) => {
    const mask = low.has(NAMES[i]!) ? LOW_HALF : -1n;
    differ(NAMES[i]!, hex(value & mask), hex(guest.gpr[i]! & mask));
  });
  const faulted = native.vector !== null; // an instruction that faults leaves the flags alone
  const open = faulted ? test.undefinedFlags?.anywhere : (test.undefinedFlags?.atEnd ?? test.form?.row.undefined);
  const mask = ignoreFlags ? 0n : COMPARED & ~bitsOf(open ?? '');
  differ('RFLAGS', hex(native.rflags & mask), hex(guest.rflags & mask));
  if (!ignoreStack) differInMemory(native.window, guest.window, differ);
  if (!ignoreStack)
    differ('memory outside the window', native.stray ? 'changed' : 'untouched', guest.stray ? 'changed' : 'untouched');
  return found;
}

function differInMemory(
  theirs: Uint8Array,
  ours: Uint8Array,
  differ: (what: string, theirs: string, ours: string) => void,
): void {
  const first = theirs.findIndex((byte, i) => byte !== ours[i]);
  if (first < 0) return;
  const at = Math.max(0, first - 2);
  const text = (bytes: Uint8Array): string => bytesText(bytes.subarray(at, at + 12));
  differ(`memory at ${hex(NATIVE.WINDOW + at)}`, text(theirs), text(ours));
}

/** A case as a person would want to see it when it fails. */
export function describeCase(test: Compared): string {
  const registers = test.gpr.map((value, i) => `${NAMES[i]}=${hex(value)}`).join(' ');
  return `${test.form?.name ?? 'sequence'} (${bytesText(test.bytes)}) at ${hex(NATIVE.CODE + test.offset)}, RFLAGS=${hex(test.rflags)} ${registers}`;
}
