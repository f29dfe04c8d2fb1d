// Sections and what stands in them: the assembler's result before anything has an address.

import type { Branch } from './branch.ts';
import type { Mode } from './encoder.ts';
import type { Expression } from './expression.ts';
import type { Fixup } from './fields.ts';
import type { Place } from './problem.ts';
import { reject } from './problem.ts';

/** A label's address is that of the item behind it, once the layout has settled. */
export interface Label {
  name: string;
  section: Section;
  /** In `section.items`. */
  index: number;
  address: bigint;
  place: Place;
}

interface Common {
  place: Place;
  /** Set by the layout. */
  address: bigint;
  /** Bytes; set by the layout. */
  size: number;
}

export type Item = Common &
  (
    | { kind: 'bytes'; bytes: Uint8Array; fixups: readonly Fixup[]; isCode: boolean }
    | { kind: 'branch'; branch: Branch; isNear: boolean }
    /** `fill` null: NOPs in code, zeros elsewhere. `limit`: skip the alignment if it needs more bytes than this. */
    | { kind: 'align'; alignment: bigint; fill: Uint8Array | null; limit: bigint | null; mode: Mode }
    | { kind: 'fill'; count: Expression; unit: 1 | 2 | 4 | 8; value: Expression }
    | { kind: 'org'; target: Expression; fill: number }
    | { kind: 'label'; label: Label }
  );

/** The four kinds, in the order of the image. */
export const SECTION_ORDER = ['.text', '.rodata', '.data', '.bss'] as const;
export type SectionKind = (typeof SECTION_ORDER)[number];

export class Section {
  readonly name: string;
  readonly kind: SectionKind;
  readonly items: Item[] = [];
  address = 0n;
  size = 0;

  constructor(name: string, kind: SectionKind) {
    this.name = name;
    this.kind = kind;
  }

  get isCode(): boolean {
    return this.kind === '.text';
  }
}

/** The kind of a section from its name, as a linker script would sort it: `.text.boot` is text, `.bss.stacks` is bss. */
function sectionKind(name: string): SectionKind {
  if (/^\.(text|head|init|fini|exit)\b/.test(name)) return '.text';
  // Notes and unwind tables are what compilers add; they are read-only data that nobody here reads.
  if (/^\.(rodata|note|comment|eh_frame)\b/.test(name)) return '.rodata';
  if (/^\.(data|tdata|init_array|fini_array)\b/.test(name)) return '.data';
  if (/^\.(bss|tbss)\b/.test(name)) return '.bss';
  return reject(`section ${name} has no place in the image`, 'names begin with .text, .rodata, .data or .bss');
}

/** All sections of an assembly, created on first use. */
export class Sections {
  readonly #sections = new Map<string, Section>();

  get(name: string): Section {
    let section = this.#sections.get(name);
    if (section === undefined) {
      section = new Section(name, sectionKind(name));
      this.#sections.set(name, section);
    }
    return section;
  }

  /** In image order: by kind, then by first use. */
  ordered(): Section[] {
    const all = [...this.#sections.values()];
    return SECTION_ORDER.flatMap((kind) => all.filter((section) => section.kind === kind));
  }
}
