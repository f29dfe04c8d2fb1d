// Canonical form of linear addresses held as bigints: 48 bits, sign-extended (SDM vol. 1, 3.3.7.1).

import { isCanonical } from './memory/access.ts';
import { highWord } from './words.ts';

/** Whether an unsigned 64-bit value is a canonical address. */
export const isCanonicalAddress = (address: bigint): boolean => isCanonical(highWord(address) | 0);
