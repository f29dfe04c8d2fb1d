// Every guest of guests/ keeps what its directives promise, and every run of it is the same run: again, watched, in slices,
// with or without the hot forms and exits in place, it ends in one state. Adding a guest takes a file in guests/ and nothing here.

import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import {
  bootCase,
  brokenPromises,
  casesOfFile,
  imageOfFile,
  runCase,
  type GuestCase,
} from '../src/testing/guestCases.ts';
import type { GuestOptions } from '../src/testing/bootGuest.ts';
import { Probes } from '../src/trace/probes.ts';
import { imageEnd, type Image } from '../src/vmm/image.ts';
import { exitStatus } from '../src/vmm/result.ts';
import type { Machine } from '../src/vmm/machine.ts';
import { DR7, GPR } from '../src/x86/names/registers.ts';

const FOLDER = fileURLToPath(new URL('../guests', import.meta.url));
const FILES = readdirSync(FOLDER)
  .filter((file) => file.endsWith('.s'))
  .sort();

/** Memory for runs that are compared: the digest reads all of it. */
const SMALL = 4 * 2 ** 20;
/** Units of a slice: prime, so that slices end everywhere. */
const SLICE = 7919;

/** Cycles of a turn where vCPUs share a CPU, and how much longer their guest may then take. */
const SHARED_SLICE = 50_000;
const TURNS = 10;

/** Everything that a run leaves behind, short enough to compare. */
const trace = (machine: Machine): string =>
  `${machine.digest()} ${machine.counters.exits} exits, ${machine.console.text.length} bytes`;

/** Runs a case in slices of odd lengths, as a caller with a clock of its own would. */
function runInSlices(machine: Machine, { directives }: GuestCase, slice: number): void {
  const most = directives.maxCycles ?? Infinity;
  for (let at = slice; ; at += slice) {
    let result = machine.step(Math.min(at, most));
    while (result === null) result = machine.step(Math.min(at, most));
    if (result.kind !== 'budget' || at >= most) return;
  }
}

function ran(image: Image, guest: GuestCase, options: GuestOptions = {}): string {
  const machine = bootCase(image, guest, options);
  runCase(machine, guest);
  return trace(machine);
}

/** The console, where a guest that promises no exact line has no numbers. */
function withoutTimes({ console }: Machine, { directives }: GuestCase): string {
  const exact = directives.expect.every((line) => !line.includes('*'));
  return exact ? console.text : console.text.replace(/\d+/g, 'N');
}

/** A page with an instruction breakpoint runs one instruction at a time: only guests with fewer exits are given one. */
const SHORT = 1000;
/** DR7: L0 to L2; DR0 on execution, DR1 on accesses to eight bytes, DR2 on writes of eight. */
const INSTRUCTION_BREAKPOINT = 0x1n;
const DATA_BREAKPOINTS = 0x09b0_0414n;

function setDebugRegisters(machine: Machine, dr7: bigint, addresses: (stack: bigint) => readonly bigint[]): void {
  for (const { guest } of machine.vm.vcpus) {
    const { state } = guest;
    addresses(state.gpr(GPR.RSP)).forEach((address, i) => (state.views.u64[state.at('dr', i) >> 3] = address));
    state.views.u64[state.at('dr', 7) >> 3] = dr7;
    guest.registersReplaced();
  }
}

/**
 * Runs a case with breakpoints in pages that it uses, on bytes that it never meets: within its first instruction, behind its
 * image, and far down on its stacks.
 */
function ranBesideBreakpoints(image: Image, guest: GuestCase, options: GuestOptions, dr7: bigint): string {
  const machine = bootCase(image, guest, options);
  const behind = BigInt((imageEnd(image) | 0xfff) - 7);
  setDebugRegisters(machine, dr7, (stack) => [image.entry + 1n, behind, stack - 4096n]);
  runCase(machine, guest);
  setDebugRegisters(machine, DR7.FIXED, () => [0n, 0n, 0n]);
  return trace(machine);
}

function watched(): Probes {
  const probes = new Probes();
  probes.subscribe(() => undefined);
  return probes;
}

it('there are guests', () => {
  expect(FILES.length).toBeGreaterThan(5);
});

describe.each(FILES)('%s', (file) => {
  const image = imageOfFile(join(FOLDER, file));

  for (const guest of casesOfFile(join(FOLDER, file))) {
    it(`${guest.name} keeps its promises`, async () => {
      const machine = bootCase(await image, guest);
      const result = runCase(machine, guest);
      expect(brokenPromises(machine, result, guest)).toEqual([]);
    });

    it(`${guest.name} ends in one state: again, watched without hot forms and exits in place, in slices`, async () => {
      const small: GuestOptions = { memory: guest.directives.memory ?? SMALL };
      const once = ran(await image, guest, small);
      expect(ran(await image, guest, small), 'again').toBe(once);
      const plain: GuestOptions = { ...small, probes: watched(), noHot: true, noInPlace: true };
      expect(ran(await image, guest, plain), 'watched, without hot forms, every exit out of generated code').toBe(once);
      const machine = bootCase(await image, guest, small);
      runInSlices(machine, guest, SLICE);
      expect(trace(machine), `in slices of ${SLICE}`).toBe(once);
    });

    it(`${guest.name} ends in the state in which it would without breakpoints that it never meets`, async () => {
      const small: GuestOptions = { memory: guest.directives.memory ?? SMALL };
      const machine = bootCase(await image, guest, small);
      runCase(machine, guest);
      setDebugRegisters(machine, DR7.FIXED, () => [0n, 0n, 0n]);
      const dr7 = DATA_BREAKPOINTS | (machine.counters.exits < SHORT ? INSTRUCTION_BREAKPOINT : 0n);
      expect(ranBesideBreakpoints(await image, guest, small, dr7)).toBe(trace(machine));
    });

    it(`${guest.name} keeps its promises on an AMD processor's virtualisation`, async () => {
      const machine = bootCase(await image, guest, { params: { module: 'kvm_amd' } });
      expect(brokenPromises(machine, runCase(machine, guest), guest)).toEqual([]);
      expect(machine.counters.byReason.has('PREEMPTION_TIMER')).toBe(false);
    });

    it(`${guest.name} does the same on a virtualised APIC, however it is cut`, async () => {
      const apicv: GuestOptions = { params: { apicv: true } };
      const [off, on] = [bootCase(await image, guest), bootCase(await image, guest, apicv)];
      const [without, result] = [runCase(off, guest), runCase(on, guest)];
      expect([result.kind, exitStatus(result)]).toEqual([without.kind, exitStatus(without)]);
      expect(brokenPromises(on, result, guest)).toEqual([]);
      expect(withoutTimes(on, guest)).toBe(withoutTimes(off, guest));

      const small: GuestOptions = { ...apicv, memory: guest.directives.memory ?? SMALL };
      const once = ran(await image, guest, { ...small, probes: watched() });
      const machine = bootCase(await image, guest, small);
      runInSlices(machine, guest, SLICE);
      expect(trace(machine), `in slices of ${SLICE}`).toBe(once);
    });

    if ((guest.directives.vcpus ?? 1) === 1) continue;
    it(`${guest.name} keeps its promises when its vCPUs share one physical CPU`, async () => {
      const shared: GuestOptions = { hostCpus: 1, slice: SHARED_SLICE };
      const machine = bootCase(await image, guest, shared);
      const most = guest.directives.maxCycles;
      const result = machine.run(most === undefined ? {} : { maxCycles: TURNS * most });
      expect(brokenPromises(machine, result, guest)).toEqual([]);
      const again = bootCase(await image, guest, { ...shared, memory: guest.directives.memory ?? SMALL });
      const sliced = bootCase(await image, guest, { ...shared, memory: guest.directives.memory ?? SMALL });
      again.run({ maxCycles: TURNS * (most ?? Infinity) });
      runInSlices(
        sliced,
        { ...guest, directives: { ...guest.directives, maxCycles: TURNS * (most ?? Infinity) } },
        SLICE,
      );
      expect(trace(sliced), 'in steps').toBe(trace(again));
    });
  }
});
