// HYPERVISOR_grant_table_op: how large the table is, and where its frames lie. Nobody maps what the guest grants: there is no
// other domain.

import { GNTST, GNTTABOP } from './abi.ts';
import type { XenDomain } from './domain.ts';
import { HypercallError, type Hypercall } from './hypercall.ts';
import { MOST_GRANT_FRAMES } from './pages.ts';
import { isSelf } from './ports.ts';

const VERSION = 1;
/** A frame that lies nowhere in the guest: INVALID_GFN. */
const NOWHERE = 0xffff_ffff_ffff_ffffn;

/** Null: there is no such operation. */
export function grantTableOp(domain: XenDomain, call: Hypercall): number | null {
  const argument = call.pointer(1);
  switch (call.u32(0)) {
    case GNTTABOP.SETUP_TABLE:
      return setupTable(domain, call);
    case GNTTABOP.QUERY_SIZE:
      return call.update(argument, 16, (query) => {
        const known = isSelf(query.getUint16(0, true), domain.id);
        if (known) {
          query.setUint32(4, domain.pages.grantFrames, true);
          query.setUint32(8, MOST_GRANT_FRAMES, true);
        }
        query.setInt16(12, known ? GNTST.OKAY : GNTST.BAD_DOMAIN, true);
      });
    case GNTTABOP.SET_VERSION:
      return call.update(argument, 4, (version) => {
        if (version.getUint32(0, true) !== VERSION)
          throw new HypercallError('ENOSYS', 'grant tables of version 1 only');
      });
    case GNTTABOP.GET_VERSION:
      return call.update(argument, 8, (version) => {
        if (!isSelf(version.getUint16(0, true), domain.id)) throw new HypercallError('ESRCH', 'another domain');
        version.setUint32(4, VERSION, true);
      });
    default:
      return null;
  }
}

/** struct gnttab_setup_table: dom, nr_frames, status, frame_list. */
function setupTable({ id, pages }: XenDomain, call: Hypercall): number {
  const { is64Bit } = call;
  return call.update(call.pointer(1), is64Bit ? 24 : 16, (setup) => {
    const count = setup.getUint32(4, true);
    const known = isSelf(setup.getUint16(0, true), id);
    setup.setInt16(8, !known ? GNTST.BAD_DOMAIN : count > MOST_GRANT_FRAMES ? GNTST.GENERAL_ERROR : GNTST.OKAY, true);
    if (!known || count > MOST_GRANT_FRAMES) return;
    const list = is64Bit ? setup.getBigUint64(16, true) : BigInt(setup.getUint32(12, true));
    const frames = Array.from({ length: count }, (_, frame) => pages.grantFrame(frame));
    const gfns = frames.map((gfn) => (gfn === null ? NOWHERE : BigInt(gfn)));
    const bytes = is64Bit
      ? BigUint64Array.from(gfns)
      : Uint32Array.from(gfns, (gfn) => Number(BigInt.asUintN(32, gfn)));
    call.copyTo(list, new Uint8Array(bytes.buffer));
  });
}
