// Xen's interface by name: hypercalls and their operations, errors, runstates, and what KVM adds for a VMM (Xen
// public/xen.h, vcpu.h, sched.h, event_channel.h, errno.h; Linux uapi asm/kvm.h).

/** Hypercall numbers (RAX): __HYPERVISOR_*. */
export const XEN_HYPERCALL = {
  MEMORY_OP: 12,
  SET_TIMER_OP: 15,
  XEN_VERSION: 17,
  CONSOLE_IO: 18,
  GRANT_TABLE_OP: 20,
  VM_ASSIST: 21,
  VCPU_OP: 24,
  SCHED_OP: 29,
  EVENT_CHANNEL_OP: 32,
  PHYSDEV_OP: 33,
  HVM_OP: 34,
} as const;

const hypercallNames = new Map(Object.entries(XEN_HYPERCALL).map(([name, nr]) => [nr as number, name.toLowerCase()]));
/** `vcpu_op`; `hypercall 99` where the number has no name here. */
export const xenHypercallName = (nr: number | bigint): string => hypercallNames.get(Number(nr)) ?? `hypercall ${nr}`;

export const XENVER_VERSION = 0;
export const EVTCHNOP = { SEND: 4 } as const;
export const SCHEDOP = { YIELD: 0, BLOCK: 1, SHUTDOWN: 2, POLL: 3 } as const;
export const VCPUOP = { SET_SINGLESHOT_TIMER: 8, STOP_SINGLESHOT_TIMER: 9 } as const;

/** Xen's error numbers are Linux's. */
export const XEN_ERRNO = {
  ENOENT: 2,
  EWOULDBLOCK: 11,
  EFAULT: 14,
  EEXIST: 17,
  EINVAL: 22,
  ENOSYS: 38,
  ENOTCONN: 107,
} as const;
export type XenErrno = keyof typeof XEN_ERRNO;

/** RUNSTATE_*: what a vCPU's time goes to. */
export const RUNSTATE = { RUNNING: 0, RUNNABLE: 1, BLOCKED: 2, OFFLINE: 3 } as const;
export type Runstate = (typeof RUNSTATE)[keyof typeof RUNSTATE];
/** XEN_RUNSTATE_UPDATE: bit 63 of state_entry_time. */
export const XEN_RUNSTATE_UPDATE = 1n << 63n;

/** KVM_XEN_HVM_CONFIG_* that a VMM may set. */
export const XEN_CONFIG = { INTERCEPT_HCALL: 1 << 1, EVTCHN_SEND: 1 << 5, PVCLOCK_TSC_UNSTABLE: 1 << 7 } as const;

/** KVM_IRQ_ROUTING_XEN_EVTCHN_PRIO_2LEVEL: the only kind of event channel there is. */
export const PRIO_2LEVEL = 0xffff_ffff;

/** EVTCHNSTAT_*: what the sending end of a channel is bound to, as far as KVM delivers it. */
export const EVTCHNSTAT = { INTERDOMAIN: 2, IPI: 5 } as const;

/** Vectors below are exceptions: an upcall may not have one. */
export const FIRST_UPCALL_VECTOR = 0x10;

/** Why an ioctl of KVM_XEN refused something, with its errno. */
export class XenError extends Error {
  override readonly name = 'XenError';
  readonly code: XenErrno;

  constructor(code: XenErrno, message: string) {
    super(`${message} (${code})`);
    this.code = code;
  }
}
