// Cycles of the host's TSC as nanoseconds, and as the seconds that traces print. Exact: whole seconds are taken off before
// anything is multiplied.

const cyclesPerSecond = (tscKhz: number): number => tscKhz * 1000;

/** Whole nanoseconds that so many cycles take. */
export function cyclesToNanoseconds(cycles: number, tscKhz: number): number {
  const rest = cycles % cyclesPerSecond(tscKhz);
  const seconds = (cycles - rest) / cyclesPerSecond(tscKhz);
  return seconds * 1e9 + Math.floor((rest * 1e6) / tscKhz);
}

/** `0.000092`: a position in time in seconds and whole microseconds since boot. */
export function secondsAndMicros(cycles: number, tscKhz: number): string {
  const rest = cycles % cyclesPerSecond(tscKhz);
  const seconds = (cycles - rest) / cyclesPerSecond(tscKhz);
  const micros = Math.floor((rest * 1000) / tscKhz);
  return `${seconds}.${String(micros).padStart(6, '0')}`;
}
