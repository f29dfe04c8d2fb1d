// Exception vectors of the architecture (SDM vol. 3, 6.3.1).

export const VECTOR = {
  DE: 0, DB: 1, NMI: 2, BP: 3, OF: 4, BR: 5, UD: 6, NM: 7, DF: 8, TS: 10, NP: 11, SS: 12, GP: 13, PF: 14, MF: 16, AC: 17, MC: 18, XM: 19, CP: 21,
} as const; // prettier-ignore

const names = new Map<number, string>(Object.entries(VECTOR).map(([name, vector]) => [vector, `#${name}`]));
/** The mnemonic of an exception (`#PF`), or `vector 0x20` for what is none. */
export const vectorName = (vector: number): string => names.get(vector) ?? `vector 0x${vector.toString(16)}`;
