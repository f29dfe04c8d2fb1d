// A Xen guest with a clock-event device is moved by its attributes, wherever it stands between arming and handling a tick: none
// is lost and none comes twice, in the order that KVM documents (api.rst): the timer first, then the LAPIC, memory last. With
// memory first a tick is lost. The same by a snapshot, where there is no order to get wrong.

import { beforeAll, describe, expect, it } from 'vitest';
import { getXenVcpuAttr, setXenVcpuAttr, setXenVmAttr } from '../../src/hypervisor/xen/attributes.ts';
import { PRIO_2LEVEL, XEN_CONFIG } from '../../src/hypervisor/xen/names.ts';
import type { XenTimerState } from '../../src/hypervisor/xen/timer.ts';
import type { Image } from '../../src/vmm/image.ts';
import { Machine } from '../../src/vmm/machine.ts';
import { snapshotFromBytes, snapshotToBytes } from '../../src/vmm/snapshot/file.ts';
import { corpus, imageOf, MEMORY } from '../vmm/guest.ts';
import { restore, save } from './migrate.ts';

const XEN = { version: { major: 4, minor: 18 }, msr: 0x4000_0000, domainId: 1 };
const SHARED = 0x20_0000;
const INFO = SHARED + 0x40;
const VECTOR = 0xf3;
const PORT = 13;
const PERIOD_NS = 100_000;
const TICKS = 6;
const LINE = `${TICKS} ticks, 0 of them early\n`;

/** Each tick arms the next, one period after the time that was due. */
const guest = (eoi: boolean): string => `
        .include "asm/start.s"
        .include "asm/msr.s"
        .include "asm/console.s"
        .include "asm/idt.s"
        .include "asm/x2apic.s"
        .include "asm/pv.s"
        .text
        .globl  _start
_start: call    idt_init
        set_gate ${VECTOR}, upcall
        call    x2apic_enable
        call    now
        call    arm
1:      sti
        hlt
        cli
        cmpl    $${TICKS}, ticks(%rip)
        jb      1b
        leaq    format(%rip), %rdi
        movl    ticks(%rip), %esi
        movl    early(%rip), %edx
        call    printk
        jmp     power_off
upcall: push_registers
        movb    $0, ${INFO}
        xorl    %eax, %eax
        xchgq   %rax, ${INFO + 8}
        lock btrq $${PORT}, ${SHARED + 0x800}
        jnc     2f
        call    now
        cmpq    timer(%rip), %rax
        jae     1f
        incl    early(%rip)
1:      incl    ticks(%rip)
        movq    timer(%rip), %rax
        cmpl    $${TICKS}, ticks(%rip)
        je      2f
        call    arm
2:      ${eoi ? 'xorl %eax, %eax; xorl %edx, %edx; movl $0x80b, %ecx; wrmsr' : ''}
        pop_registers
        iretq
arm:    addq    $${PERIOD_NS}, %rax
        movq    %rax, timer(%rip)
        movl    $24, %eax                       # vcpu_op(set_singleshot_timer, 0, &timer)
        movl    $8, %edi
        xorl    %esi, %esi
        leaq    timer(%rip), %rdx
        vmcall
        ret
now:    movl    $${INFO + 0x20}, %edi
        jmp     pvclock_read
        .data
format: .asciz  "%u ticks, %u of them early\\n"
        .balign 8
timer:  .quad   0, 0
ticks:  .long   0
early:  .long   0
`;

const images = new Map<boolean, Image>();
beforeAll(async () => {
  for (const ownVector of [false, true]) images.set(ownVector, await imageOf(guest(ownVector)));
});

/** A machine as its VMM prepares it; `ownVector`: the upcall comes by the LAPIC. */
function boot(ownVector: boolean): Machine {
  const machine = Machine.boot({ image: images.get(ownVector)!, memory: MEMORY, xen: XEN });
  const { vm } = machine;
  vm.xen!.configure({ flags: XEN_CONFIG.INTERCEPT_HCALL | XEN_CONFIG.EVTCHN_SEND, msr: XEN.msr });
  setXenVmAttr(vm, { type: 'LONG_MODE', longMode: true });
  setXenVmAttr(vm, { type: 'SHARED_INFO', gfn: SHARED / 4096 });
  const vcpu = vm.vcpus[0]!;
  if (ownVector) setXenVcpuAttr(vcpu, { type: 'UPCALL_VECTOR', vector: VECTOR });
  else setXenVmAttr(vm, { type: 'UPCALL_VECTOR', vector: VECTOR });
  setXenVcpuAttr(vcpu, { type: 'VCPU_INFO', gpa: INFO });
  setXenVcpuAttr(vcpu, { type: 'TIMER', port: PORT, priority: PRIO_2LEVEL, expiresNs: 0n });
  return machine;
}

const timerOf = ({ vm }: Machine): XenTimerState => getXenVcpuAttr(vm.vcpus[0]!, 'TIMER');

/** The host goes on while its vCPUs are paused, for two periods: a timer that is armed expires. */
function wait({ host }: Machine): void {
  host.stopAt = host.cpus[0]!.now + (2 * PERIOD_NS * host.tscKhz) / 1e6;
  while (host.step() === 'progress');
}

type Order = 'timer, memory' | 'memory, timer';

/** Moves a machine that was stopped at a position, and says what its guest has printed in the end. */
function moved(stop: number, ownVector: boolean, order: Order): string {
  const source = boot(ownVector);
  expect(source.run({ maxCycles: stop }).kind).toBe('budget');
  source.pause();
  let timer = timerOf(source);
  if (order === 'timer, memory') wait(source);
  const state = save(source);
  if (order === 'memory, timer') {
    wait(source);
    timer = timerOf(source);
  }
  // Last: time that passed while the guest was paused has passed for it, or a tick that came meanwhile would be early.
  const { clock } = source.vm.clock.getClock();
  const target = boot(ownVector);
  target.pause();
  restore(target, state);
  target.vm.clock.setClock(clock);
  setXenVcpuAttr(target.vm.vcpus[0]!, { type: 'TIMER', ...timer });
  target.resume();
  target.run({ maxCycles: 20_000_000 });
  return source.console.text + target.console.text;
}

/** Positions over the whole run, at odd distances. */
function stops(ownVector: boolean): number[] {
  const machine = boot(ownVector);
  expect(machine.run().kind).toBe('power-off');
  expect(machine.console.text).toBe(LINE);
  const end = machine.host.cpus[0]!.now;
  return Array.from({ length: 40 }, (_, i) => Math.floor(((i + 0.5) * end) / 40));
}

describe.each([
  ['the global callback vector', false],
  ['a vector of the vCPU', true],
])('a guest with %s, moved in mid-tick', (_what, ownVector) => {
  it('neither loses nor doubles a tick when its timer is read first', () => {
    for (const stop of stops(ownVector)) expect(moved(stop, ownVector, 'timer, memory'), `at ${stop}`).toBe(LINE);
  });

  it('loses one when memory is copied first, and the timer expires in between', () => {
    const ends = stops(ownVector).map((stop) => moved(stop, ownVector, 'memory, timer'));
    expect(ends.filter((line) => line !== LINE).length).toBeGreaterThan(20);
  });
});

describe('a domain with a clock-event device, saved and restored in mid-tick', () => {
  it('neither loses nor doubles a tick', async () => {
    const image = await corpus('xentick');
    const whole = Machine.boot({ image, memory: MEMORY, xen: 'domain' });
    whole.run();
    expect(whole.console.text).toContain('10 ticks of 100000 ns, 0 early\n');
    const end = whole.host.cpus[0]!.now;
    for (let i = 0; i < 60; i++) {
      const machine = Machine.boot({ image, memory: MEMORY, xen: 'domain' });
      const at = Math.floor(((i + 0.5) * end) / 60);
      expect(machine.run({ maxCycles: at }).kind).toBe('budget');
      const restored = Machine.restore(snapshotFromBytes(snapshotToBytes(machine.snapshot())));
      restored.run();
      expect(restored.console.text, `at ${at}`).toBe(whole.console.text);
    }
  });
});
