// System instructions and events in states at random: selectors, frames, gates and registers of every kind, legal and illegal, by family.
import { EVENT_TYPE, interruption } from '../../src/cpu/interruption.ts';
import { CR0, CR4, EFER } from '../../src/x86/names/registers.ts';
import { MSR } from '../../src/x86/names/msrs.ts';
import {
  AT,
  SEL,
  SUPERVISOR_PAGE,
  TABLE_REGISTERS,
  TSS_LIMIT,
  gate,
  handler,
  segmentsAt,
  type Poke,
} from '../cpu/systemImage.ts';
import { ORACLE_MSRS, type SystemCase } from './kvm.ts';
import type { Random } from './random.ts';

const HLT = 0xf4;
const NOT_CANONICAL = 0x8000_0000_0000n;
const HIGH_HALF = 0xffff_8000_0000_0000n;
const FIXED_FLAG = 2n;
const ERROR_CODE_VECTORS = [8, 10, 11, 12, 13, 14, 17];

/** A landing place: HLT. */
const LANDING = BigInt(AT.CODE + 0x800);

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
type Draft = Mutable<Omit<SystemCase, 'gpr' | 'segments' | 'pokes' | 'msrs'>> & {
  gpr: bigint[];
  segments: Mutable<SystemCase['segments'][number]>[];
  pokes: Poke[];
  msrs: bigint[];
};

/** A case that runs `bytes` at a privilege level, with what follows left to the family. */
function draft(name: string, bytes: readonly number[], cpl: 0 | 1 | 3): Draft {
  const code = new Uint8Array(24).fill(HLT);
  code.set(bytes);
  const view = new DataView(code.buffer);
  const gpr = Array.from({ length: 16 }, (_, i) => BigInt(i) * 0x0101_0101_0101n);
  gpr[4] = BigInt(AT.STACK - 0x100);
  return {
    name: `${name} at CPL ${cpl}`,
    gpr,
    rip: BigInt(AT.CODE),
    rflags: FIXED_FLAG,
    segments: segmentsAt(cpl).map((segment) => ({ ...segment })),
    ...TABLE_REGISTERS,
    cr0: CR0.PE | CR0.ET | CR0.NE | CR0.WP | CR0.PG,
    cr2: 0n,
    cr3: BigInt(AT.TABLES),
    cr4: CR4.PAE | CR4.PGE,
    cr8: 0n,
    efer: EFER.LME | EFER.LMA | EFER.SCE | EFER.NXE,
    msrs: ORACLE_MSRS.map((index) => (index === MSR.PAT ? 0x0007_0406_0007_0406n : 0n)),
    event: 0,
    eventError: 0,
    pokes: [
      ...[0, 8, 16].map((at): Poke => [AT.CODE + at, view.getBigUint64(at, true)]),
      [Number(LANDING), BigInt(HLT)],
    ],
  };
}

const msr = (c: Draft, index: (typeof ORACLE_MSRS)[number], value: bigint): void => {
  c.msrs[ORACLE_MSRS.indexOf(index)] = value;
};

const SELECTORS = Object.values(SEL);

export class SystemCases {
  readonly #random: Random;
  constructor(random: Random) {
    this.#random = random;
  }

  /** Cases of every family in turn. */
  *all(count: number): Generator<SystemCase> {
    const families = [
      () => this.iret(),
      () => this.farReturn(),
      () => this.farPointer(),
      () => this.loadSegment(),
      () => this.systemSegment(),
      () => this.interrupt(),
      () => this.injected(),
      () => this.systemCall(),
      () => this.controlRegister(),
      () => this.modelRegister(),
      () => this.flags(),
      () => this.base(),
      () => this.table(),
      () => this.invalidate(),
    ];
    for (let i = 0; i < count; i++) yield families[i % families.length]!();
  }

  #cpl(): 0 | 1 | 3 {
    return this.#random.pick([0, 0, 0, 1, 3] as const);
  }
  #selector(): number {
    const r = this.#random;
    if (r.oneIn(12)) return r.below(4);
    return r.pick(SELECTORS) | r.pick([0, 0, 1, 2, 3, 3]);
  }
  #rip(): bigint {
    return this.#random.oneIn(10) ? this.#random.pick([NOT_CANONICAL, HIGH_HALF, 1n << 63n]) : LANDING;
  }
  #stack(): bigint {
    const r = this.#random;
    if (r.oneIn(16))
      return r.pick([
        NOT_CANONICAL - 16n,
        NOT_CANONICAL,
        NOT_CANONICAL + 8n,
        0n,
        8n,
        HIGH_HALF + 8n,
        BigInt(SUPERVISOR_PAGE + 256),
      ]);
    return BigInt(AT.STACK - 0x100 + r.below(16));
  }
  #flags(): bigint {
    return BigInt(this.#random.u32() & 0x0024_fed5 & ~0x100) | FIXED_FLAG;
  }
  /** Flags for the start: no NT, no TF. */
  #startFlags(): bigint {
    return this.#flags() & ~0x4100n;
  }
  /** Words on the stack, each of `width` bytes. */
  #push(c: Draft, rsp: bigint, width: number, values: readonly bigint[]): void {
    const bytes = new Uint8Array(64);
    const view = new DataView(bytes.buffer);
    values.forEach((value, i) => {
      for (let byte = 0; byte < width; byte++) bytes[i * width + byte] = Number((value >> BigInt(8 * byte)) & 0xffn);
    });
    if (rsp > 0xffffn * 2n) return;
    for (let at = 0; at < 48; at += 8) c.pokes.push([Number(rsp) + at, view.getBigUint64(at, true)]);
  }

  iret(): SystemCase {
    const r = this.#random;
    const [width, bytes] = r.pick([[8, [0x48, 0xcf]], [8, [0x48, 0xcf]], [4, [0xcf]], [2, [0x66, 0xcf]]] as const); // prettier-ignore
    const c = draft(`iret.${8 * width}`, bytes, this.#cpl());
    c.rflags = this.#startFlags() | (r.oneIn(20) ? 0x4000n : 0n);
    c.gpr[4] = this.#stack();
    const cs = this.#selector();
    const ss = r.oneIn(3) ? this.#selector() : r.pick([SEL.KDATA, SEL.UDATA, SEL.DATA1, 0]) | (cs & 3);
    const rsp = r.oneIn(4) ? this.#stack() : BigInt(AT.STACK - 0x200);
    this.#push(c, c.gpr[4], width, [this.#rip(), BigInt(cs), this.#flags(), rsp, BigInt(ss)]);
    return { ...c, name: `${c.name} to ${cs.toString(16)}:${ss.toString(16)}` };
  }

  farReturn(): SystemCase {
    const r = this.#random;
    const [width, prefix] = r.pick([
      [8, [0x48]],
      [8, [0x48]],
      [4, []],
      [2, [0x66]],
    ] as const);
    const released = r.oneIn(2) ? r.pick([8, 16, 0]) : null;
    const c = draft(
      `retf.${8 * width}`,
      [...prefix, ...(released === null ? [0xcb] : [0xca, released, 0])],
      this.#cpl(),
    );
    c.gpr[4] = this.#stack();
    const cs = this.#selector();
    const ss = r.oneIn(3) ? this.#selector() : r.pick([SEL.KDATA, SEL.UDATA, SEL.DATA1, 0]) | (cs & 3);
    const values = [this.#rip(), BigInt(cs)];
    const tail = [BigInt(AT.STACK - 0x200), BigInt(ss)];
    const gap = (released ?? 0) / width;
    this.#push(
      c,
      c.gpr[4],
      width,
      [...values, ...Array.from({ length: Math.min(gap, 2) }, () => 0x77n), ...tail].slice(0, 48 / width),
    );
    return { ...c, name: `${c.name} to ${cs.toString(16)}:${ss.toString(16)}` };
  }

  farPointer(): SystemCase {
    const r = this.#random;
    const [name, modrm] = r.pick([
      ['jmpf', 0x2b],
      ['callf', 0x1b],
    ] as const); // (%rbx)
    const [width, prefix] = r.pick([
      [8, [0x48]],
      [8, [0x48]],
      [4, []],
      [2, [0x66]],
    ] as const);
    const c = draft(`${name}.${8 * width}`, [...prefix, 0xff, modrm], this.#cpl());
    const selector = r.oneIn(2)
      ? this.#selector()
      : r.pick([SEL.GATE, SEL.RING1_GATE, SEL.KERNEL_GATE, SEL.ABSENT_GATE, SEL.UCODE, SEL.CONFORMING]) | r.below(4);
    c.gpr[4] = this.#stack();
    c.gpr[3] = BigInt(AT.DATA);
    if (r.oneIn(3)) {
      const target = this.#selector();
      const [low, high] = gate(r.pick([0x8c, 0xec, 0xec, 0x6c]), target, this.#rip());
      c.pokes.push([AT.GDT + SEL.GATE, low], [AT.GDT + SEL.GATE + 8, high | (r.oneIn(8) ? 1n << 40n : 0n)]);
    }
    this.#oddTss(c);
    const pointer = (this.#rip() & ((1n << BigInt(8 * width)) - 1n)) | (BigInt(selector) << BigInt(8 * width));
    c.pokes.push([AT.DATA, BigInt.asUintN(64, pointer)], [AT.DATA + 8, pointer >> 64n]);
    return { ...c, name: `${c.name} to ${selector.toString(16)}` };
  }

  loadSegment(): SystemCase {
    const r = this.#random;
    const selector = this.#selector();
    const segment = r.pick([0, 1, 2, 2, 3, 4, 5, 6]);
    const kind = r.pick(['mov', 'mov', 'pop', 'pop16', 'far', 'verify', 'store'] as const);
    const c = draft('', this.#segmentBytes(kind, segment), this.#cpl());
    c.gpr[0] = 0x1122_3344_5566_0000n | BigInt(selector);
    c.gpr[3] = BigInt(AT.DATA);
    c.rflags = this.#startFlags();
    c.pokes.push([AT.DATA, 0x1234_5678_9abc_def0n], [AT.DATA + 8, BigInt(selector)]);
    c.pokes.push([Number(c.gpr[4]), BigInt(selector)]);
    return { ...c, name: `${kind} segment ${segment}, selector ${selector.toString(16)}${c.name}` };
  }
  #segmentBytes(kind: string, segment: number): number[] {
    const r = this.#random;
    const high = segment & 1 ? 0xa9 : 0xa1;
    switch (kind) {
      case 'mov':
        return [0x8e, 0xc0 | (segment << 3)];
      case 'pop':
        return [0x0f, high];
      case 'pop16':
        return [0x66, 0x0f, high];
      case 'far':
        return [0x48, 0x0f, r.pick([0xb2, 0xb4, 0xb5]), 0x13]; // rdx, (%rbx)
      case 'store':
        return r.pick([[0x8c, 0xc1 | ((segment % 6) << 3)], [0x66, 0x8c, 0xc1 | ((segment % 6) << 3)], [0x48, 0x8c, 0xc1 | ((segment % 6) << 3)], [0x8c, 0x03 | ((segment % 6) << 3)], [0x0f, high - 1]]); // prettier-ignore
      default: {
        const prefix = r.pick([[], [0x48], [0x66]]);
        return r.pick([
          [...prefix, 0x0f, 0x02, 0xc8],
          [...prefix, 0x0f, 0x03, 0xc8],
          [0x0f, 0x00, 0xe0],
          [0x0f, 0x00, 0xe8],
        ]); // lar, lsl, verr, verw
      }
    }
  }

  systemSegment(): SystemCase {
    const r = this.#random;
    const digit = r.pick([0, 1, 2, 2, 3, 3]);
    const c = draft(`0f 00 /${digit}`, [...r.pick([[], [0x48], [0x66]]), 0x0f, 0x00, 0xc0 | (digit << 3)], this.#cpl());
    const selector = r.oneIn(3) ? r.pick([SEL.LDT, SEL.OTHER_TSS]) : this.#selector();
    c.gpr[0] = 0x1122_3344_5566_0000n | BigInt(selector);
    if (r.oneIn(6)) c.pokes.push([AT.GDT + SEL.OTHER_TSS + 8, r.pick([0x0000_8000n, 0xffff_8000n, 0x1f00_0000_0000n])]);
    return { ...c, name: `${c.name}, selector ${selector.toString(16)}` };
  }

  /** A TSS that is too short, or names a stack where none can be. */
  #oddTss(c: Draft): void {
    const r = this.#random;
    if (r.oneIn(8)) c.segments[7]!.limit = r.pick([3, 10, 11, 18, 19, 35, 42, 43, TSS_LIMIT]);
    if (!r.oneIn(6)) return;
    const odd = r.pick([
      NOT_CANONICAL,
      NOT_CANONICAL - 8n,
      0n,
      HIGH_HALF,
      HIGH_HALF + 16n,
      BigInt(AT.RSP0 - 5),
      BigInt(SUPERVISOR_PAGE + 64),
    ]);
    c.pokes.push([AT.TSS + r.pick([4, 4, 12, 36]), odd]);
  }
  /** Replaces the gate of a vector by one at random. */
  #oddGate(c: Draft, vector: number): void {
    const r = this.#random;
    const access = r.pick([0x8e, 0xee, 0xee, 0x8f, 0xef, 0xef, 0x6e, 0xe5, 0xec, 0x0e, 0xae]);
    const selector = r.oneIn(2) ? r.pick([SEL.KCODE, SEL.CODE1, SEL.UCODE, SEL.CONFORMING]) : this.#selector();
    const offset = r.oneIn(12) ? this.#rip() : BigInt(handler(vector));
    const [low, high] = gate(access, selector, offset, r.pick([0, 0, 0, 1, 1, 2]));
    c.pokes.push([AT.IDT + 16 * vector, low], [AT.IDT + 16 * vector + 8, high]);
  }
  #oddDelivery(c: Draft, vector: number): void {
    const r = this.#random;
    c.rflags = this.#startFlags();
    c.gpr[4] = this.#stack();
    this.#oddGate(c, vector);
    if (r.oneIn(5)) this.#oddGate(c, r.pick([8, 10, 11, 12, 13, 14]));
    if (r.oneIn(10)) c.idtrLimit = r.pick([16 * vector + 14, 16 * vector + 15, 0x7f, 0xdf, 0]);
    this.#oddTss(c);
  }

  interrupt(): SystemCase {
    const r = this.#random;
    const [vector, bytes] = r.pick([[0x40, [0xcd, 0x40]], [0x40, [0xcd, 0x40]], [13, [0xcd, 13]], [3, [0xcc]], [1, [0xf1]], [6, [0x0f, 0x0b]], [0, [0x31, 0xc9, 0xf7, 0xf1]]] as const); // prettier-ignore
    const c = draft(`vector ${vector} by ${bytes.map((b) => b.toString(16)).join(' ')}`, bytes, this.#cpl());
    this.#oddDelivery(c, vector);
    return c;
  }

  injected(): SystemCase {
    const r = this.#random;
    const [type, vector] = r.pick([[EVENT_TYPE.EXTERNAL, 0x40], [EVENT_TYPE.EXTERNAL, 0x40], [EVENT_TYPE.NMI, 2], [EVENT_TYPE.EXCEPTION, r.pick([0, 6, 8, 10, 11, 12, 13, 13, 14, 17])]] as const); // prettier-ignore
    const hasError = type === EVENT_TYPE.EXCEPTION && ERROR_CODE_VECTORS.includes(vector);
    const c = draft(`injected ${type}:${vector}`, [], this.#cpl());
    this.#oddDelivery(c, vector);
    if (type === EVENT_TYPE.EXTERNAL) c.rflags |= 0x200n;
    c.event = interruption(type, vector, hasError);
    c.eventError = hasError && vector !== 8 ? 0x18 : 0;
    return c;
  }

  systemCall(): SystemCase {
    const r = this.#random;
    const [name, bytes] = r.pick([['syscall', [0x0f, 0x05]], ['sysretq', [0x48, 0x0f, 0x07]], ['sysenter', [0x0f, 0x34]], ['sysexitq', [0x48, 0x0f, 0x35]]] as const); // prettier-ignore
    const c = draft(name, bytes, r.pick([0, 0, 3]));
    c.rflags = this.#startFlags();
    const target = (): bigint => (r.oneIn(8) ? r.pick([NOT_CANONICAL, HIGH_HALF]) : LANDING);
    const canonical = (): bigint => (r.oneIn(8) ? HIGH_HALF : LANDING);
    c.gpr[1] = name === 'sysexitq' ? this.#stack() : target();
    c.gpr[2] = target();
    c.gpr[11] = BigInt(r.u32()) & ~0x100n;
    if (r.oneIn(8)) c.efer &= ~EFER.SCE;
    msr(
      c,
      MSR.STAR,
      (BigInt(r.pick([0x08, 0x0b, 0x13, 0])) << 48n) | (BigInt(r.pick([SEL.KCODE, SEL.KCODE | 3, 0])) << 32n),
    );
    msr(c, MSR.LSTAR, canonical());
    msr(c, MSR.FMASK, BigInt(r.u32() & 0x7fff));
    msr(c, MSR.SYSENTER_CS, BigInt(r.pick([SEL.KCODE, SEL.KCODE | 3, 0, 3])));
    msr(c, MSR.SYSENTER_EIP, canonical());
    msr(c, MSR.SYSENTER_ESP, BigInt(AT.STACK - 0x300));
    return c;
  }

  controlRegister(): SystemCase {
    const r = this.#random;
    const cr = r.pick([0, 2, 3, 4, 4, 8]);
    const rex = cr === 8 ? [0x44] : [];
    const c = draft(
      `mov cr${cr}`,
      [...rex, 0x0f, 0x22, 0xc0 | ((cr & 7) << 3), ...rex, 0x0f, 0x20, 0xc2 | ((cr & 7) << 3)],
      this.#cpl(),
    );
    const flip = (value: bigint, bits: number): bigint => {
      for (let i = r.below(3); i >= 0; i--) value ^= 1n << BigInt(r.below(bits));
      return value;
    };
    if (r.oneIn(3)) c.cr4 |= CR4.PCIDE;
    if (r.oneIn(3)) c.cr3 |= BigInt(r.below(64));
    c.gpr[0] = { 0: () => flip(c.cr0, 33), 2: () => r.u64(), 3: () => flip(c.cr3, 6) | (r.oneIn(4) ? 1n << BigInt(40 + r.below(24)) : 0n), 4: () => flip(c.cr4, 25), 8: () => BigInt(r.below(20)) }[cr as 0]!(); // prettier-ignore
    if (r.oneIn(6)) Object.assign(c, this.#otherControl());
    return { ...c, name: `${c.name} := ${c.gpr[0].toString(16)}` };
  }
  #otherControl(): SystemCase {
    const r = this.#random;
    const [name, bytes] = r.pick([['clts', [0x0f, 0x06]], ['lmsw', [0x0f, 0x01, 0xf0]], ['smsw', [0x0f, 0x01, 0xe1]], ['smsw.64', [0x48, 0x0f, 0x01, 0xe1]], ['mov cr1', [0x0f, 0x22, 0xc8]], ['xgetbv', [0x0f, 0x01, 0xd0]]] as const); // prettier-ignore
    const c = draft(name, bytes, this.#cpl());
    if (r.oneIn(2)) c.cr0 |= CR0.TS;
    c.gpr[0] = BigInt(r.below(16));
    c.gpr[1] = BigInt(r.below(2));
    return c;
  }

  modelRegister(): SystemCase {
    const r = this.#random;
    const index = r.pick([...ORACLE_MSRS, MSR.EFER, MSR.FS_BASE, MSR.GS_BASE]);
    const c = draft(
      `wrmsr ${index.toString(16)}, rdmsr`,
      [0x0f, 0x30, 0x31, 0xc0, 0x0f, 0x32],
      r.pick([0, 0, 0, 0, 3]),
    );
    const value =
      index === MSR.EFER
        ? c.efer ^ (1n << BigInt(r.below(16)))
        : index === MSR.PAT
          ? BigInt(r.below(9)) * 0x0101_0101_0101_0101n
          : r.u64();
    c.gpr[0] = value & 0xffff_ffffn;
    c.gpr[2] = value >> 32n;
    c.gpr[1] = BigInt(index);
    return { ...c, name: `${c.name} ${value.toString(16)}` };
  }

  flags(): SystemCase {
    const r = this.#random;
    const [name, bytes] = r.pick([['popf', [0x9d, 0x9c]], ['popf', [0x9d, 0x9c]], ['popf.16', [0x66, 0x9d, 0x9c]], ['cli', [0xfa, 0x9c]], ['sti', [0xfb, 0x90, 0x9c]], ['stac', [0x0f, 0x01, 0xcb, 0x9c]], ['clac', [0x0f, 0x01, 0xca, 0x9c]], ['hlt', []], ['in', [0xe4, 0x80]]] as const); // prettier-ignore
    const c = draft(name, bytes, name === 'in' ? 3 : this.#cpl());
    c.rflags = (this.#startFlags() & ~0x3000n) | (name === 'in' ? 0n : BigInt(r.below(4)) << 12n);
    if (r.oneIn(2)) c.cr4 |= CR4.SMAP;
    c.pokes.push([Number(c.gpr[4]), this.#flags()]);
    return c;
  }

  base(): SystemCase {
    const r = this.#random;
    const bytes = r.pick([[0x0f, 0x01, 0xf8], ...[0xc0, 0xc8, 0xd0, 0xd8].flatMap((modrm) => [[0xf3, 0x48, 0x0f, 0xae, modrm], [0xf3, 0x0f, 0xae, modrm]])]); // prettier-ignore
    const c = draft(`swapgs or rd/wr fs/gs base ${bytes.map((b) => b.toString(16)).join(' ')}`, bytes, this.#cpl());
    if (!r.oneIn(6)) c.cr4 |= CR4.FSGSBASE;
    c.gpr[0] = r.u64();
    c.segments[4]!.base = 0x1234_5678_9abcn;
    c.segments[5]!.base = HIGH_HALF + 0x1234n;
    msr(c, MSR.KERNEL_GS_BASE, 0x5555_0000_1111n);
    return c;
  }

  table(): SystemCase {
    const r = this.#random;
    const digit = r.below(4);
    const c = draft(`0f 01 /${digit}`, [0x0f, 0x01, 0x03 | (digit << 3)], this.#cpl());
    c.gpr[3] = BigInt(AT.DATA);
    const base = r.oneIn(3) ? r.u64() : BigInt(digit === 2 ? AT.GDT : AT.IDT);
    c.pokes.push([AT.DATA, ((base << 16n) & 0xffff_ffff_ffff_ffffn) | 0xfffn], [AT.DATA + 8, base >> 48n]);
    if (r.oneIn(4)) c.cr4 |= CR4.UMIP;
    return c;
  }

  invalidate(): SystemCase {
    const r = this.#random;
    const c = draft(
      'invlpg or invpcid',
      r.pick([
        [0x0f, 0x01, 0x3b],
        [0x66, 0x0f, 0x38, 0x82, 0x03],
      ]),
      this.#cpl(),
    );
    c.gpr[0] = BigInt(r.below(6));
    c.gpr[3] = r.oneIn(8) ? NOT_CANONICAL : BigInt(AT.DATA);
    if (r.oneIn(2)) c.cr4 |= CR4.PCIDE;
    c.pokes.push(
      [AT.DATA, r.pick([0n, 5n, 0x1000n, 1n << 63n])],
      [AT.DATA + 8, r.pick([0n, NOT_CANONICAL, BigInt(AT.CODE)])],
    );
    return { ...c, name: `${c.name}, type ${c.gpr[0]}` };
  }
}
