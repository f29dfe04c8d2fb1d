// HYPERVISOR_xen_version: what this Xen is, and what it can do for an HVM guest.

import { XENFEAT, XENVER } from './abi.ts';
import { HypercallError, type Hypercall } from './hypercall.ts';
import { PAGE_SIZE } from '../../x86/names/paging.ts';

/** The version that CPUID and XENVER_version tell of. */
export const XEN_VERSION = { major: 4, minor: 18 } as const;
const TEXTS: Readonly<Record<number, readonly [text: string, size: number]>> = {
  [XENVER.EXTRAVERSION]: ['.0-trapline', 16],
  [XENVER.CAPABILITIES]: ['hvm-3.0-x86_32 hvm-3.0-x86_32p hvm-3.0-x86_64 ', 1024],
  [XENVER.CHANGESET]: ['unavailable', 64],
};
const FEATURES =
  XENFEAT.AUTO_TRANSLATED_PHYSMAP | XENFEAT.HVM_CALLBACK_VECTOR | XENFEAT.HVM_SAFE_PVCLOCK | XENFEAT.HVM_PIRQS;

/** Null: there is no such operation. */
export function xenVersion(call: Hypercall): number | null {
  const op = call.u32(0);
  if (op === XENVER.PAGESIZE) return PAGE_SIZE;
  if (op === XENVER.GET_FEATURES)
    return call.update(call.pointer(1), 8, (info) => {
      const submap = info.getUint32(0, true);
      if (submap !== 0) throw new HypercallError('EINVAL', `features come in one word, and not in word ${submap}`);
      info.setUint32(4, FEATURES, true);
    });
  const text = TEXTS[op];
  if (text === undefined) return null;
  const bytes = new Uint8Array(text[1]);
  bytes.set(new TextEncoder().encode(text[0]));
  call.copyTo(call.pointer(1), bytes);
  return 0;
}
