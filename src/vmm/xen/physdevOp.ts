// HYPERVISOR_physdev_op, as far as an HVM guest may: its PIRQs (Xen arch/x86/hvm/hypercall.c, arch/x86/physdev.c).

import { MAP_PIRQ_TYPE, PHYSDEVOP, XENIRQSTAT_NEEDS_EOI } from './abi.ts';
import type { XenDomain } from './domain.ts';
import { mustBeSelf } from './eventChannelOp.ts';
import { HypercallError, type Hypercall } from './hypercall.ts';

/** Null: there is no such operation. */
export function physdevOp(domain: XenDomain, call: Hypercall): number | null {
  const { pirqs } = domain;
  const argument = call.pointer(1);
  switch (call.u32(0)) {
    case PHYSDEVOP.MAP_PIRQ:
      return call.update(argument, call.is64Bit ? 40 : 36, (map) => mapPirq(domain, map));
    case PHYSDEVOP.UNMAP_PIRQ: {
      const unmap = call.copyFrom(argument, 8);
      mustBeSelf(domain, unmap.getUint16(0, true));
      pirqs.unmap(unmap.getInt32(4, true));
      return 0;
    }
    case PHYSDEVOP.EOI:
      pirqs.eoi(call.copyFrom(argument, 4).getUint32(0, true));
      return 0;
    case PHYSDEVOP.IRQ_STATUS_QUERY:
      return call.update(argument, 8, (query) => {
        pirqs.checkMapped(query.getUint32(0, true));
        query.setUint32(4, XENIRQSTAT_NEEDS_EOI, true);
      });
    case PHYSDEVOP.GET_FREE_PIRQ:
      return call.update(argument, 8, (free) => free.setUint32(4, pirqs.allocate(free.getInt32(0, true)), true));
    default:
      return null;
  }
}

/** struct physdev_map_pirq: domid, type, index, pirq, and what only domain 0 says. */
function mapPirq(domain: XenDomain, map: DataView): void {
  mustBeSelf(domain, map.getUint16(0, true));
  if (!domain.hasVector)
    throw new HypercallError('EINVAL', 'PIRQs want events that interrupt by a vector: HVM_PARAM_CALLBACK_IRQ is none');
  const type = map.getInt32(4, true);
  // Vectors of a device name their PIRQ by their message.
  if (type !== MAP_PIRQ_TYPE.GSI) throw new HypercallError('EINVAL', `a guest maps lines, and nothing of type ${type}`);
  map.setInt32(12, domain.pirqs.mapGsi(map.getInt32(8, true), map.getInt32(12, true)), true);
}
