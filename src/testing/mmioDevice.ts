// A device for tests of MMIO: bytes that read back what was written, and a log of every access, so that a test can tell that
// each happened exactly once, in order and in its size.

import type { MmioDevice } from '../hypervisor/bus/mmio.ts';

export interface MmioAccess {
  readonly kind: 'read' | 'write';
  readonly offset: number;
  readonly size: number;
  readonly value: bigint;
}

export class TestMmioDevice implements MmioDevice {
  readonly name = 'test device';
  readonly gpa: number;
  readonly length: number;
  readonly bytes: Uint8Array;
  /** Every access in order. */
  readonly log: MmioAccess[] = [];

  /** `contents` says what the bytes are at first; zero by default. */
  constructor(gpa: number, length = 4096, contents: (offset: number) => number = () => 0) {
    this.gpa = gpa;
    this.length = length;
    this.bytes = Uint8Array.from({ length }, (_, offset) => contents(offset));
  }

  read(offset: number, size: number): bigint {
    let value = 0n;
    for (let i = size - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.bytes[offset + i] ?? 0xff);
    this.log.push({ kind: 'read', offset, size, value });
    return value;
  }

  write(offset: number, size: number, value: bigint): void {
    for (let i = 0; i < size; i++) this.bytes[offset + i] = Number((value >> BigInt(8 * i)) & 0xffn);
    this.log.push({ kind: 'write', offset, size, value });
  }

  /** The log, short: `r8@0=0x1122`, `w4@10=0xff`. */
  get accesses(): string[] {
    return this.log.map(({ kind, offset, size, value }) => `${kind[0]}${size}@${offset}=0x${value.toString(16)}`);
  }
}
