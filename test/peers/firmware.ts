// Firmware that brings a PC from reset to where a guest of ours starts: the page tables, the GDT and the guest itself are in
// memory already, put there by the emulator. So every emulator starts from the same memory, to the byte.

import { assemble } from '../../src/assembler/assemble.ts';
import { GPR } from '../../src/x86/names/registers.ts';
import type { Registers } from '../lockstep/driver.ts';
import type { Start } from './peer.ts';

/** The last 64 KiB below 4 GiB, seen again below 1 MiB, where the guest's page tables map it. */
const FIRMWARE = 0xf0000;
const FIRMWARE_END = 0x100000;
const FIRMWARE_SIZE = 0x10000;
const RESET_VECTOR = 0xfff0;
/** EFER.LMA, which cannot be written. */
const LMA = 0x400n;
const TSS_BUSY = 2;
const PAGE = 4096;

/**
 * CS first gets a base within the page tables: the next fetch after CR0.PG goes through them. LTR wants a TSS that is not
 * busy, and makes it so. The flags stay those of reset.
 */
const SOURCE = `
        .code16
        ljmp    $0xf000, $(low - ${FIRMWARE})
gdtr:   .word   GDT_LIMIT
        .long   GDT
idtr:   .word   0
        .long   0
low:    lgdt    %cs:gdtr - ${FIRMWARE}
        lidt    %cs:idtr - ${FIRMWARE}
        movl    $CR3, %eax
        movl    %eax, %cr3
        movl    $CR4, %eax
        movl    %eax, %cr4
        movl    $0xc0000080, %ecx
        movl    $EFER, %eax
        movl    $0, %edx
        wrmsr
        movl    $CR0, %eax
        movl    %eax, %cr0
        ljmpl   $CS, $long
        .code64
long:   movl    $DS, %eax
        movl    %eax, %ds
        movl    %eax, %es
        movl    %eax, %ss
        movl    %eax, %fs
        movl    %eax, %gs
        movl    $0, %eax
        lldt    %ax
        movb    $TSS_TYPE, GDT + TR + 5
        movl    $TR, %eax
        ltr     %ax
`;

/** What the firmware takes from the start state. */
async function source(registers: Registers): Promise<string> {
  const { cr0, cr3, cr4, efer, cs, ds, tr, rip } = registers;
  const constants = {
    CR0: cr0!, CR3: cr3!, CR4: cr4!, EFER: efer! & ~LMA, CS: cs!, DS: ds!, TR: tr!,
    GDT: registers['gdtr.base']!, GDT_LIMIT: registers['gdtr.limit']!,
    TSS_TYPE: (registers['tr.attributes']! & 0xffn) & ~BigInt(TSS_BUSY),
  }; // prettier-ignore
  const named = Object.entries(constants).map(([name, value]) => `.equ ${name}, ${value}\n`);
  const loads = Object.keys(GPR).map((name) => {
    const register = name.toLowerCase();
    return `        movabsq $${registers[register]!}, %${register}\n`;
  });
  return `${named.join('')}${SOURCE}${loads.join('')}        jmp     *entry(%rip)\nentry:  .quad   ${rip!}\n`;
}

/** The 64 KiB that end at 4 GiB. */
export async function firmware(registers: Registers): Promise<Uint8Array> {
  const image = await assemble(await source(registers), { file: 'firmware.s', origin: FIRMWARE, read: () => null });
  const bytes = new Uint8Array(FIRMWARE_SIZE);
  bytes.set(image.segments[0]!.bytes);
  bytes.set(jumpBack(RESET_VECTOR), RESET_VECTOR);
  return bytes;
}

/** JMP rel16 from an offset to offset 0. */
function jumpBack(offset: number): number[] {
  const length = 3;
  const distance = -(offset + length) & 0xffff;
  return [0xe9, distance & 0xff, distance >> 8];
}

/** Runs of pages that are not all zero, as [first byte, end], at most `most`: the smallest gaps are included. */
export function usedRuns({ memory }: Start, most: number): [number, number][] {
  const runs: [number, number][] = [];
  const empty = new Uint8Array(PAGE);
  for (let at = 0; at < memory.length; at += PAGE) {
    // There the other machine has this firmware, and trapline ACPI's tables, which its guests do not look at.
    if (at >= FIRMWARE && at < FIRMWARE_END) continue;
    if (Buffer.compare(memory.subarray(at, at + PAGE), empty) === 0) continue;
    const last = runs.at(-1);
    if (last?.[1] === at) last[1] += PAGE;
    else runs.push([at, at + PAGE]);
  }
  while (runs.length > most) {
    const gaps = runs.slice(1).map(([from], i) => from - runs[i]![1]);
    const smallest = gaps.indexOf(Math.min(...gaps));
    runs[smallest]![1] = runs[smallest + 1]![1];
    runs.splice(smallest + 1, 1);
  }
  return runs;
}
