// Whatever a guest asks of Xen, it gets an answer: Xen's errno and a trace that says why, or what it asked for. Never does a
// host fail, at once or when what was set up comes due.

import fc from 'fast-check';
import { expect, it } from 'vitest';
import { XEN_HYPERCALL } from '../../src/hypervisor/xen/names.ts';
import { DOMID, ERRNO } from '../../src/vmm/xen/abi.ts';
import { PIRQ_COUNT } from '../../src/vmm/xen/pirqs.ts';
import { XEN_ROUTES } from '../../src/vmm/xen/routing.ts';
import { ARGUMENT, domainRig, mapped, type Rig } from './xenDomainRig.ts';

const KNOWN_ERRORS: ReadonlySet<number> = new Set(Object.values(ERRNO).map((errno) => -errno));

/** Numbers that mean something somewhere, and some that mean nothing anywhere. */
const number = fc.oneof(
  { weight: 5, arbitrary: fc.constant(0) },
  { weight: 5, arbitrary: fc.nat({ max: 40 }) },
  { weight: 2, arbitrary: fc.constantFrom(DOMID.SELF, 1, 0xf3, 24, 255, 256, 1023, 1024, 4095, 4096, 0x1000, 0x3000) },
  { weight: 1, arbitrary: fc.constantFrom(0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 0x0200_0000, 0x0100_0000) },
  { weight: 1, arbitrary: fc.nat({ max: 0xffff_ffff }) },
);
const pointer = fc.oneof(
  { weight: 8, arbitrary: fc.constant(BigInt(ARGUMENT)) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(0n, 0x3ffcn, 0x7000_0000n, 0xffff_8000_0000_0000n, 1n << 63n, (1n << 64n) - 1n),
  },
  { weight: 1, arbitrary: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }) },
);
const call = fc.record({
  kind: fc.constant('hypercall' as const),
  nr: fc.oneof(
    { weight: 9, arbitrary: fc.constantFrom(...Object.values(XEN_HYPERCALL)) },
    { weight: 1, arbitrary: fc.nat({ max: 0xffff_ffff }) },
  ),
  op: fc.oneof({ weight: 3, arbitrary: fc.nat({ max: 14 }) }, number),
  second: fc.oneof(pointer, fc.nat({ max: 3 }).map(BigInt)),
  third: pointer,
  rest: fc.array(pointer, { maxLength: 3 }),
  first: fc.oneof(fc.constant(DOMID.SELF), number),
  structure: fc.array(number, { minLength: 31, maxLength: 31 }),
  vcpu: fc.nat({ max: 1 }),
});
/** What comes from outside. */
const message = fc.record({ kind: fc.constant('message' as const), pirq: fc.nat({ max: PIRQ_COUNT + 8 }) });
const line = fc.record({ kind: fc.constant('line' as const), gsi: fc.nat({ max: 23 }), level: fc.boolean() });
const wait = fc.record({ kind: fc.constant('wait' as const), cycles: fc.nat({ max: 5_000_000 }) });
const happening = fc.oneof({ weight: 20, arbitrary: call }, message, line, wait);

function pass(rig: Rig, cycles: number): void {
  const cpus = rig.host.cpus;
  rig.host.stopAt = Math.max(...cpus.map(({ now }) => now)) + cycles;
  for (let steps = 0; steps < 200 && rig.host.step() === 'progress'; steps++);
}

type Call = typeof call extends fc.Arbitrary<infer T> ? T : never;

function answerOf(rig: Rig, made: Call, longMode: boolean): bigint {
  const { nr, op, second, third, rest, first, structure, vcpu: id } = made;
  const vcpu = rig.vm.vcpus[id]!;
  rig.vm.memory.write(ARGUMENT, new Uint8Array(Uint32Array.from([first, ...structure]).buffer));
  const params = [BigInt(op), second, third, ...rest, 0n, 0n, 0n].slice(0, 6);
  const asGiven = longMode ? params : params.map((param) => BigInt.asUintN(32, param));
  rig.domain.serve(vcpu, { reason: 'XEN', type: 'HCALL', longMode, cpl: 0, input: BigInt(nr), params: asGiven });
  return BigInt.asIntN(64, vcpu.xen!.hypercallResult);
}

it.each([true, false])('every call has an answer, 64-bit: %s', (longMode) => {
  let errors = 0;
  let successes = 0;
  fc.assert(
    fc.property(
      fc.constantFrom(...XEN_ROUTES),
      fc.boolean(),
      fc.array(happening, { minLength: 20, maxLength: 60 }),
      (route, placed, happenings) => {
        const rig = domainRig(2, longMode, { ipi: route, timer: route, pirq: route });
        if (placed && longMode) mapped(rig);
        for (const each of happenings) {
          if (each.kind === 'message') rig.domain.pirqs.message(each.pirq);
          else if (each.kind === 'line') rig.domain.pirqs.line(each.gsi, each.level);
          else if (each.kind === 'wait') pass(rig, each.cycles);
          else {
            const before = rig.events.length;
            const answer = answerOf(rig, each, longMode);
            if (answer >= 0n) successes++;
            else {
              errors++;
              expect(KNOWN_ERRORS).toContain(Number(answer));
              const told = rig.events.slice(before).filter(({ name }) => name === 'xen_hypercall_error');
              expect(told).toHaveLength(1);
              expect(String(told[0]!.event.why)).toMatch(/ \(E[A-Z]+\)$/);
            }
          }
        }
        pass(rig, 1_000_000);
      },
    ),
    { numRuns: 150, seed: longMode ? 64 : 32 },
  );
  expect(errors).toBeGreaterThan(500);
  expect(successes).toBeGreaterThan(100);
});
