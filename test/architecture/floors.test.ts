// The house's floors: imports only look down, and the core reads nothing but the machine's own time and chance.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';

const ROOT = resolve(import.meta.dirname, '../..');
const SRC = join(ROOT, 'src');

/** Floor of each folder, as in docs/architecture.md. `trace` is a side stair and has rules of its own. */
const FLOOR: Record<string, number> = {
  wasm: 1,
  x86: 2,
  cpu: 3,
  host: 4,
  hypervisor: 5,
  vmm: 6,
  lab: 7,
  explore: 7,
  assembler: 8,
  cli: 8,
  testing: 8,
  web: 8,
  'index.ts': 8,
};
const TOP = 8;
/** The only file of the side stair that floors 3 to 6 may know. */
const PROBES = 'trace/probes.ts';
/** What sinks and reports need to name things: vocabulary, no behaviour. */
const VOCABULARY = /^(x86\/names\/|cpu\/exit\.ts$)/;
/** What the core must not read: wall clocks, chance, the terminal. */
const BANNED = new Set(['Date', 'performance', 'console', 'process', 'setTimeout', 'setInterval', 'setImmediate']);

/** Violations of one source file; `path` is relative to src. */
function violations(path: string, text: string): string[] {
  const found: string[] = [];
  const folder = path.split('/')[0]!;
  const floor = FLOOR[folder];
  const trace = folder === 'trace';
  if (floor === undefined && !trace)
    return [`${path}: src/${folder} has no floor: give it one here and in docs/architecture.md`];
  const core = trace || floor! < TOP;
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
  const say = (node: ts.Node, what: string) => {
    found.push(`${path}:${source.getLineAndCharacterOfPosition(node.getStart()).line + 1}: ${what}`);
  };

  const checkImport = (node: ts.Node, name: string) => {
    if (!name.startsWith('.')) {
      if (core) say(node, `floors below ${TOP} import only our own files, not '${name}'`);
      return;
    }
    if (!name.endsWith('.ts') && !name.endsWith('.json')) say(node, `'${name}' must end in .ts`);
    const to = relative(SRC, resolve(SRC, dirname(path), name));
    const toFolder = to.split('/')[0]!;
    if (to.startsWith('..')) {
      if (core) say(node, `'${name}' is outside src`);
    } else if (trace) {
      if (toFolder !== 'trace' && !VOCABULARY.test(to))
        say(node, `src/trace knows event types and names only, not ${to}`);
    } else if (toFolder === 'trace') {
      if (floor! < 3 || (floor! < 7 && to !== PROBES))
        say(node, `src/${folder} may know ${PROBES} only from floor 3 on, not ${to}`);
    } else if (FLOOR[toFolder]! > floor!) {
      say(node, `floor ${floor} (${folder}) looks up to floor ${FLOOR[toFolder]} (${to})`);
    }
  };

  const declared = declaredNames(source);
  const visit = (node: ts.Node): void => {
    if ((ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) && node.moduleSpecifier) {
      checkImport(node, (node.moduleSpecifier as ts.StringLiteral).text);
    } else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      const [name] = node.arguments;
      if (name && ts.isStringLiteral(name)) checkImport(node, name.text);
      else if (core) say(node, 'import() of something computed');
    } else if (core && ts.isPropertyAccessExpression(node)) {
      if (node.getText() === 'Math.random') say(node, 'Math.random: the machine has its own random source');
      visit(node.expression);
      return;
    } else if (core && ts.isIdentifier(node) && BANNED.has(node.text) && !declared.has(node.text) && isValue(node)) {
      say(node, `${node.text}: the core reads no clock and no terminal but the machine's own`);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

/** Names that a file gives to things of its own: a parameter may be called `console`. */
function declaredNames(source: ts.SourceFile): Set<string> {
  const names = new Set<string>();
  const visit = (node: ts.Node): void => {
    const isBinding =
      ts.isParameter(node) || ts.isVariableDeclaration(node) || ts.isBindingElement(node) || ts.isImportSpecifier(node);
    if (isBinding && ts.isIdentifier(node.name)) names.add(node.name.text);
    ts.forEachChild(node, visit);
  };
  visit(source);
  return names;
}

/** An identifier that is read, and not the name of a property, member or declaration. */
function isValue(node: ts.Identifier): boolean {
  const { parent } = node;
  const names = parent as Partial<Record<'name' | 'propertyName' | 'label', ts.Node>>;
  return names.name !== node && names.propertyName !== node && names.label !== node && !ts.isTypeNode(parent);
}

const files = readdirSync(SRC, { recursive: true, encoding: 'utf8' })
  .map((file) => file.replaceAll('\\', '/'))
  .filter((file) => file.endsWith('.ts'));

describe('the floors', () => {
  it('look down only, and the core imports and reads nothing of its surroundings', () => {
    expect(files.length).toBeGreaterThan(5);
    expect(files.flatMap((file) => violations(file, readFileSync(join(SRC, file), 'utf8')))).toEqual([]);
  });

  it.each([
    ['cpu/a.ts', "import { x } from '../hypervisor/vm.ts';", 'looks up to floor 5'],
    ['cpu/a.ts', "export { x } from '../vmm/machine.ts';", 'looks up to floor 6'],
    ['x86/a.ts', "const m = await import('../cpu/state.ts');", 'looks up to floor 3'],
    ['wasm/a.ts', "import { Probes } from '../trace/probes.ts';", 'only from floor 3 on'],
    ['hypervisor/a.ts', "import { report } from '../trace/report.ts';", 'only from floor 3 on'],
    ['trace/a.ts', "import { Vm } from '../hypervisor/vm.ts';", 'event types and names only'],
    ['lab/a.ts', "import { readFileSync } from 'node:fs';", 'only our own files'],
    ['host/a.ts', 'export const now = () => Date.now();', 'Date'],
    ['host/a.ts', 'export const r = () => Math.random();', 'Math.random'],
    ['vmm/a.ts', "console.log('hello');", 'console'],
    ['vmm/a.ts', "import { x } from './b.js';", 'must end in .ts'],
    ['odd/a.ts', '', 'has no floor'],
  ])('reports %s: %s', (path, text, what) => {
    expect(violations(path, text)).toEqual([expect.stringContaining(what)]);
  });

  it.each([
    [
      'vmm/a.ts',
      "import { x } from '../hypervisor/vm.ts'; import { Probes } from '../trace/probes.ts'; import { y } from './b.ts';",
    ],
    ['vmm/a.ts', 'export const device = { console: 1 }; export const c = device.console;'],
    ['vmm/a.ts', 'export const put = (console: number[], byte: number) => console.push(byte);'],
    ['cli/a.ts', "import { readFileSync } from 'node:fs'; console.log(Date.now());"],
    ['trace/a.ts', "import { EXIT } from '../cpu/exit.ts';"],
  ])('accepts %s: %s', (path, text) => {
    expect(violations(path, text)).toEqual([]);
  });
});
