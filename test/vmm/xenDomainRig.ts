// A domain whose hypercalls are made as KVM brings them to userspace, without a guest that makes them.

import { expect } from 'vitest';
import { XEN_HYPERCALL as CALL } from '../../src/hypervisor/xen/names.ts';
import { GuestConsole } from '../../src/vmm/console.ts';
import { MainLoop } from '../../src/vmm/mainLoop.ts';
import { DOMID, EVTCHNOP, XENMEM } from '../../src/vmm/xen/abi.ts';
import { CONSOLE_GPA } from '../../src/vmm/xen/consoleRing.ts';
import { XEN_CPUID, XenDomain } from '../../src/vmm/xen/domain.ts';
import type { XenRouting } from '../../src/vmm/xen/routing.ts';
import { pvRig, u8 } from '../hypervisor/pvRig.ts';
import type { VmRig } from '../hypervisor/vmRig.ts';

/** Where arguments lie, and frames for shared_info and others. */
export const ARGUMENT = 0x3000;
export const SHARED_GFN = 1;
export const NOWHERE = 0x7000_0000n;
export const SELF_ID = XEN_CPUID.domainId;

export interface Rig extends VmRig {
  readonly domain: XenDomain;
  readonly console: GuestConsole;
  readonly ended: string[];
  /** A hypercall with a structure of 32-bit words; what it answers, with its words afterwards. */
  call(nr: number, op: number, words: readonly number[], vcpu?: number): { answer: number; words: number[] };
  /** A hypercall with these arguments. */
  raw(nr: number, ...args: (number | bigint)[]): number;
}

export function domainRig(vcpus = 2, longMode = true, routing: Partial<XenRouting> = {}): Rig {
  const rig = pvRig(
    Array.from({ length: vcpus }, () => []),
    { xen: XEN_CPUID },
  );
  const { vm } = rig;
  // Nobody runs a guest: the CPUs are free for the main loop and for workers.
  for (const { thread } of vm.vcpus) rig.host.kill(thread!);
  const { arena } = vm.memslots;
  vm.memslots.set({ slot: 1, gpa: CONSOLE_GPA, size: 4096, address: arena.allocate(4096) });
  const console = new GuestConsole();
  const ended: string[] = [];
  const memoryMap = [
    { gpa: 0, size: 0x9fc00, type: 1 },
    { gpa: 0x100000, size: 0x300000, type: 1 },
  ] as const;
  const domain = new XenDomain(
    {
      vm,
      console,
      mainLoop: new MainLoop(rig.host),
      memoryMap,
      powerOff: () => ended.push('power-off'),
      reset: (by) => ended.push(`reset by ${by}`),
      crash: (by) => ended.push(`crash by ${by}`),
      stop: (what) => ended.push(what),
    },
    routing,
  );
  vm.xen!.setLongMode(longMode);
  const serve = (id: number, nr: number, args: readonly (number | bigint)[]): number => {
    const vcpu = vm.vcpus[id]!;
    const params = Array.from({ length: 6 }, (_, i) => BigInt(args[i] ?? 0));
    domain.serve(vcpu, { reason: 'XEN', type: 'HCALL', longMode, cpl: 0, input: BigInt(nr), params });
    return Number(vcpu.xen!.hypercallResult);
  };
  return {
    ...rig,
    domain,
    console,
    ended,
    raw: (nr, ...args) => serve(0, nr, args),
    call(nr, op, words, vcpu = 0) {
      vm.memory.write(ARGUMENT, new Uint8Array(Uint32Array.from(words).buffer));
      const answer = serve(vcpu, nr, [op, ARGUMENT]);
      return { answer, words: [...new Uint32Array(vm.memory.read(ARGUMENT, 4 * words.length)!.buffer)] };
    },
  };
}

/** shared_info lies where the guest wants it. */
export function mapped(rig: Rig): Rig {
  expect(rig.call(CALL.MEMORY_OP, XENMEM.ADD_TO_PHYSMAP, [DOMID.SELF, 0, 0, 0, SHARED_GFN, 0]).answer).toBe(0);
  return rig;
}
export const bindIpi = (rig: Rig, vcpu: number): number =>
  rig.call(CALL.EVENT_CHANNEL_OP, EVTCHNOP.BIND_IPI, [vcpu, 0]).words[1]!;
export const statusOf = (rig: Rig, port: number): number[] =>
  rig.call(CALL.EVENT_CHANNEL_OP, EVTCHNOP.STATUS, [DOMID.SELF, port, 0, 0, 0, 0]).words.slice(2);
export const sharedAt = (offset: number): number => SHARED_GFN * 4096 + offset;

/** Whether the port is pending once all is done that waits, which it is no longer then. */
export function takes(rig: Rig, port: number): boolean {
  rig.host.stopAt = Math.max(...rig.host.cpus.map(({ now }) => now)) + 100_000;
  while (rig.host.step() === 'progress');
  const at = sharedAt(0x800) + (port >> 3);
  const byte = u8(rig, at);
  rig.vm.memory.write(at, Uint8Array.of(byte & ~(1 << (port & 7))));
  return ((byte >> (port & 7)) & 1) !== 0;
}
