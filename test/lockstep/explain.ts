// What a trapline machine makes of the instruction at a RIP: its text, its row and form, and the record that generated code
// reads, as the machine's own code cache holds it.

import { CODE } from '../../src/cpu/segments/codeMode.ts';
import type { Cpu } from '../../src/cpu/cpu.ts';
import { HANDLERS } from '../../src/cpu/code/handlers.ts';
import type { Processor } from '../../src/cpu/processor.ts';
import { RECORD, registerOf } from '../../src/cpu/code/records.ts';
import { pageAddress } from '../../src/cpu/memory/secondStage.ts';
import { OFFSET, SEGMENTS, SEGMENT_SIZE } from '../../src/cpu/state.ts';
import type { Machine } from '../../src/vmm/machine.ts';
import { Decoded, MAX_LENGTH, MODE, decode } from '../../src/x86/decoder.ts';
import { GPR } from '../../src/x86/names/registers.ts';
import { ROWS } from '../../src/x86/rows.ts';
import { FORMS } from '../../src/x86/tables.ts';
import { textOf } from '../../src/x86/text.ts';

const PAGE = 4096;
const REGISTERS = [...Object.keys(GPR), 'AH', 'CH', 'DH', 'BH'];

/** The instruction at a RIP, its bytes and row; null if it cannot be fetched or is none. */
export function decodeAt(cpu: Cpu, rip: bigint): { bytes: Uint8Array; insn: Decoded } | null {
  const inPage = PAGE - Number(rip & 0xfffn);
  const bytes = cpu.mmu.peek(rip, MAX_LENGTH) ?? cpu.mmu.peek(rip, Math.min(inPage, MAX_LENGTH));
  if (bytes === null) return null;
  const insn = new Decoded();
  const length = decode(bytes, 0, bytes.length, MODE.CODE64, insn);
  return length <= 0 ? null : { bytes: bytes.slice(0, length), insn };
}

export function explainInstruction({ processor, image }: Machine, vcpu: number, rip: bigint): string[] {
  const cpu = processor.cpus[vcpu]!;
  const place = `0x${rip.toString(16)} ${image.symbols.lookup(rip) === null ? '' : `<${image.symbols.format(rip)}>`}`;
  const found = decodeAt(cpu, rip);
  if (found === null) return [`${place}: no instruction`];
  const { bytes, insn } = found;
  const row = ROWS[insn.row]!;
  return [
    `${place}: ${Buffer.from(bytes).toString('hex')}  ${textOf(insn, rip)}`,
    `row     ${row.text}  ${row.mnemonic} ${row.operands.map((o) => o.notation).join(',')}`,
    `form    ${FORMS[insn.form]!.name}`,
    `record  ${recordText(processor, cpu, rip)}`,
  ];
}

/** The fields of the record for a RIP, registers by name. */
function recordText({ blocks, secondStage }: Processor, cpu: Cpu, rip: bigint): string {
  const { views } = cpu.state;
  const gpa = cpu.mmu.translation.peek(Number(BigInt.asIntN(32, rip)), Number(BigInt.asIntN(32, rip >> 32n)))!;
  const page = pageAddress(secondStage.lookup(Number(gpa >> 12n)));
  const at = blocks.find(page, Number(rip & 0xfffn), CODE.LONG);
  if (at === 0) return 'none in this page: the instruction straddles two';
  const u16 = (offset: number): number => views.u16[(at + offset) >> 1]!;
  const slots = [RECORD.slots, RECORD.slots + 2, RECORD.slot2].map((offset) => placeName(u16(offset)));
  const scale = views.u8[at + RECORD.scale]!;
  const segment = SEGMENTS[(u16(RECORD.segment) - OFFSET.segments) / SEGMENT_SIZE] ?? '?';
  return [
    `handler=${HANDLERS[u16(RECORD.handler)]?.name ?? u16(RECORD.handler)}`,
    `slots=${slots.join(',')}`,
    `base=${placeName(u16(RECORD.base))}`,
    `index=${placeName(u16(RECORD.index))}<<${scale & 3}`,
    `mask=${scale >> 6}`,
    `disp=${views.i32[(at + RECORD.disp) >> 2]!}`,
    `segment=${segment}`,
    `imm=0x${views.u64[(at + RECORD.imm) >> 3]!.toString(16)}`,
    `length=${views.u8[at + RECORD.length]!}`,
    `ripOffset=0x${u16(RECORD.ripOffset).toString(16)}`,
  ].join(' ');
}

/** A state offset as the name of the register there; slots of other register files hold plain numbers. */
function placeName(offset: number): string {
  if (offset === OFFSET.zero) return '-';
  if (offset === OFFSET.ripPage) return 'ripPage';
  if (offset === OFFSET.pageUnit) return 'pageUnit';
  return REGISTERS[registerOf(offset)] ?? String(offset);
}
