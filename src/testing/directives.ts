// The directives at the head of a guest's source: what machine it wants, what it will print and how it will end
// (docs/guests.md). They are read here; whether a run kept them is decided in guestCases.ts.

import { isPvFeatureWish, wishNames, type PvFeatureWish } from '../hypervisor/pv/features.ts';
import type { ProtocolName } from '../vmm/image.ts';
import { isProtocolName, PROTOCOL_NAMES } from '../vmm/loaders/protocols.ts';
import { DEVICE_NAMES, type DeviceName } from '../vmm/pc.ts';
import { routingFromText, type XenRouting } from '../vmm/xen/routing.ts';

/** How a machine ends, as `expect-exit` names it; a number is the exit status of `trapline run`. */
export type ExpectedExit = (typeof ENDS)[number] | number;

export interface Directives {
  /** How every case of the source is started, when not directly in 64-bit mode. */
  readonly boot?: ProtocolName;
  readonly vcpus?: number;
  /** Bytes. */
  readonly memory?: number;
  readonly features?: readonly PvFeatureWish[];
  /** The guest is Xen's. */
  readonly xen?: 'domain';
  readonly xenRoute?: Partial<XenRouting>;
  /** Beside those of every PC. */
  readonly devices?: readonly DeviceName[];
  readonly maxCycles?: number;
  /** Console lines in order, `*` standing for any run of characters; empty: the console is not looked at. */
  readonly expect: readonly string[];
  readonly expectExit: ExpectedExit;
}

/** A named case of a guest: what the head says, with its own directives in place of it or, for `expect`, behind it. */
export interface DirectiveCase extends Directives {
  readonly name: string;
}

export interface GuestDirectives extends Directives {
  /** Empty when the file is one test. */
  readonly cases: readonly DirectiveCase[];
}

/** A directive that cannot be read; the message names the line, what it says, and what it might say. */
export class DirectiveError extends Error {
  override readonly name = 'DirectiveError';
}

type Open = { -readonly [K in keyof Directives]: Directives[K] } & { expect: string[] };

const THOUSANDS: Readonly<Record<string, number>> = { '': 1, k: 1e3, M: 1e6, G: 1e9 };
const BINARY: Readonly<Record<string, number>> = { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 };
const ENDS = ['power-off', 'reset', 'guest-crash', 'triple-fault', 'deadlock', 'budget'] as const;
const COMMENT = /^\s*(?:#|\/\/)/;
const DIRECTIVE = /^\s*(?:#|\/\/)\s*([a-z][a-z-]*):(?:\s+(.*?))?\s*$/;

function quantity(text: string, units: Readonly<Record<string, number>>): number {
  const [, digits, unit = ''] = /^(\d+)([a-zA-Z]?)$/.exec(text) ?? [];
  const factor = units[unit];
  if (digits === undefined || factor === undefined || Number(digits) === 0) {
    throw new DirectiveError(
      `'${text}' is no quantity: write a number, with ${Object.keys(units).slice(1).join(', ')} behind it if need be`,
    );
  }
  return Number(digits) * factor;
}

function featureList(text: string): readonly PvFeatureWish[] {
  const names = text.split(/[\s,]+/).filter((name) => name !== '');
  return names.map((name) => {
    if (isPvFeatureWish(name)) return name;
    throw new DirectiveError(`there is no feature '${name}', only ${wishNames()}`);
  });
}

function xenGuest(text: string): 'domain' {
  if (text === 'domain') return text;
  throw new DirectiveError(`'${text}' is nothing that Xen has, only 'domain': an HVM domain`);
}

function xenRouting(text: string): Partial<XenRouting> {
  try {
    return routingFromText(text);
  } catch (error) {
    throw new DirectiveError((error as RangeError).message);
  }
}

function deviceList(text: string): readonly DeviceName[] {
  return text.split(/[\s,]+/).map((asked) => {
    const name = DEVICE_NAMES.find((each) => each === asked);
    if (name !== undefined) return name;
    throw new DirectiveError(`there is no device '${asked}' to add, only ${DEVICE_NAMES.join(', ')}`);
  });
}

function expectedExit(text: string): ExpectedExit {
  const end = ENDS.find((name) => name === text);
  if (end !== undefined) return end;
  if (/^\d+$/.test(text) && Number(text) <= 255) return Number(text);
  throw new DirectiveError(`'${text}' is no way to end: say ${ENDS.join(', ')}, or an exit status from 0 to 255`);
}

function bootProtocol(text: string): ProtocolName {
  if (isProtocolName(text)) return text;
  throw new DirectiveError(`there is no boot protocol '${text}', only ${PROTOCOL_NAMES.join(', ')}`);
}

/** What each directive does to what is being collected. */
const READERS: Readonly<Record<string, (into: Open, value: string) => void>> = {
  boot: (into, value) => (into.boot = bootProtocol(value)),
  vcpus: (into, value) => (into.vcpus = quantity(value, { '': 1 })),
  memory: (into, value) => (into.memory = quantity(value, BINARY)),
  features: (into, value) => (into.features = featureList(value)),
  xen: (into, value) => (into.xen = xenGuest(value)),
  'xen-route': (into, value) => (into.xenRoute = xenRouting(value)),
  device: (into, value) => (into.devices = deviceList(value)),
  'max-cycles': (into, value) => (into.maxCycles = quantity(value, THOUSANDS)),
  expect: (into, value) => into.expect.push(value),
  'expect-exit': (into, value) => (into.expectExit = expectedExit(value)),
};

/** The comment lines before the first statement, with their indices. */
function* headOf(source: string): Generator<[index: number, line: string]> {
  for (const [index, line] of source.split('\n').entries()) {
    if (line.trim() === '') continue;
    if (!COMMENT.test(line)) return;
    yield [index, line];
  }
}

/** The protocol that a source's `boot` directive names; undefined when there is none. Throws DirectiveError. */
export function bootDirective(source: string): ProtocolName | undefined {
  for (const [, line] of headOf(source)) {
    const [, key, value = ''] = DIRECTIVE.exec(line) ?? [];
    if (key === 'boot') return bootProtocol(value);
  }
  return undefined;
}

/**
 * Reads the comment lines before the first statement. Comments that are no directive are prose. `file` is for messages.
 * Throws DirectiveError.
 */
export function parseDirectives(source: string, file = 'the source'): GuestDirectives {
  const head: Open = { expect: [], expectExit: 'power-off' };
  const cases: { name: string; own: Open; given: Set<string> }[] = [];
  for (const [index, line] of headOf(source)) {
    const [, key, value = ''] = DIRECTIVE.exec(line) ?? [];
    if (key === undefined) continue;
    try {
      const open = cases.at(-1);
      if (key === 'case') {
        if (value === '') throw new DirectiveError('a case needs a name');
        cases.push({ name: value, own: { expect: [], expectExit: 'power-off' }, given: new Set() });
        continue;
      }
      if (!Object.hasOwn(READERS, key)) {
        const known = [...Object.keys(READERS), 'case'].join(', ');
        throw new DirectiveError(`there is no directive '${key}' (${known}); prose must not begin like one`);
      }
      READERS[key]!(open?.own ?? head, value);
      open?.given.add(key);
    } catch (error) {
      if (!(error instanceof DirectiveError)) throw error;
      throw new DirectiveError(`${file}:${index + 1}: ${error.message}\n    ${line.trim()}`);
    }
  }
  return {
    ...head,
    cases: cases.map(({ name, own, given }) => ({
      ...head,
      ...own,
      expect: [...head.expect, ...own.expect],
      expectExit: given.has('expect-exit') ? own.expectExit : head.expectExit,
      name,
    })),
  };
}

/** Whether a console line is as expected; `*` stands for any run of characters. */
export function matchesLine(pattern: string, line: string): boolean {
  const parts = pattern.split('*').map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${parts.join('.*')}$`).test(line);
}
