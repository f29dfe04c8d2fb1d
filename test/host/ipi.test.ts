import { describe, expect, it } from 'vitest';
import { compute } from '../../src/host/compute.ts';
import { SETTLE } from '../../src/host/host.ts';
import { CrossCall, vectorOf } from '../../src/host/ipi.ts';
import type { Sleep } from '../../src/host/sleep.ts';
import { callback, runHost, unitHost } from './scripts.ts';

describe('calls on another CPU', () => {
  it('run there in hard interrupt context, whether it idles or computes, and the caller waits for their end', () => {
    for (const busy of [false, true]) {
      const host = unitHost(2, 5);
      const log: string[] = [];
      const onCall = ({ args }: CrossCall) => {
        log.push(`${args.join()}: ${host.thisCpu.describe()}`);
        host.thisCpu.now += 100;
      };
      const call = new CrossCall(host, { name: 'owner', onCall }, [7]);
      const caller = function* (): Sleep<void> {
        const cpu = host.cpus[0]!;
        cpu.now = 50;
        yield SETTLE;
        yield* call.callAndWait(host.cpus[1]!);
        log.push(`back at ${cpu.now}`);
        yield* call.callAndWait(cpu);
      };
      host.spawn('caller', host.cpus[0]!, caller());
      if (busy) host.spawn('busy', host.cpus[1]!, compute(host, 5000));
      expect(runHost(host)).toBe('idle');
      expect(log).toEqual([
        '7: CPU 1, in the hard interrupt "call function" of owner',
        expect.stringMatching(/^back at 1[56]\d$/),
        '7: CPU 0, in caller, interrupts off',
      ]);
    }
  });

  it('may not be waited for with interrupts off', () => {
    const host = unitHost(2);
    const call = new CrossCall(host, { name: 'owner', onCall: () => {} });
    const caller = function* (): Sleep<void> {
      host.cpus[0]!.disableInterrupts();
      yield* call.callAndWait(host.cpus[1]!);
    };
    host.spawn('caller', host.cpus[0]!, caller());
    expect(() => runHost(host)).toThrow(
      'CPU 0, in caller, interrupts off: waits for a call of owner on CPU 1 without taking interrupts',
    );
  });
});

it('host interrupts have the vectors of Linux; what is no IPI comes from the local timer', () => {
  const kinds = ['reschedule', 'call function', 'tick', 'toString'];
  expect(kinds.map((kind) => vectorOf(callback(kind, () => {})))).toEqual([0xfd, 0xfb, 0xec, 0xec]);
});
