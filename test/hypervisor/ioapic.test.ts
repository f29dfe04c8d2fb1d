import { describe, expect, it } from 'vitest';
import { EXIT } from '../../src/cpu/exit.ts';
import { APIC } from '../../src/hypervisor/lapic/registers.ts';
import { highestVector, NONE } from '../../src/hypervisor/lapic/priority.ts';
import { KVM_REQ } from '../../src/hypervisor/requests.ts';
import type { Vm } from '../../src/hypervisor/vm.ts';
import { APIC_BASE, X2APIC_MSR } from '../../src/x86/names/msrs.ts';
import { hlt, sti, wrmsr } from './scriptedCpu.ts';
import { vmRig, type RigOptions, type VmRig } from './vmRig.ts';

const LEVEL = 1n << 15n;
const MASKED = 1n << 16n;
const LOGICAL = 1n << 11n;
const REMOTE_IRR = 1n << 14n;
const LOWEST = 1n << 8n;
const to = (apicId: number): bigint => BigInt(apicId) << 56n;

const WINDOW = 0x10;
const read = ({ irqchip: { ioapic } }: Vm, register: number): number => {
  ioapic.write(0, 4, BigInt(register));
  return Number(ioapic.read(WINDOW, 4));
};
const write = ({ irqchip: { ioapic } }: Vm, register: number, value: number): void => {
  ioapic.write(0, 4, BigInt(register));
  ioapic.write(WINDOW, 4, BigInt(value));
};
const entry = (vm: Vm, pin: number): bigint =>
  (BigInt(read(vm, 0x11 + 2 * pin)) << 32n) | BigInt(read(vm, 0x10 + 2 * pin));
const program = (vm: Vm, pin: number, bits: bigint): void => {
  write(vm, 0x11 + 2 * pin, Number(bits >> 32n));
  write(vm, 0x10 + 2 * pin, Number(bits & 0xffff_ffffn));
};

/** vCPUs with enabled LAPICs that do nothing; their sets of vectors are those of the table after `scan`. */
function rigOf(vcpus = 1, options: RigOptions = {}): VmRig {
  const rig = vmRig(Array.from({ length: vcpus }, () => []), options); // prettier-ignore
  for (const lapic of rig.vm.lapics) lapic.writeMsr(X2APIC_MSR.SIVR, 0x1ffn);
  return rig;
}
const scan = ({ vcpus, irqchip }: Vm): void => {
  for (const vcpu of vcpus) if (vcpu.requests.check(KVM_REQ.SCAN_IOAPIC)) irqchip.ioapic.scan(vcpu);
};
/** The vector that a vCPU takes, if one is requested. */
function take(vm: Vm, id = 0): number | null {
  const lapic = vm.lapics[id]!;
  const vector = highestVector(lapic.regs, APIC.IRR);
  if (vector === NONE) return null;
  lapic.acknowledge(vector);
  return vector;
}
const eoi = (vm: Vm, id = 0): void => void vm.lapics[id]!.writeMsr(X2APIC_MSR.EOI, 0n);

describe('the registers of the IOAPIC', () => {
  it('are version 0x11 with 24 entries, and an id of four bits that arbitration repeats', () => {
    const { vm } = rigOf();
    write(vm, 0, 0xffffffff);
    write(vm, 1, 0);
    write(vm, 2, 0);
    expect([0, 1, 2].map((register) => read(vm, register))).toEqual([0x0f000000, 0x170011, 0x0f000000]);
  });

  it('leave reset masked, and keep what is written but Remote IRR and the delivery status', () => {
    const { vm } = rigOf();
    expect(entry(vm, 23)).toBe(MASKED);
    program(vm, 23, 0xffff_ffff_ffff_ffffn);
    expect(entry(vm, 23)).toBe(0xffff_ffff_ffff_afffn);
  });

  it('read as ones behind the table, and as 0 beside the window', () => {
    const { vm } = rigOf();
    expect(read(vm, 0x40)).toBe(0xffffffff);
    expect(read(vm, 0x03)).toBe(0xffffffff);
    expect(vm.irqchip.ioapic.read(0x20, 4)).toBe(0n);
    expect(vm.irqchip.ioapic.read(0x40, 4)).toBe(0n);
  });

  it('take accesses of any size, and are on the bus of the VM at 0xfec00000', () => {
    const { vm } = rigOf();
    expect(vm.mmio.at(0xfec00010)).toBe(vm.irqchip.ioapic);
    vm.irqchip.ioapic.write(0, 8, 0xabcd_0000_0000_0001n);
    expect([1, 2, 8].map((size) => vm.irqchip.ioapic.read(WINDOW, size))).toEqual([0x11n, 0x11n, 0x170011n]);
  });
});

describe('a pin of the IOAPIC', () => {
  it('sends an edge once, and again when the line has fallen', () => {
    const { vm } = rigOf();
    program(vm, 17, 0x61n);
    expect(vm.irqs.set(17, true)).toBe(1);
    expect(take(vm)).toBe(0x61);
    vm.irqs.set(17, true);
    eoi(vm);
    expect(take(vm)).toBeNull();
    vm.irqs.set(17, false);
    vm.irqs.set(17, true);
    expect(take(vm)).toBe(0x61);
  });

  it('loses an edge while it is masked', () => {
    const { vm } = rigOf();
    program(vm, 20, 0x61n | MASKED);
    expect(vm.irqs.set(20, true)).toBe(-1);
    program(vm, 20, 0x61n);
    expect(take(vm)).toBeNull();
  });

  it('sends a level again after each end as long as the line is high', () => {
    const { vm } = rigOf();
    program(vm, 9, 0x61n | LEVEL);
    scan(vm);
    vm.irqs.set(9, true);
    for (let i = 0; i < 3; i++) {
      expect(take(vm)).toBe(0x61);
      expect(entry(vm, 9) & REMOTE_IRR).toBe(REMOTE_IRR);
      expect(take(vm), 'quiet until the end').toBeNull();
      eoi(vm);
    }
    vm.irqs.set(9, false);
    expect(take(vm), 'sent before the line fell').toBe(0x61);
    eoi(vm);
    expect(take(vm)).toBeNull();
    expect(entry(vm, 9)).toBe(0x61n | LEVEL);
  });

  it('sends a level that rose while it was masked, as soon as it is unmasked', () => {
    const { vm } = rigOf();
    program(vm, 9, 0x61n | LEVEL | MASKED);
    vm.irqs.set(9, true);
    expect(take(vm)).toBeNull();
    program(vm, 9, 0x61n | LEVEL);
    expect(take(vm)).toBe(0x61);
  });

  it('loses Remote IRR when it is made edge-triggered, as systems do that have no EOI register', () => {
    const { vm } = rigOf();
    program(vm, 9, 0x61n | LEVEL);
    vm.irqs.set(9, true);
    program(vm, 9, 0x61n | MASKED);
    expect(entry(vm, 9)).toBe(0x61n | MASKED);
  });

  it('reaches whom its destination names: an id, a logical set, one of a set, everybody', () => {
    const { vm } = rigOf(4);
    const reached = (bits: bigint): number[] => {
      program(vm, 18, bits);
      vm.irqs.set(18, true);
      vm.irqs.set(18, false);
      return vm.vcpus.flatMap(({ id }) => (take(vm, id) === null ? [] : [id]));
    };
    expect(reached(0x40n | to(2))).toEqual([2]);
    expect(reached(0x51n | LOGICAL | to(0b1010))).toEqual([1, 3]);
    expect(reached(0x63n | LOGICAL | LOWEST | to(0b1110))).toEqual([1]);
    expect(reached(0x70n | to(0xff))).toEqual([0, 1, 2, 3]);
    expect(reached(0x80n | to(9))).toEqual([]);
  });

  it('is put off for 10 ms when a level has been ended 10 000 times and is still high', () => {
    const rig = rigOf();
    const { vm, host } = rig;
    program(vm, 9, 0x61n | LEVEL);
    scan(vm);
    vm.irqs.set(9, true);
    let rounds = 0;
    for (; take(vm) !== null; rounds++) eoi(vm);
    expect(rounds).toBe(10_000);
    expect(rig.names().filter((name) => name === 'kvm_ioapic_delayed_eoi_inj')).toHaveLength(1);
    const start = host.thisCpu.now;
    while (highestVector(vm.lapics[0]!.regs, APIC.IRR) === NONE) host.step();
    const ms = (host.thisCpu.now - start) / host.tscKhz;
    expect(ms).toBeGreaterThanOrEqual(10);
    expect(ms).toBeLessThan(10.1);
  });
});

describe('the RTC', () => {
  it('is told that its interrupt is coalesced until every LAPIC has ended it', () => {
    const { vm } = rigOf(2);
    program(vm, 8, 0x71n | LOGICAL | to(0b11));
    scan(vm);
    const tick = (): number => {
      const answer = vm.irqLine(8, true);
      vm.irqLine(8, false);
      return answer;
    };
    tick();
    for (const id of [0, 1]) expect(take(vm, id)).toBe(0x71);
    expect(vm.irqchip.ioapic.setIrq(8, true, true)).toBe(0);
    eoi(vm, 0);
    expect(vm.irqchip.ioapic.setIrq(8, true, true)).toBe(0);
    eoi(vm, 1);
    expect(vm.irqchip.ioapic.setIrq(8, true, true)).toBe(2);
  });
});

describe('the lines of the board', () => {
  it('are soldered as QEMU solders them: the timer to pin 2, the cascade to no pin, those from 16 on to the IOAPIC alone', () => {
    const rig = rigOf();
    const { vm } = rig;
    const pins: string[] = [];
    for (let gsi = 0; gsi < 24; gsi++) {
      rig.events.length = 0;
      vm.irqs.set(gsi, true);
      const pic = rig.events.find(({ name }) => name === 'kvm_pic_set_irq')?.event;
      const ioapic = rig.events.find(({ name }) => name === 'kvm_ioapic_set_irq')?.event;
      pins.push(`${pic ? Number(pic.chip) * 8 + Number(pic.pin) : '-'}/${ioapic ? String(ioapic.pin) : '-'}`);
    }
    expect(pins).toEqual([
      '0/2', '1/1', '2/-', '3/3', '4/4', '5/5', '6/6', '7/7', '8/8', '9/9', '10/10', '11/11', '12/12', '13/13', '14/14', '15/15',
      '-/16', '-/17', '-/18', '-/19', '-/20', '-/21', '-/22', '-/23',
    ]); // prettier-ignore
  });

  it('stay high while any source holds them', () => {
    const { vm } = rigOf();
    program(vm, 20, 0x61n | LEVEL);
    scan(vm);
    vm.irqs.set(20, true, 0);
    vm.irqs.set(20, true, 2);
    vm.irqs.set(20, false, 0);
    take(vm);
    eoi(vm);
    expect(take(vm)).toBe(0x61);
  });

  it('are 24', () => {
    expect(() => rigOf().vm.irqs.set(24, true)).toThrow('there is no GSI 24, only 0 to 23');
  });
});

describe('the end of an interrupt', () => {
  it('is told to the IOAPIC for levels, and for edges only where somebody has asked', () => {
    const rig = rigOf();
    const { vm } = rig;
    program(vm, 20, 0x61n);
    program(vm, 21, 0x62n | LEVEL);
    program(vm, 2, 0x63n); // the interval timer's, which wants to know
    scan(vm);
    for (const gsi of [20, 21, 0]) vm.irqs.set(gsi, true);
    while (take(vm) !== null);
    for (let i = 0; i < 3; i++) eoi(vm);
    const acked = rig.events.filter(({ name }) => name === 'kvm_ack_irq').map(({ event }) => event.pin);
    expect(acked).toEqual([2, 21]);
  });

  it('is told once more for a level that is under way when its entry comes to name another LAPIC', () => {
    const { vm } = rigOf(2);
    program(vm, 21, 0x62n | LEVEL);
    scan(vm);
    vm.irqs.set(21, true);
    take(vm);
    program(vm, 21, 0x62n | LEVEL | to(1));
    scan(vm);
    vm.irqs.set(21, false);
    eoi(vm);
    expect(entry(vm, 21) & REMOTE_IRR).toBe(0n);
    expect(vm.vcpus[0]!.requests.check(KVM_REQ.SCAN_IOAPIC)).toBe(true);
    vm.irqchip.ioapic.scan(vm.vcpus[0]!);
    expect(vm.vcpus[0]!.ioapicVectors.has(0x62)).toBe(false);
  });

  it('exits with APIC virtualisation, and the line that is still high interrupts again', () => {
    const rig = vmRig(
      [
        [
          sti,
          { run: 10 },
          { then: () => vm.irqs.set(21, true) },
          { exit: EXIT.CPUID },
          { run: 200 },
          wrmsr(X2APIC_MSR.EOI, 0n),
          sti,
          { run: 50 },
          hlt,
        ],
      ],
      { params: { apicv: true } },
    );
    const { vm } = rig;
    vm.lapics[0]!.writeMsr(X2APIC_MSR.SIVR, 0x1ffn);
    program(vm, 21, 0x62n | LEVEL);
    for (let i = 0; i < 100 && rig.host.step() === 'progress'; i++);
    expect(rig.guests[0]!.delivered.map(({ vector }) => vector)).toEqual([0x62, 0x62]);
    expect(
      rig.events.filter(({ name, event }) => name === 'kvm_exit' && event.reason === EXIT.EOI_INDUCED),
    ).toHaveLength(1);
  });

  it('is asked for anew when an APIC id changes, once an entry is in use', () => {
    const { vm } = rigOf();
    vm.apicMap.markDirty();
    expect(vm.vcpus[0]!.requests.test(KVM_REQ.SCAN_IOAPIC)).toBe(false);
    program(vm, 20, 0x61n | LEVEL);
    vm.vcpus[0]!.requests.clear(KVM_REQ.SCAN_IOAPIC);
    vm.lapics[0]!.writeBase(APIC_BASE.DEFAULT_ADDRESS | APIC_BASE.EN | APIC_BASE.BSP, true);
    expect(vm.vcpus[0]!.requests.test(KVM_REQ.SCAN_IOAPIC)).toBe(true);
  });
});

describe('a message signalled interrupt', () => {
  it('is a message to the LAPICs that its address names', () => {
    const { vm } = rigOf(3);
    expect(vm.signalMsi(0xfee02000n, 0x4081)).toBe(1);
    expect([0, 1, 2].map((id) => take(vm, id))).toEqual([null, null, 0x81]);
    expect(vm.signalMsi(0xfee0_0000n | (0b101n << 12n) | 4n, 0x82)).toBe(2);
    expect([0, 1, 2].map((id) => take(vm, id))).toEqual([0x82, null, 0x82]);
    expect(vm.signalMsi(0xfee0_9000n, 0x83)).toBe(0);
  });

  it('may be an NMI', () => {
    const { vm } = rigOf();
    vm.signalMsi(0xfee0_0000n, 0x400);
    expect(vm.vcpus[0]!.requests.test(KVM_REQ.NMI)).toBe(true);
  });
});

describe('a saved IOAPIC', () => {
  it('goes on as if nothing had been', () => {
    const { vm } = rigOf();
    program(vm, 9, 0x61n | LEVEL);
    program(vm, 8, 0x71n);
    scan(vm);
    vm.irqs.set(9, true);
    vm.irqLine(8, true);
    const state = vm.irqchip.ioapic.save();
    const other = rigOf().vm;
    other.irqchip.ioapic.restore(state);
    expect(other.irqchip.ioapic.save()).toEqual(state);
    scan(other);
    other.lapics[0]!.acknowledge(0x61);
    other.lapics[0]!.regs[(APIC.TMR + 0x30) >> 2] = 1 << 1;
    eoi(other);
    expect(take(other)).toBe(0x61);
    expect(other.irqchip.ioapic.setIrq(8, true, true)).toBe(0);
  });
});
