// Pages that Xen and its guest share: shared_info with the vcpu_info of the first vCPUs, vcpu_info elsewhere, the frames of the
// grant table. The guest says where it wants each.
//
// Theory: in Xen these pages are Xen's, and take the place of what the guest had there. Here the guest's own page becomes the
// shared one: it gets what the shared page held, zeroes at first. The difference shows only when a guest moves the page away and
// looks at what it left.

import type { SavedFields } from '../../cpu/savedFields.ts';
import type { Vm } from '../../hypervisor/vm.ts';
import { setXenVcpuAttr, setXenVmAttr } from '../../hypervisor/xen/attributes.ts';
import { VCPU_INFO } from '../../hypervisor/xen/layout.ts';
import { PAGE_SIZE } from '../../x86/names/paging.ts';
import { HypercallError } from './hypercall.ts';

/** XEN_LEGACY_MAX_VCPUS: how many have their vcpu_info in shared_info. */
const IN_SHARED_INFO = 32;
/** Frames that the grant table may have: Xen's default. */
export const MOST_GRANT_FRAMES = 64;

export class SharedPages {
  readonly #vm: Vm;
  /** Where shared_info lies; null: nowhere yet. */
  sharedInfo: number | null = null;
  /** Where a vCPU's vcpu_info lies outside of shared_info. */
  readonly #vcpuInfo = new Map<number, number>();
  /** The guest's frame of each frame of the grant table. */
  readonly #grants = new Map<number, number>();

  constructor(vm: Vm) {
    this.#vm = vm;
  }

  /** XENMAPSPACE_shared_info. Throws HypercallError or XenError. */
  mapSharedInfo(gfn: number): void {
    const { memory, vcpus } = this.#vm;
    const held = this.sharedInfo === null ? null : memory.read(this.sharedInfo, PAGE_SIZE);
    this.#write(gfn * PAGE_SIZE, held ?? new Uint8Array(PAGE_SIZE));
    setXenVmAttr(this.#vm, { type: 'SHARED_INFO', gfn });
    this.sharedInfo = gfn * PAGE_SIZE;
    for (const vcpu of vcpus) {
      if (vcpu.id >= IN_SHARED_INFO || this.#vcpuInfo.has(vcpu.id)) continue;
      setXenVcpuAttr(vcpu, { type: 'VCPU_INFO', gpa: this.sharedInfo + VCPU_INFO.SIZE * vcpu.id });
    }
  }

  /**
   * VCPUOP_register_vcpu_info: moves a vCPU's vcpu_info, once. As events may have gone to the old place meanwhile, the guest is
   * to look at all of them. Throws HypercallError or XenError.
   */
  moveVcpuInfo(vcpu: number, gpa: number): void {
    if (this.#vcpuInfo.has(vcpu)) throw new HypercallError('EINVAL', `vcpu_info of vCPU ${vcpu} was registered before`);
    if ((gpa % PAGE_SIZE) + VCPU_INFO.SIZE > PAGE_SIZE)
      throw new HypercallError('EINVAL', `vcpu_info at 0x${gpa.toString(16)} crosses into the next page`);
    const { pendingSel, wordBits } = this.#vm.xen!.layout;
    const old = this.vcpuInfo(vcpu);
    const held = (old === null ? null : this.#vm.memory.read(old, VCPU_INFO.SIZE)) ?? new Uint8Array(VCPU_INFO.SIZE);
    held[VCPU_INFO.UPCALL_PENDING] = 1;
    held.fill(0xff, pendingSel, pendingSel + wordBits / 8);
    this.#write(gpa, held);
    setXenVcpuAttr(this.#vm.vcpus[vcpu]!, { type: 'VCPU_INFO', gpa });
    this.#vcpuInfo.set(vcpu, gpa);
  }

  /** Where a vCPU's vcpu_info lies; null: nowhere. */
  vcpuInfo(vcpu: number): number | null {
    const own = this.#vcpuInfo.get(vcpu);
    if (own !== undefined) return own;
    return this.sharedInfo === null || vcpu >= IN_SHARED_INFO ? null : this.sharedInfo + VCPU_INFO.SIZE * vcpu;
  }

  /** evtchn_upcall_pending of a vCPU: it is to look at its events. */
  upcallPending(vcpu: number): boolean {
    const info = this.vcpuInfo(vcpu);
    const [pending = 0] = (info === null ? null : this.#vm.memory.read(info + VCPU_INFO.UPCALL_PENDING, 1)) ?? [];
    return pending !== 0;
  }

  /** XENMAPSPACE_grant_table. Throws HypercallError. */
  mapGrantFrame(frame: number, gfn: number): void {
    if (frame >= MOST_GRANT_FRAMES)
      throw new HypercallError('EINVAL', `the grant table has at most ${MOST_GRANT_FRAMES} frames, and none ${frame}`);
    const before = this.#grants.get(frame);
    const held = before === undefined ? null : this.#vm.memory.read(before * PAGE_SIZE, PAGE_SIZE);
    this.#write(gfn * PAGE_SIZE, held ?? new Uint8Array(PAGE_SIZE));
    this.#grants.set(frame, gfn);
  }

  /** The guest's frame of a frame of the grant table; null: it is not mapped. */
  grantFrame(frame: number): number | null {
    return this.#grants.get(frame) ?? null;
  }
  get grantFrames(): number {
    return this.#grants.size === 0 ? 1 : Math.max(...this.#grants.keys()) + 1;
  }

  /** Clears a bit of a bitmap of shared_info: whether it was set. */
  testAndClear(bitmap: number, bit: number): boolean {
    const { memory } = this.#vm;
    const at = (this.sharedInfo ?? 0) + bitmap + (bit >> 3);
    const [byte] = this.sharedInfo === null ? [] : (memory.read(at, 1) ?? []);
    if (byte === undefined || ((byte >> (bit & 7)) & 1) === 0) return false;
    memory.write(at, Uint8Array.of(byte & ~(1 << (bit & 7))));
    return true;
  }

  transfer(fields: SavedFields): void {
    this.sharedInfo = fields.value('sharedInfo', this.sharedInfo);
    restore(this.#vcpuInfo, fields.data('vcpuInfo', [...this.#vcpuInfo]));
    restore(this.#grants, fields.data('grants', [...this.#grants]));
  }

  #write(gpa: number, bytes: Uint8Array): void {
    if (!this.#vm.memory.write(gpa, bytes))
      throw new HypercallError('EINVAL', `the guest has no memory at 0x${gpa.toString(16)}`);
  }
}

function restore(map: Map<number, number>, saved: readonly (readonly [number, number])[]): void {
  map.clear();
  for (const [key, value] of saved) map.set(key, value);
}
