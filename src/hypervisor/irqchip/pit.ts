// The 8254 interval timer of a PC and port 0x61, with the counter of the speaker (Linux arch/x86/kvm/i8254.c, struct
// kvm_pit). A counter by itself is pitChannel.ts.
//
// Theory: counter 0 drives GSI 0 by an hrtimer: once in modes 0, 1 and 4, again and again in modes 2 and 3. A tick is an edge. In
// reinject mode, KVM's default, no tick is lost while the guest is late: ticks are counted, the line is pulsed only after the guest
// has ended the last interrupt (the ack notifier), and an end lets the next one follow. When the guest unmasks the line, what was
// counted is forgotten. Counter 2 is read through port 0x61, whose bit 0 is its gate. Counter 1, the DRAM refresh, is a counter
// like the others that drives nothing.
//
// KVM pulses the line in a kernel thread that the hrtimer wakes; here the hrtimer's callback does it, and so does the ack
// notifier: a wake-up and a context switch earlier.

import type { Cell } from '../../host/cells.ts';
import { Hrtimer, type HrtimerOwner, type HrtimerRestart } from '../../host/hrtimer.ts';
import type { PortDevice, PortRegister, PortSize } from '../bus/ports.ts';
import { microsecondsToCycles } from '../lapic/busClock.ts';
import { isLint0Nmi, localDeliver } from '../lapic/lvt.ts';
import { APIC } from '../lapic/registers.ts';
import type { Vm } from '../vm.ts';
import { MODE, PitChannel, type PitChannelState } from './pitChannel.ts';
import { IRQ_SOURCE, type IrqNotified } from './routing.ts';

export const PIT_PORT = { CHANNELS: 0x40, CONTROL: 0x43, SPEAKER: 0x61 } as const;
/** KVM_PIT_FREQ: counts in a second. */
const PIT_HZ = 1_193_182;
const TIMER_GSI = 0;
const SPEAKER_CHANNEL = 2;

/** Control word: bits 7:6 choose a counter, or the read-back command. */
const READ_BACK = 3;
const READ_BACK_BITS = { NO_COUNT: 1 << 5, NO_STATUS: 1 << 4, FIRST_CHANNEL: 1 << 1 } as const;
const SPEAKER = { GATE: 1 << 0, DATA: 1 << 1, REFRESH_SHIFT: 4, OUT_SHIFT: 5 } as const;
/** The refresh bit toggles every 2^14 ns. */
const REFRESH_NS = 2 ** 14;
const NS_PER_MS = 1_000_000;
const ALL_SIZES: readonly PortSize[] = [1, 2, 4];

export interface PitState {
  readonly channels: readonly PitChannelState[];
  readonly speakerData: boolean;
  /** Host cycles between two ticks; 0: the hrtimer was never started. */
  readonly period: number;
  readonly periodic: boolean;
  /** When the hrtimer is or was due, and whether it is. Host position. */
  readonly expires: number;
  readonly armed: boolean;
  readonly reinject: boolean;
  readonly pending: number;
  readonly irqAck: boolean;
}

export class Pit implements PortDevice, HrtimerOwner, IrqNotified {
  readonly name = 'PIT';
  readonly registers: ReadonlyMap<number, PortRegister>;
  readonly #channels: readonly PitChannel[] = [0, 1, SPEAKER_CHANNEL].map((i) => new PitChannel(i === SPEAKER_CHANNEL ? 0 : 1)); // prettier-ignore
  #speakerData: Cell<boolean> = false;
  #period: Cell<number> = 0;
  #periodic: Cell<boolean> = false;
  #reinject: Cell<boolean> = true;
  /** Ticks that the guest has not been told of. */
  #pending: Cell<number> = 0;
  /** The guest has ended the last interrupt. */
  #irqAck: Cell<boolean> = true;
  readonly #timer: Hrtimer;
  readonly #vm: Vm;

  constructor(vm: Vm) {
    this.#vm = vm;
    this.#timer = new Hrtimer(vm.host, this, 'tick', 'hard', false);
    vm.irqs.notify(TIMER_GSI, this);
    this.registers = new Map([
      ...this.#channels.map((channel, i): [number, PortRegister] => [PIT_PORT.CHANNELS + i, this.#counter(channel, i)]),
      [PIT_PORT.CONTROL, { name: 'PIT control', sizes: ALL_SIZES, read: () => 0, write: (value) => this.#control(value & 0xff) }],
      [PIT_PORT.SPEAKER, { name: 'speaker', sizes: ALL_SIZES, read: () => this.#readSpeaker(), write: (value) => this.#writeSpeaker(value) }],
    ]); // prettier-ignore
  }

  /** KVM_REINJECT_CONTROL: whether ticks are counted while the guest is late, or lost. */
  setReinject(reinject: boolean): void {
    if (this.#reinject === reinject) return;
    if (reinject) this.#resetReinject();
    this.#reinject = reinject;
  }

  /** pit_timer_fn(). */
  onHrtimer(timer: Hrtimer): HrtimerRestart {
    if (this.#reinject) this.#pending++;
    this.#expired();
    if (!this.#periodic) return 'norestart';
    timer.expires += this.#period;
    return 'restart';
  }

  /** kvm_pit_ack_irq(). */
  irqAcked(): void {
    if (!this.#reinject) return;
    this.#irqAck = true;
    if (this.#pending === 0) return;
    this.#pending--;
    if (this.#pending > 0) this.#expired();
  }

  /** pit_mask_notifer(). */
  irqMasked(masked: boolean): void {
    if (this.#reinject && !masked) this.#resetReinject();
  }

  /** __kvm_migrate_pit_timer(): it follows the first vCPU to the calling physical CPU. */
  migrate(): void {
    const expires = this.#timer.expires;
    if (this.#timer.cancel()) this.#timer.start(expires);
  }

  /** kvm_free_pit(): the machine has ended. */
  free(): void {
    this.#timer.cancel();
  }

  save(): PitState {
    return {
      channels: this.#channels.map((channel) => channel.save()),
      speakerData: this.#speakerData,
      period: this.#period,
      periodic: this.#periodic,
      expires: this.#timer.expires,
      armed: this.#timer.queued,
      reinject: this.#reinject,
      pending: this.#pending,
      irqAck: this.#irqAck,
    };
  }

  restore(state: PitState): void {
    for (const [i, channel] of this.#channels.entries()) channel.restore(state.channels[i]!);
    this.#speakerData = state.speakerData;
    this.#period = state.period;
    this.#periodic = state.periodic;
    this.#reinject = state.reinject;
    this.#pending = state.pending;
    this.#irqAck = state.irqAck;
    this.#timer.cancel();
    this.#timer.expires = state.expires;
    if (state.armed) this.#timer.start(state.expires);
  }

  #now(): number {
    return this.#vm.host.thisCpu.now;
  }

  /** pit_do_work(): a tick, unless the guest still owes the end of the last one. */
  #expired(): void {
    if (this.#reinject && !this.#takeAck()) return;
    const { irqs, lapics } = this.#vm;
    irqs.set(TIMER_GSI, true, IRQ_SOURCE.PIT);
    irqs.set(TIMER_GSI, false, IRQ_SOURCE.PIT);
    // Virtual wire mode as an NMI watchdog: once one LINT0 makes NMIs of ticks, every vCPU is told.
    if (lapics.some(isLint0Nmi)) for (const lapic of lapics) localDeliver(lapic, APIC.LVT0);
  }

  /** atomic_xchg(&ps->irq_ack, 0). */
  #takeAck(): boolean {
    const acked = this.#irqAck;
    this.#irqAck = false;
    return acked;
  }

  #resetReinject(): void {
    this.#pending = 0;
    this.#irqAck = true;
  }

  /** kpit_elapsed(), in counts. The timer of counter 0 goes on below 0 when it has fired once. */
  #elapsed(channel: PitChannel, index: number): number {
    const { tscKhz } = this.#vm;
    if (index !== 0) return countsIn(this.#now() - channel.countLoadTime, tscKhz);
    return this.#period === 0 ? 0 : countsIn(this.#period - (this.#timer.expires - this.#now()), tscKhz);
  }

  #counter(channel: PitChannel, index: number): PortRegister {
    return {
      name: `PIT counter ${index}`,
      sizes: ALL_SIZES,
      read: () => channel.readByte(this.#elapsed(channel, index)),
      write: (value) => {
        const count = channel.writeByte(value & 0xff);
        if (count !== null) this.#load(channel, index, count);
      },
    };
  }

  /** pit_load_count(). */
  #load(channel: PitChannel, index: number, count: number): void {
    channel.load(count, this.#now());
    if (index !== 0) return;
    switch (channel.mode) {
      case MODE.TERMINAL_COUNT:
      case MODE.ONE_SHOT:
      case MODE.SOFTWARE_STROBE:
        this.#start(channel.count, false);
        return;
      case MODE.RATE:
      case MODE.SQUARE:
        this.#start(channel.count, true);
        return;
      default:
        this.#timer.cancel();
    }
  }

  /** create_pit_timer(): the first tick comes when it was asked for, however short the period is. */
  #start(count: number, periodic: boolean): void {
    const { tscKhz, quirks } = this.#vm;
    this.#timer.cancel();
    const interval = cyclesOf(count, tscKhz);
    this.#period = periodic ? Math.max(interval, microsecondsToCycles(quirks.minTimerPeriodUs, tscKhz)) : interval;
    this.#periodic = periodic;
    this.#resetReinject();
    this.#timer.start(this.#now() + interval);
  }

  #control(word: number): void {
    const index = word >> 6;
    if (index === READ_BACK) {
      this.#readBack(word);
      return;
    }
    const channel = this.#channels[index]!;
    if (!channel.control(word)) channel.latchCount(this.#elapsed(channel, index));
  }

  #readBack(word: number): void {
    for (const [i, channel] of this.#channels.entries()) {
      if ((word & (READ_BACK_BITS.FIRST_CHANNEL << i)) === 0) continue;
      if ((word & READ_BACK_BITS.NO_COUNT) === 0) channel.latchCount(this.#elapsed(channel, i));
      if ((word & READ_BACK_BITS.NO_STATUS) === 0) channel.latchStatus(this.#elapsed(channel, i));
    }
  }

  #speakerChannel(): PitChannel {
    return this.#channels[SPEAKER_CHANNEL]!;
  }

  #readSpeaker(): number {
    const channel = this.#speakerChannel();
    const ns = (this.#now() * NS_PER_MS) / this.#vm.tscKhz;
    const refresh = Math.floor(ns / REFRESH_NS) % 2;
    const out = channel.output(this.#elapsed(channel, SPEAKER_CHANNEL));
    const data = this.#speakerData ? SPEAKER.DATA : 0;
    return data | channel.gate | (refresh << SPEAKER.REFRESH_SHIFT) | (out << SPEAKER.OUT_SHIFT);
  }

  #writeSpeaker(value: number): void {
    this.#speakerData = (value & SPEAKER.DATA) !== 0;
    this.#speakerChannel().setGate(value & SPEAKER.GATE, this.#now());
  }
}

/** Whole counts in so many host cycles; the product needs more than 53 bits. */
const countsIn = (cycles: number, tscKhz: number): number =>
  Number((BigInt(cycles) * BigInt(PIT_HZ)) / (BigInt(tscKhz) * 1000n));

/** Host cycles that so many counts take, rounded up: no tick is early. */
const cyclesOf = (count: number, tscKhz: number): number => Math.ceil((count * tscKhz * 1000) / PIT_HZ);
