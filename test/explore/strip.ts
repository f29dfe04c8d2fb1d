// The transform taken back: a module as a canonical text of its syntax tree, in which announcements, twins and temporaries of
// the transform do not appear. Source and transformed text must give the same: nothing was inserted but preemptions.
//
// Canonical means: no types, comments and parentheses; `a += b` is `a = a + b`, `a ??= b` is `a ?? (a = b)`; closures have
// a block. The rules for `$` names undo what cellTransform.ts writes, so whatever else it changed would remain.

import ts from 'typescript';

const TEMPORARY = /^\$\d+$/;
const LOGICAL = new Set(['&&=', '||=', '??=']);

/** The canonical text of a module, one statement a line. */
export function canonical(text: string): string {
  const { outputText } = ts.transpileModule(text, {
    compilerOptions: { target: ts.ScriptTarget.ESNext, module: ts.ModuleKind.ESNext, verbatimModuleSyntax: true },
  });
  const file = ts.createSourceFile('module.js', outputText, ts.ScriptTarget.ESNext, true, ts.ScriptKind.JS);
  // A module of types only is left with an empty export.
  const statements = file.statements.filter((statement) => !/^export \{\s*\};?$/.test(statement.getText()));
  return statements.flatMap((statement) => new Scope().statement(statement)).join('\n');
}

const bare = (node: ts.Node): ts.Node => (ts.isParenthesizedExpression(node) ? bare(node.expression) : node);
const isComma = (node: ts.Node): node is ts.BinaryExpression =>
  ts.isBinaryExpression(node) && node.operatorToken.kind === ts.SyntaxKind.CommaToken;
const parts = (node: ts.Expression): ts.Node[] =>
  isComma(node) ? [...parts(node.left), bare(node.right)] : [bare(node)];
const isAnnouncement = (node: ts.Node): boolean => ts.isYieldExpression(node) && /^yield \$at\(/.test(node.getText());
const temporaryOf = (node: ts.Node): string | null =>
  ts.isIdentifier(node) && TEMPORARY.test(node.text) ? node.text : null;
const withoutTwin = (name: string): string => name.replace(/\$$/, '');

/** One function: its temporaries, by what they stand for. */
class Scope {
  readonly #values = new Map<string, string>();
  readonly #lists = new Map<string, string>();

  statement(node: ts.Statement): string[] {
    if (ts.isVariableStatement(node)) {
      const names = node.declarationList.declarations.map(({ name }) => name.getText());
      if (names.every((name) => TEMPORARY.test(name) || name === '$sites')) return [];
    }
    if (ts.isImportDeclaration(node) && /^import \{ \$at,/.test(node.getText())) return [];
    if (ts.isFunctionDeclaration(node) && isBridge(node)) return [];
    return [this.dump(node)];
  }

  dump(wrapped: ts.Node): string {
    const node = bare(wrapped);
    if (ts.isIdentifier(node)) return this.#values.get(node.text) ?? node.text;
    if (ts.isPrivateIdentifier(node) || ts.isLiteralExpression(node)) return node.getText();
    if (isComma(node)) return this.#sequence(node);
    if (ts.isBinaryExpression(node)) return this.#binary(node);
    if (ts.isPrefixUnaryExpression(node)) return `(${ts.tokenToString(node.operator)} ${this.dump(node.operand)})`;
    if (ts.isPostfixUnaryExpression(node)) return `(post${ts.tokenToString(node.operator)} ${this.dump(node.operand)})`;
    if (ts.isConditionalExpression(node)) return this.#conditional(node);
    if (ts.isPropertyAccessExpression(node)) return `${this.#object(node)}.${node.name.text}`;
    if (ts.isElementAccessExpression(node)) return `${this.#object(node)}[${this.dump(node.argumentExpression)}]`;
    if (ts.isYieldExpression(node)) return this.#yield(node);
    if (ts.isCallExpression(node)) return this.#call(node);
    if (ts.isFunctionLike(node)) return this.#function(node as ts.FunctionLikeDeclaration);
    if (ts.isBlock(node)) return `{ ${node.statements.flatMap((statement) => this.statement(statement)).join(' ')} }`;
    if (ts.isClassLike(node)) return this.#class(node);
    if (ts.isNamedImports(node) || ts.isNamedExports(node)) {
      const names = [...node.elements].map((element) => element.getText()).filter((name) => !name.endsWith('$'));
      return `{ ${names.join(', ')} }`;
    }
    const children: string[] = [];
    ts.forEachChild(node, (child) => void children.push(this.dump(child)));
    if (children.length === 0) return node.getText();
    const flags = ts.isVariableDeclarationList(node) ? node.flags & ts.NodeFlags.BlockScoped : '';
    return `(${ts.SyntaxKind[node.kind]}${flags} ${children.join(' ')})`;
  }

  /** `($1 = object, yield $at(...), $1.field)`, and whatever else the transform writes as a sequence. */
  #sequence(node: ts.BinaryExpression): string {
    const left: string[] = [];
    let held: { names: string[]; value: string } = { names: [], value: '' };
    for (const part of parts(node)) {
      if (isAnnouncement(part)) continue;
      const temporary = ts.isBinaryExpression(part) ? temporaryOf(part.left) : null;
      if (temporary !== null) {
        held = this.#hold(part as ts.BinaryExpression);
      } else if (ts.isPostfixUnaryExpression(part) && temporaryOf(part.operand) !== null) {
        const operator = ts.tokenToString(part.operator);
        for (const name of held.names) {
          const before = name === temporaryOf(part.operand) ? '' : 'post';
          this.#values.set(name, `(${before}${operator} ${held.value})`);
        }
      } else {
        left.push(this.dump(part));
      }
    }
    // `place = $1` after a step is the step itself.
    const rest = left.filter((one) => !/^\(= (.+) \((\+\+|--) \1\)\)$/s.test(one));
    return rest.length === 1 ? rest[0]! : `(, ${rest.join(' ')})`;
  }

  /** `$1 = value`, `$1 = $2 = value`. */
  #hold(node: ts.BinaryExpression): { names: string[]; value: string } {
    const names: string[] = [];
    let at: ts.Node = node;
    for (; ts.isBinaryExpression(at) && temporaryOf(at.left) !== null; at = bare(at.right))
      names.push(temporaryOf(at.left)!);
    const value = this.dump(at);
    for (const name of names) {
      this.#values.set(name, value);
      if (ts.isArrayLiteralExpression(at)) this.#lists.set(name, this.#list(at.elements));
    }
    return { names, value };
  }

  #binary(node: ts.BinaryExpression): string {
    const operator = node.operatorToken.getText();
    const [left, right] = [this.dump(node.left), this.dump(node.right)];
    const kind = node.operatorToken.kind;
    const assigns = kind > ts.SyntaxKind.FirstAssignment && kind <= ts.SyntaxKind.LastAssignment;
    if (!assigns) return `(${operator} ${left} ${right})`;
    const plain = operator.slice(0, -1);
    if (LOGICAL.has(operator)) return `(${plain} ${left} (= ${left} ${right}))`;
    return `(= ${left} (${plain} ${left} ${right}))`;
  }

  /** `($1 = object) == null ? undefined : ...` stands for `object?. ...`. */
  #conditional(node: ts.ConditionalExpression): string {
    const { condition } = node;
    const asked = ts.isBinaryExpression(condition) ? bare(condition.left) : condition;
    if (ts.isBinaryExpression(asked) && temporaryOf(asked.left) !== null) {
      this.#values.set(temporaryOf(asked.left)!, `${this.dump(asked.right)}?`);
      return this.dump(node.whenFalse);
    }
    return `(? ${this.dump(condition)} ${this.dump(node.whenTrue)} ${this.dump(node.whenFalse)})`;
  }

  #object(node: ts.PropertyAccessExpression | ts.ElementAccessExpression): string {
    return this.dump(node.expression) + (node.questionDotToken ? '?' : '');
  }

  #yield(node: ts.YieldExpression): string {
    const call = node.expression && bare(node.expression);
    if (!node.asteriskToken || !call || !ts.isCallExpression(call))
      return `(yield${node.asteriskToken ? '*' : ''} ${call ? this.dump(call) : ''})`;
    const callee = call.expression.getText();
    const [first, second, third] = call.arguments;
    if (callee === '$next') return `${this.dump(first!)}.next()`;
    if (callee === '$apply')
      return `${this.dump(first!)}(${this.#list((second as ts.ArrayLiteralExpression).elements)})`;
    if (callee === '$call') {
      const args = this.#list((third as ts.ArrayLiteralExpression).elements);
      return `${this.dump(first!)}.${(second as ts.StringLiteral).text}(${args})`;
    }
    if (callee.startsWith('$array.')) {
      return `${this.dump(first!)}.${callee.slice('$array.'.length)}(${this.#list(call.arguments.slice(1))})`;
    }
    const twin = this.dump(call.expression);
    if (twin.endsWith('$get')) return twin.slice(0, -'$get'.length);
    if (twin.endsWith('$')) return `${withoutTwin(twin)}(${this.#list(call.arguments)})`;
    return `(yield* ${this.dump(call)})`;
  }

  #call(node: ts.CallExpression): string {
    if (node.expression.getText() === '$closure') {
      const body = bare(node.arguments[0]!);
      const bound = ts.isCallExpression(body) && ts.isPropertyAccessExpression(body.expression);
      return this.dump(bound ? (body.expression as ts.PropertyAccessExpression).expression : body);
    }
    return `${this.dump(node.expression)}${node.questionDotToken ? '?' : ''}(${this.#list(node.arguments)})`;
  }

  #list(nodes: readonly ts.Expression[]): string {
    const spread = (node: ts.Expression) =>
      ts.isSpreadElement(node) ? this.#lists.get(node.expression.getText()) : undefined;
    return nodes.map((node) => spread(node) ?? this.dump(node)).join(', ');
  }

  #class(node: ts.ClassLikeDeclaration): string {
    const heads = [...(node.modifiers ?? []), node.name, ...(node.heritageClauses ?? [])].map((head) =>
      head?.getText(),
    );
    const members = node.members.filter((member) => !isBridge(member)).map((member) => this.dump(member));
    return `(class ${heads.join(' ')} { ${members.join('\n  ')} })`;
  }

  /** Functions by name, modifiers, parameters and body: a twin as the plain function, an arrow as any closure. */
  #function(node: ts.FunctionLikeDeclaration): string {
    const scope = new Scope();
    let name = node.name?.getText() ?? '';
    let kind = ts.isAccessor(node) ? (ts.isGetAccessor(node) ? 'get ' : 'set ') : '';
    let star = 'asteriskToken' in node && node.asteriskToken ? '*' : '';
    if (name.endsWith('$get')) {
      [name, kind, star] = [name.slice(0, -'$get'.length), 'get ', ''];
    } else if (name.endsWith('$') || (name === '' && ts.isFunctionExpression(node))) {
      [name, star] = [withoutTwin(name), ''];
    }
    const modifiers = (node.modifiers ?? []).map((modifier) => `${modifier.getText()} `).join('');
    const parameters = node.parameters.map((parameter) => scope.dump(parameter)).join(', ');
    const body = node.body === undefined || ts.isBlock(node.body) ? node.body : null;
    const code = body === null ? `{ (ReturnStatement ${scope.dump(node.body!)}) }` : body ? scope.dump(body) : ';';
    return `(${modifiers}${kind}${star}${name}(${parameters}) ${code})`;
  }
}

/** The plain function that stands for a twin: it only runs it. */
function isBridge(node: ts.Node): boolean {
  if (!ts.isFunctionDeclaration(node) && !ts.isMethodDeclaration(node) && !ts.isGetAccessor(node)) return false;
  return /^\{\s*return \$run\(/.test(node.body?.getText() ?? '');
}
