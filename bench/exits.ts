// Exit round trips: a guest's WRMSR to an exit that the hypervisor counts and handles, and back in, tracing off; and the
// yardstick of facts about the boundary itself: a call into WebAssembly that stores four i32, which JavaScript then reads
// and switches on.

import { assembleText } from '../src/cli/load.ts';
import { FunctionBuilder } from '../src/wasm/function.ts';
import { i32 } from '../src/wasm/expr.ts';
import { ModuleBuilder } from '../src/wasm/module.ts';
import type { KvmParams } from '../src/hypervisor/params.ts';
import { Machine } from '../src/vmm/machine.ts';
import { measured, time, type Measured } from './clock.ts';

const YARDSTICKS = 2_000_000;

function yardstickModule(): { store: (value: number) => void; words: Int32Array } {
  const module = new ModuleBuilder();
  module.importMemory('host', 'memory', 1);
  const fn = new FunctionBuilder('store', ['i32']);
  for (let i = 0; i < 4; i++) fn.store(4, i32(64), fn.param(0, 'i32').add(i32(i)), 4 * i);
  module.add(fn, true);
  const memory = new WebAssembly.Memory({ initial: 1 });
  const instance = new WebAssembly.Instance(new WebAssembly.Module(module.toUint8Array()), { host: { memory } });
  return { store: instance.exports.store as (value: number) => void, words: new Int32Array(memory.buffer) };
}

const stick = yardstickModule();

/** The round trip that exits are compared with. */
export function yardstick(): number {
  const { store, words } = stick;
  let sink = 0;
  for (let i = 0; i < YARDSTICKS; i++) {
    store(i & 3);
    const sum = words[17]! + words[18]! + words[19]!;
    switch (words[16]) {
      case 0:
        sink += sum;
        break;
      case 1:
        sink -= sum;
        break;
      case 2:
        sink ^= sum;
        break;
      default:
        sink++;
    }
  }
  words[20] = sink; // keeps the reads alive
  return YARDSTICKS;
}

const TRIPS = 200_000;

/** A guest that writes an MSR `TRIPS` times. */
const guest = (setup: string): string => `
_start:
    mov $${TRIPS}, %ebx
    ${setup}
again:
    wrmsr
    dec %ebx
    jnz again
    mov $0x2000, %eax
    mov $0x604, %edx
    out %ax, %dx
`;

const TIMER = 'mov $0x832, %ecx; mov $0x400ec, %eax; xor %edx, %edx; wrmsr; mov $0x6e0, %ecx;';
/** In the distance; and 1 cycle after boot, so that each write is an interrupt that is due. Nothing takes it: RFLAGS.IF is 0. */
const AHEAD = `${TIMER} mov $0x1000, %edx`;
const PAST = `${TIMER} mov $1, %eax`;
const SELF_IPI = 'mov $0x830, %ecx; mov $0x40ed, %eax; xor %edx, %edx';
/** Without a fast path of any kind: every exit goes through the outer loop and its table of handlers. */
const SLOW: Partial<KvmParams> = { fastpath: 'off' };

/** A register that is only stored; one that changes the priority, whose exit recurs; the timer and IPIs, on the way that KVM has for them and on the slow one. */
const GUESTS: Readonly<Record<string, readonly [setup: string, params?: Partial<KvmParams>]>> = {
  'WRMSR LVT error': ['mov $0x837, %ecx; mov $0x100fe, %eax; xor %edx, %edx'],
  'WRMSR TPR, recurring': ['mov $0x808, %ecx; xor %eax, %eax; xor %edx, %edx'],
  'WRMSR TSC_DEADLINE': [AHEAD],
  'WRMSR TSC_DEADLINE, slow path': [AHEAD, SLOW],
  'WRMSR TSC_DEADLINE, past': [PAST],
  'WRMSR TSC_DEADLINE, past, slow path': [PAST, SLOW],
  'WRMSR ICR, self-IPI': [SELF_IPI],
  'WRMSR ICR, self-IPI, slow path': [SELF_IPI, SLOW],
};

/** Nanoseconds for an exit of each kind, re-entry included. */
export async function roundTrips(rounds: number): Promise<Record<string, Measured>> {
  const results: Record<string, Measured> = {};
  for (const [name, [setup, params = {}]] of Object.entries(GUESTS)) {
    const image = await assembleText(guest(setup), `${name}.s`);
    const once = (): number => {
      const machine = Machine.boot({ image, memory: 4 << 20, params });
      return time(() => {
        const result = machine.run();
        if (result.kind !== 'power-off') throw new Error(`${name}: the guest ended with ${result.kind}`);
        return TRIPS;
      });
    };
    once();
    results[name] = measured(Array.from({ length: rounds }, once));
  }
  return results;
}
