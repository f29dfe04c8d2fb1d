// What the hypervisor uses of a logical CPU: VM entry and exit, event injection, the registers. `Cpu` of floor 3 is one;
// tests put a scripted one in its place.

import type { Trip } from '../cpu/code/knownExits.ts';
import type { Controls } from '../cpu/controls.ts';
import type { Exit, ExitReason } from '../cpu/exit.ts';
import type { PhysicalMsrs } from '../cpu/microcode/microcode.ts';
import type { Settling } from '../cpu/settling.ts';
import type { CpuState } from '../cpu/state.ts';

/** An event to deliver at the next entry: VM-entry interruption information (SDM vol. 3, 26.6). */
export interface Injection {
  readonly type: 'external' | 'nmi' | 'exception' | 'soft';
  readonly vector: number;
  readonly errorCode: number | null;
}

export interface GuestCpu {
  readonly state: CpuState;
  /** Units used since the last `grant`. */
  readonly used: number;
  /**
   * Serves an exit while its instruction is under way, with `used` and the exit as behind `run`. True: `grant` was called, the
   * guest goes on. False: `run` returns SERVED. Null: each exit ends `run`.
   */
  serveExit: ((reason: ExitReason) => boolean) | null;
  /** Of the exit that is served: it has been asked for before, and its round trip may be worth knowing. */
  readonly watched: boolean;
  /** Set by `serveExit`: the round trip of the exit if it may be made again, by the processor or for it; else null. */
  trip: Trip | null;
  /** How often the exit recurred in generated code since the last `grant`, and the units used when it last did. */
  readonly recurred: number;
  readonly recurredAt: number;
  /** How the CPU settles by itself. */
  readonly settling: Settling;
  readonly controls: Controls;
  /** What guest code reaches of the physical CPU, where the MSR bitmaps let it; a write of it ends the run with BUDGET. */
  physicalMsrs: PhysicalMsrs | null;
  /** Why `run` last returned STOPPED. */
  readonly stopped: { readonly what: string; readonly hint: string } | null;

  /** VM entry: `run` may use `budget` units, and observe time until more than `horizon` of them are used. */
  grant(budget: number, horizon: number): void;
  /**
   * Runs guest code: until exactly the units granted are used, at a VM exit, or (AHEAD) at an instruction that observes time
   * past the horizon. Advances `state.tsc` by the units used.
   */
  run(): ExitReason;
  /** The last exit as data. */
  exit(): Exit;
  /** Steps over the exited instruction: RIP, interrupt shadow, one unit of time. */
  skip(): void;
  /** Answers the pending port or MMIO access (a number: of 32 bits); the next entry executes the instruction again with it. Writes answer 0. */
  complete(value: bigint | number): void;
  /** An instruction stands between two device accesses, or is to be executed again with the answers: nothing may be injected. */
  readonly halfway: boolean;
  /** Code at RIP, as an onlooker reads it; null where that many bytes cannot be fetched. */
  codeAtRip(length: number): Uint8Array | null;
  /** KVM_TRANSLATE: the guest physical address of a linear one, by the page tables as they stand; null where they have none. */
  translate(linear: bigint): bigint | null;
  /** Overwrites code at RIP as a store of the guest would; what that store raises, and then nothing was written. */
  patchCodeAtRip(bytes: Uint8Array): { readonly address: bigint; readonly errorCode: number } | null;
  /** Delivers an event at the next entry. */
  inject(event: Injection): void;
  /** RFLAGS.IF is set, no interrupt shadow, no event queued. */
  interruptible(): boolean;
  /** The host has written registers of the state block: what the processor derives from them follows. */
  registersReplaced(): void;
  /** Forgets every translation of guest virtual addresses, as the guest's own flush of everything does. */
  flushTlb(): void;
  /** The architectural MSRs that live in the processor; null: no such MSR. */
  readMsr(index: number): bigint | null;
  /** False: no such MSR, or a value that raises #GP. */
  writeMsr(index: number, value: bigint): boolean;
}
