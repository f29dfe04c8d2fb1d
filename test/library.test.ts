// The library as its users import it: one entry, from a source to counters, events and a report.

import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  assemble,
  AssemblerError,
  BRIEF_LAZY,
  compareLazy,
  COST_MODELS,
  DEFAULT_ORIGIN,
  describeExit,
  ExitLines,
  ExitStatistics,
  exitStatus,
  getXenVcpuAttr,
  getXenVmAttr,
  lazyTscDeadline,
  loadRaw,
  Machine,
  msrReport,
  perfReport,
  PRIO_2LEVEL,
  Probes,
  XenError,
  type ExitLine,
  type Image,
} from '../src/index.ts';

const load = (name: string): Promise<Image> =>
  assemble(readFileSync(`guests/${name}.s`, 'utf8'), {
    file: `guests/${name}.s`,
    origin: DEFAULT_ORIGIN,
    read: (path) => (existsSync(path) ? readFileSync(path, 'utf8') : null),
  });

describe('the library', () => {
  it('boots, runs until something, and goes on to the end', async () => {
    const vm = Machine.boot({ image: await load('hello') });
    const paused = vm.run({ until: ({ console }) => console.text.includes('Hello') });
    expect(['until', 'power-off']).toContain(paused.kind);
    const result = vm.run({ maxCycles: 1e9 });
    expect([result.kind, exitStatus(result)]).toEqual(['power-off', 0]);
    expect(vm.counters.byReason.get('IO_INSTRUCTION')).toBe(vm.console.text.length + 1);
  });

  it('tells exits as data and as text, and reports them', async () => {
    const probes = new Probes();
    const statistics = new ExitStatistics();
    const lines: ExitLine[] = [];
    probes.subscribe(statistics.sink);
    probes.subscribe(new ExitLines((line) => lines.push(line)).sink);
    const vm = Machine.boot({ image: await load('tick'), probes });
    vm.run();
    const armed = lines.filter(({ exit }) => exit.reason === 'MSR_WRITE' && exit.index === 0x6e0);
    expect(armed).toHaveLength(10);
    expect(describeExit(armed[0]!.exit)).toMatch(/^MSR_WRITE MSR_TSC_DEADLINE = 0x/);
    expect(armed[0]!.action).toMatch(/^timer armed, \d+ cycles ahead \(fast path\)$/);
    // The last exit ends the machine: no entry follows it.
    expect(lines).toHaveLength(vm.counters.exits - 1);
    statistics.finish(vm.host.cpus[0]!.now);
    expect(perfReport(statistics, { tscKhz: vm.host.tscKhz })).toMatch(/^ +HLT +10 /m);
    expect(msrReport(vm.counters.msrWrites)).toMatch(/^ +tsc-deadline +\d+% +10 /m);
  });

  it("reads a Xen guest's attributes, and says where there are none", async () => {
    const vm = Machine.boot({ image: await load('xentick'), xen: 'domain' });
    const timer = ({ vm: { vcpus } }: Machine) => getXenVcpuAttr(vcpus[0]!, 'TIMER');
    vm.run({ until: (machine) => timer(machine).expiresNs > 0n });
    expect(timer(vm)).toMatchObject({ port: 2, priority: PRIO_2LEVEL });
    const other = Machine.boot({ image: await load('tick') });
    expect(() => timer(other)).toThrow(XenError);
    expect(() => getXenVmAttr(other.vm, 'LONG_MODE')).toThrow('boot it with the option xen (EINVAL)');
  });

  it('waits for interrupts without counting the wait as the work of an exit', async () => {
    const lines: ExitLine[] = [];
    const probes = new Probes();
    probes.subscribe(new ExitLines((line) => lines.push(line)).sink);
    Machine.boot({ image: await load('tick'), probes }).run();
    for (const { exit, cost, waited, injects } of lines.filter((line) => line.exit.reason === 'HLT')) {
      expect({ reason: exit.reason, injects }).toEqual({ reason: 'HLT', injects: 0xec });
      expect(waited).toBeGreaterThan(50_000);
      expect(cost).toBeLessThan(2000);
    }
  });

  it('runs an experiment with guests from wherever they are', async () => {
    expect(lazyTscDeadline.name).toBe('lazy-tscdeadline');
    const { equalTransactions } = compareLazy(await load('lazy'), COST_MODELS['skylake-2020'], BRIEF_LAZY);
    const deadlines = equalTransactions.map(({ msrWrites }) => msrWrites.get('tsc-deadline')!);
    expect(Math.max(...deadlines.slice(1))).toBeLessThan(deadlines[0]! / 20);
  });

  it('says what is wrong with a source as data', async () => {
    const source = assemble('nop\nmovl $1, %eaxx\n', { file: 'x.s', origin: 0, read: () => null });
    await expect(source).rejects.toThrow(AssemblerError);
    await expect(source).rejects.toMatchObject({ problems: [{ file: 'x.s', line: 2 }] });
  });

  it('lets two machines run in one process without knowing of each other', () => {
    const image = loadRaw(Uint8Array.of(0xb8, 1, 0, 0, 0, 0xe7, 0xf4), DEFAULT_ORIGIN);
    const [a, b] = [Machine.boot({ image }), Machine.boot({ image })];
    expect(a.run()).toEqual(b.run());
    expect(a.digest()).toBe(b.digest());
  });
});
