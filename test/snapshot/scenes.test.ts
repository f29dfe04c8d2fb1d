// Points that guests of guests/ do not come by: an access of several parts half way, a string of port accesses, devices of
// one's own, a machine that is paused, a machine that has not begun; and what cannot be saved.

import { describe, expect, it } from 'vitest';
import { block, type Sleep } from '../../src/host/sleep.ts';
import type { MmioDevice } from '../../src/hypervisor/bus/mmio.ts';
import { bootGuest, type GuestOptions } from '../../src/testing/bootGuest.ts';
import { Machine } from '../../src/vmm/machine.ts';
import { snapshotFromBytes, snapshotToBytes } from '../../src/vmm/snapshot/file.ts';
import type { SnapshotError } from '../../src/vmm/snapshot/snapshotError.ts';
import { endOf } from './endOf.ts';

/** Counts what is read from it, so that no access may be lost or made twice. */
class Counter implements MmioDevice {
  readonly name = 'counter';
  readonly gpa = 4 * 2 ** 20;
  readonly length = 0x1000;
  reads = 0;
  read(): bigint {
    return BigInt(++this.reads);
  }
  write(): void {}
  save(): { reads: number } {
    return { reads: this.reads };
  }
  restore({ reads }: { reads: number }): void {
    this.reads = reads;
  }
}

/** Accesses the counter, also in two parts with memory before it, and prints a text by REP OUTSB, on each vCPU. */
const DEVICES = `
        .include "asm/start.s"
        .text
        .global _start
_start: mov     %edi, %ebp
        mov     %esi, %r14d
        movq    $0x400083, 0xb010               # the device lies behind memory
        mov     $400, %r12d
        mov     $0x400ffc, %ebx
1:      mov     -2(%rbx), %eax                  # within it
        mov     $0x3ffffc, %ecx
        addq    %rax, (%rcx)                    # half memory, half device
        add     %rax, %r13
        lea     text(%rip), %rsi
        mov     $0x3f8, %edx
        mov     $text_end - text, %ecx
        rep outsb
        dec     %r12d
        jnz     1b
        mov     %r14d, %edi
        call    barrier
        test    %ebp, %ebp
        jnz     park
        jmp     power_off
        .data
text:   .ascii  "ab\\n"
text_end:
`;

const connect = (machine: Machine): void => machine.mmio.connect(new Counter());
const copyOf = (machine: Machine): Machine =>
  Machine.restore(snapshotFromBytes(snapshotToBytes(machine.snapshot())), { connect });

async function boot(source: string, options: GuestOptions = {}): Promise<Machine> {
  const machine = await bootGuest(source, { memory: 4 * 2 ** 20, ...options });
  connect(machine);
  return machine;
}

function* stranger(): Sleep<void> {
  for (;;) yield* block('Godot');
}

const refusal = (act: () => unknown): SnapshotError => {
  try {
    act();
  } catch (error) {
    return error as SnapshotError;
  }
  throw new Error('nothing was refused');
};

describe('a restored machine ends as the saved one', () => {
  it.each([1, 2])('when %i vCPU(s) stand in the middle of device accesses', async (vcpus) => {
    const whole = await boot(DEVICES, { vcpus });
    whole.run({ maxCycles: 10 ** 8 });
    expect([whole.result?.kind, whole.console.text.length]).toEqual(['power-off', 1200 * vcpus]);
    const end = Math.max(...whole.host.cpus.map(({ now }) => now));
    let machine = await boot(DEVICES, { vcpus });
    let halfway = 0;
    for (let at = 1009; at < end; at += Math.floor(end / 12)) {
      if (machine.run({ maxCycles: at }).kind !== 'budget') break;
      if (machine.vm.vcpus.some(({ guest }) => guest.halfway)) halfway++;
      machine = copyOf(machine);
    }
    machine.run({ maxCycles: 10 ** 8 });
    expect(endOf(machine)).toEqual(endOf(whole));
    // A vCPU without others does not wait in the middle of an access.
    if (vcpus > 1) expect(halfway).toBeGreaterThan(0);
  });

  it('when it had not begun', async () => {
    const machine = await boot(DEVICES);
    const copy = copyOf(machine);
    machine.run();
    copy.run();
    expect(endOf(copy)).toEqual(endOf(machine));
  });

  it('when it is paused', async () => {
    const machine = await boot(DEVICES, { vcpus: 2 });
    machine.run({ maxCycles: 100_000 });
    machine.pause();
    const copy = copyOf(machine);
    expect(copy.paused).toBe(true);
    for (const each of [machine, copy]) {
      each.resume();
      each.run();
    }
    expect(endOf(copy)).toEqual(endOf(machine));
  });
});

describe('a snapshot', () => {
  it('changes nothing of what happens later', async () => {
    const [watched, left] = [await boot(DEVICES, { vcpus: 2 }), await boot(DEVICES, { vcpus: 2 })];
    for (const machine of [watched, left]) machine.run({ maxCycles: 50_000 });
    watched.snapshot();
    for (const machine of [watched, left]) machine.run();
    expect(endOf(watched)).toEqual(endOf(left));
  });

  it('waits until an event that nobody writes down has happened', async () => {
    const machine = await bootGuest('guests/lazy.s', { memory: 4 * 2 ** 20, features: ['lazy-tscdeadline'] });
    machine.run({ until: (each) => each.vm.vcpus[0]!.lapic.timer.lazy.enabled });
    expect(machine.kickLazyDeadline(0)).toBe(true);
    const { now } = machine.host.cpus[0]!;
    machine.snapshot();
    expect(machine.host.cpus[0]!.now).toBeGreaterThan(now);
  });

  it('is refused of a machine that has ended', async () => {
    const machine = await boot(DEVICES);
    machine.run();
    expect(refusal(() => machine.snapshot()).message).toContain('the machine has ended');
  });

  it('is refused, by name, when a device cannot be saved', async () => {
    const machine = await boot(DEVICES);
    machine.mmio.connect({ name: 'frob', gpa: 0xd100_0000, length: 16, read: () => 0n, write: () => undefined });
    expect(refusal(() => machine.snapshot()).message).toBe("the device 'frob' cannot be saved");
  });

  it('is refused, by name, when a thread of somebody else runs', async () => {
    const machine = await boot(DEVICES);
    machine.host.spawn('stranger', machine.host.cpus[0]!, stranger());
    expect(refusal(() => machine.snapshot()).message).toContain('the thread stranger stands at no named safe point');
  });

  it.each([
    [{ params: { timerOwnership: 'load-put' } } satisfies GuestOptions, 'timerOwnership'],
    [{ swap: {} } satisfies GuestOptions, 'pages guest memory out'],
  ])('is refused of a machine with %o', async (options, what) => {
    const machine = await boot(DEVICES, options);
    expect(refusal(() => machine.snapshot()).message).toContain(what);
  });

  it('is refused without the devices that the saved machine had', async () => {
    const machine = await boot(DEVICES);
    const saved = machine.snapshot();
    expect(refusal(() => Machine.restore(saved)).message).toContain("counter' that is not known here");
  });
});
