// A Xen guest whose events go through an eventfd and a worker thread is saved while events wait for the worker, and none is lost.

import { beforeAll, describe, expect, it } from 'vitest';
import { setXenVcpuAttr, setXenVmAttr } from '../../src/hypervisor/xen/attributes.ts';
import { XenIrqfd } from '../../src/hypervisor/xen/irqfd.ts';
import { EVTCHNSTAT, PRIO_2LEVEL, XEN_CONFIG } from '../../src/hypervisor/xen/names.ts';
import type { Image } from '../../src/vmm/image.ts';
import { Machine } from '../../src/vmm/machine.ts';
import { snapshotFromBytes, snapshotToBytes } from '../../src/vmm/snapshot/file.ts';
import { SnapshotError } from '../../src/vmm/snapshot/snapshotError.ts';
import { imageOf, MEMORY } from '../vmm/guest.ts';
import { endOf } from './endOf.ts';

const SHARED = 0x20_0000;
const PORT = 66;
const SENT = 15;
const GSI = 40;
const ROUNDS = 40;

/** Sends, and waits in a loop until the event has come, again and again. */
const GUEST = `
        .include "asm/start.s"
        .include "asm/console.s"
        .text
        .globl  _start
_start: movl    $${ROUNDS}, %r12d
1:      movl    $32, %eax                       # event_channel_op(send, &port)
        movl    $4, %edi
        leaq    port(%rip), %rsi
        vmcall
        testq   %rax, %rax
        jnz     wrong
2:      pause
        incl    %r13d
        lock btrq $${PORT % 64}, ${SHARED + 0x808}
        jnc     2b
        movb    $0, ${SHARED + 0x40}
        movq    $0, ${SHARED + 0x48}
        decl    %r12d
        jnz     1b
        leaq    text(%rip), %rdi
        call    console_puts
        jmp     power_off
wrong:  movl    $EXIT_FAILURE, %edi
        jmp     debug_exit
        .data
text:   .asciz  "every event came\\n"
        .balign 4
port:   .long   ${SENT}
`;

let image: Image;
beforeAll(async () => {
  image = await imageOf(GUEST);
});

/** What is the VMM's own, before and after: the eventfd, whose events a worker raises. */
function connect({ vm }: Machine): void {
  const xen = vm.xen!;
  const eventfd = new XenIrqfd(xen.routes, GSI, true);
  const change = { op: 'assign', sendPort: SENT, channel: EVTCHNSTAT.INTERDOMAIN, deliver: { kind: 'eventfd', eventfd } } as const; // prettier-ignore
  setXenVmAttr(vm, { type: 'EVTCHN', change });
}

function boot(hostCpus: number): Machine {
  const xen = { version: { major: 4, minor: 18 }, msr: 0x4000_0000, domainId: 1 };
  const machine = Machine.boot({ image, memory: MEMORY, xen, hostCpus });
  const { vm } = machine;
  vm.xen!.configure({ flags: XEN_CONFIG.INTERCEPT_HCALL | XEN_CONFIG.EVTCHN_SEND, msr: xen.msr });
  setXenVmAttr(vm, { type: 'LONG_MODE', longMode: true });
  setXenVmAttr(vm, { type: 'SHARED_INFO', gfn: SHARED / 4096 });
  setXenVcpuAttr(vm.vcpus[0]!, { type: 'VCPU_INFO', gpa: SHARED + 0x40 });
  vm.xen!.routes.route(GSI, { port: PORT, vcpu: 0, priority: PRIO_2LEVEL });
  connect(machine);
  return machine;
}
const bytesOf = (machine: Machine): Uint8Array => snapshotToBytes(machine.snapshot());
const waiting = ({ host }: Machine): number =>
  host.workqueues.flatMap(({ pools }) => pools.flatMap((pool) => pool.waiting)).length;

describe('a machine whose events a worker raises', () => {
  it.each([1, 2])('ends as the one that was saved, on %d host CPU(s)', (hostCpus) => {
    const whole = boot(hostCpus);
    whole.run({ maxCycles: 10 ** 9 });
    expect(whole.console.text).toBe('every event came\n');
    const end = whole.host.cpus[0]!.now;
    let machine = boot(hostCpus);
    let withWork = 0;
    for (let at = 1003; at < end; at += Math.floor(end / 97)) {
      if (machine.run({ maxCycles: at }).kind !== 'budget') break;
      withWork += waiting(machine);
      const restored = Machine.restore(snapshotFromBytes(bytesOf(machine)), { connect });
      expect(waiting(restored)).toBe(waiting(machine));
      machine = restored;
    }
    machine.run({ maxCycles: 10 ** 9 });
    expect(endOf(machine)).toEqual(endOf(whole));
    // On two CPUs the worker begins at once, on one it waits until the guest has used up its slice.
    if (hostCpus === 1) expect(withWork).toBeGreaterThan(0);
  });

  it('is not restored without its eventfd', () => {
    const machine = boot(1);
    machine.run({ maxCycles: 100_000 });
    const restore = (): Machine => Machine.restore(snapshotFromBytes(bytesOf(machine)));
    expect(restore).toThrow(SnapshotError);
    expect(restore).toThrow(`port ${SENT} leads to an eventfd, and has none here`);
  });
});
