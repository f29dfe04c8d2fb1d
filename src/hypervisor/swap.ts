// Guest pages that the host has paged out: which they are, and how they come back. To the guest's second stage they are
// absent; who touches one waits (pv/asyncPf.ts says who: the vCPU, or only a task of its guest).
//
// Theory: a page of a slot is resident from its first touch until it is swapped out, on demand or because the host gives the
// VM no more memory than `limit`: then the page that became resident first goes, as a memory cgroup's limit would have it.
// Bringing a page in takes `delay`; whoever asks for one that is being read waits for the same read. Caches of guest pages are
// told (the MMU notifier): who may not sleep finds the page gone. What the host itself writes for the guest where it may
// sleep (kvmclock's page, say) costs no read here: the fault is taken on the spot.

import type { Host } from '../host/host.ts';
import { block, type Sleep } from '../host/sleep.ts';
import { Workqueue } from '../host/workqueue.ts';
import { PAGE_SIZE } from '../x86/names/paging.ts';
import type { Memslots } from './memslots.ts';

export interface SwapOptions {
  /** Bytes of guest memory that stay resident at most. Default: all. */
  readonly limit?: number;
  /** Cycles until a page has been read. Default: 100 µs, a solid-state disk. */
  readonly delay?: number;
}

const READS_PER_S = 10_000;

export class Swap {
  /** Where vCPUs that do not wait have their pages read. */
  readonly workqueue: Workqueue;
  readonly #host: Host;
  readonly #slots: Memslots;
  readonly #limit: number;
  readonly #delay: number;
  readonly #out = new Set<number>();
  /** In the order in which they became resident. */
  readonly #resident = new Set<number>();
  /** Pages being read, and the position at which each is there. */
  readonly #reads = new Map<number, number>();

  constructor(host: Host, slots: Memslots, { limit = Infinity, delay }: SwapOptions) {
    this.#host = host;
    this.workqueue = new Workqueue(host);
    this.#slots = slots;
    this.#limit = Math.max(1, Math.floor(limit / PAGE_SIZE));
    this.#delay = delay ?? Math.ceil((host.tscKhz * 1000) / READS_PER_S);
  }

  isOut(page: number): boolean {
    return this.#out.has(page);
  }

  /** Pages `count` pages out, from page `first` on. Those that no slot holds, or that are out, stay as they are. */
  pageOut(first: number, count: number): void {
    for (let page = first; page < first + count; page++) if (this.#slots.at(page) !== undefined) this.#evict(page);
  }

  /** A page was mapped for the guest: too many are resident, and the oldest makes room. */
  resident(page: number): void {
    this.#resident.add(page);
    if (this.#resident.size <= this.#limit) return;
    for (const oldest of this.#resident) {
      this.#evict(oldest);
      return;
    }
  }

  /** get_user_pages_remote(): waits until the page is there. */
  *bringIn(page: number): Sleep<void> {
    if (!this.#out.has(page)) return;
    const there = this.#reads.get(page) ?? this.#host.thisCpu.now + this.#delay;
    this.#reads.set(page, there);
    while (this.#out.has(page) && this.#host.thisCpu.now < there) yield* block('a page from swap', there);
    this.#out.delete(page);
    this.#reads.delete(page);
  }

  #evict(page: number): void {
    this.#resident.delete(page);
    this.#out.add(page);
    this.#slots.invalidate(page, 1);
    this.#slots.secondStage.unmap(page, 1);
  }
}
