// Two colours of host function: whatever returns Sleep<T> is called under yield* only, and never where sleeping is not allowed.
import { join, resolve } from 'node:path';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';

const ROOT = resolve(import.meta.dirname, '../..');
const SLEEP = join(ROOT, 'src/host/sleep.ts');
const FIXTURE = join(ROOT, 'src/host/fixture.ts');

/** Floors that cannot know sleep.ts. */
const BELOW_HOST = /^\/src\/(wasm|x86|cpu|trace)\//;

/** Each function of the fixture is one case; its name says what must be found in it. */
const fixture = `
import { block, type Sleep } from './sleep.ts';
class Mutex {
  *lock(): Sleep<void> { yield* block('mutex'); }
  tryLock(): boolean { return true; }
}
declare const mutex: Mutex;
declare function spawn(body: Sleep<void>): void;
declare function atomic(callback: () => void): void;
declare let handler: () => void;
interface Owner { expired(): void }
export function* good(): Sleep<void> { yield* mutex.lock(); if (mutex.tryLock()) yield* block('x'); }
export const goodHandOver = () => spawn(mutex.lock());
export const goodDelegate = (): Sleep<void> => mutex.lock();
export function* badStatement(): Sleep<void> { mutex.lock(); }
export function* badYield(): Sleep<void> { yield mutex.lock() as never; }
export function* badValue(): Sleep<boolean> { const done = mutex.lock(); return !done; }
export function badAtomic() { return [mutex.lock()].length; }
export function* badInferred() { yield* block('x'); }
export function badCallOfInferred() { badInferred(); }
export const badCallback = () => atomic(() => mutex.lock());
export const badReference = () => atomic(mutex.lock);
export function badAssignment() { handler = function* () { yield* mutex.lock(); }; }
export class BadOwner implements Owner { *expired(): Sleep<void> { yield* mutex.lock(); } }
`;

const program = (() => {
  const config = ts.readConfigFile(join(ROOT, 'tsconfig.json'), (path) => ts.sys.readFile(path));
  const { options } = ts.parseJsonConfigFileContent(config.config, ts.sys, ROOT);
  const host = ts.createCompilerHost(options);
  const { readFile, fileExists } = host;
  host.readFile = (path) => (resolve(path) === FIXTURE ? fixture : readFile(path));
  host.fileExists = (path) => resolve(path) === FIXTURE || fileExists(path);
  const sources = ts.sys.readDirectory(join(ROOT, 'src'), ['.ts']);
  return ts.createProgram([...sources, SLEEP, FIXTURE], options, host);
})();
const checker = program.getTypeChecker();

const requestType = (() => {
  const module = checker.getSymbolAtLocation(program.getSourceFile(SLEEP)!)!;
  const alias = checker.getExportsOfModule(module).find((symbol) => symbol.name === 'SleepRequest')!;
  return checker.getDeclaredTypeOfSymbol(alias);
})();

/** Sleep<T>, by its name or as a generator of sleep requests. */
function isSleep(type: ts.Type | undefined): boolean {
  if (type === undefined) return false;
  if (type.isUnion()) return type.types.some(isSleep);
  if (type.symbol?.name !== 'Generator') return false;
  const [yields] = checker.getTypeArguments(type as ts.TypeReference);
  return (
    yields !== undefined && !(yields.flags & ts.TypeFlags.Never) && checker.isTypeAssignableTo(yields, requestType)
  );
}

const returnsSleep = (type: ts.Type | undefined) =>
  type?.getCallSignatures().some((signature) => isSleep(signature.getReturnType())) ?? false;

/** A function type that promises a caller something else than a Sleep. */
const mustNotSleep = (type: ts.Type | undefined) => {
  const signatures = type?.getCallSignatures() ?? [];
  return signatures.length > 0 && !signatures.some((signature) => isSleep(signature.getReturnType()));
};

/** A function value where it becomes an argument, a field, a result. */
function isHandedOn(node: ts.Node): node is ts.Expression {
  const { parent } = node;
  if (
    !ts.isIdentifier(node) &&
    !ts.isPropertyAccessExpression(node) &&
    !ts.isArrowFunction(node) &&
    !ts.isFunctionExpression(node)
  )
    return false;
  if (ts.isCallExpression(parent) || ts.isNewExpression(parent)) return parent.expression !== node;
  if (ts.isPropertyAssignment(parent) || ts.isVariableDeclaration(parent)) return parent.initializer === node;
  return (
    (ts.isBinaryExpression(parent) && parent.right === node) ||
    ts.isReturnStatement(parent) ||
    ts.isArrowFunction(parent)
  );
}

function violations(source: ts.SourceFile): string[] {
  const found: string[] = [];
  const say = (node: ts.Node, what: string) => {
    const { line } = source.getLineAndCharacterOfPosition(node.getStart());
    found.push(
      `${source.fileName.slice(ROOT.length + 1)}:${line + 1}: ${what}: ${source.text.split('\n')[line]!.trim()}`,
    );
  };

  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node) && isSleep(checker.getResolvedSignature(node)?.getReturnType())) {
      let { parent } = node as ts.Node;
      while (ts.isParenthesizedExpression(parent)) ({ parent } = parent);
      const delegated = ts.isYieldExpression(parent) && parent.asteriskToken !== undefined;
      // Handing the unstarted function on, to the scheduler or to a caller that is checked in turn, is no call yet.
      if (!delegated && !isSleep(checker.getContextualType(node))) say(node, 'may sleep: call it under yield*');
    } else if (isHandedOn(node) && returnsSleep(checker.getTypeAtLocation(node))) {
      if (mustNotSleep(checker.getContextualType(node))) say(node, 'may sleep, where a callback must not');
    } else if (ts.isClassLike(node)) {
      const supers = (node.heritageClauses ?? []).flatMap((clause) =>
        clause.types.map((type) => checker.getTypeAtLocation(type)),
      );
      for (const member of node.members) {
        if (!ts.isMethodDeclaration(member) || !returnsSleep(checker.getTypeAtLocation(member))) continue;
        for (const above of supers) {
          const symbol = above.getProperty(member.name.getText());
          if (symbol && mustNotSleep(checker.getTypeOfSymbol(symbol)))
            say(member, 'may sleep, where what it implements must not');
        }
      }
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

describe('functions that may sleep', () => {
  it('are called under yield* everywhere in src', { timeout: 30_000 }, () => {
    const ours = program.getSourceFiles().filter((file) => file.fileName.startsWith(join(ROOT, 'src/')));
    const sources = ours.filter((file) => !BELOW_HOST.test(file.fileName.slice(ROOT.length)));
    expect(sources.length).toBeGreaterThan(5);
    expect(sources.filter((file) => file.fileName !== FIXTURE).flatMap(violations)).toEqual([]);
  });

  it('are found where they are called in any other way, and nowhere else', () => {
    const lines = fixture.split('\n');
    const found = new Set(
      violations(program.getSourceFile(FIXTURE)!).map((text) => lines[Number(text.split(':')[1]) - 1]),
    );
    const bad = lines.filter((line) => /\b[bB]ad/.test(line) && !line.includes('function* badInferred'));
    expect(bad.length).toBe(9);
    expect([...found]).toEqual(bad);
  });
});
