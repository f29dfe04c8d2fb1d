// Counts exits and their times from the probes, as `perf kvm stat` does: an event begins at kvm_exit and ends at the next
// kvm_entry of the same vCPU. It collects; perfReport.ts prints.

import { KVM_ISA, type ProbeEvents, type ProbeName } from './probes.ts';

/** Times of one class of events, in cycles. */
export class Times {
  count = 0;
  total = 0;
  min = Infinity;
  max = 0;
  #squares = 0;

  add(cycles: number): void {
    this.count++;
    this.total += cycles;
    this.#squares += cycles * cycles;
    if (cycles < this.min) this.min = cycles;
    if (cycles > this.max) this.max = cycles;
  }

  get mean(): number {
    return this.count === 0 ? 0 : this.total / this.count;
  }

  /** Standard error of the mean, in percent of it (perf: stddev_stats, rel_stddev_stats). */
  get relativeError(): number {
    if (this.count < 2 || this.mean === 0) return 0;
    const variance = Math.max(0, (this.#squares - this.count * this.mean * this.mean) / (this.count - 1));
    return (100 * Math.sqrt(variance / this.count)) / this.mean;
  }
}

export class ExitStatistics {
  /** Of a KVM_ISA: whose reason numbers these are. */
  isa: number = KVM_ISA.VMX;
  /** By reason number. */
  readonly byReason = new Map<number, Times>();
  readonly #open = new Map<number, { reason: number; since: number }>();

  /** A probe sink: subscribe it with `probes.subscribe(statistics.sink)`. */
  readonly sink = <N extends ProbeName>(name: N, event: ProbeEvents[N], time: number): void => {
    if (name === 'kvm_exit') {
      const { vcpu, isa, reason } = event as ProbeEvents['kvm_exit'];
      this.isa = isa;
      this.#open.set(vcpu, { reason, since: time });
    } else if (name === 'kvm_entry') this.#close((event as ProbeEvents['kvm_entry']).vcpu, time);
  };

  /** Exits that no entry followed (the guest ended there) count until `time`. */
  finish(time: number): void {
    for (const vcpu of [...this.#open.keys()]) this.#close(vcpu, time);
  }

  #close(vcpu: number, time: number): void {
    const open = this.#open.get(vcpu);
    if (!open) return;
    this.#open.delete(vcpu);
    let times = this.byReason.get(open.reason);
    if (!times) this.byReason.set(open.reason, (times = new Times()));
    times.add(Math.max(0, time - open.since));
  }
}
