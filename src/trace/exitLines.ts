// Turns probes into one line for each exit: vCPU, TSC, RIP, instruction, what exited, what the hypervisor did, what it cost.
// A line is complete when its vCPU enters again, because only then its cost is known; lines appear in that order.

import type { CodePlace, Exit } from '../cpu/exit.ts';
import type { ProbeEvents, ProbeName } from './probes.ts';

/** One exit, whole. */
export interface ExitLine {
  readonly vcpu: number;
  /** The guest's TSC at the exit. */
  readonly tsc: bigint;
  readonly exit: Exit;
  readonly code: CodePlace;
  /** What the hypervisor did. */
  readonly action: string;
  /** What the guest takes at the next entry: the vector of an interrupt or exception; null: nothing. */
  readonly injects: number | null;
  /** An expired lazy deadline was put off by then, and is armed anew for this guest TSC; null: none was. */
  readonly rearmed: bigint | null;
  /** Modelled cycles from the exit to the next entry, waiting left out. */
  readonly cost: number;
  /** Cycles that the vCPU waited in between. */
  readonly waited: number;
}

interface Open {
  since: number;
  waited: number;
  handled: ProbeEvents['exit_handled'] | null;
  injects: number | null;
  rearmed: bigint | null;
}

export class ExitLines {
  readonly #emit: (line: ExitLine) => void;
  readonly #open = new Map<number, Open>();

  constructor(emit: (line: ExitLine) => void) {
    this.#emit = emit;
  }

  /** A probe sink. */
  readonly sink = <N extends ProbeName>(name: N, event: ProbeEvents[N], time: number): void => {
    const { vcpu } = event as { vcpu: number };
    const open = this.#open.get(vcpu);
    switch (name) {
      case 'kvm_exit':
        this.#open.set(vcpu, { since: time, waited: 0, handled: null, injects: null, rearmed: null });
        return;
      case 'exit_handled':
        if (open) open.handled = event as ProbeEvents['exit_handled'];
        return;
      case 'kvm_inj_virq':
      case 'kvm_inj_exception':
        if (open) open.injects = (event as ProbeEvents['kvm_inj_virq' | 'kvm_inj_exception']).vector;
        return;
      case 'kvm_lazy_tsc': {
        const { op, armed } = event as ProbeEvents['kvm_lazy_tsc'];
        if (open && op === 'rearm') open.rearmed = armed;
        return;
      }
      case 'kvm_vcpu_wakeup':
        if (open) open.waited += (event as ProbeEvents['kvm_vcpu_wakeup']).cycles;
        return;
      case 'kvm_entry':
        this.#close(vcpu, time);
        return;
      default:
        return;
    }
  };

  /** The exits that no entry followed: the guest ended there. */
  finish(time: number): void {
    for (const vcpu of [...this.#open.keys()]) this.#close(vcpu, time);
  }

  #close(vcpu: number, time: number): void {
    const open = this.#open.get(vcpu);
    if (!open?.handled) return;
    this.#open.delete(vcpu);
    const { tsc, exit, code, action } = open.handled;
    const cost = Math.max(0, time - open.since - open.waited);
    const { injects, rearmed, waited } = open;
    this.#emit({ vcpu, tsc, exit, code, action, injects, rearmed, cost, waited });
  }
}
