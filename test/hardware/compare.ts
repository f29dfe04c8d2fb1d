// What two runs of a case disagree on, as text for a person. What the row leaves undefined does not count, nor what exceptions.ts overlooks.
import type { Form } from '../../src/x86/forms.ts';
import { GPR, SELECTOR } from '../../src/x86/names/registers.ts';
import { SEGMENTS, type Row } from '../../src/x86/row.ts';
import { exceptionsFor, type Tolerance } from './exceptions.ts';
import type { GuestResult } from './guest.ts';
import { startRip } from './localSegments.ts';
import { NATIVE, type NativeCase, type NativeResult } from './nativeCase.ts';

const NAMES = Object.keys(GPR);
const FLAG_BITS: Readonly<Record<string, bigint>> = { c: 1n, p: 4n, a: 0x10n, z: 0x40n, s: 0x80n, o: 0x800n };
/** CF PF AF ZF SF DF OF and AC, ID, NT: RF and IF are the processor's own affair. */
export const COMPARED_FLAGS = 0x24_4cd5n;
const LOW_HALF = 0xffff_ffffn;

const bitsOf = (flags: string): bigint => [...flags].reduce((bits, flag) => bits | FLAG_BITS[flag]!, 0n);
const hex = (value: bigint | number): string => `0x${value.toString(16)}`;
const bytesText = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** A case with what it leaves undefined: as its row says, or as a sequence has found for itself. */
export interface Compared extends NativeCase {
  readonly row?: Row;
  readonly form?: Form;
  readonly undefinedFlags?: { readonly atEnd: string; readonly anywhere: string };
}

/** What the exceptions tolerate that apply on processors of a vendor. */
function toleranceOf(test: Compared, native: NativeResult, guest: GuestResult, vendor: string | null): Tolerance[] {
  const { row, form } = test;
  if (!row || !form || vendor === null) return [];
  return exceptionsFor({ row, form, test, native, guest }, vendor).map(({ tolerates }) => tolerates);
}

/** The differences between a processor and trapline; none: an empty list. Without a vendor no exception is made. */
export function differences(test: Compared, native: NativeResult, guest: GuestResult, vendor: string | null): string[] {
  const found: string[] = [];
  const differ = (what: string, theirs: string | number | null, ours: string | number | null) => {
    if (theirs !== ours) found.push(`${what} is ${theirs}, not ${ours}`);
  };
  if (guest.left !== null) return [`trapline left with ${guest.left}`];
  const tolerated = toleranceOf(test, native, guest, vendor);
  if (tolerated.some(({ everything }) => everything)) return [];
  differ('exception', native.vector, guest.vector);
  if (native.vector !== guest.vector) return found;
  const errorMask = ~tolerated.reduce((bits, { errorCode }) => bits | (errorCode ?? 0), 0);
  differ('error code', hex((native.errorCode & errorMask) >>> 0), hex((guest.errorCode & errorMask) >>> 0));
  if (!tolerated.some(({ cr2 }) => cr2)) differ('CR2', hex(native.cr2), hex(guest.cr2));
  differ('RIP', hex(native.rip), hex(guest.rip));
  const halves = tolerated.flatMap(({ upperHalves }) => upperHalves ?? []);
  native.gpr.forEach((value, i) => {
    const mask = halves.includes(i) ? LOW_HALF : -1n;
    differ(NAMES[i]!, hex(value & mask), hex(guest.gpr[i]! & mask));
  });
  const nullRpl = tolerated.some(({ nullSelectors }) => nullSelectors) ? SELECTOR.RPL : 0;
  const seen = (selector: number) => hex(selector <= nullRpl ? 0 : selector);
  native.selectors.forEach((selector, i) =>
    differ(SEGMENTS[i]!.toUpperCase(), seen(selector), seen(guest.selectors[i]!)),
  );
  if (!tolerated.some(({ bases }) => bases)) {
    differ('FS base', hex(native.fsBase), hex(guest.fsBase));
    differ('GS base', hex(native.gsBase), hex(guest.gsBase));
  }
  // An instruction that faults leaves the flags alone; behind one that retired code may end.
  const faulted = native.vector !== null && (test.row === undefined || native.rip === startRip(test));
  const open = faulted ? test.undefinedFlags?.anywhere : (test.undefinedFlags?.atEnd ?? test.row?.undefined);
  const mask = tolerated.some(({ flags }) => flags) ? 0n : COMPARED_FLAGS & ~bitsOf(open ?? '');
  differ('RFLAGS', hex(native.rflags & mask), hex(guest.rflags & mask));
  if (tolerated.some(({ memory }) => memory)) return found;
  differInMemory(native.window, guest.window, differ);
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
