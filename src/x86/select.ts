// The last steps of decoding: register numbers, whether they are allowed, and the form. Reads no more bytes.

import { HIGH_BYTES, type Decoded } from './decoded.ts';
import { REX_B, REX_R, type Scan } from './scan.ts';
import { ADDRESSING, WIDTH_RULE } from './shapes.ts';
import { CHECK, PLAN, ROW, ROW_FIELD, TABLES } from './tables.ts';

const { rowWidth, registerPlan, memoryPlan, rowForms, rowAddressings, rowRepeats, formIndex } = TABLES;

const ES = 0;
const CS = 1;

/** Register operands, as the row's plan says. */
export function selectRegisters(scan: Scan, out: Decoded): void {
  if (!scan.is64) scan.vvvv &= 7;
  out.vvvv = scan.vvvv;
  let plan = scan.isMemory ? memoryPlan[scan.row]! : registerPlan[scan.row]!;
  out.reg0 = plan === 0 ? -1 : registerAt(scan, plan, out.immLo);
  plan >>>= 8;
  out.reg1 = plan === 0 ? -1 : registerAt(scan, plan, out.immLo);
  plan >>>= 8;
  out.reg2 = plan === 0 ? -1 : registerAt(scan, plan, out.immLo);
  plan >>>= 8;
  out.reg3 = plan === 0 ? -1 : registerAt(scan, plan, out.immLo);
}

function registerAt(scan: Scan, plan: number, immediate: number): number {
  let register: number;
  switch (plan & PLAN.PLACE) {
    case PLAN.REG:
      register = ((scan.modrm >> 3) & 7) | ((scan.rex & REX_R) << 1);
      break;
    case PLAN.RM:
      register = (scan.modrm & 7) | ((scan.rex & REX_B) << 3);
      break;
    case PLAN.OPCODE:
      register = (scan.opcode & 7) | ((scan.rex & REX_B) << 3);
      break;
    case PLAN.VVVV:
      register = scan.vvvv;
      break;
    case PLAN.IS4:
      register = scan.is64 ? immediate >> 4 : (immediate >> 4) & 7;
      break;
    default:
      register = (plan >> PLAN.NUMBER) & 7;
  }
  if (plan & PLAN.NO_EXTENSION) return register & 7;
  // Without REX, bytes 4 to 7 are AH to BH.
  return plan & PLAN.BYTE && !scan.hasRex && register >= 4 ? register - 4 + HIGH_BYTES : register;
}

/** CR0, CR2, CR3, CR4, CR8. */
const CONTROL_REGISTERS = 0b1_0001_1101;
const SEGMENT_REGISTERS = 6;

/** Whether the registers that an instruction names exist and may be used so. */
export function isAdmitted(scan: Scan, { reg0, reg1, reg2, index }: Decoded): boolean {
  const check = (scan.bits >> ROW_FIELD.CHECK) & 15;
  if (check === CHECK.NONE) return true;
  const field = (scan.modrm >> 3) & 7;
  const reg = field | ((scan.rex & REX_R) << 1);
  switch (check) {
    case CHECK.CONTROL:
      return ((CONTROL_REGISTERS >> reg) & 1) !== 0;
    case CHECK.DEBUG:
    case CHECK.TILE:
      return reg < 8;
    case CHECK.SEGMENT_LOAD:
      return field !== CS && field < SEGMENT_REGISTERS;
    case CHECK.SEGMENT_STORE:
      return field < SEGMENT_REGISTERS;
    case CHECK.MASK:
      return reg < 8 && scan.vvvv < 8;
    case CHECK.TILES:
      return reg < 8 && scan.vvvv < 8 && !(scan.rex & REX_B) && reg0 !== reg1 && reg1 !== reg2 && reg0 !== reg2;
    default:
      return reg0 !== index && reg1 !== index && reg0 !== reg1;
  }
}

/** Width, and the form of that width and shape: the order of forms is FormList's. */
export function selectForm(scan: Scan, out: Decoded): void {
  let width = 0;
  switch ((scan.bits >> ROW_FIELD.RULE) & 7) {
    case WIDTH_RULE.FIXED:
      out.width = rowWidth[scan.row]!;
      break;
    case WIDTH_RULE.V:
      out.width = scan.operandSize;
      width = scan.operandSize >> 5;
      break;
    case WIDTH_RULE.Z:
      width = scan.operandSize === 16 ? 0 : 1;
      out.width = 16 << width;
      break;
    case WIDTH_RULE.Y:
      width = scan.is64 ? scan.rex >> 3 : 0;
      out.width = 32 << width;
      break;
    case WIDTH_RULE.N:
      width = scan.is64 ? 1 : 0;
      out.width = 32 << width;
      break;
    default:
      width = scan.vexL;
      out.width = 128 << width;
  }
  if (scan.bits & ROW.DESTINATION_STRING) {
    scan.segment = -1;
    out.segment = ES;
  }
  out.addressSize = scan.addressSize;
  const kinds = (scan.bits >> ROW_FIELD.REP) & 3;
  const repeat = kinds === 1 && scan.rep !== 0 ? 1 : kinds === 0 ? 0 : scan.rep;
  let variant = width * rowRepeats[scan.row]! + repeat;
  if (scan.bits & ROW.STACK) variant = variant * 2 + (scan.is64 ? 0 : 1);
  out.form = formIndex[rowForms[scan.row]! + variant * rowAddressings[scan.row]! + addressing(scan)]!;
  out.row = scan.row;
  out.lock = scan.lock;
  out.rep = scan.rep;
  out.vexL = scan.vexL;
}

/** Which of the row's ways to address memory (or a count) this is. */
function addressing(scan: Scan): number {
  const isGeneral = !scan.is64 || scan.segment >= 0;
  const flat = scan.addr67 ? 1 : 0;
  switch ((scan.bits >> ROW_FIELD.ADDRESSING) & 7) {
    case ADDRESSING.MEMORY:
      return isGeneral ? 2 : flat;
    case ADDRESSING.REGISTER_OR_MEMORY:
      return !scan.isMemory ? 0 : isGeneral ? 3 : 1 + flat;
    case ADDRESSING.IMPLICIT:
      return isGeneral ? 2 + (scan.addressSize >> 5) : flat;
    case ADDRESSING.COUNT:
      return scan.addressSize >> 5;
    default:
      return 0;
  }
}
