// The halves of a 64-bit value as numbers, without making further bigints: they cost an allocation each.

const words = new Uint32Array(2);
const whole = new BigUint64Array(words.buffer);

/** Bits 31 to 0, unsigned. */
export function lowWord(value: bigint): number {
  whole[0] = value;
  return words[0]!;
}

/** Bits 63 to 32, unsigned. */
export function highWord(value: bigint): number {
  whole[0] = value;
  return words[1]!;
}

/** high:low as one value. */
export function joinWords(low: number, high: number): bigint {
  words[0] = low;
  words[1] = high;
  return whole[0]!;
}
