// The VMM of KVM's Xen selftest (xen_shinfo_test), by its stages: the guest (xenStages.s) names each, and the VMM prepares it by
// attributes, looks at the pages, and knows which events the guest may see. The ports, the vector and where the pages lie are the
// selftest's; which paths each stage takes is counted besides.

import { readFileSync } from 'node:fs';
import { expect } from 'vitest';
import { compute } from '../../src/host/compute.ts';
import type { Sleep } from '../../src/host/sleep.ts';
import type { PortDevice } from '../../src/hypervisor/bus/ports.ts';
import { getXenVcpuAttr, setXenVcpuAttr, setXenVmAttr } from '../../src/hypervisor/xen/attributes.ts';
import { sendEvtchn } from '../../src/hypervisor/xen/evtchn.ts';
import { XenIrqfd } from '../../src/hypervisor/xen/irqfd.ts';
import { EVTCHNSTAT, PRIO_2LEVEL, RUNSTATE, XEN_CONFIG, XenError } from '../../src/hypervisor/xen/names.ts';
import type { SendTarget } from '../../src/hypervisor/xen/sendPorts.ts';
import type { XenStat } from '../../src/hypervisor/xen/stat.ts';
import type { BootOptions } from '../../src/vmm/bootOptions.ts';
import type { Image } from '../../src/vmm/image.ts';
import { Machine } from '../../src/vmm/machine.ts';
import { imageOf, MEMORY } from './guest.ts';

export const STAGES = [
  'INJECT_VECTOR', 'RUNSTATE_RUNNABLE', 'RUNSTATE_BLOCKED', 'RUNSTATE_OFFLINE', 'RUNSTATE_ADJUST', 'RUNSTATE_DATA',
  'STEAL_TIME', 'EVENT_MASKED', 'EVENT_UNMASKED', 'EVENT_SLOW_PATH', 'EVENT_SEND_IOCTL', 'HYPERCALL',
  'HYPERCALL_SLOW_PATH', 'HYPERCALL_EVENTFD', 'TIMER_SETUP', 'TIMER_WAIT', 'TIMER_RESTORE', 'POLL_READY',
  'POLL_TIMEOUT', 'POLL_MASKED', 'POLL_WAKE', 'SET_VCPU_INFO', 'TIMER_PAST', 'RACE_SEND', 'RACE_POLL',
  'RACE_POLL_TIMEOUT', 'DONE', 'SAW_EVENT',
] as const; // prettier-ignore
export type Stage = (typeof STAGES)[number];

const XEN = { version: { major: 4, minor: 18 }, msr: 0x4000_0000, domainId: 1 };
export const SHARED_INFO = 0x20_0000;
export const VCPU_INFO = SHARED_INFO + 0x40;
const PENDING = SHARED_INFO + 0x800;
const MASK = SHARED_INFO + 0xa00;
export const TIME_INFO = SHARED_INFO + 0x1000;
/** It crosses into the next page. */
const RUNSTATE_AREA = SHARED_INFO + 0x2000 - 15;
/** Guest memory beside what the guest has, of which it takes no notice. */
const DUMMY = 0x1000_0000;
const UPCALL_VECTOR = 0x10;
/** Of two words of 64 ports, and of three of 32. */
const TEST1 = 15;
const TEST2 = 66;
const TIMER = 13;
const SENT_TO_PORT = 127;
const SENT_TO_EVENTFD = 197;
const TIMER_NS = 5_000_000;
const LEAST_STEAL_NS = 50_000;
const NEIGHBOUR_CYCLES = 20_000_000;
/** What the VMM takes for a stage. */
const STAGE_CYCLES = 30_000;
const PORT_STAGE = 0xe8;

const SYMBOLS = {
  PORT_STAGE, SHARED_INFO, VCPU_INFO, UPCALL_VECTOR, SENT_TO_PORT, SENT_TO_EVENTFD, TIMER_NS, LEAST_STEAL_NS,
  RUNSTATE: RUNSTATE_AREA, PORT_TIMER: TIMER,
  ...Object.fromEntries(STAGES.map((stage, number) => [`STAGE_${stage}`, number])),
}; // prettier-ignore

/** The guest. */
export function stagesGuest(): Promise<Image> {
  const equs = Object.entries(SYMBOLS).map(([name, value]) => `        .equ ${name}, ${value}\n`);
  return imageOf(equs.join('') + readFileSync('test/vmm/xenStages.s', 'utf8'));
}

/** The paths that events took in a stage. */
export type Paths = Partial<Record<keyof XenStat, number>>;
const counts = (stat: XenStat): Map<string, number> =>
  new Map(Object.entries(stat).filter((entry): entry is [string, number] => typeof entry[1] === 'number'));

/** The selftest's main(): what it does at each stage, and what it has seen. */
export class StagesVmm implements PortDevice {
  readonly name = 'the VMM of the stages';
  readonly registers = new Map([
    [PORT_STAGE, { name: 'stage', sizes: [4] as const, write: (value: number) => this.#enter(STAGES[value]!) }],
  ]);
  readonly machine: Machine;
  readonly seen: Stage[] = [];
  readonly paths = new Map<Stage, Paths>();
  readonly #irqfds: readonly [XenIrqfd, XenIrqfd];
  #eventExpected = false;
  #sending = false;
  #over = false;
  #slots = 0;
  #before = new Map<string, number>();

  constructor(image: Image, options: Partial<BootOptions> = {}) {
    this.machine = Machine.boot({ image, memory: MEMORY, xen: XEN, hostCpus: 2, pin: [[0]], ...options });
    this.machine.ports.connect(this);
    const { vm } = this.machine;
    const xen = vm.xen!;
    xen.configure({ flags: XEN_CONFIG.INTERCEPT_HCALL | XEN_CONFIG.EVTCHN_SEND, msr: XEN.msr });
    setXenVmAttr(vm, { type: 'LONG_MODE', longMode: true });
    setXenVmAttr(vm, { type: 'RUNSTATE_UPDATE_FLAG', enabled: true });
    setXenVmAttr(vm, { type: 'SHARED_INFO_HVA', address: vm.memslots.addressOf(SHARED_INFO / 4096, true) });
    setXenVmAttr(vm, { type: 'UPCALL_VECTOR', vector: UPCALL_VECTOR });
    setXenVcpuAttr(this.vcpu, { type: 'VCPU_INFO', gpa: VCPU_INFO });
    setXenVcpuAttr(this.vcpu, { type: 'VCPU_TIME_INFO', gpa: TIME_INFO });
    setXenVcpuAttr(this.vcpu, { type: 'RUNSTATE_ADDR', gpa: RUNSTATE_AREA });
    setXenVcpuAttr(this.vcpu, { type: 'TIMER', port: TIMER, priority: PRIO_2LEVEL, expiresNs: 0n });
    this.#irqfds = [new XenIrqfd(xen.routes, 32), new XenIrqfd(xen.routes, 33)];
    xen.routes.route(32, { port: TEST1, vcpu: 0, priority: PRIO_2LEVEL });
    xen.routes.route(33, { port: TEST2, vcpu: 0, priority: PRIO_2LEVEL });
    this.#lead('assign', SENT_TO_PORT, { kind: 'port', port: TEST1, vcpu: 1, priority: PRIO_2LEVEL });
    this.#lead('update', SENT_TO_PORT, { kind: 'port', port: TEST1, vcpu: 0, priority: PRIO_2LEVEL });
    this.#lead('assign', SENT_TO_EVENTFD, { kind: 'eventfd', eventfd: this.#irqfds[1] });
  }

  get vcpu() {
    return this.machine.vm.vcpus[0]!;
  }
  get runstate(): { state: number; entryTime: bigint; times: readonly bigint[] } {
    const at = (offset: number): bigint => this.read(RUNSTATE_AREA + offset);
    const times = [0x10, 0x18, 0x20, 0x28].map(at);
    return { state: Number(BigInt.asUintN(32, at(0))), entryTime: at(8), times };
  }
  read(gpa: number): bigint {
    return this.machine.vm.memory.readU64(gpa)!;
  }

  run(): this {
    expect(this.machine.run({ maxCycles: 10_000_000_000 }), `in ${this.seen.at(-1)}`).toMatchObject({
      kind: 'power-off',
    });
    return this;
  }

  #enter(stage: Stage): void {
    const { entryTime, times } = this.runstate;
    const sum = BigInt.asUintN(
      64,
      times.reduce((total, time) => total + time),
    );
    expect(sum, `the times of the runstate at ${stage}`).toBe(entryTime);
    if (stage === 'SAW_EVENT') {
      expect(this.#eventExpected, `an event is expected in ${this.seen.at(-1)}`).toBe(true);
      this.#eventExpected = false;
      return;
    }
    if (stage !== 'RACE_POLL_TIMEOUT') expect(this.#eventExpected, `an event still to come at ${stage}`).toBe(false);
    this.#count();
    this.seen.push(stage);
    this.#prepare(stage);
    this.machine.host.thisCpu.now += STAGE_CYCLES;
  }

  /** What the stage that ends has taken. */
  #count(): void {
    const now = counts(this.machine.vm.xen!.stat);
    const last = this.seen.at(-1);
    const changed = [...now].flatMap(([name, n]) => {
      const more = n - (this.#before.get(name) ?? 0);
      return more === 0 ? [] : [[name, more]];
    });
    if (last !== undefined) this.paths.set(last, Object.fromEntries(changed) as Paths);
    this.#before = now;
  }

  #prepare(stage: Stage): void {
    const { vm } = this.machine;
    switch (stage) {
      case 'INJECT_VECTOR':
        this.#eventExpected = true;
        vm.memory.write(VCPU_INFO, Uint8Array.of(1));
        return;
      case 'RUNSTATE_RUNNABLE':
      case 'RUNSTATE_BLOCKED':
      case 'RUNSTATE_OFFLINE': {
        const state = RUNSTATE[stage.slice('RUNSTATE_'.length) as keyof typeof RUNSTATE];
        setXenVcpuAttr(this.vcpu, { type: 'RUNSTATE_CURRENT', state });
        return;
      }
      case 'RUNSTATE_ADJUST': {
        const [, , blocked, offline] = this.runstate.times;
        const more = [0x5an - blocked!, 0x6b6bn - offline!] as const;
        const times = [0n, -more[0] - more[1], ...more] as const;
        setXenVcpuAttr(this.vcpu, { type: 'RUNSTATE_ADJUST', state: null, entryTime: 0n, times });
        return;
      }
      case 'RUNSTATE_DATA': {
        const times = [0n, 0n, 0x6b6bn, 0x5an] as const;
        setXenVcpuAttr(this.vcpu, {
          type: 'RUNSTATE_DATA',
          state: RUNSTATE.RUNNING,
          entryTime: 0x6b6bn + 0x5an,
          times,
        });
        return;
      }
      case 'STEAL_TIME':
        this.#spawn('a neighbour', 0, compute(this.machine.host, NEIGHBOUR_CYCLES));
        return;
      case 'EVENT_MASKED':
        this.#write(MASK, 1n << BigInt(TEST1));
        this.#irqfds[0].signal();
        return;
      case 'EVENT_UNMASKED':
        this.#clear();
        this.#write(MASK, 0n);
        this.#eventExpected = true;
        this.#irqfds[1].signal();
        return;
      case 'EVENT_SLOW_PATH':
        this.#clear();
        // From here on it is known by its frame, and a change of the slots makes the hypervisor look it up again.
        setXenVmAttr(vm, { type: 'SHARED_INFO', gfn: SHARED_INFO / 4096 });
        this.#addSlot();
        this.#eventExpected = true;
        this.#irqfds[0].signal();
        return;
      case 'EVENT_SEND_IOCTL':
        this.#clear();
        this.#eventExpected = true;
        sendEvtchn(vm, { port: TEST2, vcpu: 0, priority: PRIO_2LEVEL });
        return;
      case 'HYPERCALL':
      case 'HYPERCALL_SLOW_PATH':
      case 'HYPERCALL_EVENTFD':
        if (stage === 'HYPERCALL_SLOW_PATH') this.#addSlot();
        this.#clear();
        this.#eventExpected = true;
        return;
      case 'TIMER_SETUP':
        this.#clear();
        return;
      case 'TIMER_WAIT': {
        const timer = getXenVcpuAttr(this.vcpu, 'TIMER');
        expect(timer).toMatchObject({ port: TIMER, priority: PRIO_2LEVEL });
        expect(timer.expiresNs).toBeGreaterThan(this.runstate.entryTime);
        this.#eventExpected = true;
        return;
      }
      case 'TIMER_RESTORE':
        this.#clear();
        this.#eventExpected = true;
        this.#arm(TIMER_NS);
        return;
      case 'POLL_READY':
        this.#write(PENDING, 1n << BigInt(TIMER));
        this.#write(MASK, 1n << BigInt(TIMER));
        return;
      case 'POLL_TIMEOUT':
        this.#write(PENDING, 0n);
        return;
      case 'POLL_MASKED':
        this.#arm(TIMER_NS);
        return;
      case 'POLL_WAKE': {
        this.#clear();
        this.#write(MASK, 0n);
        this.#eventExpected = true;
        const due = this.#arm(TIMER_NS);
        expect(getXenVcpuAttr(this.vcpu, 'TIMER').expiresNs).toBe(due);
        return;
      }
      case 'SET_VCPU_INFO': {
        const address = vm.memslots.addressOf(SHARED_INFO / 4096, true) + (VCPU_INFO % 4096);
        setXenVcpuAttr(this.vcpu, { type: 'VCPU_INFO_HVA', address });
        return;
      }
      case 'TIMER_PAST':
        expect(getXenVcpuAttr(this.vcpu, 'TIMER').expiresNs).toBe(0n);
        this.#clear();
        this.#eventExpected = true;
        this.#arm(-TIMER_NS);
        return;
      case 'RACE_SEND':
        this.#eventExpected = true;
        this.#spawn('who takes shared_info away', 1, this.#juggle());
        this.#sending = true;
        this.#spawn('who sends', 0, this.#sendOn());
        return;
      case 'RACE_POLL':
        this.#sending = false;
        this.#write(PENDING, 1n);
        this.#eventExpected = true;
        this.#arm(TIMER_NS);
        return;
      case 'RACE_POLL_TIMEOUT':
        if (this.#eventExpected && getXenVcpuAttr(this.vcpu, 'TIMER').expiresNs === 0n) this.#arm(TIMER_NS);
        return;
      case 'DONE':
        this.#over = true;
        setXenVmAttr(vm, { type: 'EVTCHN', change: { op: 'reset' } });
        return;
      default:
        throw new Error(`there is nothing to do in ${stage}`);
    }
  }

  #lead(op: 'assign' | 'update', sendPort: number, deliver: SendTarget): void {
    const change = { op, sendPort, channel: EVTCHNSTAT.INTERDOMAIN, deliver };
    setXenVmAttr(this.machine.vm, { type: 'EVTCHN', change });
  }
  #arm(ns: number): bigint {
    const expiresNs = this.runstate.entryTime + BigInt(ns);
    setXenVcpuAttr(this.vcpu, { type: 'TIMER', port: TIMER, priority: PRIO_2LEVEL, expiresNs });
    return expiresNs;
  }
  #write(gpa: number, value: bigint): void {
    this.machine.vm.memory.write(gpa, new Uint8Array(BigUint64Array.of(value).buffer));
  }
  /** No port is pending. */
  #clear(): void {
    this.#write(PENDING, 0n);
    this.#write(PENDING + 8, 0n);
  }
  #addSlot(): void {
    const { memslots } = this.machine.vm;
    const gpa = DUMMY + 4096 * this.#slots++;
    memslots.set({ slot: 10 + this.#slots, gpa, size: 4096, address: memslots.addressOf(0, true) });
  }
  #spawn(name: string, cpu: number, body: Sleep<void>): void {
    const { host } = this.machine;
    host.spawn(name, host.cpus[cpu]!, body);
  }

  /** juggle_shinfo_state(): shared_info is there and is not, by its frame and by its address. */
  *#juggle(): Sleep<void> {
    const { vm, host } = this.machine;
    const address = vm.memslots.addressOf(SHARED_INFO / 4096, true);
    for (let turn = 0; !this.#over; turn++) {
      setXenVmAttr(vm, { type: 'SHARED_INFO', gfn: SHARED_INFO / 4096 });
      yield* compute(host, 3000 + (turn % 7) * 500);
      setXenVmAttr(vm, { type: 'SHARED_INFO', gfn: null });
      yield* compute(host, 2000 + (turn % 5) * 500);
      setXenVmAttr(vm, { type: 'SHARED_INFO_HVA', address });
      yield* compute(host, 3000);
      setXenVmAttr(vm, { type: 'SHARED_INFO_HVA', address: 0 });
      yield* compute(host, 2000);
    }
  }

  /** Sends again and again, in vain where there is no shared_info. */
  *#sendOn(): Sleep<void> {
    const { vm, host } = this.machine;
    while (this.#sending) {
      try {
        sendEvtchn(vm, { port: 1, vcpu: 0, priority: PRIO_2LEVEL });
      } catch (error) {
        if (!(error instanceof XenError)) throw error;
      }
      yield* compute(host, 700);
    }
  }
}
