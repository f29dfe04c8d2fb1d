// Bundles the program, with its constants as constants.
//
// Theory. A bundler turns the constants of modules into variables, for engines that are slow to see that one has its value
// already. V8 is not, and folds what is constant: the table that a name stands for, its fields, a function that is called. What
// runs hot here is full of them (COST.srcu, OFFSET.rip), and is a sixth quicker with them. So they are made constants again.

import { build, type BuildOptions } from 'esbuild';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import ts from 'typescript';

/** Builds the bundles that esbuild would with these options, and writes them. */
export async function bundle(options: BuildOptions): Promise<void> {
  const { outputFiles } = await build({ bundle: true, format: 'esm', platform: 'node', ...options, write: false });
  for (const { path, text } of outputFiles) {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, keepConstants(text));
  }
}

/** The module with `const` for each top-level `var` that nobody assigns to. A name that is assigned anywhere counts as assigned. */
export function keepConstants(text: string): string {
  const module = ts.createSourceFile('bundle.js', text, ts.ScriptTarget.Latest);
  const assigned = assignedNames(module);
  const isConstant = ({ name, initializer }: ts.VariableDeclaration): boolean =>
    initializer !== undefined && targetsIn(name).every((each) => !assigned.has(each));
  let kept = '';
  let end = 0;
  for (const statement of module.statements) {
    if (!ts.isVariableStatement(statement)) continue;
    const { declarationList } = statement;
    if ((declarationList.flags & ts.NodeFlags.BlockScoped) !== 0 || !declarationList.declarations.every(isConstant))
      continue;
    const start = declarationList.getStart(module);
    kept += `${text.slice(end, start)}const`;
    end = start + 'var'.length;
  }
  return kept + text.slice(end);
}

function assignedNames(module: ts.SourceFile): ReadonlySet<string> {
  const names = new Set<string>();
  const assign = (target: ts.Node): void => targetsIn(target).forEach((name) => names.add(name));
  const visit = (node: ts.Node): void => {
    if (ts.isBinaryExpression(node) && isAssignment(node.operatorToken.kind)) assign(node.left);
    else if (ts.isPostfixUnaryExpression(node)) assign(node.operand);
    else if (ts.isPrefixUnaryExpression(node) && isStep(node.operator)) assign(node.operand);
    else if (ts.isForInStatement(node) || ts.isForOfStatement(node)) assign(node.initializer);
    ts.forEachChild(node, visit);
  };
  visit(module);
  return names;
}

const isAssignment = (kind: ts.SyntaxKind): boolean =>
  kind >= ts.SyntaxKind.FirstAssignment && kind <= ts.SyntaxKind.LastAssignment;
const isStep = (kind: ts.SyntaxKind): boolean =>
  kind === ts.SyntaxKind.PlusPlusToken || kind === ts.SyntaxKind.MinusMinusToken;

/** The variables that an assignment to this changes; keys and defaults of a pattern count as such, parts of objects do not. */
function targetsIn(target: ts.Node): string[] {
  if (ts.isIdentifier(target)) return [target.text];
  if (ts.isPropertyAccessExpression(target) || ts.isElementAccessExpression(target)) return [];
  const names: string[] = [];
  ts.forEachChild(target, (child) => void names.push(...targetsIn(child)));
  return names;
}
