// Event channels of Xen guests: how long the fast path takes from an event to the vCPU that is asked to look, and how many events
// a second a guest sends itself by hypercalls, tracing off.

import { assembleText } from '../src/cli/load.ts';
import { setXenVcpuAttr, setXenVmAttr } from '../src/hypervisor/xen/attributes.ts';
import { EVTCHN, setEvtchnFast } from '../src/hypervisor/xen/evtchn.ts';
import { EVTCHNSTAT, PRIO_2LEVEL, XEN_CONFIG } from '../src/hypervisor/xen/names.ts';
import type { Image } from '../src/vmm/image.ts';
import { Machine } from '../src/vmm/machine.ts';
import { measured, time, type Measured } from './clock.ts';

const XEN = { version: { major: 4, minor: 18 }, msr: 0x4000_0000, domainId: 1 };
const SHARED = 0x20_0000;
const INFO = SHARED + 0x40;
const PORT = 66;
const SEND_PORT = 15;
const WORDS = 64;

/** A 64-bit Xen guest with one vCPU at its entry, and a port that leads back to it. */
function xenMachine(image: Image): Machine {
  const machine = Machine.boot({ image, memory: 4 << 20, xen: XEN });
  const { vm } = machine;
  const deliver = { kind: 'port', port: PORT, vcpu: 0, priority: PRIO_2LEVEL } as const;
  vm.xen!.configure({ flags: XEN_CONFIG.INTERCEPT_HCALL | XEN_CONFIG.EVTCHN_SEND, msr: XEN.msr });
  setXenVmAttr(vm, { type: 'LONG_MODE', longMode: true });
  setXenVmAttr(vm, { type: 'SHARED_INFO', gfn: SHARED / 4096 });
  setXenVmAttr(vm, { type: 'UPCALL_VECTOR', vector: 0xf3 });
  setXenVmAttr(vm, {
    type: 'EVTCHN',
    change: { op: 'assign', sendPort: SEND_PORT, channel: EVTCHNSTAT.INTERDOMAIN, deliver },
  });
  setXenVcpuAttr(vm.vcpus[0]!, { type: 'VCPU_INFO', gpa: INFO });
  return machine;
}

const DELIVERIES = 64 * 3000;

/** Nanoseconds for one event: pending, selected, upcall and kick, and a share of 1/64 of what a guest's clearing is. */
export async function eventDelivery(rounds: number): Promise<Measured> {
  const { vm } = xenMachine(await assembleText(GUEST, 'sends.s'));
  const events = Array.from({ length: WORDS }, (_, word) => ({
    port: WORDS * word + 1,
    vcpu: 0,
    priority: PRIO_2LEVEL,
  }));
  const nothing = new Uint8Array(WORDS * 8);
  const once = (): number =>
    time(() => {
      for (let done = 0; done < DELIVERIES; done += WORDS) {
        for (const event of events) if (setEvtchnFast(vm, event) !== EVTCHN.DELIVERED) throw new Error('not delivered');
        vm.memory.write(SHARED + 0x800, nothing);
        vm.memory.write(INFO, nothing.subarray(0, 16));
      }
      return DELIVERIES;
    });
  once();
  return measured(Array.from({ length: rounds }, once));
}

const SENDS = 100_000;

/** Sends an event and takes it, without an interrupt. */
const GUEST = `
_start:
    mov $${SENDS}, %ebx
again:
    mov $32, %eax
    mov $4, %edi
    lea port(%rip), %rsi
    vmcall
    movb $0, ${INFO}
    movq $0, ${INFO + 8}
    lock btrq $${PORT % 64}, ${SHARED + 0x800 + 8 * Math.floor(PORT / 64)}
    jnc failed
    dec %ebx
    jnz again
    mov $0x2000, %eax
    mov $0x604, %edx
    out %ax, %dx
failed:
    hlt
port:
    .long ${SEND_PORT}
`;

/** Nanoseconds for one EVTCHNOP_send of a guest to itself, its exit and the clearing included. */
export async function eventSends(rounds: number): Promise<Measured> {
  const image = await assembleText(GUEST, 'sends.s');
  const once = (): number => {
    const machine = xenMachine(image);
    return time(() => {
      const result = machine.run();
      if (result.kind !== 'power-off') throw new Error(`sends: the guest ended with ${result.kind}`);
      return SENDS;
    });
  };
  once();
  return measured(Array.from({ length: rounds }, once));
}
