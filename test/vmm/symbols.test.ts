import { describe, expect, it } from 'vitest';
import { type GuestSymbol, SymbolTable } from '../../src/vmm/symbols.ts';

const symbol = (name: string, address: bigint, more: Partial<GuestSymbol> = {}): GuestSymbol => ({
  name,
  address,
  size: 0,
  kind: 'label',
  global: false,
  ...more,
});

const KERNEL = 0xffff_ffff_8000_0000n;
const table = new SymbolTable(
  [
    symbol('tick_handler', 0x1010n),
    symbol('_start', 0x1000n, { global: true }),
    symbol('text_end', 0x1040n),
    symbol('data_start', 0x1040n),
    symbol('kernel', KERNEL, { kind: 'function' }),
    symbol('LIMIT', 0x1020n, { kind: 'absolute' }),
  ],
  [
    { start: 0x1000n, end: 0x1080n },
    { start: 0x2000n, end: 0x3000n },
    { start: KERNEL, end: KERNEL + 0x1000n },
  ],
);

describe('a symbol table', () => {
  it('names an address by the symbol in front of it', () => {
    expect(table.format(0x1000n)).toBe('_start');
    expect(table.format(0x102cn)).toBe('tick_handler+0x1c');
    expect(table.lookup(0x102cn)).toEqual({ name: 'tick_handler', offset: 0x1cn });
    expect(table.format(KERNEL + 8n)).toBe('kernel+0x8');
  });

  it('names nothing outside of the image, nor across its segments', () => {
    expect(table.format(0xfffn)).toBe('0xfff');
    expect(table.format(0x1080n)).toBe('0x1080');
    expect(table.format(0x2004n)).toBe('0x2004');
    expect(table.lookup(0xffff_ffff_ffff_ffffn)).toBeNull();
  });

  it('does not take a constant for an address', () => {
    expect(table.format(0x1024n)).toBe('tick_handler+0x14');
    expect(table.find('LIMIT')?.address).toBe(0x1020n);
  });

  it('prefers what begins at an address to what ends there', () => {
    expect(table.format(0x1041n)).toBe('data_start+0x1');
  });

  it('prefers global symbols, then functions and objects', () => {
    const at = (...symbols: GuestSymbol[]): string => new SymbolTable(symbols, [{ start: 0n, end: 16n }]).format(1n);
    expect(at(symbol('a', 0n, { global: true }), symbol('b', 0n, { kind: 'function' }))).toBe('a+0x1');
    expect(at(symbol('a', 0n, { kind: 'function' }), symbol('b', 0n))).toBe('a+0x1');
  });

  it('finds by exact name, or says null', () => {
    expect(table.find('_start')?.address).toBe(0x1000n);
    expect(table.find('start')).toBeNull();
    expect(SymbolTable.empty.format(5n)).toBe('0x5');
    expect([...table].map(({ name }) => name)).toContain('text_end');
  });
});
