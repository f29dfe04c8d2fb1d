// Several words pushed by one instruction or event: all of them are probed before the first is written.

import type { AccessKind } from '../access.ts';
import { PAGE_MASK } from '../../x86/names/paging.ts';
import type { MicrocodeMmu } from './microcode.ts';

const PAGE = BigInt(PAGE_MASK + 1);

/**
 * Probes `count` words of `width` bytes that end at `top`, in the order in which they are pushed: the one next to `top`
 * first, so that CR2 tells the address that the first push would have missed.
 */
export function probePushes(mmu: MicrocodeMmu, top: bigint, width: number, count: number, access: AccessKind): void {
  let probed = -1n;
  for (let i = 1; i <= count; i++) {
    const at = BigInt.asUintN(64, top - BigInt(i * width));
    if (at / PAGE === probed) continue;
    mmu.probe(at, width, 'write', access);
    probed = at / PAGE;
  }
}
