// Where fields lie in the structures that Xen and its guest share (Xen public/xen.h, vcpu.h, arch-x86/xen.h), for a guest of
// each word size. The 64-bit layout follows from xen_ulong_t and from alignment, which 32-bit x86 does not ask of a u64.

export interface XenLayout {
  /** Bits of a xen_ulong_t: of a word of the event bitmaps, and of evtchn_pending_sel. */
  readonly wordBits: 32 | 64;
  /** EVTCHN_2L_NR_CHANNELS: a word of words. */
  readonly ports: number;
  /** struct shared_info. */
  readonly pending: number;
  readonly mask: number;
  readonly wallClock: number;
  readonly wallClockHigh: number;
  /** struct vcpu_info. */
  readonly pendingSel: number;
  /** struct vcpu_runstate_info: state_entry_time, which four times follow, and the size. */
  readonly entryTime: number;
  readonly runstateSize: number;
  /** struct vcpu_set_singleshot_timer, with its padding. */
  readonly singleshotSize: number;
  /** struct sched_poll. */
  readonly pollCount: number;
  readonly pollTimeout: number;
  readonly pollSize: number;
}

/* prettier-ignore */
export const XEN_LAYOUT_64: XenLayout = {
  wordBits: 64, ports: 4096,
  pending: 0x800, mask: 0xa00, wallClock: 0xc00, wallClockHigh: 0xc0c,
  pendingSel: 0x08,
  entryTime: 0x08, runstateSize: 0x30,
  singleshotSize: 16,
  pollCount: 8, pollTimeout: 16, pollSize: 24,
};
/* prettier-ignore */
export const XEN_LAYOUT_32: XenLayout = {
  wordBits: 32, ports: 1024,
  pending: 0x800, mask: 0x880, wallClock: 0x900, wallClockHigh: 0x924,
  pendingSel: 0x04,
  entryTime: 0x04, runstateSize: 0x2c,
  singleshotSize: 12,
  pollCount: 4, pollTimeout: 8, pollSize: 16,
};

/** struct vcpu_info: what both layouts have in one place. */
export const VCPU_INFO = { UPCALL_PENDING: 0, UPCALL_MASK: 1, TIME: 0x20, SIZE: 64 } as const;
/** struct pvclock_wall_clock, but for the upper half of the seconds. */
export const XEN_WALL_CLOCK = { VERSION: 0, SEC: 4, NSEC: 8 } as const;
