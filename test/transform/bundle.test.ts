// The constants of a bundle are constants again, and nothing else is changed.

import { describe, expect, it } from 'vitest';
import { keepConstants } from '../../transform/bundle.ts';

/** Each line of the module with what it becomes, where that is another. */
const changed = (...lines: string[]): string[] => {
  const after = keepConstants(lines.join('\n')).split('\n');
  expect(after).toHaveLength(lines.length);
  return after.filter((line, i) => line !== lines[i]);
};

describe('a top-level variable', () => {
  it('is a constant where nobody assigns to it', () => {
    expect(changed('var a = 1;', 'var b = () => a;', 'var { c, d: [e] } = b;')).toEqual([
      'const a = 1;',
      'const b = () => a;',
      'const { c, d: [e] } = b;',
    ]);
  });

  it('stays one where somebody does, in whatever way', () => {
    for (const assignment of [
      'a = 2',
      'a += 2',
      'a ??= 2',
      'a++',
      '--a',
      '[a] = b',
      '({ x: a } = b)',
      '({ x: [...a] } = b)',
    ])
      expect(changed('var a = 1;', `function f() { ${assignment}; }`), assignment).toEqual([]);
    expect(changed('var a = 1;', 'for (a of b);', 'for (a in b);')).toEqual([]);
    expect(changed('var a = 1, c = 2;', 'c = 3;')).toEqual([]);
  });

  it('is not assigned to where a part of what it stands for is, or where it is read', () => {
    for (const use of ['a.b = 2', 'a[0] = 2', 'a.b++', '[a.b] = c', 'c[a] = 2', '-a', '!a', 'a === 2', 'c = a'])
      expect(changed('var a = {};', `function f() { ${use}; }`), use).toEqual(['const a = {};']);
  });

  it('has a value: without one it is left alone, and so is what is no variable', () => {
    expect(
      changed('var a;', 'let b = 1;', 'function f() { var c = 1; }', 'if (f) { var d = 1; }', '"var e = 1";'),
    ).toEqual([]);
  });
});
