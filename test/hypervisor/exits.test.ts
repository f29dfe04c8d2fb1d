import { describe, expect, it } from 'vitest';
import { EXIT, type ExitReason } from '../../src/cpu/exit.ts';
import { EXIT_INFO } from '../../src/cpu/vmexit.ts';
import { STAGE } from '../../src/cpu/memory/secondStage.ts';
import { CODE } from '../../src/cpu/segments/codeMode.ts';
import type { CpuState } from '../../src/cpu/state.ts';
import { msrRecord, MSRS, nameOfMsr } from '../../src/hypervisor/msrs.ts';
import { KVM_MSR } from '../../src/hypervisor/names.ts';
import { APIC_BASE, MSR, X2APIC_MSR } from '../../src/x86/names/msrs.ts';
import { IO_PORT_SHIFT, IO_QUALIFICATION } from '../../src/x86/names/paging.ts';
import { GPR } from '../../src/x86/names/registers.ts';
import { VECTOR } from '../../src/x86/names/vectors.ts';
import { rdmsr, wrmsr, type Step } from './scriptedCpu.ts';
import { vmRig, type VmRig } from './vmRig.ts';

const shutdown: Step = { exit: EXIT.TRIPLE_FAULT };
const MASK = 0xffff_ffff_ffff_ffffn;

/** Runs one guest with these steps until it shuts down, on a VM with a page of memory at 0. */
function run(steps: Step[], prepare: (rig: VmRig) => void = () => undefined): VmRig {
  const rig = vmRig([[...steps, shutdown]]);
  rig.vm.memslots.set({ slot: 0, gpa: 0, size: 4096, address: rig.vm.memslots.arena.allocate(4096) });
  prepare(rig);
  for (let i = 0; i < 100 && rig.host.step() === 'progress'; i++);
  return rig;
}
const exit = (reason: ExitReason, set: (state: CpuState) => void = () => undefined): Step => ({ exit: reason, set });
const actions = (rig: VmRig): unknown[] =>
  rig.events.filter((e) => e.name === 'exit_handled').map((e) => e.event.action);
/** EDX:EAX after the steps. */
const pair = ({ guests: [guest] }: VmRig): bigint =>
  (BigInt(guest!.state.gpr32(GPR.RDX)) << 32n) | BigInt(guest!.state.gpr32(GPR.RAX));

describe('RDMSR and WRMSR', () => {
  it('step over the instruction and take a unit of time', () => {
    const rips: bigint[] = [];
    const note: Step = { then: ({ state }) => rips.push(state.rip) };
    run([note, wrmsr(MSR.MISC_ENABLE, 0x1800n), note, rdmsr(MSR.MISC_ENABLE), note]);
    expect(rips.map((rip) => rip - rips[0]!)).toEqual([0n, 2n, 4n]);
  });

  it('an unknown MSR is #GP(0), RIP stays, and it is named once with its count', () => {
    const rig = run([rdmsr(0x1234), rdmsr(0x1234), wrmsr(0xc0010118, 5n)]);
    expect(rig.guests[0]!.delivered).toEqual(
      Array.from({ length: 3 }, () => ({ type: 'exception', vector: VECTOR.GP, errorCode: 0 })),
    );
    expect(rig.vm.diagnostics.list).toMatchObject([
      { what: 'msr-read', index: 0x1234, count: 2, answer: '#GP(0)', vcpu: 0 },
      { what: 'msr-write', index: 0xc0010118, count: 1 },
    ]);
    expect(actions(rig)[0]).toBe('RDMSR of 0x1234 refused: #GP(0)');
  });

  it('a known MSR with a wrong value is #GP(0) and no unknown MSR', () => {
    const rig = run([wrmsr(MSR.APIC_BASE, 1n), wrmsr(X2APIC_MSR.ICR, 1n << 20n)]);
    expect(rig.guests[0]!.delivered).toHaveLength(2);
    expect(rig.vm.diagnostics.list).toEqual([]);
    expect(rig.events.filter((e) => e.name === 'kvm_msr').map((e) => e.event.fault)).toEqual([true, true]);
  });

  it('read IA32_APIC_BASE of the bootstrap processor in x2APIC mode', () => {
    expect(pair(run([rdmsr(MSR.APIC_BASE)]))).toBe(
      APIC_BASE.DEFAULT_ADDRESS | APIC_BASE.EN | APIC_BASE.EXTD | APIC_BASE.BSP,
    );
  });

  it('the lazy deadline is #GP without its feature, and there with it', () => {
    const off = run([rdmsr(KVM_MSR.LAZY_TSCDEADLINE)]);
    expect(off.guests[0]!.delivered).toHaveLength(1);
    const on = vmRig([[wrmsr(KVM_MSR.LAZY_TSCDEADLINE, 0x41n), rdmsr(KVM_MSR.LAZY_TSCDEADLINE), shutdown]], {
      features: ['lazy-tscdeadline'],
    });
    on.vm.memslots.set({ slot: 0, gpa: 0, size: 4096, address: on.vm.memslots.arena.allocate(4096) });
    while (on.host.step() === 'progress');
    expect(on.guests[0]!.delivered).toEqual([]);
    expect(pair(on)).toBe(0x41n);
  });

  it('count writes by index', () => {
    const rig = run([wrmsr(X2APIC_MSR.EOI, 0n), wrmsr(X2APIC_MSR.EOI, 0n), wrmsr(MSR.TSC_DEADLINE, 0n)]);
    expect([...rig.vm.vcpus[0]!.stat.msrWrites]).toEqual([
      [X2APIC_MSR.EOI, 2],
      [MSR.TSC_DEADLINE, 1],
    ]);
  });

  it('count writes of others by index, in the order of their first', () => {
    const others = [MSR.TSC_DEADLINE, MSR.MCG_STATUS, MSR.STAR];
    const rig = run([0, 1, 0, 0, 2, 1, 2, 2, 2].map((which) => wrmsr(others[which]!, 0n)));
    const counts = [...rig.vm.vcpus[0]!.stat.msrWrites];
    expect(counts).toEqual([[MSR.TSC_DEADLINE, 3], [MSR.MCG_STATUS, 2], [MSR.STAR, 4]]); // prettier-ignore
  });

  it('every record is found by its index, and nothing elsewhere', () => {
    for (let index = 0; index < 0x3000; index++) expect(msrRecord(index), `MSR ${index}`).toBe(MSRS.get(index));
    for (const index of [MSR.EFER, MSR.STAR, 0xffff_ffff]) expect(msrRecord(index)).toBe(MSRS.get(index));
  });

  it('every record has a name of its own', () => {
    const names = [...MSRS.values()].map((m) => m.name);
    expect(new Set(names).size).toBe(names.length);
    expect(names.every((name) => !name.startsWith('0x'))).toBe(true);
    expect(nameOfMsr(KVM_MSR.LAZY_TSCDEADLINE)).toBe('MSR_KVM_LAZY_TSCDEADLINE');
    expect(nameOfMsr(0x99)).toBe('0x99');
  });
});

describe('other instructions that exit', () => {
  it('CPUID answers in four registers', () => {
    const rig = run([
      exit(EXIT.CPUID, (s) => {
        s.setGpr(GPR.RAX, 0x4000_0000n);
        s.setGpr(GPR.RBX, MASK);
      }),
    ]);
    expect(rig.guests[0]!.state.gpr(GPR.RBX)).toBe(0x4b4d564bn);
    expect(rig.events.find((e) => e.name === 'kvm_cpuid')?.event).toMatchObject({ leaf: 0x4000_0000, found: true });
  });

  it('an unknown hypercall answers -1000 and is named; from user mode it is -1 and not looked at', () => {
    const call = (cpl: number): Step =>
      exit(EXIT.VMCALL, (s) => {
        s.mode = CODE.LONG;
        s.setGpr(GPR.RAX, 77n);
        s.cpl = cpl;
      });
    const rig = run([call(0)]);
    expect(rig.guests[0]!.state.gpr(GPR.RAX)).toBe(BigInt.asUintN(64, -1000n));
    expect(rig.vm.diagnostics.list).toMatchObject([{ what: 'hypercall', index: 77 }]);
    const user = run([call(3)]);
    expect(user.guests[0]!.state.gpr(GPR.RAX)).toBe(MASK);
    expect(user.vm.diagnostics.list).toEqual([]);
  });

  it('VMCALL has a number of 64 bits in 64-bit mode, of 32 elsewhere, and each unknown one is counted for itself', () => {
    const call = (number: bigint, mode: number = CODE.LONG): Step =>
      exit(EXIT.VMCALL, (s) => {
        s.mode = mode;
        s.setGpr(GPR.RAX, number);
      });
    const far = (3n << 32n) | 77n;
    const numbers = [77n, far, 77n, 77n, far, far, 77n].map((number) => call(number));
    expect(run([...numbers, rdmsr(77), call(far, CODE.LONG ^ 1)]).vm.diagnostics.list).toMatchObject([
      { what: 'hypercall', index: 77, count: 5 },
      { what: 'hypercall', index: Number(far), count: 3 },
      { what: 'msr-read', index: 77, count: 1 },
    ]);
  });

  it('MOV to and from CR8 is the task priority of the LAPIC; above 15 it is #GP', () => {
    const access = (value: bigint, read = false): Step =>
      exit(EXIT.CR_ACCESS, (s) => {
        s.exitQualification = read ? 8n | (1n << 4n) | (3n << 8n) : 8n;
        s.exitValue = value;
      });
    const rig = run([access(5n), access(0n, true), access(16n)]);
    expect(rig.guests[0]!.state.gpr(GPR.RBX)).toBe(5n);
    expect(rig.guests[0]!.delivered).toMatchObject([{ vector: VECTOR.GP }]);
  });

  it('XSETBV takes legal values alone', () => {
    const xsetbv = (value: bigint): Step =>
      exit(EXIT.XSETBV, (s) => {
        s.setGpr(GPR.RAX, value);
        s.setGpr(GPR.RCX, 0n);
        s.setGpr(GPR.RDX, 0n);
      });
    const rig = run([xsetbv(3n), xsetbv(2n), xsetbv(7n)]);
    expect(rig.guests[0]!.state.xcr0).toBe(3n);
    expect(rig.guests[0]!.delivered).toHaveLength(2);
  });

  it('an exit that no control asked for ends the run by name', () => {
    const rig = run([exit(EXIT.DR_ACCESS)]);
    expect(rig.userspace[0]!.exit).toEqual({
      reason: 'INTERNAL_ERROR',
      what: 'an exit for access to a debug register, which the hypervisor does not handle',
      hint: 'leave this VM-execution control at its default',
    });
  });
});

describe('accesses that userspace serves', () => {
  it('an OUT carries its value, an IN gets the answer', () => {
    const io = (port: number, size: number, input: boolean, value: bigint): Step =>
      exit(EXIT.IO_INSTRUCTION, (s) => {
        s.exitQualification = BigInt((port << IO_PORT_SHIFT) | (size - 1) | (input ? IO_QUALIFICATION.IN : 0));
        s.exitValue = value;
      });
    const rig = run([io(0x3f8, 1, false, 0x41n), io(0x60, 2, true, 0n)]);
    expect(rig.userspace.slice(0, 2).map((u) => u.exit)).toEqual([
      { reason: 'IO', port: 0x3f8, size: 1, direction: 'out', value: 0x41 },
      { reason: 'IO', port: 0x60, size: 2, direction: 'in', value: 0 },
    ]);
    expect(rig.guests[0]!.completed).toEqual([0x5an, 0x5an]);
  });

  it('a page of a slot becomes present when it is first touched; a page of none is MMIO from then on', () => {
    const touch = (gpa: bigint): Step =>
      exit(EXIT.EPT_VIOLATION, (s) => {
        s.exitInfo = 4;
        s.exitGpa = s.exitGva = gpa;
      });
    const rig = run([touch(0x10n), touch(0x9000n)]);
    const { secondStage } = rig.vm.memslots;
    expect(secondStage.lookup(0) & (STAGE.PRESENT | STAGE.WRITABLE)).toBe(STAGE.PRESENT | STAGE.WRITABLE);
    expect(secondStage.lookup(9)).toBe(STAGE.MMIO);
    expect(rig.vm.vcpus[0]!.stat.pfTaken).toBe(2);
    expect(actions(rig).slice(0, 2)).toEqual(['page 0x0 populated from slot 0', 'no memory at 0x9000: marked as MMIO']);
  });

  it('page tables in read-only memory that need an accessed bit stop the machine by name', () => {
    const walk: Step = exit(EXIT.EPT_VIOLATION, (s) => {
      s.exitInfo = EXIT_INFO.WRITE | 8;
      s.exitGpa = 0x8000n;
    });
    const rig = run([walk, walk], ({ vm: { memslots } }) =>
      memslots.set({ slot: 1, gpa: 0x8000, size: 4096, address: memslots.arena.allocate(4096), readOnly: true }),
    );
    // The first time the page is only absent.
    expect(rig.vm.memslots.secondStage.lookup(8) & STAGE.ROM).toBe(STAGE.ROM);
    expect(rig.userspace[0]!.exit).toMatchObject({
      what: 'page tables in read-only memory at 0x8000 (slot 1) need an accessed or dirty bit',
    });
  });
});
