// A typed layout of the vCPU state block: the one description that generated code, TypeScript and snapshots share.
// It places fields; what they mean is said in state.ts.

export type FieldType = 'u8' | 'u16' | 'i32' | 'u32' | 'u64';

/** A field is one value, or `count` equal values (`stride` bytes apart when they are more than a plain value). */
export interface Field {
  readonly type: FieldType;
  readonly count: number;
  readonly stride: number;
}

const BYTES: Record<FieldType, number> = { u8: 1, u16: 2, i32: 4, u32: 4, u64: 8 };

export const u8 = { type: 'u8', count: 1, stride: 1 } as const satisfies Field;
export const u16 = { type: 'u16', count: 1, stride: 2 } as const satisfies Field;
export const i32 = { type: 'i32', count: 1, stride: 4 } as const satisfies Field;
export const u32 = { type: 'u32', count: 1, stride: 4 } as const satisfies Field;
export const u64 = { type: 'u64', count: 1, stride: 8 } as const satisfies Field;
export const array = (field: Field, count: number, stride = field.stride): Field => ({
  type: field.type,
  count,
  stride,
});

export interface Placed<K extends string> {
  /** Byte offset of each field in the block. */
  readonly offset: Readonly<Record<K, number>>;
  readonly fields: Readonly<Record<K, Field>>;
  /** Bytes used, before rounding to pages. */
  readonly size: number;
}

/** Places fields in the order given, each naturally aligned, from byte `start` on. */
export function place<K extends string>(fields: Readonly<Record<K, Field>>, start = 0): Placed<K> {
  const offset = {} as Record<K, number>;
  let at = start;
  for (const name of Object.keys(fields) as K[]) {
    const { type, count, stride } = fields[name];
    const align = BYTES[type];
    at = Math.ceil(at / align) * align;
    offset[name] = at;
    at += count * stride;
  }
  return { offset, fields, size: at };
}

/** The TypeScript value of a scalar field: 64-bit fields are bigint, the others numbers. */
export type ValueOf<F extends Field> = F['type'] extends 'u64' ? bigint : number;

/** Views over one linear memory, shared by all that read or write it. */
export class Views {
  readonly buffer: ArrayBuffer;
  readonly u8: Uint8Array;
  readonly u16: Uint16Array;
  readonly i32: Int32Array;
  readonly u32: Uint32Array;
  readonly u64: BigUint64Array;
  readonly data: DataView;

  constructor(buffer: ArrayBuffer) {
    this.buffer = buffer;
    this.u8 = new Uint8Array(buffer);
    this.u16 = new Uint16Array(buffer);
    this.i32 = new Int32Array(buffer);
    this.u32 = new Uint32Array(buffer);
    this.u64 = new BigUint64Array(buffer);
    this.data = new DataView(buffer);
  }
}
