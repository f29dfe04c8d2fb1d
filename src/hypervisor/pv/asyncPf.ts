// Asynchronous page faults: a vCPU that touches a page which the host has paged out need not wait for the disk (Linux 6.16
// virt/kvm/async_pf.c, arch/x86/kvm/x86.c kvm_arch_async_page_*, Documentation/virt/kvm/x86/msr.rst).
//
// Theory: the page is read by a work item, and the vCPU goes on with something else. What that is depends on the guest:
//
//   it has switched this on, and may be interrupted now: it gets a #PF with `flags` = 1 in its shared page and a token in
//     CR2 ("page not present"), puts the task to sleep and runs another; later `token` in the page and an interrupt ("page
//     ready") tell it which task may go on. The next "page ready" waits until the guest has cleared the token and has
//     written MSR_KVM_ASYNC_PF_ACK.
//   else, with interrupts on: an artificial halt. The vCPU halts as by HLT, so that interrupts are still served, until the
//     page is there.
//   else it sleeps in the fault, as any thread of the host does.
//
// A page that is touched again while it is read leads to the artificial halt, too. When the guest switches this on, the token
// ~0 wakes all who wait: after a migration nobody knows their tokens.

import type { SavedFields } from '../../cpu/savedFields.ts';
import type { Cell } from '../../host/cells.ts';
import type { Sleep } from '../../host/sleep.ts';
import { WorkItem, type WorkOwner } from '../../host/workqueue.ts';
import { CR0 } from '../../x86/names/registers.ts';
import { populate } from '../exits/ept.ts';
import { GuestPageCache } from '../guestPageCache.ts';
import { injectPageFault } from '../inject.ts';
import { acceptIrq } from '../lapic/accept.ts';
import { DELIVERY } from '../lapic/icr.ts';
import { KVM_REQ } from '../requests.ts';
import type { Vcpu } from '../vcpu.ts';
import { guestPvHas } from './features.ts';

/** Bits of MSR_KVM_ASYNC_PF_EN. */
export const ASYNC_PF = { ENABLED: 1n, SEND_ALWAYS: 2n, AS_PF_VMEXIT: 4n, AS_INT: 8n } as const;
const EN_RESERVED = 0x30n;
const EN_ADDRESS = ~0x3fn;
/** struct kvm_vcpu_pv_apf_data: byte offsets. */
export const APF_DATA = { FLAGS: 0, TOKEN: 4, SIZE: 8 } as const;
/** KVM_PV_REASON_PAGE_NOT_PRESENT. */
const NOT_PRESENT = 1;
/** ASYNC_PF_PER_VCPU. */
const MOST = 64;
const WAKE_ALL = 0xffff_ffff;
const TOKEN_ID_SHIFT = 12;
const MOST_IDS = 2 ** (32 - TOKEN_ID_SHIFT);

/** struct kvm_async_pf. */
interface Fault {
  readonly token: number;
  /** Guest physical page; -1 of the one that wakes all. */
  readonly page: number;
  readonly gva: bigint;
  /** The guest was told by #PF. */
  readonly injected: boolean;
}

/** How a fault on an absent page was handled. */
export type FaultOutcome = 'handled' | 'sleep';

export class AsyncPf implements WorkOwner {
  readonly name: string;
  readonly #vcpu: Vcpu;
  readonly #page: GuestPageCache;
  enMsr: Cell<bigint> = 0n;
  intMsr: Cell<bigint> = 0n;
  /** apf.halted: the artificial halt. */
  halted: Cell<boolean> = false;
  /** "Page ready" was sent and not acknowledged. */
  #readyPending: Cell<boolean> = false;
  #nextId = 1;
  /** Not ready yet, by token. */
  readonly #waiting = new Map<number, Fault>();
  /** async_pf.done. */
  readonly #done: Fault[] = [];

  constructor(vcpu: Vcpu) {
    this.#vcpu = vcpu;
    this.name = `async page faults of ${vcpu.name}`;
    this.#page = new GuestPageCache(vcpu.vm.memslots);
  }

  /** kvm_pv_async_pf_enabled(): with interrupts for "page ready"; the older way is no more. */
  get enabled(): boolean {
    const both = ASYNC_PF.ENABLED | ASYNC_PF.AS_INT;
    return (this.enMsr & both) === both;
  }
  /** Something is ready: a halted vCPU runs. */
  get hasDone(): boolean {
    return this.#done.length > 0;
  }
  /** A page is being read for this vCPU. */
  get expectsPage(): boolean {
    return this.#waiting.size > 0;
  }

  /** WRMSR of MSR_KVM_ASYNC_PF_EN: kvm_pv_enable_async_pf(). False is #GP. */
  writeEn(value: bigint): boolean {
    const { vm } = this.#vcpu;
    if ((value & (EN_RESERVED | ASYNC_PF.AS_PF_VMEXIT)) !== 0n) return false;
    if ((value & ASYNC_PF.AS_INT) !== 0n && !guestPvHas(vm, 'kvm-asyncpf-int')) return false;
    const both = ASYNC_PF.ENABLED | ASYNC_PF.AS_INT;
    if ((value & both) === both && !this.#page.activate(value & EN_ADDRESS, APF_DATA.SIZE)) return false;
    this.enMsr = value;
    if (!this.enabled) this.#forget();
    else if (this.#done.length === 0) this.#ready({ token: WAKE_ALL, page: -1, gva: 0n, injected: true });
    return true;
  }

  /** WRMSR of MSR_KVM_ASYNC_PF_INT: the vector. */
  writeInt(value: bigint): boolean {
    if (value >> 8n !== 0n) return false;
    this.intMsr = value;
    return true;
  }

  /** WRMSR of MSR_KVM_ASYNC_PF_ACK. */
  writeAck(value: bigint): boolean {
    if ((value & 1n) !== 0n) {
      this.#readyPending = false;
      this.checkCompletion();
    }
    return true;
  }

  /** The guest has touched a page that is paged out: kvm_mmu_faultin_pfn(). `sleep`: its thread has to wait. */
  fault(page: number, gva: bigint): FaultOutcome {
    const vcpu = this.#vcpu;
    if (!this.#mayBeAsync()) return 'sleep';
    if (vcpu.probes.active) vcpu.probes.fire('kvm_try_async_get_page', { gva, gfn: page }, vcpu.now());
    if ([...this.#waiting.values()].some((known) => known.page === page)) {
      vcpu.requests.make(KVM_REQ.APF_HALT);
      return 'handled';
    }
    if (this.#waiting.size + this.#done.length >= MOST) return 'sleep';
    const fault = this.#notPresent(page, gva);
    this.#waiting.set(fault.token, fault);
    vcpu.vm.swap!.workqueue.queue(new WorkItem(this, 'async_pf', [fault.token]));
    return 'handled';
  }

  /** async_pf_execute(). */
  *onWork({ args }: WorkItem): Sleep<void> {
    const token = args[0]!;
    const fault = this.#waiting.get(token);
    if (fault === undefined) return;
    yield* this.#vcpu.vm.swap!.bringIn(fault.page);
    // The guest may have switched all off meanwhile.
    if (!this.#waiting.delete(token)) return;
    const { probes } = this.#vcpu;
    if (probes.active) probes.fire('kvm_async_pf_completed', { gva: fault.gva, page: fault.page }, this.#vcpu.now());
    this.#ready(fault);
    this.#vcpu.wakeUp();
  }

  /** kvm_check_async_pf_completion(): tells the guest of what is ready, as long as it can be told. */
  checkCompletion(): void {
    while (this.#done.length > 0 && this.#mayTell()) this.#present(this.#done.shift()!);
  }

  /** What a snapshot keeps of a VM none of whose pages are out, so that nothing waits for one. */
  transfer(fields: SavedFields): void {
    this.#page.transfer(fields.part('page'));
    fields.own<AsyncPf>(this, 'enMsr', 'intMsr', 'halted');
    this.#readyPending = fields.value('readyPending', this.#readyPending);
    this.#nextId = fields.value('nextId', this.#nextId);
    const done = fields.data('done', this.#done.slice());
    if (fields.restoring) this.#done.splice(0, Infinity, ...done);
  }

  /** kvm_vcpu_reset(). */
  reset(): void {
    this.enMsr = this.intMsr = 0n;
    this.#forget();
    this.halted = this.#readyPending = false;
  }

  /** kvm_can_do_async_pf(). */
  #mayBeAsync(): boolean {
    const { events, guest, vm } = this.#vcpu;
    if (events.needsReinjection || events.exception.pending) return false;
    if (vm.params.hltInGuest && !this.#canDeliver()) return false;
    return guest.interruptible();
  }

  /** kvm_can_deliver_async_pf(). */
  #canDeliver(): boolean {
    if (!this.enabled) return false;
    const { state } = this.#vcpu.guest;
    if ((this.enMsr & ASYNC_PF.SEND_ALWAYS) === 0n && state.cpl === 0) return false;
    return (state.cr0 & CR0.PE) !== 0n;
  }

  /** kvm_arch_async_page_not_present(). */
  #notPresent(page: number, gva: bigint): Fault {
    const vcpu = this.#vcpu;
    const token = this.#allocateToken();
    if (vcpu.probes.active) vcpu.probes.fire('kvm_async_pf_not_present', { token, gva }, vcpu.now());
    const injected = this.#canDeliver() && this.#mapped();
    if (injected) {
      this.#page.writeU32(APF_DATA.FLAGS, NOT_PRESENT);
      injectPageFault(vcpu, BigInt(token), 0);
    } else vcpu.requests.make(KVM_REQ.APF_HALT);
    return { token, page, gva, injected };
  }

  /** alloc_apf_token(): never 0. */
  #allocateToken(): number {
    const id = this.#nextId;
    this.#nextId = (id + 1) % MOST_IDS || 1;
    return ((id << TOKEN_ID_SHIFT) | this.#vcpu.id) >>> 0;
  }

  /** kvm_arch_async_page_present_queued(). */
  #ready(fault: Fault): void {
    const first = this.#done.length === 0;
    this.#done.push(fault);
    if (!first) return;
    this.#vcpu.requests.make(KVM_REQ.APF_READY);
    if (!this.#readyPending) this.#vcpu.kick();
  }

  /** kvm_arch_can_dequeue_async_page_present(). */
  #mayTell(): boolean {
    if (!this.enabled) return true;
    return this.#vcpu.lapic.enabled && this.#mapped() && this.#page.readU32(APF_DATA.TOKEN) === 0;
  }

  /** kvm_arch_async_page_ready() and kvm_arch_async_page_present(). */
  #present({ token, page, gva, injected }: Fault): void {
    const vcpu = this.#vcpu;
    if (page >= 0 && vcpu.vm.memslots.at(page) !== undefined && !vcpu.vm.swap!.isOut(page)) populate(vcpu.vm, page);
    if (vcpu.probes.active) vcpu.probes.fire('kvm_async_pf_ready', { token, gva }, vcpu.now());
    if (injected && this.enabled && this.#mapped()) {
      this.#page.writeU32(APF_DATA.TOKEN, token);
      this.#readyPending = true;
      acceptIrq(vcpu.lapic, DELIVERY.FIXED, Number(this.intMsr), true, false);
    }
    this.halted = false;
    vcpu.mpState = 'runnable';
  }

  /** kvm_clear_async_pf_completion_queue(): work that runs finds nothing to do. */
  #forget(): void {
    this.#waiting.clear();
    this.#done.length = 0;
    if (!this.enabled) this.#page.deactivate();
  }

  #mapped(): boolean {
    return this.#page.valid() || this.#page.refresh();
  }
}
