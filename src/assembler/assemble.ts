// The assembler's front door: AT&T source in, guest image out. Pure but for the reader that it is given; the encoder is
// loaded when something is assembled for the first time.

import { DIRECT, type Image, type ListingLine, type Segment } from '../vmm/image.ts';
import { type GuestSymbol, SymbolTable } from '../vmm/symbols.ts';
import { Assembly } from './assembly.ts';
import { Encoder } from './encoder.ts';
import { Expander, type Reader } from './expander.ts';
import { addressWeight, evaluate } from './expression.ts';
import { Layout } from './layout.ts';
import { AssemblerError, type Place, Rejection } from './problem.ts';
import { isPublicName } from './scope.ts';
import { type Section, SECTION_ORDER } from './section.ts';

export interface AssembleOptions {
  /** How the source is called in messages and listings, and what `.include` is relative to. */
  file: string;
  /** Guest physical address of the first byte. */
  origin: bigint | number;
  read: Reader;
}

/** x86-64 processors have at most 52 bits of physical address. */
const MAX_ADDRESS = 1n << 52n;

/** Assembles a source and everything that it includes. Throws AssemblerError with every problem found. */
export async function assemble(source: string, options: AssembleOptions): Promise<Image> {
  const origin = BigInt(options.origin);
  if (origin < 0n || origin >= MAX_ADDRESS) {
    throw new RangeError(
      `origin 0x${origin.toString(16)} is no guest physical address; it must be below 0x${MAX_ADDRESS.toString(16)}`,
    );
  }
  const assembly = new Assembly(await Encoder.load());
  const { problems } = assembly;
  new Expander(assembly, options.read).file(source, options.file);
  const sections = assembly.sections.ordered();
  if (problems.list.length === 0 && sections.every((section) => section.items.every(({ kind }) => kind === 'label'))) {
    const text = source.trim().split('\n')[0] ?? '';
    throw new AssemblerError([
      {
        file: options.file,
        line: 1,
        text,
        message: 'nothing to assemble',
        hint: 'the source has no instruction and no data',
        within: null,
      },
    ]);
  }
  problems.throwIfAny();
  const layout = new Layout(sections, assembly.scope, problems);
  layout.place(origin);
  problems.throwIfAny();
  const contents = new Map(sections.map((section) => [section, layout.emit(section)]));
  problems.throwIfAny();

  const placed = sections.filter((section) => section.size > 0);
  const segments = SECTION_ORDER.flatMap((kind) =>
    segmentOf(
      placed.filter((section) => section.kind === kind),
      contents,
    ),
  );
  const symbols = symbolTable(assembly, placed);
  const listing = placed.flatMap((section) => sectionListing(section, contents.get(section) ?? new Uint8Array(0)));
  return {
    format: 'assembly',
    protocol: DIRECT,
    entry: symbols.find('_start')?.address ?? origin,
    segments,
    symbols,
    listing,
  };
}

/** The sections of one kind as one segment; there are none, or they stand side by side. */
function segmentOf(sections: readonly Section[], contents: ReadonlyMap<Section, Uint8Array>): Segment[] {
  if (sections.length === 0) return [];
  const start = sections[0].address;
  const last = sections[sections.length - 1];
  const memorySize = Number(last.address - start) + last.size;
  const bytes = new Uint8Array(last.kind === '.bss' ? 0 : memorySize);
  for (const section of sections) bytes.set(contents.get(section) ?? [], Number(section.address - start));
  return [{ gpa: Number(start), bytes, memorySize }];
}

function symbolTable({ scope, problems }: Assembly, sections: readonly Section[]): SymbolTable {
  const symbols: GuestSymbol[] = [];
  const valueOf = (name: string): bigint => scope.valueOf(name);
  // Constants first: where one names the address of a label, the label's own name is preferred.
  for (const [name, value] of scope.constants()) {
    if (!isPublicName(name)) continue;
    try {
      const address = BigInt.asUintN(64, evaluate(value, valueOf));
      const isAddress = addressWeight(value, (inner) => scope.labels.has(inner)) === 1;
      symbols.push({ name, address, size: 0, kind: isAddress ? 'label' : 'absolute', global: scope.globals.has(name) });
    } catch (thrown) {
      // A constant that nobody used and that mentions nothing defined: not worth a word.
      if (!(thrown instanceof Rejection)) throw thrown;
    }
  }
  for (const { name, address, place } of scope.labels.values()) {
    if (!isPublicName(name)) continue;
    const size = scope.sizes.get(name);
    const kind = scope.types.get(name) ?? 'label';
    const symbol: GuestSymbol = { name, address, size: 0, kind, global: scope.globals.has(name) };
    if (size !== undefined) problems.guard(place, () => void (symbol.size = Number(evaluate(size, valueOf))));
    symbols.push(symbol);
  }
  problems.throwIfAny();
  const ranges = sections.map(({ address, size }) => ({ start: address, end: address + BigInt(size) }));
  return new SymbolTable(symbols, ranges);
}

/** One line for each statement that has bytes or names a place; what several items of one statement emitted stands together. */
function sectionListing(section: Section, contents: Uint8Array): ListingLine[] {
  const lines: ListingLine[] = [];
  let last: Place | null = null;
  for (const item of section.items) {
    const isLabel = item.kind === 'label' && isPublicName(item.label.name);
    if (item.size === 0 && !isLabel) continue;
    const isCode = item.kind === 'branch' || (item.kind === 'bytes' && item.isCode);
    const start = Number(item.address - section.address);
    const line = lines.at(-1);
    if (line !== undefined && last === item.place && (line.bytes.length === 0 || !(line.isCode || isCode))) {
      const first = Number(line.address - section.address);
      line.bytes = contents.subarray(first, start + item.size);
      line.isCode = isCode;
      continue;
    }
    const { file, line: number, text } = item.place;
    const bytes = contents.subarray(start, start + item.size);
    lines.push({ address: item.address, bytes, file, line: number, text, isCode });
    last = item.place;
  }
  return lines;
}
