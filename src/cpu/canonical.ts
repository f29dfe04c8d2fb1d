// Canonical form of linear addresses held as bigints: 48 bits, sign-extended (SDM vol. 1, 3.3.7.1).

const LINEAR_ADDRESS_BITS = 48;

/** Whether an unsigned 64-bit value is a canonical address. */
export const isCanonicalAddress = (address: bigint): boolean =>
  BigInt.asUintN(64, BigInt.asIntN(LINEAR_ADDRESS_BITS, address)) === address;
