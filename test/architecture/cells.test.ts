// Host code stays code that an explorer can preempt: the transform of bench/experiments/cells takes all of it, and refuses nothing.
import { join, resolve } from 'node:path';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';
import { CellTransform } from '../../bench/experiments/cells/transform.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const HOST_CODE = ['src/host/', 'src/hypervisor/'].map((folder) => join(ROOT, folder));

describe('host code', () => {
  it('can be preempted at each of its cells', { timeout: 30_000 }, () => {
    const config = ts.readConfigFile(join(ROOT, 'tsconfig.json'), (path) => ts.sys.readFile(path));
    const { options } = ts.parseJsonConfigFileContent(config.config, ts.sys, ROOT);
    const includes = (file: string) => HOST_CODE.some((folder) => file.startsWith(folder));
    const program = ts.createProgram(ts.sys.readDirectory(join(ROOT, 'src'), ['.ts']), options);
    const files = program.getSourceFiles().filter(({ fileName }) => includes(fileName));
    const transform = new CellTransform({ program, includes, runtime: './runtime.ts' });

    const lines = (text: string) => text.split('\n').length;
    const moved = files.filter(({ fileName, text }) => lines(transform.emit(fileName)) !== lines(text));
    expect(transform.refusals).toEqual([]);
    expect(moved.map(({ fileName }) => fileName)).toEqual([]);
    expect(new Set(transform.sites.map(({ cell }) => cell)).size).toBeGreaterThan(20);
  });
});
