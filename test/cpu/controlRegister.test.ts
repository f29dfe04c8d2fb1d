// Control and debug registers: legal values, what exits, what the guest sees of bits that the hypervisor owns.

import { beforeEach, describe, expect, it } from 'vitest';
import { Controls } from '../../src/cpu/controls.ts';
import { featuresOf } from '../../src/cpu/features.ts';
import { CR0, CR4, DR6, DR7, EFER, GPR } from '../../src/x86/names/registers.ts';
import { VECTOR } from '../../src/x86/names/vectors.ts';
import { AT } from './systemImage.ts';
import { TestSystem, type Ending } from './system.ts';

const system = new TestSystem();
const { cpu, state } = system;
const END = { outcome: 'end' } as const;
const NEXT = { outcome: 'next' } as const;
const GP0 = { fault: VECTOR.GP, code: 0 } as const;
const UNDEFINED = { fault: VECTOR.UD, code: null } as const;

beforeEach(() => void system.reset());

const write = (cr: number, value: bigint): Ending => {
  state.setGpr(GPR.RBX, BigInt.asUintN(64, value));
  return system.execute('movToCr', { reg0: cr, reg1: GPR.RBX });
};
const read = (cr: number): bigint => {
  expect(system.execute('movFromCr', { reg0: GPR.RDX, reg1: cr })).toEqual(NEXT);
  return system.gpr(GPR.RDX);
};
const RUNNING = CR0.PE | CR0.ET | CR0.NE | CR0.WP | CR0.PG;
const LONG = CR4.PAE | CR4.PGE;

describe('which values are legal', () => {
  // prettier-ignore
  it.each<[string, number, bigint, bigint | null]>([
    ['CR0 as it is', 0, RUNNING, RUNNING],
    ['CR0.WP cleared', 0, RUNNING & ~CR0.WP, RUNNING & ~CR0.WP],
    ['CR0.ET cannot be cleared', 0, RUNNING & ~CR0.ET, RUNNING],
    ['CR0.CD', 0, RUNNING | CR0.CD, RUNNING | CR0.CD],
    ['CR0.NW with CD', 0, RUNNING | CR0.CD | CR0.NW, RUNNING | CR0.CD | CR0.NW],
    ['CR0.NW without CD', 0, RUNNING | CR0.NW, null],
    ['CR0.PG without PE', 0, RUNNING & ~CR0.PE, null],
    ['CR0.PG cleared in 64-bit mode', 0, RUNNING & ~CR0.PG, null],
    ['CR0 bit 32', 0, RUNNING | (1n << 32n), null],
    ['CR0 reserved bits of the lower half are ignored', 0, RUNNING | (1n << 6n) | (1n << 28n), RUNNING],
    ['CR2, any value', 2, 0x8123_4567_89ab_cdefn, 0x8123_4567_89ab_cdefn],
    ['CR3 with PWT and PCD', 3, BigInt(AT.TABLES) | 0x18n, BigInt(AT.TABLES) | 0x18n],
    ['CR3 bit 45', 3, 1n << 45n, 1n << 45n],
    ['CR3 bit 46, beyond MAXPHYADDR', 3, 1n << 46n, null],
    ['CR3 bit 63 without PCIDs', 3, 1n << 63n, null],
    ['CR4 with what is offered', 4, LONG | CR4.SMEP | CR4.SMAP | CR4.UMIP | CR4.TSD | CR4.PCE, LONG | CR4.SMEP | CR4.SMAP | CR4.UMIP | CR4.TSD | CR4.PCE],
    ['CR4.PAE cleared in long mode', 4, CR4.PGE, null],
    ['CR4.VMXE, which is not offered here', 4, LONG | CR4.VMXE, null],
    ['CR4.LA57, which is not offered', 4, LONG | CR4.LA57, null],
    ['CR4 bit 15', 4, LONG | (1n << 15n), null],
    ['CR4 bit 32', 4, LONG | (1n << 32n), null],
    ['CR8, 15', 8, 15n, 15n],
    ['CR8, 16', 8, 16n, null],
  ])('%s', (_, cr, value, stored) => {
    const before = read(cr);
    const ends = cr === 3 || cr === 4 || (cr === 0 && ((value ^ before) & CR0.CD) !== 0n);
    expect(write(cr, value)).toEqual(stored === null ? GP0 : ends ? END : NEXT);
    expect(read(cr)).toBe(stored ?? before);
  });

  it.each(['SMEP', 'SMAP', 'UMIP', 'FSGSBASE', 'PCID', 'PGE', 'XSAVE'] as const)(
    'CR4: without %s in CPUID its bit is reserved',
    (feature) => {
      const bit = {
        SMEP: CR4.SMEP,
        SMAP: CR4.SMAP,
        UMIP: CR4.UMIP,
        FSGSBASE: CR4.FSGSBASE,
        PCID: CR4.PCIDE,
        PGE: CR4.PGE,
        XSAVE: CR4.OSXSAVE,
      };
      cpu.features = featuresOf(['PAE', feature]);
      expect(write(4, CR4.PAE | bit[feature])).toEqual(END);
      cpu.features = featuresOf(['PAE']);
      expect(write(4, CR4.PAE | bit[feature])).toEqual(GP0);
    },
  );

  it('CR4.PCIDE can be set only while CR3 names PCID 0', () => {
    state.cr3 = BigInt(AT.TABLES) | 1n;
    expect(write(4, LONG | CR4.PCIDE)).toEqual(GP0);
    state.cr3 = BigInt(AT.TABLES);
    expect(write(4, LONG | CR4.PCIDE)).toEqual(END);
    expect(write(3, BigInt(AT.TABLES) | 5n)).toEqual(END);
    expect(write(4, LONG | CR4.PCIDE | CR4.SMEP)).toEqual(END);
  });
  it('bit 63 of a value for CR3 is not stored with PCIDs', () => {
    write(4, LONG | CR4.PCIDE);
    expect(write(3, (1n << 63n) | BigInt(AT.TABLES) | 5n)).toEqual(END);
    expect(state.cr3).toBe(BigInt(AT.TABLES) | 5n);
    expect(write(3, (1n << 62n) | BigInt(AT.TABLES))).toEqual(GP0);
  });
  it('other control registers do not exist, in any ring', () => {
    for (const cpl of [0, 3] as const) {
      system.reset(cpl);
      for (const cr of [1, 5, 6, 7, 9, 15]) {
        expect(write(cr, 0n)).toEqual(UNDEFINED);
        expect(system.execute('movFromCr', { reg0: 0, reg1: cr })).toEqual(UNDEFINED);
      }
    }
  });
  it('are #GP(0) in ring 3', () => {
    system.reset(3);
    for (const cr of [0, 2, 3, 4, 8]) {
      expect(write(cr, 0n)).toEqual(GP0);
      expect(system.execute('movFromCr', { reg0: 0, reg1: cr })).toEqual(GP0);
    }
    for (const name of [
      'clts',
      'lmsw',
      'movToDr',
      'movFromDr',
      'invlpg',
      'wbinvd',
      'invd',
      'xsetbv',
      'invpcid',
    ] as const) {
      state.cr4 |= CR4.OSXSAVE;
      expect(system.execute(name, { reg0: 0, reg1: 0 })).toEqual(GP0);
    }
  });
});

describe('translations', () => {
  /** Changes a mapping behind the TLB's back; the old one shows as long as it is held. */
  const page = 0x1_6000;
  const other = 0x1_7000;
  const entry = AT.PAGE_TABLE + page / 512;
  const look = (): bigint => cpu.mmu.read(BigInt(page), 8, 'data');
  const prepare = (bits: bigint): void => {
    system.write(page, 1n);
    system.write(other, 2n);
    system.write(entry, BigInt(page) | bits);
    expect(look()).toBe(1n);
    system.write(entry, BigInt(other) | bits);
    expect(look()).toBe(1n);
  };
  it.each([
    ['CR3', 0x7n, (): Ending => write(3, state.cr3), true],
    ['CR3, a global page', 0x107n, (): Ending => write(3, state.cr3), false],
    ['CR4.PGE cleared, a global page', 0x107n, (): Ending => write(4, CR4.PAE), true],
    ['CR4.SMEP set', 0x7n, (): Ending => write(4, LONG | CR4.SMEP), true],
    ['CR4.TSD set', 0x7n, (): Ending => write(4, LONG | CR4.TSD), false],
    ['CR0.WP cleared', 0x7n, (): Ending => write(0, RUNNING & ~CR0.WP), false],
    ['INVLPG', 0x107n, (): Ending => system.execute('invlpg', { address: BigInt(page + 8), isMemory: true }), true],
    [
      'INVLPG of another page',
      0x7n,
      (): Ending => system.execute('invlpg', { address: BigInt(other), isMemory: true }),
      false,
    ],
  ])('%s (entry bits %i): is the page walked again?', (_, bits, act, walked) => {
    prepare(bits);
    expect(act()).not.toHaveProperty('fault');
    expect(look()).toBe(walked ? 2n : 1n);
  });
  it('CR3 with bit 63 keeps the translations of its PCID', () => {
    write(4, LONG | CR4.PCIDE);
    prepare(7n);
    write(3, (1n << 63n) | state.cr3);
    expect(look()).toBe(1n);
    write(3, state.cr3);
    expect(look()).toBe(2n);
  });
  it('CR0.WP counts at once', () => {
    system.write(entry, BigInt(page) | 5n);
    const store = (): Ending => system.attempt(() => cpu.mmu.write(BigInt(page), 8, 3n, 'data'));
    expect(store()).toEqual({ fault: VECTOR.PF, code: 3 });
    write(0, RUNNING & ~CR0.WP);
    expect(store()).toEqual(NEXT);
    write(0, RUNNING);
    expect(store()).toEqual({ fault: VECTOR.PF, code: 3 });
  });
});

describe('INVPCID', () => {
  const invpcid = (type: bigint, pcid: bigint, address: bigint): Ending => {
    state.setGpr(GPR.RAX, type);
    system.write(AT.DATA, pcid, address);
    return system.execute('invpcid', { reg0: GPR.RAX, isMemory: true, address: BigInt(AT.DATA), segment: 3 });
  };
  // prettier-ignore
  it.each<[string, bigint, bigint, bigint, Ending]>([
    ['an address', 0n, 0n, 0x1000n, NEXT],
    ['an address that is not canonical', 0n, 0n, 1n << 47n, GP0],
    ['a context ignores the address', 1n, 0n, 1n << 47n, NEXT],
    ['a PCID while CR4.PCIDE = 0', 1n, 5n, 0n, GP0],
    ['all ignores PCID 5', 2n, 5n, 0n, NEXT],
    ['all but global', 3n, 0n, 0n, NEXT],
    ['reserved bits of the descriptor', 3n, 0x1000n, 0n, GP0],
    ['type 4', 4n, 0n, 0n, GP0],
    ['a type beyond 32 bits', 1n << 32n, 0n, 0n, GP0],
  ])('%s', (_, type, pcid, address, ending) => {
    expect(invpcid(type, pcid, address)).toEqual(ending);
  });
});

describe('bits that the hypervisor owns', () => {
  beforeEach(() => {
    cpu.controls = new Controls();
    cpu.controls.cr0.mask = CR0.TS | CR0.NE | CR0.PE;
    cpu.controls.cr0.shadow = CR0.TS | CR0.PE;
    cpu.controls.cr4.mask = CR4.VMXE | CR4.PCE;
    cpu.controls.cr4.shadow = CR4.PCE;
  });
  it('read as the shadow, the others as they are', () => {
    expect(read(0)).toBe((RUNNING & ~CR0.NE) | CR0.TS);
    expect(read(4)).toBe(LONG | CR4.PCE);
    system.execute('smsw', { reg0: GPR.RCX, width: 8 });
    expect(system.gpr(GPR.RCX)).toBe((RUNNING & ~CR0.NE) | CR0.TS);
  });
  it('keep their real value when the guest writes what it sees', () => {
    expect(write(0, ((RUNNING & ~CR0.NE) | CR0.TS) & ~CR0.WP)).toEqual(NEXT);
    expect(state.cr0).toBe(RUNNING & ~CR0.WP);
    expect(write(4, LONG | CR4.PCE | CR4.TSD)).toEqual(END);
    expect(state.cr4).toBe(LONG | CR4.TSD);
  });
  it('exit when the guest would change them, with the value', () => {
    expect(write(0, RUNNING)).toEqual({ exit: 'CR_ACCESS' });
    expect(cpu.exit()).toEqual({
      reason: 'CR_ACCESS',
      cr: 0,
      access: 'write',
      gpr: GPR.RBX,
      value: RUNNING,
      rip: BigInt(AT.CODE),
      length: 3,
    });
    expect(write(4, LONG)).toEqual({ exit: 'CR_ACCESS' });
    expect(cpu.exit()).toMatchObject({ cr: 4, access: 'write', value: LONG });
  });
  it('CLTS exits if the shadow has TS, does nothing if it has not', () => {
    expect(system.execute('clts')).toEqual({ exit: 'CR_ACCESS' });
    expect(cpu.exit()).toMatchObject({ cr: 0, access: 'clts' });
    cpu.controls.cr0.shadow = CR0.PE;
    state.cr0 |= CR0.TS;
    expect(system.execute('clts')).toEqual(NEXT);
    expect(state.cr0 & CR0.TS).toBe(CR0.TS);
  });
  it.each([
    ['the same bits', CR0.PE | CR0.TS, false],
    ['TS cleared', CR0.PE, true],
    ['PE cleared, which LMSW never does', CR0.TS, false],
    ['MP, which the guest owns', CR0.PE | CR0.TS | CR0.MP, false],
  ])('LMSW with %s: exits?', (_, value, exits) => {
    state.setGpr(GPR.RAX, value);
    expect(system.execute('lmsw', { reg0: GPR.RAX })).toEqual(exits ? { exit: 'CR_ACCESS' } : END);
    if (exits) expect(cpu.exit()).toMatchObject({ cr: 0, access: 'lmsw', value });
  });
});

describe('LMSW and CLTS without a hypervisor', () => {
  it('LMSW loads MP, EM and TS, and cannot clear PE', () => {
    state.setGpr(GPR.RAX, 0xffffn & ~CR0.PE & ~CR0.EM);
    expect(system.execute('lmsw', { reg0: GPR.RAX })).toEqual(END);
    expect(state.cr0).toBe(RUNNING | CR0.MP | CR0.TS);
    expect(system.execute('clts')).toEqual(NEXT);
    expect(state.cr0).toBe(RUNNING | CR0.MP);
  });
});

describe('debug registers', () => {
  const dr = (n: number): bigint => state.views.u64[state.at('dr', n) >> 3]!;
  const set = (n: number, value: bigint): Ending => {
    state.setGpr(GPR.RAX, value);
    return system.execute('movToDr', { reg0: n, reg1: GPR.RAX });
  };
  const get = (n: number): bigint => {
    expect(system.execute('movFromDr', { reg0: GPR.RDX, reg1: n })).toEqual(NEXT);
    return system.gpr(GPR.RDX);
  };
  it('hold addresses; DR6 and DR7 have fixed bits', () => {
    expect(set(1, 0x1234n)).toEqual(NEXT);
    expect(get(1)).toBe(0x1234n);
    expect(set(6, 0xffff_ffffn)).toEqual(NEXT);
    expect(get(6)).toBe(DR6.FIXED | 0xe00fn);
    expect(set(7, 0xffff_dc00n & ~0x2000n)).toEqual(NEXT);
    expect(get(7)).toBe(0xffff_0400n);
  });
  it('DR4 and DR5 are DR6 and DR7, or #UD with CR4.DE', () => {
    expect(set(5, 0x400n)).toEqual(NEXT);
    expect(dr(7)).toBe(0x400n);
    expect(get(4)).toBe(get(6));
    state.cr4 |= CR4.DE;
    expect(set(5, 0x400n)).toEqual(UNDEFINED);
    expect(set(9, 0n)).toEqual(UNDEFINED);
  });
  it('DR6 and DR7 are #GP(0) beyond 32 bits, DR0 to DR3 take any address', () => {
    expect(set(6, 1n << 32n)).toEqual(GP0);
    expect(set(7, 1n << 63n)).toEqual(GP0);
    expect(set(0, 1n << 47n)).toEqual(NEXT);
  });
  it('end the block where a breakpoint may be met from then on, and no longer once none is enabled', () => {
    expect(set(0, 0x1234n)).toEqual(NEXT);
    expect(set(7, 0x401n)).toEqual(END);
    expect(set(0, 0x5678n)).toEqual(END);
    expect(set(7, 0x400n)).toEqual(NEXT);
  });
  it('DR7.GD makes the next access a #DB', () => {
    set(7, DR7.GD);
    expect(set(0, 0n)).toEqual({ fault: VECTOR.DB, code: null });
  });
  it('exit before privilege counts', () => {
    system.reset(3);
    cpu.controls.movDrExiting = true;
    expect(set(7, 0n)).toEqual({ exit: 'DR_ACCESS' });
    expect(cpu.exit()).toMatchObject({ dr: 7, access: 'write', gpr: GPR.RAX });
    expect(system.execute('movFromDr', { reg0: GPR.RBX, reg1: 3 })).toEqual({ exit: 'DR_ACCESS' });
    expect(cpu.exit()).toMatchObject({ dr: 3, access: 'read', gpr: GPR.RBX });
  });
});

describe('XCR0', () => {
  const xsetbv = (value: bigint, index = 0): Ending => {
    state.setGpr(GPR.RCX, BigInt(index));
    state.setGpr(GPR.RAX, value & 0xffff_ffffn);
    state.setGpr(GPR.RDX, value >> 32n);
    return system.execute('xsetbv');
  };
  it('is #UD without CR4.OSXSAVE', () => {
    expect(xsetbv(1n)).toEqual(UNDEFINED);
    expect(system.execute('xgetbv')).toEqual(UNDEFINED);
  });
  // prettier-ignore
  it.each<[bigint, number, boolean]>([[1n, 0, true], [3n, 0, true], [7n, 0, true], [2n, 0, false], [5n, 0, false], [9n, 0, false], [1n << 32n, 0, false], [1n, 1, false]])(
    'value %i at index %i: legal? %s', (value, index, legal) => {
    state.cr4 |= CR4.OSXSAVE;
    expect(xsetbv(value, index)).toEqual(legal ? END : GP0);
    if (!legal) return;
    expect(system.execute('xgetbv')).toEqual(NEXT);
    expect(system.gpr(GPR.RAX)).toBe(value);
  });
  it('exits under a hypervisor', () => {
    cpu.controls = new Controls();
    state.cr4 |= CR4.OSXSAVE;
    expect(xsetbv(1n)).toEqual({ exit: 'XSETBV' });
  });
});

it('EFER decides whether CR4.PCIDE may be set', () => {
  state.efer &= ~EFER.LMA;
  expect(write(4, LONG | CR4.PCIDE)).toEqual(GP0);
});
