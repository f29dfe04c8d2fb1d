// What each command shows for good input.

import { afterAll, describe, expect, it } from 'vitest';
import { ROWS } from '../../src/x86/rows.ts';
import { Trapline } from './trapline.ts';

const trapline = new Trapline();
afterAll(() => trapline.remove());

describe('run', () => {
  it('shows the console, then the exits in the shape of perf kvm stat, then MSR writes by both their names', async () => {
    const { status, out, err } = await trapline.run('run', 'guests/tick.s');
    expect(err).toBe('');
    expect(status).toBe(0);
    expect(out).toMatch(/^10 ticks of 100000 cycles\n/);
    expect(out).toContain('Analyze events for all VMs, all VCPUs:');
    expect(out).toMatch(/^ +VM-EXIT +Samples +Samples% +Time% +Min Time +Max Time +Avg time$/m);
    expect(out).toMatch(
      /^ +HLT +10 +\d+\.\d\d% +\d+\.\d\d% +\d+\.\d\dus +\d+\.\d\dus +\d+\.\d\dus \( \+- +\d+\.\d\d% \)$/m,
    );
    expect(out).toMatch(/^Total Samples:\d+, Total events handled time:\d+\.\d\dus \(modelled\)\.$/m);
    expect(out).toMatch(/^ +tsc-deadline +\d+% +10 +MSR_TSC_DEADLINE$/m);
  });

  it('shows which paths the events and hypercalls of a Xen guest took, and none that it did not take', async () => {
    const paths = async (guest: string): Promise<string[]> => {
      const { out } = await trapline.run('run', guest);
      const [, lines = ''] = out.split('Xen events and hypercalls, by path');
      return lines.trim().split('\n').slice(2);
    };
    expect(await paths('guests/xenpoll.s')).toEqual([
      expect.stringMatching(/^ {2}events on a masked port +100$/),
      expect.stringMatching(/^ {2}polls that waited +101$/),
      expect.stringMatching(/^ {4}ended by the event of a masked port +100$/),
      expect.stringMatching(/^ {4}ended by their timeout +1$/),
      expect.stringMatching(/^ {2}hypercalls answered in the kernel +201$/),
      expect.stringMatching(/^ {2}hypercalls that left for the VMM +3$/),
    ]);
    expect(await paths('guests/tick.s')).toEqual([]);
  });

  it('--quiet shows the console alone', async () => {
    expect(await trapline.run('run', 'guests/hello.s', '--quiet')).toEqual({
      status: 0,
      out: 'Hello from vCPU 0 of 1, in 64-bit mode.\n',
      err: '',
    });
  });

  it('ends with the status of the guest’s debug exit', async () => {
    const file = trapline.file('debug.s', 'movl $0x15, %eax\n outl %eax, $0xf4\n');
    const { status, err } = await trapline.run('run', file, '--quiet');
    expect(status).toBe(43);
    expect(err).toBe('guest: debug exit with 0x15 on vCPU 0: exit status 43\n');
  });

  it('lets a guest meet the processor that --cpu names', async () => {
    const file = trapline.file('rdrand.s', 'rdrand %rax\n movl $0, %eax\n outl %eax, $0xf4\n');
    expect((await trapline.run('run', file, '--quiet')).status).toBe(1);
    const { status, err } = await trapline.run('run', file, '--quiet', '--cpu', 'minimal');
    expect(status).not.toBe(1);
    expect(err).toContain('RDRAND');
  });

  it('--cpuid prints the leaves as each vCPU sees them and the features by name, and runs nothing', async () => {
    const { status, out } = await trapline.run(
      ...'run --cpuid --vcpus 2 --cpu max,-x2apic,vendor=AuthenticAMD'.split(' '),
    );
    expect(status).toBe(0);
    const lines = out.trimEnd().split('\n');
    expect(lines.filter((line) => /^CPU \d:$/.test(line))).toEqual(['CPU 0:', 'CPU 1:']);
    expect(lines).toContain('   0x00000000 0x00: eax=0x00000016 ebx=0x68747541 ecx=0x444d4163 edx=0x69746e65');
    // Leaf 0xB has two levels; EDX is the x2APIC id.
    expect(lines.filter((line) => line.startsWith('   0x0000000b')).map((line) => line.slice(-1))).toEqual([...'0011']);
    expect(lines.at(-1)).toMatch(/^features: ADX APIC /);
    expect(lines.at(-1)).not.toContain('X2APIC');
  });

  it('takes flat binaries, and directives are replaced by options', async () => {
    // movl $1, %eax; outl %eax, $0xf4
    const file = trapline.file('flat.bin', Uint8Array.of(0xb8, 1, 0, 0, 0, 0xe7, 0xf4));
    expect((await trapline.run('run', file, '--quiet', '--vcpus', '2', '--memory', '8M', '--seed', '7')).status).toBe(
      3,
    );
  });
});

describe('trace', () => {
  it('prints a line for each exit: vCPU, TSC, place, instruction, cost, reason, what was done', async () => {
    const { status, out, err } = await trapline.run('trace', 'guests/tick.s');
    expect(status).toBe(0);
    expect(err).toContain('10 ticks of 100000 cycles');
    const lines = out.trimEnd().split('\n');
    expect(lines[0]).toMatch(/^vCPU +TSC +RIP +instruction +cycles +exit: what the hypervisor did$/);
    const armed = lines.filter((line) => line.includes('MSR_TSC_DEADLINE'));
    expect(armed).toHaveLength(10);
    expect(armed[0]).toMatch(
      /^ +0 +\d+ +timer_arm\+0x[\da-f]+ +wrmsr +\d+ +MSR_WRITE MSR_TSC_DEADLINE = 0x[\da-f]+: timer armed, \d+ cycles ahead \(fast path\)$/,
    );
    expect(out).toMatch(
      /hlt +\d+ +HLT: halts, timer due in \d+ cycles \(fast path\); woken after \d+ cycles; injects vector 0xec$/m,
    );
    expect(out).toMatch(/X2APIC_EOI = 0x0: interrupt 0xec ended$/m);
    expect(out).toMatch(/EPT_VIOLATION write of gpa 0x[\da-f]+: page 0x[\da-f]+ populated from slot 0$/m);
  });

  it("says what a guest asks of Xen, and when Xen's timer is due", async () => {
    const { out } = await trapline.run('trace', 'guests/xentick.s');
    expect(out.match(/VMCALL: vcpu_op 8 answered 0$/gm)).toHaveLength(10);
    expect(out.match(/HLT: halts, Xen timer due in \d+ ns \(fast path\); woken after/g)).toHaveLength(10);
  });

  it('says to whom an IPI goes', async () => {
    const { out, err } = await trapline.run('trace', 'guests/ipi.s', '--limit', '40');
    expect(out).toMatch(/X2APIC_ICR = 0x1000000fb: IPI: vector 0xfb to APIC 1 \(fast path\)$/m);
    expect(out.trimEnd().split('\n')).toHaveLength(41);
    expect(err).toMatch(/^trapline: \d+ more exits$/m);
  });

  it('--json prints an object a line', async () => {
    const { out } = await trapline.run('trace', 'guests/hello.s', '--json');
    const objects = out.trimEnd().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>); // prettier-ignore
    const first = objects.find((o) => o.reason === 'IO_INSTRUCTION');
    expect(first).toMatchObject({
      vcpu: 0,
      port: 0x3f8,
      size: 1,
      direction: 'out',
      value: 0x48,
      instruction: 'out %al,(%dx)',
    });
    expect(Object.keys(first!)).toEqual(
      expect.arrayContaining(['tsc', 'rip', 'symbol', 'action', 'cost', 'waited', 'injects']),
    );
  });
});

describe('lazy', () => {
  const at = (...options: string[]) =>
    trapline.run('lazy', 'guests/lazy.s', '--feature', 'lazy-tscdeadline', '--at', '21M', ...options);

  it('shows what is armed and what is pending on each vCPU, and what the host did', async () => {
    const { status, out } = await at();
    expect(status).toBe(0);
    const [head, ...lines] = out.trimEnd().split('\n');
    expect(head).toMatch(/^vCPU +TSC +pending +armed +state$/);
    expect(lines).toHaveLength(4);
    expect(lines[0]).toMatch(/^ +0 +\d+ +\d+ \(in \d+\) +\d+ \(in \d+\) +(armed|extended)$/);
    expect(lines[3]).toMatch(
      /^vCPU 1: published \d+, fired \d+, armed anew \d+, cleared \d+ fired; early interrupts 0$/,
    );
  });

  it('--kick makes a vCPU look at its page, and shows it again', async () => {
    const { status, out } = await at('--kick', '1', '--after', '30k', '--json');
    expect(status).toBe(0);
    const [before, after] = out
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { now: string; counters: { kicks: number } }[]);
    expect(after![1]!.counters.kicks).toBe(before![1]!.counters.kicks + 1);
    expect(after![0]!.counters.kicks).toBe(before![0]!.counters.kicks);
  });

  it('says so where there is nothing to see: without the feature, and when the guest has given its page back', async () => {
    expect((await trapline.run('lazy', 'guests/lazy.s', '--at', '1M')).out).toMatch(/^ +0 +not in CPUID$/m);
    const ended = await trapline.run('lazy', 'guests/lazy.s', '--feature', 'lazy-tscdeadline');
    expect(ended.out).toMatch(/^ +1 +not open in guest$/m);
    expect(ended.status).toBe(0);
    const early = await trapline.run(...'lazy guests/lazy.s --feature lazy-tscdeadline --at 100 --kick 0'.split(' '));
    expect(early.err).toContain('trapline: vCPU 0 was not kicked: its page is not open in guest\n');
  });
});

describe('asm and disasm', () => {
  it('list addresses and bytes, and disassemble back', async () => {
    const file = trapline.file('two.s', '_start: movl $5, %eax\n hlt\n');
    expect((await trapline.run('asm', file)).out).toMatch(/100000 .*b8 ?05 ?00 ?00 ?00.*movl \$5, %eax/);
    expect((await trapline.run('disasm', file)).out).toMatch(/mov \$0x5,%eax|movl \$5, %eax/);
    const flat = trapline.file('two.bin', '');
    expect((await trapline.run('asm', file, '--output', flat)).status).toBe(0);
    expect((await trapline.run('disasm', flat)).out).toMatch(/hlt/);
  });
});

describe('isa', () => {
  it('tells what is executed, by what, and what a form is generated to', async () => {
    const { status, out } = await trapline.run('isa', 'add.32.m.r');
    expect(status).toBe(0);
    expect(out).toMatch(/^add\.32\.m\.r +64 +01 \/r +Ev,Gv +generated/m);
    expect((await trapline.run('isa', 'add.32.m.r', '--wat')).out).toMatch(/\(func|i32\.add/);
    expect((await trapline.run('isa', 'vfmadd', '--all')).out).toMatch(/not/);
  });

  it('tells in which modes code has it, form by form and encoding by encoding', async () => {
    expect((await trapline.run('isa', 'inc.32.r')).out).toMatch(/^inc\.32\.r +16 32 64 +40\+r/m);
    const { out } = await trapline.run('isa');
    expect(out).toMatch(/^inc +16 32 +16 32 +40\+r/m);
    expect(out).toMatch(/^inc +16 32 64 +16 32 64 +FF \/0/m);
    expect(out).toMatch(/^swapgs +64 +0F 01 \/F8/m);
    expect(out).toMatch(/^daa +16 32 +8 +27 /m);
  });

  it('lists each encoding, also where others have the same forms', async () => {
    const { out } = await trapline.run('isa');
    for (const encoding of ['81 /0', '83 /0']) expect(out).toMatch(new RegExp(`^add .* ${encoding} `, 'm'));
    const lines = out.split('\n');
    const listed = lines.indexOf('') - 1;
    expect(out).toContain(`${listed} encodings of ${ROWS.length} are executed`);
  });

  it('shows what is generated for each kind of code', async () => {
    const { out } = await trapline.run('isa', 'add.32.s.r', '--wat');
    for (const name of ['add.32.s.r', 'add.32.s.r.flat', 'add.32.s.r.segmented']) expect(out).toContain(`$${name} `);
  });
});

describe('costs', () => {
  it('prints every primitive with its source, and how many are estimated', async () => {
    const { status, out } = await trapline.run('costs');
    expect(status).toBe(0);
    expect(out).toMatch(/^barrier +20 +full memory barrier .*Agner Fog/m);
    expect(out).toMatch(/^skylake-2020: \d+ primitives, \d+ of them estimated\./m);
    const { entries } = JSON.parse((await trapline.run('costs', 'unit', '--json')).out) as {
      entries: { cycles: number }[];
    };
    expect(new Set(entries.map(({ cycles }) => cycles))).toEqual(new Set([1]));
  });
});

it('a run on a timer that no x86 processor has says so', async () => {
  const { err } = await trapline.run('run', 'guests/tick.s', '--timer', 'load-put', '--quiet');
  expect(err).toContain('hypothetical on x86');
});

describe('lab', () => {
  it('lazy-tscdeadline draws the table of the series and compares claims', async () => {
    const { status, out } = await trapline.run('lab', 'lazy-tscdeadline');
    expect(status).toBe(0);
    expect(out).toMatch(/^VM-Exit$/m);
    expect(out).toMatch(/^ {2}tsc-deadline +75% +\d{5}( +1% +\d\d){3}$/m);
    expect(out).toMatch(/^ {2}early interrupts +0 +[1-9]\d* +[1-9]\d* +0$/m);
    expect(out).toMatch(/^ {2}tsc-deadline writes +97\.5% +9\d\.\d% +[+-]\d+\.\d +9\d\.\d%$/m);
    expect(out).toContain('Varied: KVM_FEATURE_LAZY_TSCDEADLINE');
    expect(out.split('\n').every((line) => line.length <= 120)).toBe(true);
  });

  it('--json gives the data', async () => {
    const { runs } = JSON.parse((await trapline.run('lab', 'timer-latency', '--json')).out) as {
      runs: { design: string; hostInterrupts: number }[];
    };
    expect(runs.slice(0, 2).map(({ design, hostInterrupts }) => [design, hostInterrupts])).toEqual([
      ['sw', 2000],
      ['hv', 1000],
    ]);
  });

  it('ipi-fastpath draws counts, latencies of both hosts, and the published differences', async () => {
    const { status, out } = await trapline.run('lab', 'ipi-fastpath');
    expect(status).toBe(0);
    expect(out).toMatch(/^ {2}off +1 +0 +1 +1 +1 +0$/m);
    expect(out).toMatch(/^ {2}reenter( +\d+){9}$/m);
    expect(out).toMatch(/^ {2}off -> v1 +-330 +-\d+ +[+-]\d+ {2}cover of v1/m);
    expect(out).toMatch(/^ {2}off: \d+ of 1000 IPIs waited/m);
    expect(out.split('\n').every((line) => line.length <= 120)).toBe(true);
  });

  it('timer-latency draws counts, latencies and histograms', async () => {
    const { status, out } = await trapline.run('lab', 'timer-latency');
    expect(status).toBe(0);
    expect(out).toMatch(/^ {2}sw +\d+ +2000$/m);
    expect(out).toMatch(/^ {2}posted +\d+ +0$/m);
    expect(out).toMatch(/^ +1218 to 1448 +#+ +999$/m);
    expect(out.split('\n').every((line) => line.length <= 120)).toBe(true);
  });

  it('timer-ownership draws accesses, what the source says, and that it is hypothetical', async () => {
    const { status, out } = await trapline.run('lab', 'timer-ownership');
    expect(status).toBe(0);
    expect(out).toMatch(/Timer ownership: .*hypothetical on x86/);
    expect(out).toMatch(/two busy vCPUs on one CPU: accesses for each exit/);
    expect(out).toMatch(/entry-exit-nvhe: writes of an exit and entry +7 +7 +0 /);
    expect(out).toMatch(/Modelled cycles .*skylake-2020/);
    expect(out).toMatch(/Varied: when the registers/);
    for (const line of out.split('\n')) expect(line.length).toBeLessThanOrEqual(120);
  });

  it('--csv gives the table as comma-separated values', async () => {
    const { out } = await trapline.run('lab', 'timer-latency', '--csv');
    const [head, ...rows] = out.trimEnd().split('\n');
    expect(head).toBe('design,host,guest,count,median,p99,max');
    expect(rows.length % 4).toBe(0);
    for (const row of rows) expect(row).toMatch(/^[a-z+]+,(alone|loaded),(running|halted)(,\d+){4}$/);
  });

  it('--costs takes another cost model, and says so', async () => {
    const { out } = await trapline.run('lab', 'timer-latency', '--costs', 'unit');
    expect(out).toContain('Modelled cycles from the deadline to the handler (unit)');
  });
});

describe('tour', () => {
  it('goes through everything and ends well', async () => {
    const { status, out, err } = await trapline.run('tour');
    expect(err).toBe('');
    expect(status).toBe(0);
    for (const part of [
      'Hello from vCPU 0',
      'timer armed',
      'IPI: vector 0xfb',
      'triple fault',
      'tsc-deadline writes',
    ]) {
      expect(out).toContain(part);
    }
  });
});

describe('help', () => {
  it.each(['run', 'trace', 'lazy', 'lab', 'costs', 'tour', 'asm', 'disasm', 'isa'])(
    'trapline %s --help',
    async (name) => {
      const { status, out, err } = await trapline.run(name, '--help');
      expect([status, err]).toEqual([0, '']);
      expect(out).toMatch(new RegExp(`^trapline ${name}`));
      expect((await trapline.run('help', name)).out).toBe(out);
      expect((await trapline.run('--help')).out).toMatch(new RegExp(`^ +${name} `, 'm'));
    },
  );

  it('trapline --version', async () => {
    expect((await trapline.run('--version')).out).toMatch(/^trapline \d+\.\d+\.\d+\n$/);
  });
});
