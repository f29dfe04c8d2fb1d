// One row for each encoding: the instruction set as data. Decoder, interpreter, `trapline isa`, disassembly, undefined-flag
// masks and test generators all read the row. How encodings and operands are written: encoding.ts and operand.ts.

import { parseEncoding, type Encoding } from './encoding.ts';
import type { CpuidFeature } from './names/cpuid.ts';
import { parseOperands, type Operand } from './operand.ts';
import type { Semantics } from './semantics.ts';

/** VM exits that an instruction itself may cause, named as in SDM vol. 3, appendix C. Faults of its memory accesses are not meant. */
export type InstructionExit =
  | 'CPUID'
  | 'CR_ACCESS'
  | 'DR_ACCESS'
  | 'EXCEPTION_NMI'
  | 'GDTR_IDTR'
  | 'HLT'
  | 'INVD'
  | 'INVEPT'
  | 'INVLPG'
  | 'INVPCID'
  | 'INVVPID'
  | 'IO_INSTRUCTION'
  | 'LDTR_TR'
  | 'MONITOR_INSTRUCTION'
  | 'MSR_READ'
  | 'MSR_WRITE'
  | 'MWAIT_INSTRUCTION'
  | 'PAUSE_INSTRUCTION'
  | 'RDPMC'
  | 'RDRAND'
  | 'RDSEED'
  | 'RDTSC'
  | 'RDTSCP'
  | 'RSM'
  | 'VMCALL'
  | 'VMX_INSTRUCTION'
  | 'WBINVD'
  | 'XSAVES'
  | 'XSETBV';

/** A general register by number, or the one that an operand names. */
export type AnswerRegister = number | 'operand';

/** What an exit is about: the registers that tell what is asked, and those that get the answer. */
export interface Answer {
  readonly from: readonly AnswerRegister[];
  readonly to: readonly AnswerRegister[];
  /** Registers that get it in a part of themselves, where the operation has 8 or 16 bits. */
  readonly within?: readonly AnswerRegister[];
  /** Read as a whole, it may be what a clock counts. */
  readonly counts?: boolean;
}

export interface RowOptions {
  /** How the operands are used, first ones first: 'rw', 'w r', 'rw rw' (see parseOperands). */
  readonly access?: string;
  /** Width of an operation that its operands do not tell: 'v', 'y', 'n', or a fixed size. */
  readonly size?: string;
  /** Where the encoding is valid; 'all' if left out. */
  readonly modes?: 'all' | 'only64' | 'no64';
  /** In 64-bit mode: operand size 64 unless 66 makes it 16. */
  readonly d64?: boolean;
  /** In 64-bit mode: operand size 64 always. */
  readonly f64?: boolean;
  /** LOCK is legal when the first operand is memory. */
  readonly lock?: boolean;
  /** F3 and F2 repeat: unconditionally, or while ZF is as the prefix says. */
  readonly rep?: 'rep' | 'repcc';
  /** Flags: letters of 'oszapc', and d, i, t, r(F), v (AC), x (all others). */
  readonly written?: string;
  readonly undefined?: string;
  readonly read?: string;
  /** Privileged: #GP(0) outside ring 0. */
  readonly cpl0?: boolean;
  readonly exits?: InstructionExit;
  /** Its exit may recur (cpu/code/recurrence.ts). It ends its block. */
  readonly answer?: Answer;
  /** Sees the TSC or a timer: may not run ahead of other CPUs (design: `ahead`). */
  readonly observesTime?: boolean;
  /** Nothing decoded after it may be run before it has been executed: branches, and whatever changes how code runs. */
  readonly endsBlock?: boolean;
  /** Uses the stack: outside 64-bit mode its forms are `ss` forms, whose stack is segmented and of either size. */
  readonly stack?: boolean;
  /** An address or a count in a register that no operand names: its width is part of the form. */
  readonly addressed?: 'memory' | 'count';
  /** MOV CR/DR: mod is ignored and rm always a register. */
  readonly ignoresMod?: boolean;
  /** CPUID bit that offers it; `cpuid256`: what its 256-bit form needs instead. */
  readonly cpuid?: CpuidFeature;
  readonly cpuid256?: CpuidFeature;
  /** What the encoding is on processors without that bit, by mnemonic: an older instruction, whose prefix they ignore. #UD if left out. */
  readonly without?: string;
  readonly semantics?: Semantics;
  /** Executed by the TypeScript microcode of this name; beside semantics: where these say so (`microcodeIf`). */
  readonly microcode?: string;
}

export interface Row extends RowOptions {
  /** The encoding as written. */
  readonly text: string;
  readonly encoding: Encoding;
  /** As in the SDM; 'cbw|cwde|cdqe' names the operation by width: 16, 32, 64. */
  readonly mnemonic: string;
  readonly operands: readonly Operand[];
  /** Number of the condition in the opcode's low 4 bits; -1 if there is none. */
  readonly condition: number;
  /** The options as given: rows that share them (and mnemonic and operand shape) share their forms. */
  readonly options: RowOptions;
}

const NONE: RowOptions = {};

/** A row: encoding, mnemonic, operands, and what else there is to know. */
export function row(
  encoding: string,
  mnemonic: string,
  operands = '',
  options: RowOptions = NONE,
  condition = -1,
): Row {
  return {
    ...options,
    text: encoding,
    encoding: parseEncoding(encoding),
    mnemonic,
    operands: parseOperands(operands, options.access),
    condition,
    options,
  };
}

/** Conditions by number, with their first SDM spelling. */
// prettier-ignore
export const CONDITIONS = ['o', 'no', 'b', 'ae', 'e', 'ne', 'be', 'a', 's', 'ns', 'p', 'np', 'l', 'ge', 'le', 'g'] as const;
/** Flags that each pair of conditions reads. */
const CONDITION_FLAGS = ['o', 'c', 'z', 'zc', 's', 'p', 'so', 'szo'] as const;

/** Sixteen rows, one for each condition: `70+cc` and `jCC` become 70 jo, 71 jno ... 7F jg. */
export function conditional(encoding: string, mnemonic: string, operands: string, options: RowOptions): Row[] {
  return CONDITIONS.map((name, condition) =>
    row(
      encoding.replace('0+cc', condition.toString(16).toUpperCase()),
      mnemonic.replace('CC', name),
      operands,
      { ...options, read: CONDITION_FLAGS[condition >> 1]! },
      condition,
    ),
  );
}

/** Names of segment registers by the number the decoder gives them. */
export const SEGMENTS = ['es', 'cs', 'ss', 'ds', 'fs', 'gs'] as const;
