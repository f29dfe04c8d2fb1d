// The xAPIC's page of registers as memory (Linux lapic.c: apic_mmio_read, apic_mmio_write).
import { describe, expect, it } from 'vitest';
import { mmioRead, mmioWrite } from '../../src/hypervisor/lapic/mmio.ts';
import { APIC } from '../../src/hypervisor/lapic/registers.ts';
import { enableX2apic, Rig } from './lapicRig.ts';

const PAGE = 0xfee00000n;
const at = (offset: number): bigint => PAGE + BigInt(offset);
const one = (quirks = {}) => new Rig({ raw: true, quirks }).vcpus[0]!;

describe('the xAPIC page', () => {
  it('takes aligned writes of four bytes and drops all others', () => {
    const { lapic } = one();
    for (const [offset, length] of [[0x80, 1], [0x80, 2], [0x80, 8], [0x84, 4], [0x81, 4]] as const) // prettier-ignore
      expect(mmioWrite(lapic, at(offset), length, 0x77n)).toBe(true);
    expect(lapic.register(APIC.TASKPRI)).toBe(0);
    expect(mmioWrite(lapic, at(0x80), 4, 0x77n)).toBe(true);
    expect(lapic.register(APIC.TASKPRI)).toBe(0x77);
  });

  it('gives the bytes of one register, and 0 for what straddles two or names none', () => {
    const { lapic } = one();
    expect(mmioRead(lapic, at(0x30), 4)).toBe(0x50014n);
    expect(mmioRead(lapic, at(0x32), 1)).toBe(0x05n);
    expect(mmioRead(lapic, at(0x31), 2)).toBe(0x500n);
    expect([mmioRead(lapic, at(0x32), 4), mmioRead(lapic, at(0x30), 8), mmioRead(lapic, at(0xb0), 4)]).toEqual([
      0n,
      0n,
      0n,
    ]);
    expect(mmioRead(lapic, at(0x400), 4)).toBe(0n);
  });

  it('is a whole page, and follows the base', () => {
    const { lapic } = one();
    expect([mmioRead(lapic, PAGE - 4n, 4), mmioRead(lapic, PAGE + 0x1000n, 4)]).toEqual([null, null]);
    expect(mmioWrite(lapic, PAGE + 0x1000n, 4, 0n)).toBe(false);
    lapic.writeBase(0xd0000800n);
    expect([mmioRead(lapic, at(0x30), 4), mmioRead(lapic, 0xd0000030n, 4)]).toEqual([null, 0x50014n]);
  });

  it.each([true, false])('is a hole when the APIC is disabled or in x2APIC mode (quirk: %s)', (lapicMmioHole) => {
    const x2apic = one({ lapicMmioHole });
    enableX2apic(x2apic);
    const disabled = one({ lapicMmioHole });
    disabled.lapic.writeBase(PAGE);
    for (const { lapic } of [x2apic, disabled]) {
      expect(mmioRead(lapic, at(0x80), 4)).toBe(lapicMmioHole ? 0xffffffffn : null);
      expect(mmioRead(lapic, at(0x80), 8)).toBe(lapicMmioHole ? 2n ** 64n - 1n : null);
      expect(mmioWrite(lapic, at(0x80), 4, 0x77n)).toBe(lapicMmioHole);
      expect(lapic.register(APIC.TASKPRI)).toBe(0);
    }
  });
});
