// What a guest asked for in vain, in lines for a person: one for each device that is not here, however many of its ports were
// tried; neighbouring places that nobody knows together; everything else by itself.

import type { Diagnostic } from '../hypervisor/diagnostics.ts';
import { nameOfMsr } from '../hypervisor/msrs.ts';
import { nameOfAddress, nameOfPort } from '../vmm/devices/absent.ts';
import type { Machine } from '../vmm/machine.ts';

/** A guest that walks through a hole with gaps would fill the screen. */
const MOST_LINES = 40;

const hex = (value: number): string => `0x${value.toString(16)}`;
const byte = (value: number): string => `${value.toString(16).padStart(2, '0')}h`;
const times = (count: number): string => (count === 1 ? 'once' : `${count} times`);

type Place = 'port' | 'address';
const PLACE: Partial<Record<Diagnostic['what'], Place>> = {
  'port-in': 'port',
  'port-out': 'port',
  'mmio-read': 'address',
  'mmio-write': 'address',
};
const isWrite = ({ what }: Diagnostic): boolean => what === 'port-out' || what === 'mmio-write';
const nameOf = ({ what, index }: Diagnostic): string | null => {
  const place = PLACE[what];
  return place === undefined ? null : place === 'port' ? nameOfPort(index) : nameOfAddress(index);
};

/** Requests that one line tells of, in order of first appearance. */
interface Group {
  readonly name: string | null;
  readonly members: Diagnostic[];
}

function groups(all: readonly Diagnostic[]): Group[] {
  const found: Group[] = [];
  for (const diagnostic of all) {
    const name = nameOf(diagnostic);
    const group = found.find((g) =>
      name === null ? continues(g, diagnostic) : g.name === name && samePlace(g, diagnostic),
    );
    if (group === undefined) found.push({ name, members: [diagnostic] });
    else group.members.push(diagnostic);
  }
  return found;
}

const samePlace = ({ members }: Group, { what }: Diagnostic): boolean => PLACE[members[0]!.what] === PLACE[what];

/** Largest access: what is this far behind the last one is its neighbour. */
const REACH = 8;

function continues({ name, members }: Group, { what, index, answer }: Diagnostic): boolean {
  const last = members.at(-1)!;
  if (name !== null || PLACE[what] === undefined || last.what !== what || last.answer !== answer) return false;
  return index > last.index && index - last.index <= REACH;
}

/** Places named one by one, beyond which their bounds must do. */
const MOST_NAMED = 4;

/** `port 0x61 was`, `ports 0x21, 0xa1 were`, `ports 0x1f0-0x1f7 were`. */
function range(members: readonly Diagnostic[], place: Place): string {
  const indices = [...new Set(members.map(({ index }) => index))].sort((a, b) => a - b);
  const [first, last] = [indices[0]!, indices.at(-1)!];
  const one = place === 'port' ? 'port' : 'guest physical';
  if (indices.length === 1) return `${one} ${hex(first)} was`;
  const neighbours = indices.every((index, i) => i === 0 || index - indices[i - 1]! <= REACH);
  const which = neighbours || indices.length > MOST_NAMED ? `${hex(first)}-${hex(last)}` : indices.map(hex).join(', ');
  return `${place === 'port' ? 'ports' : one} ${which} were`;
}

const sum = (members: readonly Diagnostic[]): number => members.reduce((total, { count }) => total + count, 0);

/** `read 3 times`, `read once and written 3 times`. */
function uses(members: readonly Diagnostic[]): string {
  const writes = members.filter(isWrite);
  const reads = members.filter((d) => !isWrite(d));
  return [reads.length > 0 ? `read ${times(sum(reads))}` : '', writes.length > 0 ? `written ${times(sum(writes))}` : '']
    .filter((part) => part !== '')
    .join(' and ');
}

/** Neither a port nor an address. */
const OTHERS: Record<
  Exclude<Diagnostic['what'], 'port-in' | 'port-out' | 'mmio-read' | 'mmio-write'>,
  (index: number) => string
> = {
  'msr-read': (i) => `unknown MSR ${nameOfMsr(i)} was read`,
  'msr-write': (i) => `unknown MSR ${nameOfMsr(i)} was written`,
  hypercall: (i) => `unknown hypercall ${i} was called`,
  'a20-off': (i) => `A20 was turned off by port ${hex(i)}, and addresses do not wrap at 1 MiB`,
  'bios-call': (i) => `INT ${byte(i >> 8)} with AH = ${byte(i & 0xff)} was called, which trapline's BIOS does not have`,
};

function lineOf({ image }: Machine, { name, members }: Group): string {
  const [first] = members as [Diagnostic, ...Diagnostic[]];
  const by = `first by vCPU ${first.vcpu} at ${image.symbols.format(first.rip)}`;
  const place = PLACE[first.what];
  const answer = first.answer === 'ignored' ? 'ignored' : `answered with ${first.answer}`;
  if (place !== undefined && name !== null)
    return `there is no ${name} here: ${range(members, place)} ${uses(members)} (${by}), as on a machine without one`;
  if (place !== undefined) {
    const nobody = place === 'port' ? 'where no device is' : 'where neither memory nor a device is';
    return `${range(members, place)} ${isWrite(first) ? 'written' : 'read'}, ${nobody} (${times(sum(members))}, ${by}): ${answer}`;
  }
  return `${OTHERS[first.what as keyof typeof OTHERS](first.index)} (${times(sum(members))}, ${by}): ${answer}`;
}

/** A line for everything that the guest asked for in vain. */
export function describeVainRequests(machine: Machine): string[] {
  const all = groups(machine.diagnostics);
  const lines = all.slice(0, MOST_LINES).map((group) => `trapline: ${lineOf(machine, group)}`);
  const more = all.slice(MOST_LINES).reduce((count, { members }) => count + members.length, 0);
  return more === 0 ? lines : [...lines, `trapline: ... and ${more} more places that are not there`];
}
