// Forces one preemption by hand: a piece of host code runs up to one chosen access, somebody else's code runs to its end, and
// the first goes on. The code is the production source, loaded through the transform (transform/load.ts).
//
// Theory: code between two accesses to shared state commutes with whatever others do, so right before an access is the only
// place where a preemption can matter. An exploration tries them all, a test names one, or tries each in turn.

import type { PhysicalCpu } from '../host/cpu.ts';
import type { Host } from '../host/host.ts';
import { $call, access, type Preemptible, type Site } from './preemptible.ts';

/** An access, by the cell and whatever else tells it from others; the first of those unless `occurrence` says which. */
export interface Point {
  readonly cell: string;
  readonly access?: Site['access'];
  readonly within?: string;
  /** 1: the first. */
  readonly occurrence?: number;
}

type Methods<O> = { [K in keyof O]: O[K] extends (...args: infer A) => infer R ? [A, R] : never };

/** A call of a method, not begun: `preemptible(timer, 'startHvTimer')`. Runs without preemptions where the method touches no cell. */
export function preemptible<O extends object, K extends keyof O & string>(
  object: O,
  method: K,
  ...args: Methods<O>[K][0]
): Preemptible<Methods<O>[K][1]> {
  return $call(object as never, method, args as unknown[]) as Preemptible<Methods<O>[K][1]>;
}

/** Runs a body that does not sleep to its end, and tells of each access before it happens: its site, and how many came before. */
export function announced<T>(body: Preemptible<T>, before: (site: Site, index: number) => void): T {
  for (let index = 0; ; index++) {
    const { done, value } = body.next();
    if (done) return value;
    if (value !== access) throw new Error(`the code asks to sleep (${JSON.stringify(value)}) and has no thread`);
    before(access.site!, index);
  }
}

/** Runs a body to its end without a preemption: where there could have been one. */
export function accessesOf(body: Preemptible<unknown>): readonly Site[] {
  const sites: Site[] = [];
  announced(body, (site) => sites.push(site));
  return sites;
}

/** What a preempted body did. */
export interface Preempted<T> {
  readonly result: T;
  /** Its accesses, in order. */
  readonly sites: readonly Site[];
  /** How many of them came before the preemption. */
  readonly before: number;
}

/**
 * Runs `body`, and `other` right before one access, named or counted from 0. An Error that lists the accesses on the way
 * when that one was never reached.
 */
export function preemptedAt<T>(body: Preemptible<T>, point: Point | number, other: () => void): Preempted<T> {
  const isPoint = typeof point === 'number' ? (_: Site, index: number) => index === point : matcher(point);
  const sites: Site[] = [];
  let before = -1;
  const result = announced(body, (site, index) => {
    if (before < 0 && isPoint(site, index)) {
      before = index;
      other();
    }
    sites.push(site);
  });
  if (before >= 0) return { result, sites, before };
  const wanted = typeof point === 'number' ? `access number ${point}` : JSON.stringify(point);
  throw new Error(`the code never came to ${wanted}; its accesses were\n${sites.map(describeSite).join('\n')}`);
}

function matcher({ cell, access: kind, within, occurrence = 1 }: Point): (site: Site) => boolean {
  let left = occurrence;
  return (site) => {
    if (site.cell !== cell) return false;
    if ((kind ?? site.access) !== site.access || (within ?? site.within) !== site.within) return false;
    return --left === 0;
  };
}

/** `read ApicTimer.pending in startHvTimer (src/hypervisor/timer.ts:175)`. */
export function describeSite({ access: kind, cell, within, file, line }: Site): string {
  return `${kind} ${cell} in ${within} (${file}:${line})`;
}

/**
 * Lets another CPU run a piece of its code while this one's is preempted; or, on this one, an interrupt handler, where
 * interrupts are on. What the preempted code sees next lies behind it in time.
 */
export function elsewhere(host: Host, cpu: PhysicalCpu, run: () => void): void {
  const preempted = host.thisCpu;
  if (cpu === preempted && (!cpu.interruptsEnabled || cpu.hardirq !== null)) {
    throw new Error(`nothing can interrupt ${cpu.describe()}`);
  }
  host.thisCpu = cpu;
  run();
  host.thisCpu = preempted;
  preempted.now = Math.max(preempted.now, cpu.now);
}
