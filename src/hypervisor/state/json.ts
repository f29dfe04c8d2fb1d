// Saved state as text. Bigints become strings of hexadecimal digits; no other string of a state begins with 0x.

import type { VcpuState } from './vcpuState.ts';

export const vcpuStateToJson = (state: VcpuState): string =>
  JSON.stringify(state, (_, value: unknown) => (typeof value === 'bigint' ? `0x${value.toString(16)}` : value));

/** Throws SyntaxError for what is no JSON. Whether the values fit a vCPU is seen when they are set. */
export const vcpuStateFromJson = (text: string): VcpuState =>
  JSON.parse(text, (_, value: unknown) =>
    typeof value === 'string' && /^0x[0-9a-f]+$/.test(value) ? BigInt(value) : value,
  ) as VcpuState;
