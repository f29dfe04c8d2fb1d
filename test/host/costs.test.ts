import { describe, expect, it } from 'vitest';
import { COST, COST_MODELS, costModel } from '../../src/host/costs.ts';
import { Host } from '../../src/host/host.ts';

describe('cost models', () => {
  it('name their source for every primitive, and mark estimates', () => {
    for (const { name, cycles, source, estimated } of COST_MODELS['skylake-2020'].entries) {
      expect(cycles, name).toBeGreaterThan(0);
      expect(Number.isInteger(cycles), name).toBe(true);
      expect(source.length, name).toBeGreaterThan(3);
      expect(estimated, name).toBe(source.startsWith('estimate'));
    }
  });

  it('unit charges one cycle for everything', () => {
    expect(new Set(COST_MODELS.unit.cycles)).toEqual(new Set([1]));
  });

  it('are found by name, and a wrong name is told the right ones', () => {
    expect(costModel('unit')).toBe(COST_MODELS.unit);
    expect(() => costModel('epyc')).toThrow('there is no cost model "epyc"; choose one of skylake-2020, unit');
    expect(() => costModel('toString')).toThrow('there is no cost model');
  });

  it('are charged to the position of a CPU and counted', () => {
    const host = new Host({ cpus: 1 });
    const cpu = host.cpus[0]!;
    cpu.charge(COST.vmExit);
    cpu.charge(COST.vmExit);
    expect(cpu.now).toBe(2 * host.costs.cycles[COST.vmExit]!);
    expect(cpu.charged[COST.vmExit]).toBe(2);
  });
});
