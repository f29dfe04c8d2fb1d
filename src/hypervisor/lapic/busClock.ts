// Arithmetic of the countdown modes: from counts of the APIC timer to host cycles and back. Pure.
//
// Theory: the timer counts once every `divide` cycles of the APIC bus, and a bus cycle takes `busNs` nanoseconds (KVM: 1),
// so N counts take N * divide * busNs ns, which is N * divide * busNs * tscKhz / 10^6 host cycles. The product needs more
// than 53 bits, hence BigInt; it is computed once for each arming. Host time is in whole cycles: a period is rounded up, so
// that a timer never fires early and the current count read right after arming is not yet one less; the count rounds down.

/** Nanoseconds times kHz are millionths of a cycle. */
const MILLION = 1_000_000n;

/** What divides the bus clock: bits 3, 1 and 0 of TDCR; 2, 4, ... 128, and 1 for all ones (SDM vol. 3, figure 11-10). */
export const divideCount = (tdcr: number): number => 1 << ((((tdcr & 3) | ((tdcr & 8) >> 1)) + 1) & 7);

/** The clock that counts: bus period in ns, host TSC in kHz, divide from TDCR. */
export interface CountClock {
  readonly busNs: number;
  readonly tscKhz: number;
  readonly divide: number;
}

const millionthsPerCount = ({ busNs, tscKhz, divide }: CountClock): bigint =>
  BigInt(divide) * BigInt(busNs) * BigInt(tscKhz);

/** Host cycles that `count` counts take, rounded up. */
export const countToCycles = (count: number, clock: CountClock): number =>
  Number((BigInt(count) * millionthsPerCount(clock) + MILLION - 1n) / MILLION);

/** Whole counts in so many host cycles. */
export const cyclesToCount = (cycles: number, clock: CountClock): number =>
  Number((BigInt(cycles) * MILLION) / millionthsPerCount(clock));

/** Host cycles of a time in microseconds, rounded up. */
export const microsecondsToCycles = (us: number, tscKhz: number): number => Math.ceil((us * tscKhz) / 1000);
