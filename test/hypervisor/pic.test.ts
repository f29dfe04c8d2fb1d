import { describe, expect, it } from 'vitest';
import type { Vm } from '../../src/hypervisor/vm.ts';
import { X2APIC_MSR } from '../../src/x86/names/msrs.ts';
import { hlt, sti } from './scriptedCpu.ts';
import { vmRig, type VmRig } from './vmRig.ts';

const EOI = 0x20;
const MASTER = 0x20;
const SLAVE = 0xa0;

/** ICW1 to ICW4 of both chips: vectors from 0x20 and 0x28, all pins open. */
function initialize(vm: Vm, icw4 = 0x01): void {
  for (const [base, vectors, cascade] of [
    [MASTER, 0x20, 4],
    [SLAVE, 0x28, 2],
  ] as const) {
    out(vm, base, 0x11);
    for (const value of [vectors, cascade, icw4]) out(vm, base + 1, value);
  }
}
const out = (vm: Vm, port: number, value: number): void => void vm.ports.write(port, 1, value);
const inb = (vm: Vm, port: number): number => vm.ports.read(port, 1).value;

function rigOf(icw4?: number): VmRig & { pulse: (...gsis: number[]) => void; take: () => number | null } {
  const rig = vmRig([[]]);
  const { vm } = rig;
  initialize(vm, icw4);
  const pulse = (...gsis: number[]): void => {
    for (const gsi of gsis) {
      vm.irqs.set(gsi, true);
      vm.irqs.set(gsi, false);
    }
  };
  /** The vector that a processor takes, if INTR is up. */
  const take = (): number | null => (vm.irqchip.pic.output ? vm.irqchip.pic.readIrq() : null);
  return { ...rig, pulse, take };
}

/** IRR and ISR of a chip, by OCW3. */
function registersOf(vm: Vm, base: number): { irr: number; isr: number } {
  out(vm, base, 0x0a);
  const irr = inb(vm, base);
  out(vm, base, 0x0b);
  return { irr, isr: inb(vm, base) };
}

describe('the PIC', () => {
  it('keeps requests of lower priority back until the end of the interrupt in service', () => {
    const { vm, pulse, take } = rigOf();
    pulse(3, 1);
    expect(take()).toBe(0x21);
    expect(registersOf(vm, MASTER)).toEqual({ irr: 1 << 3, isr: 1 << 1 });
    expect(take()).toBeNull();
    pulse(0);
    expect(take(), 'a higher one nests').toBe(0x20);
    out(vm, MASTER, EOI);
    expect(take()).toBeNull();
    out(vm, MASTER, EOI);
    expect(take()).toBe(0x23);
  });

  it('puts the slave behind pin 2, and needs an end of interrupt at both', () => {
    const { vm, pulse, take } = rigOf();
    pulse(8, 3);
    expect(take()).toBe(0x28);
    expect(registersOf(vm, MASTER).isr).toBe(1 << 2);
    expect(registersOf(vm, SLAVE).isr).toBe(1 << 0);
    out(vm, SLAVE, EOI);
    expect(take(), 'the cascade is still in service').toBeNull();
    out(vm, MASTER, EOI);
    expect(take()).toBe(0x23);
  });

  it('holds a masked edge until it is unmasked, and says that it is masked', () => {
    const { vm, take } = rigOf();
    out(vm, MASTER + 1, 1 << 5);
    expect(vm.irqchip.pic.setIrq(5, true)).toBe(-1);
    expect(take()).toBeNull();
    out(vm, MASTER + 1, 0);
    expect(inb(vm, MASTER + 1)).toBe(0);
    expect(take()).toBe(0x25);
  });

  it('takes an edge once for each rise of the line, and calls a second one before the acknowledge coalesced', () => {
    const { vm, take } = rigOf();
    const { pic } = vm.irqchip;
    expect([true, true, false, true].map((level) => pic.setIrq(4, level))).toEqual([1, 1, 1, 0]);
    expect(take()).toBe(0x24);
    out(vm, MASTER, EOI);
    expect(take()).toBeNull();
  });

  it('repeats a level as long as the line is high', () => {
    const { vm, take } = rigOf();
    out(vm, 0x4d1, 1 << 3);
    vm.irqs.set(11, true);
    for (let i = 0; i < 3; i++) {
      expect(take()).toBe(0x2b);
      out(vm, SLAVE, EOI);
      out(vm, MASTER, EOI);
    }
    vm.irqs.set(11, false);
    expect(take(), 'the master has kept the last edge of the cascade').toBe(0x2f);
    expect(registersOf(vm, SLAVE)).toEqual({ irr: 0, isr: 0 });
  });

  it('lets ELCR make levels of those pins only that can be', () => {
    const { vm } = rigOf();
    out(vm, 0x4d0, 0xff);
    out(vm, 0x4d1, 0xff);
    expect([inb(vm, 0x4d0), inb(vm, 0x4d1)]).toEqual([0xf8, 0xde]);
  });

  it('answers an acknowledge cycle that finds nothing with pin 7 of the master, and puts nothing in service', () => {
    const { vm } = rigOf();
    out(vm, 0x4d0, 1 << 5);
    vm.irqs.set(5, true);
    vm.irqs.set(5, false);
    expect(vm.irqchip.pic.readIrq()).toBe(0x27);
    expect(registersOf(vm, MASTER).isr).toBe(0);
  });

  it('rotates, and ends specific interrupts', () => {
    const { vm, pulse, take } = rigOf();
    out(vm, MASTER, 0xc0 | 3); // pin 3 is the lowest, 4 the highest
    pulse(0, 1, 4);
    expect(take()).toBe(0x24);
    out(vm, MASTER, 0x60 | 4);
    expect(take()).toBe(0x20);
    out(vm, MASTER, 0xa0); // ends 0 and makes it the lowest
    pulse(0);
    expect(take()).toBe(0x21);
    out(vm, MASTER, 0xe0 | 1); // ends 1 and makes it the lowest
    pulse(2 + 1);
    expect(take()).toBe(0x23);
  });

  it('ends interrupts by itself in automatic mode, and rotates then if asked to', () => {
    const { vm, pulse, take } = rigOf(0x03);
    pulse(1, 1);
    expect(take()).toBe(0x21);
    expect(registersOf(vm, MASTER).isr).toBe(0);
    out(vm, MASTER, 0x80);
    pulse(0, 1);
    expect([take(), take()]).toEqual([0x20, 0x21]);
    pulse(0, 2 + 1);
    expect([take(), take()], 'pin 2 is the highest now').toEqual([0x23, 0x20]);
  });

  it('takes a second request of the slave in special fully nested mode only', () => {
    const plain = rigOf();
    plain.pulse(12);
    expect(plain.take()).toBe(0x2c);
    plain.pulse(8);
    expect(plain.take()).toBeNull();
    const nested = rigOf(0x11);
    nested.pulse(12);
    expect(nested.take()).toBe(0x2c);
    nested.pulse(8);
    expect(nested.take()).toBe(0x28);
  });

  it('answers a poll with the pin, which is ended at once', () => {
    const { vm, pulse, take } = rigOf();
    pulse(6, 9);
    out(vm, SLAVE, 0x0c);
    expect(inb(vm, SLAVE)).toBe(1);
    out(vm, MASTER, 0x0c);
    expect(inb(vm, MASTER)).toBe(6);
    out(vm, MASTER, 0x0c);
    expect(inb(vm, MASTER)).toBe(7);
    expect(registersOf(vm, MASTER)).toEqual({ irr: 0, isr: 0 });
    expect(take()).toBeNull();
  });

  it('forgets edges, masks and rotation at ICW1, and keeps what is in service', () => {
    const { vm, pulse, take } = rigOf();
    pulse(1);
    take();
    out(vm, MASTER, 0xc0 | 5);
    out(vm, MASTER + 1, 0x80);
    pulse(7, 6);
    initialize(vm);
    expect(registersOf(vm, MASTER)).toEqual({ irr: 0, isr: 1 << 1 });
    expect(inb(vm, MASTER + 1)).toBe(0);
  });

  it('drops accesses that are wider than a byte', () => {
    const { vm } = rigOf();
    vm.ports.write(MASTER + 1, 2, 0xffff);
    expect(inb(vm, MASTER + 1)).toBe(0);
    out(vm, MASTER + 1, 0x55);
    expect(vm.ports.read(MASTER + 1, 2).value).toBe(0);
  });

  it('goes on from a saved state as if nothing had been', () => {
    const { vm, pulse, take } = rigOf();
    pulse(3, 8);
    take();
    const state = JSON.parse(JSON.stringify(vm.irqchip.pic.save())) as ReturnType<typeof vm.irqchip.pic.save>;
    const other = vmRig([[]]).vm;
    other.irqchip.pic.restore(state);
    expect(other.irqchip.pic.save()).toEqual(vm.irqchip.pic.save());
    for (const port of [SLAVE, MASTER]) out(other, port, EOI);
    expect(other.irqchip.pic.readIrq()).toBe(0x23);
  });

  it('tells who asked for it that an interrupt has ended, and that a pin was unmasked', () => {
    const { vm, pulse, take } = rigOf();
    const log: string[] = [];
    vm.irqs.notify(9, { irqAcked: () => log.push('acked'), irqMasked: (masked) => log.push(`masked ${masked}`) });
    out(vm, SLAVE + 1, 1 << 1);
    out(vm, SLAVE + 1, 0);
    pulse(9);
    take();
    expect(log).toEqual(['masked true', 'masked false']);
    out(vm, SLAVE, EOI);
    expect(log).toEqual(['masked true', 'masked false', 'acked']);
  });
});

describe('an interrupt of the PIC reaches a vCPU', () => {
  const LVT0_EXTINT = 0x700n;
  const MASKED = 0x10000n;
  /** Runs until nothing more happens, at most `steps` steps. */
  const go = (rig: VmRig, steps = 50): void => {
    for (let i = 0; i < steps && rig.host.step() === 'progress'; i++);
  };
  const vectorsOf = (rig: VmRig): number[] => rig.guests[0]!.delivered.map(({ vector }) => vector);
  it('that is halted', () => {
    const rig = vmRig([[sti, hlt]]);
    initialize(rig.vm);
    go(rig);
    expect(rig.vm.vcpus[0]!.mpState).toBe('halted');
    rig.vm.irqs.set(1, true);
    go(rig);
    expect(vectorsOf(rig)).toEqual([0x21]);
  });

  it('that runs, as soon as it takes interrupts, before those of the LAPIC', () => {
    const rig = vmRig([[{ run: 10 }, { then: () => raiseBoth(rig) }, { exit: 10 }, { run: 10 }, sti, { run: 100 }]]);
    const raiseBoth = ({ vm }: VmRig): void => {
      vm.lapics[0]!.writeMsr(X2APIC_MSR.SIVR, 0x1ffn);
      vm.lapics[0]!.writeMsr(X2APIC_MSR.SELF_IPI, 0xf0n);
      vm.irqs.set(4, true);
    };
    initialize(rig.vm);
    go(rig, 5);
    expect(rig.names()).toContain('kvm_inj_virq');
    expect(vectorsOf(rig)[0]).toBe(0x24);
    expect(rig.vm.vcpus[0]!.stat.irqWindowExits).toBe(1);
  });

  it.each([
    ['not while LINT0 is masked', LVT0_EXTINT | MASKED, []],
    ['not while LINT0 says Fixed', 0x21n, []],
    ['while LINT0 says ExtINT', LVT0_EXTINT, [0x23]],
  ])('%s', (_, lvt0, expected) => {
    const rig = vmRig([[sti, hlt]]);
    initialize(rig.vm);
    const lapic = rig.vm.lapics[0]!;
    lapic.writeMsr(X2APIC_MSR.SIVR, 0x1ffn);
    lapic.writeMsr(X2APIC_MSR.LVT_LINT0, lvt0);
    go(rig);
    rig.vm.irqs.set(3, true);
    go(rig);
    expect(vectorsOf(rig)).toEqual(expected);
  });

  it('past a LAPIC that is disabled', () => {
    const rig = vmRig([[sti, hlt]]);
    initialize(rig.vm);
    rig.vm.lapics[0]!.writeBase(0xfee00100n, true);
    go(rig);
    rig.vm.irqs.set(3, true);
    go(rig);
    expect(vectorsOf(rig)).toEqual([0x23]);
  });

  it('with APIC virtualisation, too', () => {
    const rig = vmRig([[sti, hlt]], { params: { apicv: true } });
    initialize(rig.vm);
    go(rig);
    rig.vm.irqs.set(3, true);
    go(rig);
    expect(vectorsOf(rig)).toEqual([0x23]);
  });
});
