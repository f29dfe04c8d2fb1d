// Where a processor does something else than trapline and both are right: the manual leaves it open, or AMD's and Intel's manuals differ and trapline
// models Intel's. The live comparison overlooks what an exception tolerates; the recorder leaves out the cases to which one applies.
import type { Form } from '../../src/x86/forms.ts';
import { VECTOR } from '../../src/x86/names/vectors.ts';
import type { Row } from '../../src/x86/row.ts';
import { hasOperandSize, hasRexB, LOCK } from './formOf.ts';
import type { GuestResult } from './guest.ts';
import { WAYS_OF_BOCHS } from './waysOfBochs.ts';
import { NATIVE, type NativeCase, type NativeResult } from './nativeCase.ts';

/** A case of a single instruction, and what both made of it. */
export interface Observation {
  readonly row: Row;
  readonly form: Form;
  readonly test: NativeCase;
  readonly native: NativeResult;
  readonly guest: GuestResult;
}

/** What may differ. */
export interface Tolerance {
  readonly everything?: boolean;
  readonly flags?: boolean;
  readonly memory?: boolean;
  /** Upper halves of registers, by number. */
  readonly upperHalves?: readonly number[];
  /** Bits of the error code. */
  readonly errorCode?: number;
  readonly cr2?: boolean;
  /** A null selector is read back with another RPL. */
  readonly nullSelectors?: boolean;
  /** Bases of FS and GS. */
  readonly bases?: boolean;
}

export interface Exception {
  readonly name: string;
  readonly reason: string;
  /** Whose processors: 'any' if both do it. Of 'bochs', which may stand in for a processor, most are errors. */
  readonly vendor: 'Intel' | 'AMD' | 'any' | 'bochs';
  readonly manual: string;
  readonly tolerates: Tolerance;
  /** Rows that it may concern at all; without `applies` in every case. */
  concerns(row: Row): boolean;
  applies?(observation: Observation): boolean;
}

const [RCX, RSI, RDI] = [1, 6, 7];
const PRESENT = 1;
const CANONICAL_HALF = 1n << 47n;
const LOW_HALF = 0xffff_ffffn;
const LAST_PAGE = 0xffff_f000n;
const COUNT_MASK = 31;
const NULL_RPL = 3;
const ANY_SELECTOR = 0xffff;

const nearBranch = ({ mnemonic, f64 }: Row): boolean => f64 === true && /^(j|call|ret|loop)/.test(mnemonic);
const loadsSegment = ({ microcode }: Row): boolean => /^(loadSegment|popSegment|lfs|lgs)$/.test(microcode ?? '');
const isString = ({ rep }: Row): boolean => rep !== undefined;

/** The count of a double shift: its last byte, or CL. */
const shiftCount = ({ row, test }: Observation): number =>
  (row.operands.some(({ immediate }) => immediate === 'b') ? test.bytes.at(-1)! : Number(test.gpr[RCX]! & 0xffn)) &
  COUNT_MASK;

const OF_PROCESSORS: readonly Exception[] = [
  {
    name: 'CALL pushes before it checks',
    reason:
      'CALL to a target that is not canonical: the manual raises #GP before the push; processors push first, so that the push may fault instead.',
    vendor: 'any',
    manual: 'SDM vol. 2, CALL',
    tolerates: { everything: true },
    concerns: ({ mnemonic }) => mnemonic === 'call',
    applies: ({ guest, native }) => guest.vector === VECTOR.GP && native.vector !== null && native.vector !== VECTOR.GP,
  },
  {
    name: 'CALL leaves its push',
    reason: 'As above, when the push does not fault: it is seen in memory although the instruction has not retired.',
    vendor: 'Intel',
    manual: 'SDM vol. 2, CALL',
    tolerates: { memory: true },
    concerns: ({ mnemonic }) => mnemonic === 'call',
    applies: ({ guest }) => guest.vector === VECTOR.GP,
  },
  {
    name: 'REP CMPS and SCAS restore flags',
    reason:
      'A fault in a later iteration brings back the flags of before the first one; trapline executes each iteration as an instruction of its own.',
    vendor: 'Intel',
    manual: 'SDM vol. 2, REP',
    tolerates: { flags: true },
    concerns: ({ mnemonic }) => /^(cmps|scas)$/.test(mnemonic),
    applies: ({ form, native }) => form.rep !== '' && native.vector !== null,
  },
  {
    name: 'which read of CMPS faults',
    reason:
      'When one operand is misaligned and the page of the other is missing, Zen raises #AC whichever it reads first; trapline reads by rDI first.',
    vendor: 'any',
    manual: 'SDM vol. 3, table 6-2',
    tolerates: { everything: true },
    concerns: ({ mnemonic }) => mnemonic === 'cmps',
    applies: ({ guest, native }) => guest.vector === VECTOR.PF && native.vector === VECTOR.AC,
  },
  {
    name: 'REP with 32-bit addresses clears upper halves',
    reason:
      'With ECX = 0, or when the first iteration faults, Intel’s processors may clear the upper halves of RCX, RSI and RDI although nothing was moved (KVM models it: string_registers_quirk).',
    vendor: 'Intel',
    manual: 'SDM vol. 2, REP, leaves it open',
    tolerates: { upperHalves: [RCX, RSI, RDI] },
    concerns: isString,
    applies: ({ form, native, test }) =>
      form.rep !== '' && form.addressSize === 32 && (native.vector !== null || (test.gpr[RCX]! & LOW_HALF) === 0n),
  },
  {
    name: 'the kernel’s half',
    reason: 'The upper half of the address space belongs to the kernel underneath, whose pages may be present.',
    vendor: 'any',
    manual: 'SDM vol. 3, 4.7',
    tolerates: { errorCode: PRESENT },
    concerns: () => true,
    applies: ({ native }) => native.vector === VECTOR.PF && native.cr2 >= CANONICAL_HALF,
  },
  {
    name: 'words around 4 GiB',
    reason:
      'Where a segment ends at 4 GiB an access that goes on at 0 may fault for it or not, as the implementation likes: then what lies there may.',
    vendor: 'any',
    manual: 'SDM vol. 3, 5.3',
    tolerates: { everything: true },
    concerns: () => true,
    applies: ({ test, native, guest }) =>
      test.selectors !== undefined &&
      (native.vector === VECTOR.PF) !== (guest.vector === VECTOR.PF) &&
      [native, guest].some(({ vector, cr2 }) => vector === VECTOR.PF && (cr2 >= LAST_PAGE || cr2 === 0n)),
  },
  {
    name: 'alignment or limit',
    reason:
      'A misaligned word that passes the limit of its segment is #AC or #GP: no manual promises which, and bochs looks at the alignment first.',
    vendor: 'any',
    manual: 'SDM vol. 3, table 6-2',
    tolerates: { everything: true },
    concerns: () => true,
    applies: ({ native, guest }) =>
      native.vector === VECTOR.AC && (guest.vector === VECTOR.GP || guest.vector === VECTOR.SS),
  },
  {
    name: 'CLFLUSH of code that may not be read',
    reason: 'Processors let it flush lines of an execute-only segment; trapline checks it as a read.',
    vendor: 'any',
    manual: 'SDM vol. 2, CLFLUSH',
    tolerates: { everything: true },
    concerns: ({ mnemonic }) => /^(clflush|clflushopt|clwb)$/.test(mnemonic),
    applies: ({ test, native, guest }) =>
      test.selectors !== undefined && native.vector === null && guest.vector === VECTOR.GP,
  },
  {
    name: 'null selectors lose their RPL',
    reason:
      'The null selectors 1, 2 and 3 are read back as 0, since the kernel’s IRET to the signal handler clears them.',
    vendor: 'any',
    manual: 'SDM vol. 2, IRET, RETURN-TO-OUTER-PRIVILEGE-LEVEL',
    tolerates: { nullSelectors: true },
    concerns: loadsSegment,
    applies: ({ guest }) => guest.selectors.some((selector) => selector > 0 && selector <= NULL_RPL),
  },
  {
    name: 'null selectors keep the base',
    reason:
      'Loading FS or GS with a null selector clears its base on Intel’s processors and from Zen 3 on; earlier ones of AMD keep it (X86_BUG_NULL_SEG in Linux).',
    vendor: 'AMD',
    manual: 'APM vol. 2, 4.5.3',
    tolerates: { bases: true },
    concerns: loadsSegment,
    applies: ({ native, guest }) =>
      (native.fsBase === BigInt(NATIVE.FS_BASE) && guest.fsBase === 0n) ||
      (native.gsBase === BigInt(NATIVE.GS_BASE) && guest.gsBase === 0n),
  },
  {
    name: 'order of a frame’s reads',
    reason:
      'Far returns and IRET read several words of the stack in an order that no manual promises; where all of them fault, CR2 tells which was first.',
    vendor: 'any',
    manual: 'SDM vol. 2, RET and IRET',
    tolerates: { cr2: true },
    concerns: ({ microcode }) => microcode === 'farReturn' || microcode === 'iret',
    applies: ({ native }) => native.vector === VECTOR.PF,
  },
  {
    name: 'order of IRET’s checks',
    reason:
      'With a bad SS and a RIP that is not canonical, AMD’s processors raise #GP(0) for RIP, trapline #GP(selector) for SS.',
    vendor: 'AMD',
    manual: 'SDM vol. 2 and APM vol. 3, IRET, leave it open',
    tolerates: { errorCode: ANY_SELECTOR },
    concerns: ({ microcode }) => microcode === 'iret',
    applies: ({ native, guest }) => native.vector === VECTOR.GP && native.errorCode === 0 && guest.errorCode !== 0,
  },
  {
    name: 'ENTER and PUSHA leave their pushes',
    reason:
      'When a later access faults, what was pushed by then is seen in memory; trapline probes all before it writes.',
    vendor: 'any',
    manual: 'SDM vol. 2, ENTER and PUSHA, leave it open',
    tolerates: { memory: true },
    concerns: ({ mnemonic }) => /^(enter|pusha)$/.test(mnemonic),
    applies: ({ native }) => native.vector !== null,
  },
  {
    name: 'double shift of a word by more than 16',
    reason:
      'SHLD and SHRD with 16-bit operands and a count above 16: result and flags are undefined; trapline does what Intel’s processors do.',
    vendor: 'AMD',
    manual: 'SDM vol. 2 and APM vol. 3, SHLD',
    tolerates: { everything: true },
    concerns: ({ mnemonic }) => /^sh[lr]d$/.test(mnemonic),
    applies: (observation) => observation.form.width === 16 && shiftCount(observation) > 16,
  },
  {
    name: 'RET FAR looks at the stack that it leaves',
    reason:
      'AMD’s processors access the place that the stack pointer ends at, and before they check the selector: a fault there comes first.',
    vendor: 'AMD',
    manual: 'APM vol. 3, RET (Far), does not say',
    tolerates: { everything: true },
    concerns: ({ microcode }) => microcode === 'farReturn',
    applies: ({ native }) => native.vector === VECTOR.AC || native.vector === VECTOR.PF,
  },
  {
    name: 'near branch with 66',
    reason: 'In 64-bit mode Intel ignores the operand-size prefix; AMD takes it and truncates RIP to 16 bits.',
    vendor: 'AMD',
    manual: 'SDM vol. 2, Jcc; APM vol. 3, Jcc',
    tolerates: { everything: true },
    concerns: nearBranch,
    applies: ({ test }) => test.selectors === undefined && hasOperandSize(test.bytes),
  },
  {
    name: '0F 0D with a register',
    reason: 'PREFETCHW’s opcode with a register operand: a NOP for Intel, #UD for AMD.',
    vendor: 'AMD',
    manual: 'APM vol. 3, PREFETCH',
    tolerates: { everything: true },
    concerns: ({ text }) => text.startsWith('0F 0D'),
    applies: ({ form }) => form.memory === '',
  },
  {
    name: 'far pointers with REX.W',
    reason:
      'LFS, LGS, LSS, JMP and CALL take an offset of 64 bits on Intel’s processors; AMD’s ignore REX.W and take 32.',
    vendor: 'AMD',
    manual: 'SDM vol. 2 and APM vol. 3, CALL (Far)',
    tolerates: { everything: true },
    concerns: ({ microcode }) => /^(lss|lfs|lgs|farJump|farCall)$/.test(microcode ?? ''),
    applies: ({ form }) => form.width === 64,
  },
  {
    name: 'PAUSE with REX.B',
    reason: 'F3 41 90: trapline, as Intel’s decoders, takes it for PAUSE; AMD’s processors exchange R8 and RAX.',
    vendor: 'AMD',
    manual: 'APM vol. 3, XCHG',
    tolerates: { everything: true },
    concerns: ({ mnemonic }) => mnemonic === 'pause',
    applies: ({ test }) => hasRexB(test.bytes),
  },
  {
    name: 'UD0 and UD1 without operands',
    reason:
      'Intel’s processors fetch a ModRM byte and what follows from it before #UD, AMD’s do not: whether it is too long is another matter then.',
    vendor: 'AMD',
    manual: 'SDM vol. 2, UD; APM vol. 3, UDx',
    tolerates: { everything: true },
    concerns: ({ mnemonic }) => mnemonic === 'ud0' || mnemonic === 'ud1',
    applies: ({ guest }) => guest.vector === VECTOR.GP,
  },
  {
    name: 'LOCK VERW',
    reason: 'VERW with LOCK and a memory operand is executed (seen on Zen 4) instead of #UD.',
    vendor: 'AMD',
    manual: 'against APM vol. 3, 1.2.5',
    tolerates: { everything: true },
    concerns: ({ mnemonic }) => mnemonic === 'verw',
    applies: ({ test }) => test.bytes.includes(LOCK),
  },
  {
    name: 'MOVSXD of a word',
    reason:
      'With 66 Intel’s processors read a word, AMD’s a doubleword of which they use half: only the latter may cross the end of a page or be misaligned.',
    vendor: 'AMD',
    manual: 'SDM vol. 2, MOVSXD',
    tolerates: { everything: true },
    concerns: ({ mnemonic }) => mnemonic === 'movsxd',
    applies: ({ form, native }) => form.width === 16 && native.vector !== null,
  },
];

export const EXCEPTIONS = [...OF_PROCESSORS, ...WAYS_OF_BOCHS];

const isOf = ({ vendor }: Exception, host: string): boolean => vendor === 'any' || vendor === host;

/** What applies to a case on processors of a vendor. */
export const exceptionsFor = (observation: Observation, vendor: string): Exception[] =>
  EXCEPTIONS.filter(
    (exception) =>
      isOf(exception, vendor) && exception.concerns(observation.row) && (exception.applies?.(observation) ?? true),
  );

/** Whether a vendor's processors may go their own way with a row. It stays out of sequences: nobody could say which instruction met it. */
export const hasWaysOfItsOwn = (row: Row, vendor: string): boolean =>
  EXCEPTIONS.some((exception) => exception.vendor === vendor && exception.concerns(row));
