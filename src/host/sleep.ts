// The colour of host functions that may sleep, and what a host thread asks of its scheduler when it does. The scheduler
// itself is not here.
//
// Theory: host code comes in Linux's two colours. A function that may sleep (take a mutex, wait for a timer callback, block
// a vCPU) is a generator that returns `Sleep<T>`; it is usable only under `yield*`, inside another such function, and the
// thread's outermost one is stepped by the scheduler, which receives each request. All others are atomic: plain functions
// that finish before anything else runs on their CPU. A callback typed `() => void` therefore cannot sleep, by its type.

/** What a thread asks when it gives up its physical CPU: plain data, since it is what a snapshot and a report show. */
export type SleepRequest =
  /** Not runnable until somebody wakes this thread, or until its CPU's position reaches `until` (cycles; null: no limit). */
  | { readonly kind: 'block'; readonly on: string; readonly until: number | null }
  /** Still runnable: whoever is further behind in time, or waits for this CPU, goes first. */
  | { readonly kind: 'yield'; readonly on: string }
  /** Goes on at once, unless the host has a reason to let others go first (SETTLE, SLICE and RESCHED of host.ts). */
  | { readonly kind: 'point'; readonly on: string };

/** A host function in progress that may sleep and ends with a T. Resumed without a value: the condition is looked at again. */
export type Sleep<T> = Generator<SleepRequest, T, void>;

/**
 * Blocks the calling thread once. Wake-ups may be spurious, as in Linux, so call it in a loop that tests the condition:
 * `while (!this.done) yield* block('vcpu 0 halted', deadline)`. Nothing runs between the test and the block, so no wake-up is lost.
 * `on` names what is waited for, for the report of a machine in which nothing can happen any more; `until` is in cycles.
 */
export function* block(on: string, until: number | null = null): Sleep<void> {
  yield { kind: 'block', on, until };
}

/** Lets others run first while the calling thread stays runnable: sched_yield(), or a busy wait that must let time pass. */
export function* relax(on: string): Sleep<void> {
  yield { kind: 'yield', on };
}
