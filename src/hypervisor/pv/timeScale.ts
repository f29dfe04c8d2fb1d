// From one frequency to another without a division: kvm_get_time_scale (Linux 6.16 arch/x86/kvm/x86.c).
//
// Theory: a guest turns TSC cycles into nanoseconds by (cycles << shift) * multiplier >> 32, or with >> -shift in front. The
// multiplier is a fraction of 2^32; the shift is what brings the frequency into the range in which that fraction has all its
// 32 bits: frequencies are halved or doubled until scaled / base lies between 1/2 and 1.

export interface TimeScale {
  /** s8. */
  readonly shift: number;
  /** u32. */
  readonly multiplier: number;
}

const UPPER_HALF = 0xffff_ffff_0000_0000n;
const TOP_BIT = 0x8000_0000n;

/** What turns counts of `baseHz` into counts of `scaledHz`. */
export function timeScale(scaledHz: bigint, baseHz: bigint): TimeScale {
  let shift = 0;
  let scaled = scaledHz;
  let base = baseHz;
  while (base > scaled * 2n || (base & UPPER_HALF) !== 0n) {
    base >>= 1n;
    shift--;
  }
  while (base <= scaled || (scaled & UPPER_HALF) !== 0n) {
    if ((scaled & UPPER_HALF) !== 0n || (base & TOP_BIT) !== 0n) scaled >>= 1n;
    else base <<= 1n;
    shift++;
  }
  return { shift, multiplier: Number((scaled << 32n) / base) };
}
