// Real guests whose TSC deadline is the timer of seed 003: none can tell, except by what does not exit.

import { describe, expect, it } from 'vitest';
import { OWNERSHIP_DESIGNS, type KvmParams } from '../../src/hypervisor/params.ts';
import type { BootOptions } from '../../src/vmm/bootOptions.ts';
import { Machine } from '../../src/vmm/machine.ts';
import { tell } from '../../src/lab/guestRun.ts';
import { corpus, bootGuest, MEMORY, POWER_OFF } from './guest.ts';

const DESIGNS = Object.entries(OWNERSHIP_DESIGNS);
/** Cycles of a turn where vCPUs share a CPU: prime, so that turns end everywhere. */
const SLICE = 24_989;

async function ran(name: string, options: Partial<BootOptions>): Promise<Machine> {
  const machine = Machine.boot({ image: await corpus(name), memory: MEMORY, ...options });
  expect(machine.run({ maxCycles: 2_000_000_000 }).kind).toBe('power-off');
  return machine;
}
const timerOf = (machine: Machine) => machine.vm.vcpus[0]!.directTimer!;

/** A guest with a handler for the timer's vector, which stands ready; `body` follows, `handler` is the handler's. */
const withTimer = (body: string, handler: string): string => `
        .include "asm/start.s"
        .include "asm/msr.s"
        .include "asm/console.s"
        .include "asm/idt.s"
        .include "asm/x2apic.s"
        .include "asm/timer.s"
        .text
        .globl  _start
_start: call    idt_init
        set_gate 0xec, handler
        call    x2apic_enable
        movl    $0xec, %edi
        call    timer_init
        ${body}
handler:
        push_registers
        ${handler}
        x2apic_eoi
        pop_registers
        iretq
        .data
        .balign 4
count:  .long   0
`;
const armIn = (cycles: number): string => `
        read_tsc
        leaq    ${cycles}(%rax), %rdi
        call    timer_arm`;
const expectGuest = `
        jne     bad
        ${POWER_OFF}
bad:    movl    $1, %edi
        jmp     debug_exit`;

async function endsWell(source: string, params: Partial<KvmParams>, options: Partial<BootOptions> = {}) {
  const machine = await bootGuest(source, { ...options, params: { haltPollNs: 0, ...params } });
  const { kind } = machine.run({ maxCycles: 100_000_000 });
  expect(kind).toBe('power-off');
  return machine;
}

describe.each(DESIGNS)('under %s', (_, params) => {
  it('a tick comes as often as it should, and neither deadlines nor ends of interrupts exit', async () => {
    const machine = await ran('tick', { params });
    expect(machine.console.text).toContain('10 ticks of 100000 cycles');
    expect(machine.counters.msrWrites.get('MSR_TSC_DEADLINE')).toBeUndefined();
    expect(machine.counters.msrWrites.get('X2APIC_EOI')).toBeUndefined();
    expect([timerOf(machine).deadlineWrites, timerOf(machine).directEois]).toEqual([10, 10]);
  });

  it('deadlines of running and of halted vCPUs are late, never early, with and without polling', async () => {
    for (const haltPollNs of [0, 200_000]) {
      const machine = await ran('timerlatency', { params: { ...params, haltPollNs } });
      expect(machine.console.text).toMatch(/running: 1000 deadlines, \d{3,4} cycles late/);
      expect(machine.console.text).toMatch(/halted: 1000 deadlines, \d{3,4} cycles late/);
    }
  });

  it('two vCPUs that sleep and wake each other lose no deadline', async () => {
    const machine = await ran('lazy', { vcpus: 2, params });
    expect(machine.console.text.match(/0 early, 0 lost/g)).toHaveLength(2);
  });

  it('three vCPUs that share one CPU get each their own deadlines', async () => {
    const machine = await ran('ownership', { vcpus: 3, slice: SLICE, params, hostCpus: 1 });
    expect(machine.console.text).toContain('1500 deadlines, 1500 interrupts, 0 early');
  });

  it.each([0, 1])('a vCPU that is moved all the time gets its deadlines wherever it is (halts = %i)', async (halts) => {
    const image = await corpus('ownership');
    const machine = Machine.boot({ image, memory: MEMORY, hostCpus: 2, pin: [[0, 1]], params });
    tell(machine, 'halts', halts);
    const [vcpu] = machine.vm.vcpus;
    for (let turn = 0; machine.result === null; turn++) {
      machine.host.scheduler.setAffinity(vcpu!.thread!, [machine.host.cpus[turn % 2]!]);
      while (machine.step(turn * SLICE) === null);
    }
    expect(machine.console.text).toContain('500 deadlines, 500 interrupts, 0 early');
    expect(vcpu!.stat.migrations).toBeGreaterThan(50);
  });

  it('a run is the same again, watched and in slices', async () => {
    const boot = async (): Promise<Machine> =>
      Machine.boot({ image: await corpus('tick'), memory: MEMORY, params, noHot: false });
    const once = await boot();
    once.run();
    const sliced = await boot();
    sliced.probes.subscribe(() => undefined);
    for (let at = 7919; sliced.result === null; at += 7919) while (sliced.step(at) === null);
    expect(sliced.digest()).toBe(once.digest());
  });

  it('the guest reads back its deadline, and 0 once it has passed or was taken back', async () => {
    await endsWell(
      withTimer(
        `${armIn(1_000_000)}
        movq    %rdi, %r12
        read_msr MSR_TSC_DEADLINE
        cmpq    %r12, %rax
        jne     bad
        xorl    %edi, %edi
        call    timer_arm
        read_msr MSR_TSC_DEADLINE
        testq   %rax, %rax
        jne     bad
        ${armIn(1)}
        read_msr MSR_TSC_DEADLINE
        testq   %rax, %rax ${expectGuest}`,
        '',
      ),
      params,
    );
  });

  it('a deadline fires once, though the guest leaves it as it is', async () => {
    await endsWell(
      withTimer(
        `${armIn(1000)}
        sti
        movl    $20000, %ecx
1:      decl    %ecx
        jnz     1b
        cmpl    $1, count(%rip) ${expectGuest}`,
        'incl count(%rip)',
      ),
      params,
    );
  });

  it('a deadline that passes while interrupts are off waits; taken back by then, it does not come', async () => {
    const source = (takeBack: string, count: number): string =>
      withTimer(
        `${armIn(1000)}
        movl    $5000, %ecx
1:      decl    %ecx
        jnz     1b
        ${takeBack}
        xorl    %eax, %eax
        cpuid
        sti
        movl    $5000, %ecx
2:      decl    %ecx
        jnz     2b
        cmpl    $${count}, count(%rip) ${expectGuest}`,
        'incl count(%rip)',
      );
    await endsWell(source('', 1), params);
    await endsWell(source('xorl %edi, %edi\ncall timer_arm', 0), params);
  });

  it('a deadline that passes while the entry is masked is over and done with; the next one comes', async () => {
    await endsWell(
      withTimer(
        `movl   $X2APIC_LVT_TIMER, %ecx
        movl    $(LVT_MASKED | LVT_TIMER_TSC_DEADLINE | 0xec), %eax
        xorl    %edx, %edx
        wrmsr
        ${armIn(1000)}
        sti
        movl    $5000, %ecx
1:      decl    %ecx
        jnz     1b
        movl    $0xec, %edi
        call    timer_init
        movl    $5000, %ecx
2:      decl    %ecx
        jnz     2b
        cmpl    $0, count(%rip)
        jne     bad
        ${armIn(1000)}
        hlt
        cmpl    $1, count(%rip) ${expectGuest}`,
        'incl count(%rip)',
      ),
      params,
    );
  });

  it('a deadline of the past interrupts at once, a second EOI is the host’s to judge', async () => {
    const machine = await endsWell(
      withTimer(
        `sti
        ${armIn(-5)}
        nop
        cmpl    $1, count(%rip) ${expectGuest}`,
        'incl count(%rip)\nx2apic_eoi',
      ),
      params,
    );
    expect(timerOf(machine).directEois).toBe(1);
    expect(machine.counters.msrWrites.get('X2APIC_EOI')).toBe(1);
  });

  it('writing the TSC moves the deadline in host time', async () => {
    await endsWell(
      withTimer(
        `${armIn(2_000_000_000)}
        movq    %rdi, %rax
        addq    $-2000, %rax
        write_msr MSR_TSC
        sti
        hlt
        cmpl    $1, count(%rip) ${expectGuest}`,
        'incl count(%rip)',
      ),
      params,
    );
  });

  it('other modes of the timer are the LAPIC’s as ever', async () => {
    await endsWell(
      withTimer(
        `movl   $X2APIC_LVT_TIMER, %ecx
        movl    $(LVT_TIMER_ONESHOT | 0xec), %eax
        xorl    %edx, %edx
        wrmsr
        movl    $X2APIC_TMICT, %ecx
        movl    $1000, %eax
        wrmsr
        ${armIn(1)}
        sti
        hlt
        cmpl    $1, count(%rip) ${expectGuest}`,
        'incl count(%rip)',
      ),
      params,
    );
  });

  it('with another interrupt in service EOI exits, and the host deactivates', async () => {
    const machine = await endsWell(
      withTimer(
        `set_gate 0x30, other
        ${armIn(2000)}
        sti
        movl    $X2APIC_SELF_IPI, %ecx
        movl    $0x30, %eax
        xorl    %edx, %edx
        wrmsr
        ${armIn(2000)}
        hlt
        cmpl    $2, count(%rip) ${expectGuest}
other:  push_registers
        movl    $3000, %ecx
1:      decl    %ecx
        jnz     1b
        sti
        nop
        cli
        x2apic_eoi
        pop_registers
        iretq`,
        'incl count(%rip)',
      ),
      params,
    );
    expect(machine.counters.msrWrites.get('X2APIC_EOI')).toBeGreaterThanOrEqual(1);
    expect(machine.host.cpus[0]!.gic.active).toBe(false);
  });
});

describe('without such a timer', () => {
  it('nothing touches its hardware', async () => {
    const machine = await ran('tick', {});
    for (const name of ['sysregRead', 'sysregWrite', 'isb', 'distributorWrite', 'hypCall', 'gicCpuInterface'] as const)
      expect(machine.counters.charged.get(name)).toBeUndefined();
  });
});
