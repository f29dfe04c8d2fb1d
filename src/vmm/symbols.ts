// Names for guest addresses: what the assembler and the ELF loader found, for traces, diagnostics and `--until`.
// Not a debugger's view: no lines, no types.

/** What a symbol stands for. An absolute symbol is a constant (`.equ`), never the name of an address. */
export type SymbolKind = 'function' | 'object' | 'label' | 'absolute';

export interface GuestSymbol {
  name: string;
  address: bigint;
  /** Bytes; 0 when the source did not say, then it reaches to the next symbol. */
  size: number;
  kind: SymbolKind;
  global: boolean;
}

/** A stretch of guest memory that symbols may name: `start` inclusive, `end` exclusive. */
export interface AddressRange {
  start: bigint;
  end: bigint;
}

/**
 * Among symbols at one address the better name wins: a global over a local one, a function or object over a plain label, and
 * the later of two equals, since the earlier one is often the end of what stands before.
 */
function preference(symbol: GuestSymbol): number {
  return (symbol.global ? 2 : 0) + (symbol.kind === 'label' ? 0 : 1);
}

export class SymbolTable implements Iterable<GuestSymbol> {
  static readonly empty = new SymbolTable([], []);

  readonly #byName = new Map<string, GuestSymbol>();
  /** Address symbols, ascending, one for each address. */
  readonly #byAddress: GuestSymbol[] = [];
  readonly #ranges: readonly AddressRange[];

  /**
   * @param ranges the image's segments: an address outside of them has no name, so that a wild RIP is not shown as the last symbol + 2 GiB.
   */
  constructor(symbols: Iterable<GuestSymbol>, ranges: readonly AddressRange[]) {
    this.#ranges = ranges;
    const best = new Map<bigint, GuestSymbol>();
    for (const symbol of symbols) {
      const known = this.#byName.get(symbol.name);
      if (known === undefined || (symbol.global && !known.global)) this.#byName.set(symbol.name, symbol);
      if (symbol.kind === 'absolute') continue;
      const rival = best.get(symbol.address);
      if (rival === undefined || preference(symbol) >= preference(rival)) best.set(symbol.address, symbol);
    }
    this.#byAddress = [...best.values()].sort((a, b) => (a.address < b.address ? -1 : 1));
  }

  /** Every symbol that has a name or an address of its own; a table made of them and of `ranges` is the same again. */
  get all(): readonly GuestSymbol[] {
    return [...new Set([...this.#byName.values(), ...this.#byAddress])];
  }
  get ranges(): readonly AddressRange[] {
    return this.#ranges;
  }

  get size(): number {
    return this.#byName.size;
  }

  [Symbol.iterator](): Iterator<GuestSymbol> {
    return this.#byName.values();
  }

  /** The symbol of that exact name, or null. */
  find(name: string): GuestSymbol | null {
    return this.#byName.get(name) ?? null;
  }

  /** The symbol that an address lies in or behind, within the same segment; null when nothing names it. */
  lookup(address: bigint): { name: string; offset: bigint } | null {
    const range = this.#ranges.find(({ start, end }) => address >= start && address < end);
    if (range === undefined) return null;
    let low = 0;
    let high = this.#byAddress.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#byAddress[middle].address <= address) low = middle + 1;
      else high = middle;
    }
    const symbol = this.#byAddress[low - 1];
    if (symbol === undefined || symbol.address < range.start) return null;
    return { name: symbol.name, offset: address - symbol.address };
  }

  /** An address for a person: `tick_handler+0x1c`, `tick_handler`, or `0x123456` when nothing names it. */
  format(address: bigint): string {
    const found = this.lookup(address);
    if (found === null) return `0x${address.toString(16)}`;
    return found.offset === 0n ? found.name : `${found.name}+0x${found.offset.toString(16)}`;
  }
}
