// Directives that emit data: integers of every width, strings, repeated values.

import type { Assembly } from './assembly.ts';
import type { Directive } from './directives.ts';
import { number } from './expression.ts';
import { reject } from './problem.ts';
import type { Cursor } from './token.ts';

type Width = 1 | 2 | 4 | 8;

/** Each value is an item of its own, so that `.` means its own address. */
const integers =
  (size: Width): Directive =>
  (assembly, cursor) => {
    if (cursor.done) return;
    do {
      const value = assembly.expression(cursor);
      assembly.emit({
        kind: 'bytes',
        bytes: new Uint8Array(size),
        fixups: [{ offset: 0, size, value, kind: 'absolute' }],
        isCode: false,
      });
    } while (cursor.accept(','));
  };

const strings =
  (terminator: readonly number[]): Directive =>
  (assembly, cursor) => {
    if (cursor.done) return;
    do {
      const token = cursor.next();
      if (token?.kind !== 'string') return reject('expected a string', 'strings are written "like this\\n"');
      assembly.emitBytes(Uint8Array.from([...token.bytes, ...terminator]));
    } while (cursor.accept(',') || cursor.peek()?.kind === 'string');
  };

/** IEEE numbers; the tokenizer knows no fractions, so the text is taken apart here. */
const floats =
  (size: 4 | 8): Directive =>
  (assembly, cursor) => {
    do {
      const sign = cursor.accept('-') ? -1 : 1;
      const whole = cursor.next();
      if (whole?.kind !== 'number')
        return reject('expected a whole number', 'write fractions as their bits: .long 0x3f000000');
      const bytes = new Uint8Array(size);
      const view = new DataView(bytes.buffer);
      if (size === 4) view.setFloat32(0, sign * Number(whole.value), true);
      else view.setFloat64(0, sign * Number(whole.value), true);
      assembly.emitBytes(bytes);
    } while (cursor.accept(','));
  };

/** `.skip count, value`. */
const skip: Directive = (assembly, cursor) => {
  const count = assembly.expression(cursor);
  const value = cursor.accept(',') ? assembly.expression(cursor) : number(0n);
  assembly.emit({ kind: 'fill', count, unit: 1, value });
};

/** `.fill count, size, value`: as in GNU as, at most 8 bytes each. */
const fill: Directive = (assembly: Assembly, cursor: Cursor) => {
  const count = assembly.expression(cursor);
  const size = cursor.accept(',') ? assembly.numberNow(cursor, 'the size of .fill') : 1n;
  const value = cursor.accept(',') ? assembly.expression(cursor) : number(0n);
  if (size !== 1n && size !== 2n && size !== 4n && size !== 8n)
    return reject(`.fill of ${size}-byte values`, 'sizes are 1, 2, 4 and 8');
  assembly.emit({ kind: 'fill', count, unit: Number(size) as Width, value });
};

// prettier-ignore
export const DATA_DIRECTIVES: Record<string, Directive> = {
  '.byte': integers(1), '.word': integers(2), '.short': integers(2), '.hword': integers(2), '.value': integers(2), '.2byte': integers(2),
  '.long': integers(4), '.int': integers(4), '.4byte': integers(4), '.quad': integers(8), '.8byte': integers(8),
  '.ascii': strings([]), '.asciz': strings([0]), '.string': strings([0]), '.string8': strings([0]),
  '.float': floats(4), '.single': floats(4), '.double': floats(8),
  '.skip': skip, '.space': skip, '.zero': skip, '.fill': fill,
};
