import { describe, expect, it } from 'vitest';
import { Random } from '../../src/host/random.ts';

describe('the machine’s source of chance', () => {
  it('repeats itself for the same seed and not for another', () => {
    const take = (seed: number): number[] => {
      const random = new Random(seed);
      return Array.from({ length: 8 }, () => random.next());
    };
    expect(take(7)).toEqual(take(7));
    expect(new Set([...take(7), ...take(8)]).size).toBe(16);
  });

  it('spreads over the whole range', () => {
    const random = new Random(1);
    const counts = new Array<number>(10).fill(0);
    for (let i = 0; i < 10_000; i++) counts[random.below(10)]!++;
    for (const count of counts) expect(Math.abs(count - 1000)).toBeLessThan(150);
  });
});
