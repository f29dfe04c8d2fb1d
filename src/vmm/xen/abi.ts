// Numbers of Xen's interface that only a VMM needs (Xen public/event_channel.h, memory.h, vcpu.h, sched.h, hvm/hvm_op.h,
// hvm/params.h, version.h, grant_table.h, features.h, physdev.h). What KVM answers by itself is named in hypervisor/xen/names.ts.

import * as kvm from '../../hypervisor/xen/names.ts';

/** Xen's error numbers, all that a hypercall answers here. */
export const ERRNO = { ...kvm.XEN_ERRNO, EPERM: 1, ESRCH: 3, EBUSY: 16, ENOSPC: 28, ETIME: 62, ENOBUFS: 105 } as const;
export type Errno = keyof typeof ERRNO;

/** domid_t: who asks, and domain 0, where the console's other end is. */
export const DOMID = { SELF: 0x7ff0, BACKEND: 0 } as const;

/* prettier-ignore */
export const EVTCHNOP = {
  BIND_INTERDOMAIN: 0, BIND_VIRQ: 1, BIND_PIRQ: 2, CLOSE: 3, STATUS: 5, ALLOC_UNBOUND: 6, BIND_IPI: 7, BIND_VCPU: 8, UNMASK: 9,
  RESET: 10, INIT_CONTROL: 11, ...kvm.EVTCHNOP,
} as const;

/** What EVTCHNOP_status calls each kind of port. */
export const EVTCHNSTAT = { CLOSED: 0, UNBOUND: 1, PIRQ: 3, VIRQ: 4, ...kvm.EVTCHNSTAT } as const;

/** Interrupts that only Xen makes. Those not listed in VIRQ_OF_VCPU belong to the whole domain, and to vCPU 0 when bound. */
export const VIRQ = { TIMER: 0, DEBUG: 1, XENOPROF: 7 } as const;
export const VIRQ_COUNT = 24;
export const VIRQ_OF_VCPU: ReadonlySet<number> = new Set(Object.values(VIRQ));

export const XENMEM = { ADD_TO_PHYSMAP: 7, MEMORY_MAP: 9 } as const;
export const XENMAPSPACE = { SHARED_INFO: 0, GRANT_TABLE: 1 } as const;

/* prettier-ignore */
export const VCPUOP = {
  INITIALISE: 0, UP: 1, DOWN: 2, IS_UP: 3, GET_RUNSTATE_INFO: 4, REGISTER_RUNSTATE_MEMORY_AREA: 5, SET_PERIODIC_TIMER: 6, STOP_PERIODIC_TIMER: 7,
  REGISTER_VCPU_INFO: 10, REGISTER_VCPU_TIME_MEMORY_AREA: 13, ...kvm.VCPUOP,
} as const;

export const PHYSDEVOP = { IRQ_STATUS_QUERY: 5, EOI: 12, MAP_PIRQ: 13, UNMAP_PIRQ: 14, GET_FREE_PIRQ: 23 } as const;
export const MAP_PIRQ_TYPE = { MSI: 0, GSI: 1 } as const;
export const XENIRQSTAT_NEEDS_EOI = 1 << 0;

export const SHUTDOWN = { POWEROFF: 0, REBOOT: 1, SUSPEND: 2, CRASH: 3 } as const;

export const HVMOP = { SET_PARAM: 0, GET_PARAM: 1, SET_EVTCHN_UPCALL_VECTOR: 23 } as const;
/* prettier-ignore */
export const HVM_PARAM = {
  CALLBACK_IRQ: 0, STORE_PFN: 1, STORE_EVTCHN: 2, CONSOLE_PFN: 17, CONSOLE_EVTCHN: 18,
} as const;
export const HVM_NR_PARAMS = 39;
/** The upper byte of HVM_PARAM_CALLBACK_IRQ. */
export const CALLBACK_TYPE = { GSI: 0, PCI_INTX: 1, VECTOR: 2 } as const;

/* prettier-ignore */
export const XENVER = { VERSION: 0, EXTRAVERSION: 1, CAPABILITIES: 3, CHANGESET: 4, GET_FEATURES: 6, PAGESIZE: 7 } as const;
/** Bits of XENVER_get_features. */
export const XENFEAT = {
  AUTO_TRANSLATED_PHYSMAP: 1 << 2,
  HVM_CALLBACK_VECTOR: 1 << 8,
  HVM_SAFE_PVCLOCK: 1 << 9,
  HVM_PIRQS: 1 << 10,
} as const;

export const VMASST_CMD = { ENABLE: 0, DISABLE: 1 } as const;
export const VMASST_TYPE_RUNSTATE_UPDATE_FLAG = 5;

export const GNTTABOP = { SETUP_TABLE: 2, QUERY_SIZE: 6, SET_VERSION: 8, GET_VERSION: 10 } as const;
/** What a grant-table operation leaves in its status. */
export const GNTST = { OKAY: 0, GENERAL_ERROR: -1, BAD_DOMAIN: -2 } as const;
