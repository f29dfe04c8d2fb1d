// Where things lie in a VM's linear memory, by byte address. Constants are part of the generated code.

import { STATE_SIZE } from '../state.ts';

/** Below: never used, so that a null record or view faults in tests. */
const FIRST = 0x1_0000;
/** A u64 for each page of linear memory: which of its 64-byte lines hold decoded code. Sized for the full 4 GiB. */
export const CODE_BITMAP = FIRST;
const CODE_BITMAP_SIZE = (0x1_0000_0000 / 4096) * 8;
/** State blocks, one behind the other. */
export const STATES = CODE_BITMAP + CODE_BITMAP_SIZE;

/** 32 bytes a record. */
export const CODE_CACHE_SIZE = 16 << 20;
/** Records of one exact stop, outside the cache: never linked, written anew each time. */
export const SCRATCH_SIZE = 64 * 1024;

export interface MemoryMap {
  readonly states: number;
  readonly scratch: number;
  readonly codeCache: number;
  readonly arena: number;
  /** End of the arena and of linear memory, in bytes: a multiple of 64 KiB. */
  readonly end: number;
}

const WASM32_LIMIT = 0x1_0000_0000;
const round = (value: number, unit: number): number => Math.ceil(value / unit) * unit;

/** Lays out a VM's linear memory. More than WebAssembly's 4 GiB is refused by name. */
export function memoryMap(cpus: number, arenaBytes: number): MemoryMap {
  const scratch = STATES + cpus * STATE_SIZE;
  const codeCache = scratch + SCRATCH_SIZE;
  const arena = codeCache + CODE_CACHE_SIZE;
  const end = round(arena + arenaBytes, 0x1_0000);
  if (end > WASM32_LIMIT) {
    const most = Math.floor((WASM32_LIMIT - arena) / (1 << 20));
    throw new RangeError(
      `guest memory of ${Math.ceil(arenaBytes / (1 << 20))} MiB does not fit one 32-bit WebAssembly memory beside ` +
        `${cpus} vCPU${cpus === 1 ? '' : 's'}: at most ${most} MiB; ask for less memory`,
    );
  }
  return { states: STATES, scratch, codeCache, arena, end };
}
