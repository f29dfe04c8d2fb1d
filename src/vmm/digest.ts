// One number for everything that a machine is: registers, guest memory, positions in time. Two runs of the same input have
// the same digest, whatever the tracing and however they were cut into steps.

import type { CpuState, FieldName } from '../cpu/state.ts';
import { FIELDS } from '../cpu/state.ts';
import type { Vm } from '../hypervisor/vm.ts';
import { PAGE_SIZE } from '../x86/names/paging.ts';

/** Two multiplicative hashes over 32-bit words, which together tell 2^64 states apart. Not against an adversary. */
class Hash {
  #a = 0x811c9dc5;
  #b = 0xc2b2ae35;

  word(value: number): void {
    this.#a = Math.imul(this.#a ^ value, 0x01000193);
    this.#a ^= this.#a >>> 15;
    this.#b = Math.imul(this.#b ^ value, 0x85ebca6b);
    this.#b ^= this.#b >>> 13;
  }

  number(value: number): void {
    this.word(value | 0);
    this.word(Math.floor(value / 2 ** 32) | 0);
  }

  words(all: Uint32Array, start: number, end: number): void {
    for (let i = start; i < end; i++) this.word(all[i]!);
  }

  get text(): string {
    return [this.#a, this.#b].map((half) => (half >>> 0).toString(16).padStart(8, '0')).join('');
  }
}

/* prettier-ignore */
/** Registers: what a guest can know of a vCPU. Translation caches and the last exit's fields are not among them. */
const REGISTERS: readonly FieldName[] = [
  'gpr', 'rip', 'flagResult', 'flagAux', 'flagCarry', 'rflags', 'gdtrBase', 'idtrBase', 'gdtrLimit', 'idtrLimit',
  'cr0', 'cr2', 'cr3', 'cr4', 'cr8', 'xcr0', 'efer', 'dr', 'star', 'lstar', 'cstar', 'fmask', 'kernelGsBase', 'tscAux', 'pat',
  'sysenterCs', 'sysenterEsp', 'sysenterEip', 'apicBase', 'entropy', 'cpl', 'shadow', 'nmiBlocked', 'activity', 'pendingDb',
  'mxcsr', 'fcw', 'fsw', 'ftw', 'st', 'vec',
];
const SEGMENT_WORDS = 4;
const SEGMENT_COUNT = 8;

function hashRegisters(hash: Hash, state: CpuState): void {
  const { views } = state;
  for (const name of REGISTERS) {
    const { type, count } = FIELDS[name];
    const view = type === 'u64' ? views.u32 : views[type];
    const perElement = type === 'u64' ? 2 : 1;
    const bytes = type === 'u64' ? 4 : view.BYTES_PER_ELEMENT;
    for (let i = 0; i < count; i++) {
      for (let word = 0; word < perElement; word++) hash.word(view[state.at(name, i) / bytes + word]!);
    }
  }
  const segments = state.at('segments') >>> 2;
  hash.words(views.u32, segments, segments + SEGMENT_COUNT * SEGMENT_WORDS);
}

/** 16 hexadecimal digits. */
export function digest(vm: Vm): string {
  const hash = new Hash();
  for (const vcpu of vm.vcpus) {
    hashRegisters(hash, vcpu.guest.state);
    hash.words(vcpu.lapic.regs, 0, vcpu.lapic.regs.length);
    hash.number(vcpu.cpu.now);
    hash.number(vcpu.stat.exits);
  }
  const { u32 } = vm.memslots.arena.views;
  for (const { address, pages } of vm.memslots.slots)
    hash.words(u32, address >>> 2, (address + pages * PAGE_SIZE) >>> 2);
  return hash.text;
}
