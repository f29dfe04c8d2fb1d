// vcpu->requests: what others ask of a vCPU, one bit each, looked at before every entry. Numbers are KVM's (Linux
// include/linux/kvm_host.h, arch/x86/include/asm/kvm_host.h), because kvm_exit traces show them.

import type { SavedFields } from '../cpu/savedFields.ts';
import type { Atomic, Cell } from '../host/cells.ts';

/** KVM_REQUEST_ARCH_BASE: requests below it are the same on every architecture. */
const ARCH_BASE = 8;

/* prettier-ignore */
export const KVM_REQ = {
  TLB_FLUSH: 0,
  VM_DEAD: 1,
  /** Stop blocking and look again; carries nothing. */
  UNBLOCK: 2,
  /** A software timer follows the vCPU to another physical CPU. */
  MIGRATE_TIMER: ARCH_BASE + 0,
  TRIPLE_FAULT: ARCH_BASE + 2,
  CLOCK_UPDATE: ARCH_BASE + 4,
  /** Look for an event to inject. */
  EVENT: ARCH_BASE + 6,
  /** Halt until a page is there that the host has paged out. */
  APF_HALT: ARCH_BASE + 7,
  STEAL_UPDATE: ARCH_BASE + 8,
  NMI: ARCH_BASE + 9,
  SMI: ARCH_BASE + 12,
  MASTERCLOCK_UPDATE: ARCH_BASE + 13,
  SCAN_IOAPIC: ARCH_BASE + 15,
  GLOBAL_CLOCK_UPDATE: ARCH_BASE + 16,
  IOAPIC_EOI_EXIT: ARCH_BASE + 19,
  APICV_UPDATE: ARCH_BASE + 25,
  TLB_FLUSH_CURRENT: ARCH_BASE + 26,
  TLB_FLUSH_GUEST: ARCH_BASE + 27,
  APF_READY: ARCH_BASE + 28,
  /** The lazy TSC deadline has fired: look at its page before entry. Number 33 is free upstream; the series took it. */
  LAZY_TSCDEADLINE: ARCH_BASE + 33,
} as const;

export type KvmRequestName = keyof typeof KVM_REQ;
export type KvmRequest = (typeof KVM_REQ)[KvmRequestName];

/** Bits of each of the two words. */
const WORD = 32;

/**
 * The pending requests of one vCPU. KVM orders them with barriers: who makes a request sets the bit and then reads
 * vcpu->mode (kick); the vCPU sets its mode and then reads the bits. One of the two sees the other.
 */
export class Requests {
  #low: Cell<number> = 0;
  #high: Cell<number> = 0;

  /** Whether anything is asked: kvm_request_pending(). */
  get pending(): boolean {
    return (this.#low | this.#high) !== 0;
  }

  /** Whether anything else than this is asked. */
  pendingBesides(request: KvmRequest): boolean {
    if (request < WORD) return (this.#low & ~(1 << request)) !== 0 || this.#high !== 0;
    return this.#low !== 0 || (this.#high & ~(1 << (request - WORD))) !== 0;
  }

  /** The bits as kvm_exit shows them (exact up to 2^53). */
  get bits(): number {
    return (this.#high >>> 0) * 2 ** WORD + (this.#low >>> 0);
  }

  transfer(fields: SavedFields): void {
    this.#low = fields.value('low', this.#low);
    this.#high = fields.value('high', this.#high);
  }

  /** kvm_make_request(). Asking twice is asking once. */
  make(request: KvmRequest): Atomic<void> {
    if (request < WORD) this.#low |= 1 << request;
    else this.#high |= 1 << (request - WORD);
  }

  /** kvm_test_request(). */
  test(request: KvmRequest): boolean {
    return request < WORD ? ((this.#low >>> request) & 1) !== 0 : ((this.#high >>> (request - WORD)) & 1) !== 0;
  }

  /** kvm_clear_request(). */
  clear(request: KvmRequest): Atomic<void> {
    if (request < WORD) this.#low &= ~(1 << request);
    else this.#high &= ~(1 << (request - WORD));
  }

  /** kvm_check_request(): whether it was made; it no longer is. */
  check(request: KvmRequest): Atomic<boolean> {
    if (!this.test(request)) return false;
    this.clear(request);
    return true;
  }
}
