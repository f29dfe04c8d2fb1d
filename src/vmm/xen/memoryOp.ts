// HYPERVISOR_memory_op, as far as an HVM guest needs it: where Xen's pages are to lie, and the memory map.

import { XENMAPSPACE, XENMEM } from './abi.ts';
import type { XenDomain } from './domain.ts';
import { HypercallError, type Hypercall } from './hypercall.ts';
import { isSelf } from './ports.ts';

/** A record of the memory map: base, length, type. */
const E820_SIZE = 20;

/** Null: there is no such operation. */
export function memoryOp(domain: XenDomain, call: Hypercall): number | null {
  switch (call.u32(0)) {
    case XENMEM.ADD_TO_PHYSMAP:
      return addToPhysmap(domain, call);
    case XENMEM.MEMORY_MAP:
      return memoryMap(domain, call);
    default:
      return null;
  }
}

/** struct xen_add_to_physmap: domid, size, space, idx, gpfn. */
function addToPhysmap({ id, pages }: XenDomain, call: Hypercall): number | null {
  const { is64Bit } = call;
  const add = call.copyFrom(call.pointer(1), is64Bit ? 24 : 16);
  if (!isSelf(add.getUint16(0, true), id)) throw new HypercallError('EPERM', 'the memory of another domain');
  const space = add.getUint32(4, true);
  const index = is64Bit ? Number(add.getBigUint64(8, true)) : add.getUint32(8, true);
  const gfn = is64Bit ? Number(add.getBigUint64(16, true)) : add.getUint32(12, true);
  switch (space) {
    case XENMAPSPACE.SHARED_INFO:
      if (index !== 0) throw new HypercallError('EINVAL', `shared_info is one page, and has no page ${index}`);
      pages.mapSharedInfo(gfn);
      return 0;
    case XENMAPSPACE.GRANT_TABLE:
      pages.mapGrantFrame(index, gfn);
      return 0;
    default:
      return null;
  }
}

/** struct xen_memory_map: nr_entries, buffer. Without a buffer it is the number that is asked for. */
function memoryMap({ memoryMap }: XenDomain, call: Hypercall): number {
  const { is64Bit } = call;
  return call.update(call.pointer(1), is64Bit ? 16 : 8, (map) => {
    const buffer = is64Bit ? map.getBigUint64(8, true) : BigInt(map.getUint32(4, true));
    if (buffer !== 0n) {
      if (map.getUint32(0, true) < memoryMap.length)
        throw new HypercallError('ENOBUFS', `the memory map has ${memoryMap.length} entries`);
      const records = new DataView(new ArrayBuffer(E820_SIZE * memoryMap.length));
      for (const [i, { gpa, size, type }] of memoryMap.entries()) {
        records.setBigUint64(E820_SIZE * i, BigInt(gpa), true);
        records.setBigUint64(E820_SIZE * i + 8, BigInt(size), true);
        records.setUint32(E820_SIZE * i + 16, type, true);
      }
      call.copyTo(buffer, new Uint8Array(records.buffer));
    }
    map.setUint32(0, memoryMap.length, true);
  });
}
