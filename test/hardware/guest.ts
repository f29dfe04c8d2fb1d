// A trapline CPU in user mode that runs a native case: the same linear addresses, the same pages, Linux's segments, every exception an exit. A case
// ends as natively: at the INT3 behind it, or after one instruction.
import { selectCodeMode } from '../../src/cpu/segments/codeMode.ts';
import { Controls } from '../../src/cpu/controls.ts';
import { EXIT } from '../../src/cpu/exit.ts';
import { featuresOf } from '../../src/cpu/features.ts';
import { isNull, readDescriptor, segmentOf } from '../../src/cpu/segments/descriptors.ts';
import { Processor, type ProcessorOptions } from '../../src/cpu/processor.ts';
import { readRflags, writeRflags } from '../../src/cpu/rflags.ts';
import { flatCode64, flatData, nullSegment, readSegment, writeSegment } from '../../src/cpu/segments/segments.ts';
import { CPUID_FEATURE, type CpuidFeature } from '../../src/x86/names/cpuid.ts';
import { PTE } from '../../src/x86/names/paging.ts';
import { VECTOR } from '../../src/x86/names/vectors.ts';
import { CR0, CR4, EFER, RFLAGS, SEGMENT, SEGMENT_ATTRIBUTE, XCR0 } from '../../src/x86/names/registers.ts';
import { GDT, IDT, USER_CS, USER_SS } from './linuxSegments.ts';
import { LDT, LDT_SELECTOR, startRip } from './localSegments.ts';
import { visible } from './native.ts';
import { NATIVE, type NativeCase, type NativeResult } from './nativeCase.ts';

const PAGE = 4096;
/** Guest physical pages: page tables, then code, then data. */
const PML4 = 0x1000;
const PDPT = 0x2000;
const PD = 0x3000;
const CODE_TABLE = 0x4000;
const DATA_TABLE = 0x5000;
const CODE_PAGE = 0x6000;
const DATA_PAGE = 0x9000;
const SYSTEM_DIRECTORY = 0xb000;
const SYSTEM_TABLE = 0xc000;
const GDT_PAGE = 0xd000;
const IDT_PAGE = 0xe000;
const LDT_PAGE = 0xf000;
const SYSTEM_POINTERS = 0x10000;
/** Linear addresses of the descriptor tables, which user mode cannot reach, and 32-bit code not even name. */
const SYSTEM = 0x80_0000_0000;
const GDT_AT = SYSTEM;
const IDT_AT = SYSTEM + PAGE;
const LDT_AT = SYSTEM + 2 * PAGE;
const MEMORY = 0x11000;
const INT3 = 0xcc;
const USER = 3;
/** Units after which a case is given up. */
const PATIENCE = 20_000;

export interface GuestResult extends NativeResult {
  /** Anything else that ended the case: a VM exit or a stop by name. */
  readonly left: string | null;
}

export interface GuestOptions extends Partial<ProcessorOptions> {
  /** What XGETBV says. */
  readonly xcr0?: bigint;
}

/** The exceptions that instructions raise to be called behind them. */
const TRAPS: readonly number[] = [VECTOR.DB, VECTOR.BP, VECTOR.OF];
const LDT_TYPE = 2;
const localTable = {
  selector: LDT_SELECTOR,
  base: BigInt(LDT_AT),
  limit: LDT.byteLength - 1,
  attributes: SEGMENT_ATTRIBUTE.P | LDT_TYPE,
};

const SEGMENTS = [SEGMENT.ES, SEGMENT.CS, SEGMENT.SS, SEGMENT.DS, SEGMENT.FS, SEGMENT.GS] as const;

/** Builds the machine; the function it returns runs one case, entering the guest for `slice` units at a time. */
export function userGuest(options: GuestOptions = {}, slice = PATIENCE): (test: NativeCase) => GuestResult {
  const processor = new Processor({ cpus: 1, arenaBytes: MEMORY, ...options });
  const { arena, views } = processor;
  const cpu = processor.cpus[0]!;
  const { state } = cpu;
  const ram = arena.allocate(MEMORY);
  processor.secondStage.map(0, MEMORY / PAGE, ram, { writable: true });
  cpu.features = featuresOf(Object.keys(CPUID_FEATURE) as CpuidFeature[]);
  cpu.controls = Controls.none();
  cpu.controls.exceptionBitmap = -1;

  const link = (table: number, index: number, to: number, user: number = PTE.U) =>
    views.data.setBigUint64(ram + table + 8 * index, BigInt(to | PTE.P | PTE.W | user), true);
  link(PML4, 0, PDPT);
  link(PDPT, 0, PD);
  link(PD, NATIVE.CODE >> 21, CODE_TABLE);
  link(PD, NATIVE.DATA >> 21, DATA_TABLE);
  link(PML4, 1, SYSTEM_POINTERS);
  link(SYSTEM_POINTERS, 0, SYSTEM_DIRECTORY);
  link(SYSTEM_DIRECTORY, 0, SYSTEM_TABLE);
  [GDT_PAGE, IDT_PAGE, LDT_PAGE].forEach((page, i) => link(SYSTEM_TABLE, i, page, 0));
  arena.hostWrite(ram + GDT_PAGE, new Uint8Array(GDT.buffer));
  arena.hostWrite(ram + IDT_PAGE, new Uint8Array(IDT.buffer));
  arena.hostWrite(ram + LDT_PAGE, new Uint8Array(LDT.buffer));
  for (let page = 0; page < NATIVE.CODE_SIZE / PAGE; page++) link(CODE_TABLE, page, CODE_PAGE + page * PAGE);
  for (let page = 0; page < NATIVE.DATA_SIZE / PAGE; page++) link(DATA_TABLE, page, DATA_PAGE + page * PAGE);

  state.cr0 = CR0.PG | CR0.PE | CR0.MP | CR0.ET | CR0.NE | CR0.WP | CR0.AM;
  state.cr3 = BigInt(PML4);
  state.cr4 = CR4.PAE | CR4.OSXSAVE | CR4.FSGSBASE;
  state.xcr0 = options.xcr0 ?? XCR0.X87 | XCR0.SSE | XCR0.AVX;
  state.efer = EFER.LME | EFER.LMA | EFER.NXE | EFER.SCE;
  selectCodeMode(state);
  state.gdtrBase = BigInt(GDT_AT);
  state.gdtrLimit = GDT.byteLength - 1;
  state.idtrBase = BigInt(IDT_AT);
  state.idtrLimit = IDT.byteLength - 1;
  writeSegment(state, SEGMENT.LDTR, localTable);
  const userCode = flatCode64(USER_CS, USER);
  const userStack = flatData(USER_SS, USER);
  const none = nullSegment(0);
  const start64 = () => {
    writeSegment(state, SEGMENT.CS, userCode);
    writeSegment(state, SEGMENT.SS, userStack);
    writeSegment(state, SEGMENT.DS, none);
    writeSegment(state, SEGMENT.ES, none);
    writeSegment(state, SEGMENT.FS, { ...none, base: BigInt(NATIVE.FS_BASE) });
    writeSegment(state, SEGMENT.GS, { ...none, base: BigInt(NATIVE.GS_BASE) });
  };
  const startIn = (selectors: readonly number[]) =>
    SEGMENTS.forEach((segment, i) => {
      const selector = selectors[i]!;
      writeSegment(state, segment, isNull(selector) ? none : segmentOf(readDescriptor(cpu, selector)!, selector));
    });
  state.cpl = USER;

  const code = ram + CODE_PAGE;
  const window = ram + DATA_PAGE + (NATIVE.WINDOW - NATIVE.DATA);
  const pages = Buffer.from(views.u8.buffer, views.u8.byteOffset + ram + DATA_PAGE, NATIVE.DATA_SIZE);
  const zeros = Buffer.alloc(NATIVE.DATA_SIZE);
  arena.hostWrite(code, new Uint8Array(NATIVE.CODE_SIZE).fill(INT3));

  return (test) => {
    const { bytes, offset, step, gpr, rflags, window: contents, selectors } = test;
    arena.hostWrite(code + offset, bytes);
    arena.hostWrite(window, contents);
    if (selectors) startIn(selectors);
    else start64();
    selectCodeMode(state);
    gpr.forEach((value, i) => state.setGpr(i, value));
    writeRflags(state, Number(rflags) | RFLAGS.IF);
    cpu.setRip(startRip(test));
    state.shadow = state.pendingDb = state.entryEvent = 0;
    cpu.mmu.translation.restored();
    let reason = cpu.enter(step ? 1 : slice, PATIENCE);
    for (let units = slice; !step && reason === EXIT.BUDGET && units < PATIENCE; units += slice)
      reason = cpu.enter(slice, PATIENCE);

    let vector: number | null = null;
    let errorCode = 0;
    let left: string | null = null;
    let behind = 0;
    if (reason === EXIT.BUDGET && !step) left = `no end within ${PATIENCE} units`;
    if (reason !== EXIT.BUDGET) {
      const exit = reason === EXIT.STOPPED || reason === EXIT.AHEAD ? null : cpu.exit();
      if (exit?.reason === 'EXCEPTION_NMI') {
        vector = exit.vector;
        errorCode = exit.errorCode ?? 0;
        // Where the kernel underneath says they were: behind INT1 and INTO, and INT3 too, less its one byte.
        if (TRAPS.includes(vector)) behind = state.exitLength - (vector === VECTOR.BP ? 1 : 0);
      } else left = exit?.reason ?? cpu.stopped?.what ?? 'AHEAD';
    }
    if (vector === VECTOR.BP && !step) vector = null;
    const after = Uint8Array.from(views.u8.subarray(window, window + NATIVE.WINDOW_SIZE));
    arena.hostWrite(window, new Uint8Array(NATIVE.WINDOW_SIZE));
    const stray = !pages.equals(zeros);
    if (stray) arena.hostWrite(ram + DATA_PAGE, zeros);
    arena.hostWrite(code + offset, new Uint8Array(bytes.length).fill(INT3));
    return {
      gpr: Array.from({ length: 16 }, (_, i) => visible(state.gpr(i), selectors !== undefined)),
      rip: state.rip + BigInt(behind),
      rflags: BigInt(readRflags(state)),
      vector,
      errorCode,
      cr2: vector === VECTOR.PF ? state.exitQualification : 0n,
      window: after,
      stray,
      selectors: SEGMENTS.map((segment) => readSegment(state, segment).selector),
      fsBase: readSegment(state, SEGMENT.FS).base,
      gsBase: readSegment(state, SEGMENT.GS).base,
      left,
    };
  };
}
