import { describe, expect, it } from 'vitest';
import { acpiTables, ACPI_END, RSDP } from '../../src/vmm/acpi/acpi.ts';
import { madt } from '../../src/vmm/acpi/madt.ts';
import { bootGuest, POWER_OFF } from './guest.ts';

const u32 = (bytes: Uint8Array, at: number): number => new DataView(bytes.buffer, bytes.byteOffset).getUint32(at, true);
const text = (bytes: Uint8Array, at: number, length: number): string =>
  String.fromCharCode(...bytes.subarray(at, at + length));
const sum = (bytes: Uint8Array): number => bytes.reduce((total, byte) => (total + byte) & 0xff, 0);

/** Reads tables as a kernel does: from the root pointer on, each checked. */
function tablesIn(memory: Uint8Array) {
  expect(text(memory, 0, 8)).toBe('RSD PTR ');
  expect(sum(memory.subarray(0, 20))).toBe(0);
  expect(sum(memory.subarray(0, 36))).toBe(0);
  const tableAt = (address: number): Uint8Array => {
    const at = address - RSDP;
    const bytes = memory.subarray(at, at + u32(memory, at + 4));
    if (text(bytes, 0, 4) !== 'FACS') expect(sum(bytes)).toBe(0);
    return bytes;
  };
  const rsdt = tableAt(u32(memory, 16));
  const xsdt = tableAt(u32(memory, 24));
  const listed = (list: Uint8Array, size: number): number[] =>
    Array.from({ length: (list.length - 36) / size }, (_, i) => u32(list, 36 + i * size));
  expect(listed(rsdt, 4)).toEqual(listed(xsdt, 8));
  const tables = new Map(listed(rsdt, 4).map((address) => [text(tableAt(address), 0, 4), tableAt(address)]));
  const fadt = tables.get('FACP')!;
  return { tables, fadt, facs: tableAt(u32(fadt, 36)), dsdt: tableAt(u32(fadt, 40)) };
}

describe("ACPI's tables", () => {
  it('are found from the root pointer, by both lists, with right checksums', () => {
    const all = acpiTables([0, 1]);
    const { tables, facs, dsdt } = tablesIn(all);
    expect([...tables.keys()]).toEqual(['FACP', 'APIC']);
    expect(text(facs, 0, 4)).toBe('FACS');
    expect(text(dsdt, 0, 4)).toBe('DSDT');
    expect(RSDP + acpiTables(Array.from({ length: 64 }, (_, i) => i)).length).toBeLessThan(ACPI_END);
  });

  it('say where power management, its timer and the reset register are', () => {
    const { fadt } = tablesIn(acpiTables([0]));
    expect([u32(fadt, 56), u32(fadt, 64), u32(fadt, 76)]).toEqual([0x600, 0x604, 0x608]);
    expect([fadt[116], u32(fadt, 120), fadt[128]]).toEqual([1, 0xcf9, 6]);
    expect(u32(fadt, 112) & (1 << 10)).not.toBe(0);
  });

  it('count processors: local APICs, and x2APICs where an ID needs them', () => {
    const entries: string[] = [];
    const table = madt([0, 254, 255, 300]);
    for (let at = 44; at < table.length; at += table[at + 1]!) {
      const type = table[at]!;
      if (type === 0) entries.push(`APIC ${table[at + 3]}`);
      if (type === 1) entries.push(`IOAPIC at ${u32(table, at + 4).toString(16)}`);
      if (type === 2) entries.push(`IRQ ${table[at + 3]} at pin ${u32(table, at + 4)}, flags ${table[at + 8]}`);
      if (type === 9) entries.push(`x2APIC ${u32(table, at + 4)}`);
    }
    expect(entries).toEqual([
      'APIC 0',
      'APIC 254',
      'x2APIC 255',
      'x2APIC 300',
      'IOAPIC at fec00000',
      'IRQ 0 at pin 2, flags 0',
      'IRQ 9 at pin 9, flags 13',
    ]);
  });

  it('stand in the memory of every machine that reaches there, where its map says that nothing is free', async () => {
    const machine = await bootGuest(`movq ${RSDP}, %rbx; ${POWER_OFF}`, { vcpus: 2 });
    const { tables } = tablesIn(machine.vm.memory.read(RSDP, ACPI_END - RSDP)!);
    expect(tables.size).toBe(2);
    expect(machine.ram.map.some(({ gpa, size, type }) => gpa <= RSDP && gpa + size >= ACPI_END && type === 2)).toBe(
      true,
    );
  });
});
