// The order of KVM's tracepoints around what a guest does, and the text of each, as on a host of Linux 6.16 without APICv.

import { beforeAll, describe, expect, it } from 'vitest';
import { bootGuest, namesOf, recordEvents } from '../../src/testing/index.ts';
import { sequencesOf, XAPIC_GUEST, type Sequences } from './sequences.ts';

const ZEROES = `info1 0x${'0'.repeat(16)} info2 0x${'0'.repeat(16)} intr_info 0x00000000 error_code 0x00000000`;
const exitLine = (reason: string, rip: string): string =>
  `kvm_exit: vcpu 0 reason ${reason} rip ${rip} ${ZEROES} requests 0x${'0'.repeat(16)}`;
const entryLine = (rip: string, intrInfo = '00000000'): string =>
  `kvm_entry: vcpu 0, rip ${rip} intr_info 0x${intrInfo} error_code 0x00000000`;

const TICK = '800000ec';

describe('on the slow path, with deadlines on an hrtimer', () => {
  let guest: Sequences;
  beforeAll(async () => void (guest = await sequencesOf({ preemptionTimer: false, fastpath: 'off' })));

  it('CPUID: exit, answer, entry', () => {
    expect(guest.at('do_cpuid')).toEqual([
      exitLine('CPUID', 'do_cpuid'),
      'kvm_cpuid: func 40000000 idx 0 rax 40000010 rbx 4b4d564b rcx 564b4d56 rdx 4d, cpuid entry found',
      entryLine('do_cpuid+0x2'),
    ]);
  });

  it('deadline write: exit, timer state, MSR, entry', () => {
    expect(guest.at('write_deadline')).toEqual([
      exitLine('MSR_WRITE', 'write_deadline'),
      'kvm_hv_timer_state: vcpu_id 0 hv_timer 0',
      'kvm_msr: msr_write 6e0 = 0x30d40',
      entryLine('write_deadline+0x2'),
    ]);
  });

  it('HLT until the deadline: exit, wake-up, acceptance, injection, entry', () => {
    expect(guest.at('do_hlt')).toEqual([
      exitLine('HLT', 'do_hlt'),
      expect.stringMatching(/^kvm_vcpu_wakeup: wait time \d+ ns, polling valid$/),
      'kvm_apic_accept_irq: apicid 0 vec 236 (Fixed|edge)',
      'kvm_inj_virq: IRQ 0xec',
      entryLine('do_hlt+0x1', TICK),
    ]);
  });

  it('expiry while the guest runs: the hrtimer ends guest mode, acceptance, injection, entry', () => {
    const expiry = guest.events.exit('EXTERNAL_INTERRUPT');
    expect(namesOf(expiry)).toEqual(['kvm_exit', 'kvm_apic_accept_irq', 'kvm_inj_virq', 'kvm_entry']);
    expect(expiry[0]).toMatch(/info2 0x0{16} intr_info 0x800000ec error_code 0x0{8} /);
    expect(expiry.at(-1)).toMatch(new RegExp(`intr_info 0x${TICK} error_code 0x00000000$`));
  });

  it('ICR write in x2APIC mode: exit, IPI, acceptance, register, MSR; to itself: injection, entry', () => {
    expect(guest.at('write_icr')).toEqual([
      exitLine('MSR_WRITE', 'write_icr'),
      'kvm_apic_ipi: dst 0 vec 236 (Fixed|physical|assert|edge|dst)',
      'kvm_apic_accept_irq: apicid 0 vec 236 (Fixed|edge)',
      'kvm_apic: apic_write APIC_ICR = 0x40ec',
      'kvm_msr: msr_write 830 = 0x40ec',
      'kvm_inj_virq: IRQ 0xec',
      entryLine('write_icr+0x2', TICK),
    ]);
  });

  it('EOI: exit, register, end of interrupt, MSR, entry', () => {
    expect(guest.at('write_eoi')).toEqual([
      exitLine('MSR_WRITE', 'write_eoi'),
      'kvm_apic: apic_write APIC_EOI = 0x0',
      'kvm_eoi: apicid 0 vector 236',
      'kvm_msr: msr_write 80b = 0x0',
      entryLine('write_eoi+0x2'),
    ]);
  });

  it('an MSR that is not there: exit, MSR with #GP, injection of #GP, entry at the same instruction', () => {
    expect(guest.at('read_nothing')).toEqual([
      exitLine('MSR_READ', 'read_nothing'),
      'kvm_msr: msr_read 12345 = 0x0 (#GP)',
      'kvm_inj_exception: #GP (0x0)',
      entryLine('read_nothing', '80000b0d'),
    ]);
  });

  it('an interrupt whose delivery exits is injected again', () => {
    const delivery = guest.events.between(/^kvm_inj_virq/, /reinjected/);
    expect(namesOf(delivery)).toEqual([
      'kvm_inj_virq',
      'kvm_entry',
      'kvm_wait_lapic_expire',
      'kvm_exit',
      'kvm_page_fault',
      'kvm_inj_virq',
    ]);
    expect(delivery[3]).toMatch(/ info2 0x00000000800000ec intr_info 0x0{8} error_code 0x0{8} requests 0x0{16}$/);
    expect([delivery.at(0), delivery.at(-1)]).toEqual([
      'kvm_inj_virq: IRQ 0xec',
      'kvm_inj_virq: IRQ 0xec [reinjected]',
    ]);
  });

  it('port I/O: exit, port, return to userspace, and the same instruction again', () => {
    const io = guest.events.between(/^kvm_exit: .* reason IO_INSTRUCTION /, /^kvm_userspace_exit/);
    expect(io.slice(1)).toEqual([
      'kvm_pio: pio_write at 0x604 size 2 count 1 val 0x2000 ',
      'kvm_userspace_exit: reason KVM_EXIT_IO (2)',
    ]);
  });
});

describe('with deadlines on the preemption timer', () => {
  let guest: Sequences;
  beforeAll(async () => void (guest = await sequencesOf({ preemptionTimer: true, fastpath: 'off' })));

  it('deadline write: the timer state is hv', () => {
    expect(guest.at('write_deadline').slice(1, 3)).toEqual([
      'kvm_hv_timer_state: vcpu_id 0 hv_timer 1',
      'kvm_msr: msr_write 6e0 = 0x30d40',
    ]);
  });

  it('HLT: the deadline moves to an hrtimer before the wait', () => {
    const halt = guest.at('do_hlt');
    expect(namesOf(halt)).toEqual([
      'kvm_exit',
      'kvm_hv_timer_state',
      'kvm_vcpu_wakeup',
      'kvm_apic_accept_irq',
      'kvm_inj_virq',
      'kvm_entry',
    ]);
    expect(halt[1]).toBe('kvm_hv_timer_state: vcpu_id 0 hv_timer 0');
  });

  it('expiry while the guest runs: the preemption timer exits, acceptance, injection, entry', () => {
    expect(namesOf(guest.events.exit('PREEMPTION_TIMER'))).toEqual([
      'kvm_exit',
      'kvm_apic_accept_irq',
      'kvm_inj_virq',
      'kvm_entry',
    ]);
  });
});

describe('a read that userspace serves', () => {
  const readsOf = async (source: string, name: 'kvm_pio' | 'kvm_mmio'): Promise<string[]> => {
    const vm = await bootGuest(
      `.text\n.globl _start\n_start: ${source}\n movl $0x604, %edx; movl $0x2000, %eax; outw %ax, %dx\n`,
      { memory: 4 * 2 ** 20 },
    );
    const events = recordEvents(vm, { names: ['kvm_exit', 'kvm_userspace_exit', 'kvm_entry', name] });
    vm.run();
    const first = events.lines.findIndex((line) => line.startsWith('kvm_userspace_exit'));
    return events.lines
      .slice(first - 1, first + 2)
      .map((line) => line.replace(/^kvm_exit: .* reason (\w+) .*/, 'kvm_exit: $1'));
  };

  it('from a port is traced when its value is known', async () => {
    expect(await readsOf('inb $0x65, %al', 'kvm_pio')).toEqual([
      'kvm_exit: IO_INSTRUCTION',
      'kvm_userspace_exit: reason KVM_EXIT_IO (2)',
      'kvm_pio: pio_read at 0x65 size 1 count 1 val 0xff ',
    ]);
  });

  it('from memory is traced when it leaves, unsatisfied, and when its value is known', async () => {
    expect(await readsOf('movq $0x400083, 0xb010; movl 0x401000, %eax', 'kvm_mmio')).toEqual([
      'kvm_mmio: mmio unsatisfied-read len 4 gpa 0x401000 val 0x0',
      'kvm_userspace_exit: reason KVM_EXIT_MMIO (6)',
      'kvm_mmio: mmio read len 4 gpa 0x401000 val 0xffffffff',
    ]);
  });
});

describe('in xAPIC mode', () => {
  it('ICR write: the register comes before the IPI', async () => {
    const vm = await bootGuest(XAPIC_GUEST);
    const events = recordEvents(vm);
    vm.run();
    expect(vm).toEndWith('power-off');
    expect(events.between(/APIC_ICR /, /^kvm_apic_accept_irq/)).toEqual([
      'kvm_apic: apic_write APIC_ICR = 0x440ec',
      'kvm_apic_ipi: dst 0 vec 236 (Fixed|physical|assert|edge|self)',
      'kvm_apic_accept_irq: apicid 0 vec 236 (Fixed|edge)',
    ]);
    expect(events.lines).toContain('kvm_mmio: mmio write len 4 gpa 0xfee00300 val 0x440ec');
  });
});

describe('a recording', () => {
  it('keeps to the events and the vCPU that were asked for, until it is stopped', async () => {
    const vm = await bootGuest('guests/ipi.s');
    const ipis = recordEvents(vm, { names: ['kvm_apic_ipi'], vcpu: 0 });
    vm.run({ until: () => ipis.lines.length > 0 });
    ipis.stop();
    const { length } = ipis.lines;
    vm.run();
    expect(namesOf(ipis.lines)).toEqual(Array.from({ length }, () => 'kvm_apic_ipi'));
    expect(vm.probes.active).toBe(false);
    expect(() => ipis.between('kvm_apic_ipi', 'kvm_eoi')).toThrow(
      /^no event matches kvm_eoi; recorded were:\nkvm_apic_ipi: /,
    );
  });
});
