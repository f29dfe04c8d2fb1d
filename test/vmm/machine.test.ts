import { describe, expect, it } from 'vitest';
import { Host } from '../../src/host/host.ts';
import { Machine } from '../../src/vmm/machine.ts';
import type { MmioDevice } from '../../src/hypervisor/bus/mmio.ts';
import { exitStatus, type RunResult } from '../../src/vmm/result.ts';
import { segmentBase } from '../../src/cpu/segments/segments.ts';
import { GPR, SEGMENT } from '../../src/x86/names/registers.ts';
import { bootGuest, corpus, imageOf, MEMORY, POWER_OFF } from './guest.ts';

describe('how a run ends', () => {
  it('by the debug exit, at the write itself, with the status that QEMU gives', async () => {
    const machine = await bootGuest('movl $0x10, %eax; outl %eax, $0xf4; movl $0xbad, %ebx; hlt');
    const result = machine.run();
    expect(result).toEqual({ kind: 'debug-exit', value: 0x10, vcpu: 0 });
    expect(exitStatus(result)).toBe(33);
    expect(machine.vm.vcpus[0]!.guest.state.gpr(GPR.RBX)).toBe(0n);
  });

  it.each([
    [0, 1],
    [1, 3],
    [0x7f, 0xff],
    [0x80, 1],
    [0xffffffff, 0xff],
  ])('debug exit %i is status %i', (value, status) => {
    expect(exitStatus({ kind: 'debug-exit', value, vcpu: 0 })).toBe(status);
  });

  it('by power-off, with status 0', async () => {
    const result = (await bootGuest(POWER_OFF)).run();
    expect(result).toEqual({ kind: 'power-off', vcpu: 0 });
    expect(exitStatus(result)).toBe(0);
  });

  it('by a triple fault, which says where', async () => {
    const machine = await bootGuest('nop; ud2');
    const result = machine.run();
    expect(result).toMatchObject({ kind: 'triple-fault', vcpu: { vcpu: 0, rip: 0x100001n } });
    expect(exitStatus(result)).toBe(6);
  });

  it('when only timers go on, whose interrupts nobody will take', async () => {
    const machine = await bootGuest(`${periodicTimer}; cli; hlt`);
    expect(machine.run().kind).toBe('deadlock');
  });

  it('not while the trap of a single-stepped HLT is due', async () => {
    const machine = await bootGuest('pushfq; orl $0x100, (%rsp); popfq; hlt');
    // Without an IDT the trap ends the guest, but it does come.
    expect(machine.run()).toMatchObject({ kind: 'triple-fault', fault: { first: { vector: 1 } } });
  });

  it('when nothing can ever happen again, with each vCPU’s state', async () => {
    const machine = await bootGuest('testl %edi, %edi; jnz 1f; sti; 1: hlt', { vcpus: 2 });
    const result = machine.run();
    expect(result.kind).toBe('deadlock');
    expect(exitStatus(result)).toBe(8);
    const { vcpus } = result as Extract<RunResult, { kind: 'deadlock' }>;
    expect(vcpus.map((v) => v.waitsFor)).toEqual([
      'vCPU 0 is halted, no timer is armed',
      'vCPU 1 is halted with interrupts disabled',
    ]);
    expect(vcpus.map((v) => v.state)).toEqual(['halted', 'halted']);
  });

  it('by the budget, and goes on from there', async () => {
    const machine = await bootGuest(`movl $100000, %ecx; 1: decl %ecx; jnz 1b; ${POWER_OFF}`);
    const result = machine.run({ maxCycles: 50_000 });
    expect(result).toMatchObject({ kind: 'budget', cycles: 50_000, vcpus: [{ state: 'runnable', tsc: 50_000n }] });
    expect(exitStatus(result)).toBe(10);
    expect(machine.run().kind).toBe('power-off');
  });

  it('by `until`, and goes on from there', async () => {
    const machine = await bootGuest(`movb $0x41, %al; outb %al, $0xe9; 1: decq %rcx; jnz 1b`);
    expect(machine.run({ until: ({ console }) => console.text.includes('A') }).kind).toBe('until');
    expect(machine.result).toBeNull();
  });

  it('by name, at what is not implemented', async () => {
    const machine = await bootGuest('fld1; nop');
    const result = machine.run();
    expect(result.kind).toBe('not-implemented');
    expect((result as { what: string }).what).toMatch(/fld1/i);
    // Stopping is no VM exit.
    expect(machine.counters.exits).toBe(machine.counters.byReason.get('EPT_VIOLATION'));
    expect(exitStatus(result)).toBe(12);
  });
});

describe('INIT and SIPI', () => {
  it('start an application processor in real mode, at the page that the vector names', async () => {
    const machine = await bootGuest(
      `testl %edi, %edi; jnz 2f
      leaq trampoline(%rip), %rsi; movl $0x8000, %edi; movl $trampolineEnd - trampoline, %ecx; rep movsb
      movl $0x830, %ecx; movl $1, %edx; movl $0x4500, %eax; wrmsr     # INIT to APIC 1
      movl $0x4608, %eax; wrmsr                                       # SIPI, page 8
      1: pause; cmpw $0xbeef, 0x9000; jne 1b
      2: hlt
      .code16
      trampoline:
      movw %cs, %ax; movw %ax, 0x9002; smsw %bx; movw %bx, 0x9004
      movw $0xbeef, 0x9000
      cli; hlt
      trampolineEnd:`,
      { vcpus: 2 },
    );
    expect(machine.run()).toMatchObject({ kind: 'deadlock' });
    const { state, mmu } = machine.processor.cpus[1]!;
    expect(mmu.peek(0x9000n, 6)).toEqual(Uint8Array.of(0xef, 0xbe, 0x00, 0x08, 0x10, 0x00));
    expect({ rip: state.rip, cs: segmentBase(state, SEGMENT.CS) }).toEqual({ rip: 0x14n, cs: 0x8000n });
  });
});

describe('determinism', () => {
  const digestOf = async (name: string, slice: number, trace: boolean): Promise<string> => {
    const machine = Machine.boot({ image: await corpus(name), vcpus: 2, memory: MEMORY });
    if (trace) machine.probes.subscribe(() => undefined);
    let result: RunResult;
    let at = 0;
    do result = machine.run({ maxCycles: (at += slice) });
    while (result.kind === 'budget');
    return `${machine.digest()} ${result.kind} ${machine.counters.exits}`;
  };

  it.each(['ipi', 'warp'])('%s: two runs, traced or not, in slices of any length, end in one state', async (name) => {
    const once = await digestOf(name, Infinity, false);
    expect(once).toContain('power-off');
    expect(await digestOf(name, Infinity, false)).toBe(once);
    expect(await digestOf(name, Infinity, true)).toBe(once);
    for (const slice of [100_003, 7001]) expect(await digestOf(name, slice, false), `${slice}`).toBe(once);
  });

  it('chance comes from the seed: RDRAND gives each vCPU numbers of its own, and the same in every run', async () => {
    const image = await imageOf('rdrand %rbx; rdseed %rbp; cli; hlt');
    const drawn = (seed: number): bigint[] => {
      const machine = Machine.boot({ image, vcpus: 2, memory: MEMORY, seed });
      machine.run();
      return machine.vm.vcpus.flatMap(({ guest }) => [guest.state.gpr(GPR.RBX), guest.state.gpr(GPR.RBP)]);
    };
    const numbers = [...drawn(0), ...drawn(1)];
    expect(new Set(numbers).size).toBe(8);
    expect([...drawn(0), ...drawn(1)]).toEqual(numbers);
  });

  it('a seed tries another interleaving, and always the same', async () => {
    const image = await corpus('ipi');
    const run = (seed: number): string => {
      const machine = Machine.boot({ image, vcpus: 2, memory: MEMORY, seed });
      expect(machine.run().kind).toBe('power-off');
      return machine.digest();
    };
    expect(run(1)).toBe(run(1));
    expect(new Set([0, 1, 2].map(run)).size).toBe(3);
  });

  it('the digest tells registers, memory and time apart', async () => {
    const digest = async (source: string): Promise<string> => {
      const machine = await bootGuest(`${source}; hlt`);
      machine.run();
      return machine.digest();
    };
    const all = await Promise.all(['nop', 'movl $1, %ebx', 'movb $1, 0x200000', 'nop; nop', 'stc'].map(digest));
    expect(new Set(all).size).toBe(all.length);
  });
});

describe('what the guest asked for in vain', () => {
  it('an unknown port reads as all ones, swallows writes, and is named', async () => {
    const machine = await bootGuest(
      `movw $0x160, %dx; inl %dx, %eax; movl %eax, %ebx; movw $0x181, %dx; outb %al, %dx; outb %al, %dx; ${POWER_OFF}`,
    );
    machine.run();
    expect(machine.vm.vcpus[0]!.guest.state.gpr(GPR.RBX)).toBe(0xffff_ffffn);
    expect(machine.diagnostics).toMatchObject([
      { what: 'port-in', index: 0x160, answer: 'all ones', rip: 0x100004n, count: 1 },
      { what: 'port-out', index: 0x181, answer: 'ignored', count: 2 },
    ]);
  });

  it('memory that is not there reads as all ones and is named', async () => {
    // One more large page in the boot loader's page directory, behind the memory.
    const machine = await bootGuest(`movq $0x400083, 0xb010; movl 0x400123, %ebx; ${POWER_OFF}`);
    machine.run();
    expect(machine.vm.vcpus[0]!.guest.state.gpr(GPR.RBX)).toBe(0xffff_ffffn);
    expect(machine.diagnostics).toMatchObject([{ what: 'mmio-read', index: 0x400123, count: 1 }]);
  });
});

describe('devices', () => {
  it('in memory see each access once, with its size', async () => {
    const seen: string[] = [];
    const device: MmioDevice = {
      name: 'probe',
      gpa: 0x400000,
      length: 4096,
      read: (offset, size) => (
        seen.push(`read ${offset}.${size}`),
        0x1122334455667788n & ((1n << BigInt(8 * size)) - 1n)
      ),
      write: (offset, size, value) => void seen.push(`write ${offset}.${size} = ${value.toString(16)}`),
    };
    const machine = await bootGuest(
      `movq $0x400083, 0xb010; movl $0x55, 0x400010; movq 0x400020, %rbx; incw 0x400030; ${POWER_OFF}`,
    );
    machine.mmio.connect(device);
    machine.run();
    expect(seen).toEqual(['write 16.4 = 55', 'read 32.8', 'read 48.2', 'write 48.2 = 7789']);
    expect(machine.vm.vcpus[0]!.guest.state.gpr(GPR.RBX)).toBe(0x1122334455667788n);
  });

  it('serial and debugcon print to one console', async () => {
    const machine = await bootGuest(
      `movw $0x3f8, %dx; movb $0x48, %al; outb %al, %dx; movb $0x69, %al; outb %al, $0xe9; ${POWER_OFF}`,
    );
    const heard: number[] = [];
    machine.console.listen((byte) => heard.push(byte));
    machine.run();
    expect(machine.console.text).toBe('Hi');
    expect(heard).toEqual([0x48, 0x69]);
  });
});

/** The LAPIC fires vector 0xec again and again. */
const periodicTimer = `
  movl $0x80f, %ecx; movl $0x1ff, %eax; xorl %edx, %edx; wrmsr
  movl $0x832, %ecx; movl $0x200ec, %eax; wrmsr
  movl $0x838, %ecx; movl $1000000, %eax; wrmsr`;

describe('booting', () => {
  it('starts each vCPU with its index, their number and a stack of its own, interrupts off', async () => {
    const machine = await bootGuest('1: jmp 1b', { vcpus: 3 });
    const states = machine.vm.vcpus.map(({ guest: { state } }) => [
      state.gpr(GPR.RDI),
      state.gpr(GPR.RSI),
      state.gpr(GPR.RSP),
      state.rip,
    ]);
    expect(states).toEqual([0, 1, 2].map((id) => [BigInt(id), 3n, BigInt(MEMORY - id * 16384), 0x100000n]));
  });

  it('populates pages when they are touched and no earlier', async () => {
    const machine = await bootGuest(`movb $1, 0x300000; ${POWER_OFF}`);
    machine.run();
    // PML4, PDPT, PD, code, data.
    expect(machine.counters.byReason.get('EPT_VIOLATION')).toBe(5);
  });

  it('lets two machines share a host, each on CPUs of its own', async () => {
    const host = new Host({ cpus: 3 });
    const spin = `movl $50000, %ecx; 1: decl %ecx; jnz 1b; ${POWER_OFF}`;
    const [a, b] = [await bootGuest(spin, { host, vcpus: 2 }), await bootGuest(spin, { host })];
    expect(a.run().kind).toBe('power-off');
    expect(b.run().kind).toBe('power-off');
    expect(b.vm.vcpus[0]!.cpu.id).toBe(2);
    // The CPUs of a machine that has ended are free, in whatever its vCPUs were interrupted.
    const c = await bootGuest(`${periodicTimer}; ${POWER_OFF}`, { host, vcpus: 3 });
    expect(c.run().kind).toBe('power-off');
    // And none of its timers keeps the host from finding that nothing can happen any more.
    const d = await bootGuest('sti; hlt', { host, vcpus: 3 });
    expect(d.run().kind).toBe('deadlock');
  });

  it('refuses what cannot be booted, and says what to try', async () => {
    const image = await imageOf('nop');
    const boot = (options: object) => () => Machine.boot({ image, memory: MEMORY, ...options });
    expect(() => boot({})().run({ maxCycles: NaN })).toThrow('maxCycles is a number of cycles or Infinity, not NaN');
    expect(boot({ vcpus: 0 })).toThrow('at least one vCPU, not 0');
    expect(boot({ memory: 5000 })).toThrow('whole pages of 4096 bytes, not 5000 bytes');
    expect(boot({ memory: 2 ** 20 })).toThrow('try 2 MiB or more');
    expect(boot({ memory: 2 ** 33 })).toThrow('does not fit one 32-bit WebAssembly memory');
    expect(boot({ features: ['warp'] })).toThrow("no feature 'warp', only kvmclock, kvmclock-stable-bit");
    expect(boot({ devices: ['frob'] })).toThrow("there is no device 'frob', only msix-test");
    expect(boot({ devices: ['msix-test', 'msix-test'] })).toThrow("one device 'msix-test' at most: name it once");
    expect(boot({ xen: 'domain', xenRoute: { ipi: 'pigeon' } })).toThrow(
      "events of 'ipi' come by hypervisor, eventfd,",
    );
    expect(boot({ params: { fastpath: 'warp' } })).toThrow(
      "fastpath knows off, v1, fake-reason, irqoff, all-icr, reenter, not 'warp'",
    );
    expect(boot({ params: { module: 'kvm_arm' } })).toThrow("module knows kvm_intel, kvm_amd, not 'kvm_arm'");
    expect(boot({ params: { lazyTscdeadline: 'v4' } })).toThrow("lazyTscdeadline knows v2, v3, fixed, not 'v4'");
    expect(boot({ params: { halt_poll_ns: 0 } })).toThrow("there is no parameter 'halt_poll_ns', only module, ");
    expect(boot({ params: { haltPollNs: NaN } })).toThrow('haltPollNs is whole nanoseconds, not NaN');
    expect(boot({ params: { module: 'kvm_amd', apicv: true } })).toThrow('AVIC, is not implemented');
    expect(boot({ tscKhz: 20_000_001 })).toThrow('a TSC runs at 20000000 kHz at most, not at 20000001 kHz');
    expect(boot({ tscKhz: 0 })).toThrow('a TSC runs at whole kHz, not 0');
    const low = await imageOf('nop', 0x8000);
    expect(() => Machine.boot({ image: low, memory: MEMORY })).toThrow(
      'the image begins at 0x8000, where the boot loader has its tables (up to 0xc000)',
    );
  });
});

describe('the local APIC in xAPIC mode', () => {
  it('answers in guest physical memory, without userspace', async () => {
    // One more large page in the boot loader's page directory. The way from x2APIC to xAPIC mode leads through disabled.
    const machine = await bootGuest(`
      movl $0xfee00083, 0xb018            # guest virtual 0x600000 is the APIC's page
      movl $0x1b, %ecx
      rdmsr
      andl $~0xc00, %eax
      wrmsr
      orl $0x800, %eax
      wrmsr
      movl $0x1ff, 0x6000f0               # SVR
      movl 0x6000f0, %ebx
      movl 0x600030, %ebp                 # version
      ${POWER_OFF}`);
    expect(machine.run().kind).toBe('power-off');
    const { state } = machine.vm.vcpus[0]!.guest;
    expect(state.gpr(GPR.RBX)).toBe(0x1ffn);
    expect(state.gpr(GPR.RBP) & 0xffn).toBe(0x14n);
    expect(machine.vm.vcpus[0]!.stat.mmioExits).toBe(0);
    expect(machine.diagnostics).toEqual([]);
  });
});
