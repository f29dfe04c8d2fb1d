// The build-time transform: production host code in, the same code preempted before each cell access out. Line breaks are kept,
// so line numbers in the output are those of the source. It decides no schedule and runs nothing.
//
// Theory: a function that may touch a cell gets a preemptible twin, a generator: `start()` becomes `*start$()`, and `start()` stays as a
// function that runs the twin to its end. Inside the twin a read `o.f` becomes `(yield $at(site, o), o.f)`, a write announces
// itself after its value is computed, a call of a function with a twin becomes `yield* o.f$()`, a call through an interface or
// a function value looks for the twin at run time. Functions that may sleep are generators already and only gain the
// announcements. Which functions touch cells is a fixed point over the call graph of the whole program. Whatever would lose a preemption
// silently is a refusal, with its line.
import ts from 'typescript';
import type { Site } from '../src/explore/preemptible.ts';
import { bare, Colours, isClosure, isFunction, type FunctionNode, type Scope } from './colours.ts';
import { hiddenAccesses } from './hiddenAccesses.ts';

export interface Options extends Scope {
  /** Where src/explore/preemptible.ts is imported from. */
  readonly runtime: string;
  /** How a file is called in sites and refusals; default: as the program calls it. */
  readonly fileName?: (path: string) => string;
}

const ARRAY_METHODS = new Set(['forEach', 'map', 'filter', 'findIndex', 'find', 'some', 'every', 'reduce']);
const LOGICAL = new Set(['&&=', '||=', '??=']);

const isAssignment = (node: ts.Node): node is ts.BinaryExpression =>
  ts.isBinaryExpression(node) &&
  node.operatorToken.kind >= ts.SyntaxKind.FirstAssignment &&
  node.operatorToken.kind <= ts.SyntaxKind.LastAssignment;

const isStep = (node: ts.Node): node is ts.PrefixUnaryExpression | ts.PostfixUnaryExpression =>
  (ts.isPrefixUnaryExpression(node) || ts.isPostfixUnaryExpression(node)) &&
  (node.operator === ts.SyntaxKind.PlusPlusToken || node.operator === ts.SyntaxKind.MinusMinusToken);

/** The function's own name, or that of the function around a closure. */
function nameOf(node: ts.Node): string {
  for (let at = node; ; at = at.parent) {
    if (ts.isSourceFile(at)) return '';
    if (isFunction(at) && !isClosure(at)) return at.name?.getText() ?? 'constructor';
    if (ts.isVariableDeclaration(at)) return at.name.getText();
  }
}

export class CellTransform {
  /** The accesses of all files emitted so far. */
  readonly sites: Site[] = [];
  /** What cannot be preempted, as `file:line: why`. */
  readonly refusals: string[] = [];
  readonly #options: Options;
  readonly #checker: ts.TypeChecker;
  readonly #colours: Colours;
  /** The function being written, if accesses are announced in it, and its temporaries. */
  #current: FunctionNode | null = null;
  #temporaries = 0;
  #source!: ts.SourceFile;
  /** Those of `sites` that are in this file. */
  #sitesHere: Site[] = [];

  constructor(options: Options) {
    this.#options = options;
    this.#checker = options.program.getTypeChecker();
    this.#colours = new Colours(options);
  }

  /** The transformed text of one file. */
  emit(file: string): string {
    this.#source = this.#options.program.getSourceFile(file)!;
    this.#current = null;
    this.#sitesHere = [];
    for (const { node, why } of hiddenAccesses(this.#source, this.#checker, this.#colours)) this.#refuse(node, why);
    const body = this.#write(this.#source);
    this.sites.push(...this.#sitesHere);
    const sites = JSON.stringify(this.#sitesHere);
    return `import { $at, $run, $closure, $apply, $call, $next, $array } from '${this.#options.runtime}'; const $sites = ${sites}; ${body}`;
  }

  #refuse(node: ts.Node, what: string): void {
    const { file, line } = this.#place(node);
    this.refusals.push(`${file}:${line}: ${what}`);
  }

  #place(node: ts.Node): { file: string; line: number } {
    const { fileName } = this.#source;
    const { line } = this.#source.getLineAndCharacterOfPosition(node.getStart());
    return { file: this.#options.fileName?.(fileName) ?? fileName, line: line + 1 };
  }

  #site(node: ts.Node, access: Site['access'], what: { cell: string; declared: boolean }, object: string): string {
    this.#sitesHere.push({ ...this.#place(node), within: nameOf(this.#current!), access, ...what });
    return `yield $at($sites[${this.#sitesHere.length - 1}], ${object})`;
  }

  #temporary = (): string => `$${++this.#temporaries}`;

  /** An expression that may be repeated, and what must be evaluated before it. */
  #hold(node: ts.Expression): { first: string; name: string } {
    if (node.kind === ts.SyntaxKind.ThisKeyword || ts.isIdentifier(node)) return { first: '', name: node.getText() };
    const name = this.#temporary();
    return { first: `${name} = ${this.#write(node)}, `, name };
  }

  #write(node: ts.Node): string {
    const text = this.#rewritten(node);
    if (text === undefined) return this.#copied(node);
    const lines = (s: string) => s.split('\n').length;
    const missing = lines(this.#source.text.slice(node.getStart(), node.end)) - lines(text);
    return missing > 0 ? text + '\n'.repeat(missing) : text;
  }

  #copied(node: ts.Node): string {
    const { text } = this.#source;
    let out = '';
    let at = ts.isSourceFile(node) ? 0 : node.getStart();
    ts.forEachChild(node, (child) => {
      out += text.slice(at, child.getStart()) + this.#write(child);
      at = child.end;
    });
    return out + text.slice(at, node.end);
  }

  #rewritten(node: ts.Node): string | undefined {
    if (ts.isTypeNode(node) || ts.isInterfaceDeclaration(node) || ts.isTypeAliasDeclaration(node))
      return node.getText();
    if (isFunction(node)) return this.#function(node);
    if (ts.isImportSpecifier(node) || ts.isExportSpecifier(node)) return this.#specifier(node);
    if (!this.#current) return undefined;
    if (isAssignment(node)) return this.#assignment(node);
    if (isStep(node)) return this.#step(node);
    if (ts.isCallExpression(node)) return this.#callExpression(node);
    if (this.#colours.cell(node) || this.#colours.element(node)) return this.#read(node as ts.PropertyAccessExpression);
    if (ts.isPropertyAccessExpression(node)) {
      const getter = this.#colours.accessors(node).find((d) => ts.isGetAccessor(d) && this.#colours.touches(d));
      if (getter) return `(yield* ${this.#write(node.expression)}.${node.name.text}$get())`;
    }
    return undefined;
  }

  #function(node: FunctionNode): string {
    const outer = { current: this.#current, temporaries: this.#temporaries };
    const touches = this.#colours.touches(node) && node.body !== undefined;
    this.#current = touches ? node : null;
    this.#temporaries = 0;
    try {
      if (!touches) return this.#copied(node);
      return this.#colours.sleeps(node) ? this.#head(node, '') + this.#body(node) : this.#twin(node);
    } finally {
      this.#current = outer.current;
      this.#temporaries = outer.temporaries;
    }
  }

  /** Everything before the body, with the name replaced. Parameters cannot be preempted. */
  #head(node: FunctionNode, suffix: string): string {
    for (const parameter of node.parameters) {
      if (parameter.initializer && this.#write(parameter.initializer) !== parameter.initializer.getText()) {
        this.#refuse(parameter, 'a default value touches a cell: compute it in the body');
      }
    }
    const { text } = this.#source;
    const start = node.getStart();
    const name = node.name!;
    const before = text.slice(start, name.getStart());
    const star =
      suffix && !ts.isAccessor(node)
        ? ts.isFunctionDeclaration(node)
          ? before.replace(/function\s*/, 'function* ')
          : before + '*'
        : before;
    return star + name.getText() + suffix + text.slice(name.end, node.body!.getStart());
  }

  #body(node: FunctionNode): string {
    const body = node.body!;
    const written = ts.isBlock(body) ? this.#write(body).slice(1) : ` return ${this.#write(body)}; }`;
    const names = Array.from({ length: this.#temporaries }, (_, i) => `$${i + 1}`);
    return '{' + (names.length > 0 ? ` let ${names.join(', ')};` : '') + written;
  }

  #twin(node: FunctionNode): string {
    if (isClosure(node)) {
      const body = this.#body(node);
      const parameters = node.parameters.map((parameter) => parameter.getText()).join(', ');
      const self = ts.isArrowFunction(node) && /\bthis\b/.test(node.getText()) ? '.bind(this)' : '';
      if (/\bsuper\b|\barguments\b/.test(node.body.getText()))
        this.#refuse(node, 'super or arguments in a closure that touches cells');
      return `$closure((function* (${parameters}) ${body})${self})`;
    }
    const name = node.name!.getText();
    const separator = ts.isObjectLiteralExpression(node.parent) ? ', ' : ' ';
    const self = node.modifiers?.some(({ kind }) => kind === ts.SyntaxKind.StaticKeyword) ? 'static ' : '';
    if (ts.isGetAccessor(node)) {
      return `${self}get ${name}() { return $run(this.${name}$get()); }${separator}${self}*${name}$get() ${this.#body(node)}`;
    }
    if (ts.isSetAccessor(node)) {
      this.#refuse(node, 'a setter touches a cell: write a method');
      return this.#copied(node);
    }
    if (ts.isFunctionDeclaration(node)) {
      const exported = node.modifiers?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword) ? 'export ' : '';
      return `${exported}function ${name}(...$a) { return $run(${name}$(...$a)); } ${this.#head(node, '$')}${this.#body(node)}`;
    }
    return `${self}${name}(...$a) { return $run(this.${name}$(...$a)); }${separator}${this.#head(node, '$')}${this.#body(node)}`;
  }

  /** An imported or re-exported function brings its twin with it. */
  #specifier(node: ts.ImportSpecifier | ts.ExportSpecifier): string {
    const declaration = this.#colours.declaration(node.name);
    if (!declaration || !ts.isFunctionDeclaration(declaration) || !this.#colours.twinned(declaration))
      return node.getText();
    const from = (node.propertyName ?? node.name).getText();
    return `${node.getText()}, ${from}$ as ${node.name.getText()}$`;
  }

  #reference(node: ts.PropertyAccessExpression | ts.ElementAccessExpression): {
    first: string;
    object: string;
    place: string;
    what: { cell: string; declared: boolean };
  } {
    const { first, name } = this.#hold(node.expression);
    if (ts.isPropertyAccessExpression(node)) {
      return { first, object: name, place: `${name}.${node.name.text}`, what: this.#colours.cell(node)! };
    }
    const index = this.#temporary();
    const what = { cell: node.expression.getText().replace(/^this\./, '') + '[]', declared: true };
    return {
      first: `${first}${index} = ${this.#write(node.argumentExpression)}, `,
      object: name,
      place: `${name}[${index}]`,
      what,
    };
  }

  #read(node: ts.PropertyAccessExpression | ts.ElementAccessExpression): string {
    if (ts.isCallExpression(node.parent) && node.parent.expression === node) {
      this.#refuse(node, 'a cell is called as a function: read it into a constant first');
    }
    if (ts.isPropertyAccessExpression(node) && node.flags & ts.NodeFlags.OptionalChain) {
      const { first, name } = this.#optional(node, node.expression);
      return `(${first}(${this.#site(node, 'read', this.#colours.cell(node)!, name)}, ${name}.${node.name.text}))`;
    }
    if (node.flags & ts.NodeFlags.OptionalChain) this.#refuse(node, 'an element behind ?.: take it apart');
    const { first, object, place, what } = this.#reference(node);
    return `(${first}${this.#site(node, 'read', what, object)}, ${place})`;
  }

  #assignment(node: ts.BinaryExpression): string | undefined {
    const left = bare(node.left) as ts.PropertyAccessExpression;
    if (ts.isObjectLiteralExpression(left) || ts.isArrayLiteralExpression(left)) {
      const visit = (inner: ts.Node): void => {
        if (this.#colours.cell(inner)) this.#refuse(inner, 'a cell is written by destructuring: assign it by itself');
        ts.forEachChild(inner, visit);
      };
      visit(left);
      return undefined;
    }
    if (
      ts.isPropertyAccessExpression(left) &&
      this.#colours.accessors(left).some((d) => ts.isSetAccessor(d) && this.#colours.touches(d))
    ) {
      this.#refuse(node, 'a setter touches a cell: write a method');
    }
    if (!this.#colours.cell(left) && !this.#colours.element(left)) return undefined;
    const { first, object, place, what } = this.#reference(left);
    const value = this.#temporary();
    const operator = node.operatorToken.getText();
    const read = () => `(${this.#site(left, 'read', what, object)}, ${place})`;
    const write = () => `${this.#site(left, 'write', what, object)}, ${place} = ${value}`;
    const right = () => this.#write(node.right);
    if (operator === '=') return `(${first}${value} = ${right()}, ${write()})`;
    if (LOGICAL.has(operator))
      return `(${first}${read()} ${operator.slice(0, -1)} (${value} = ${right()}, ${write()}))`;
    return `(${first}${value} = ${read()} ${operator.slice(0, -1)} (${right()}), ${write()})`;
  }

  #step(node: ts.PrefixUnaryExpression | ts.PostfixUnaryExpression): string | undefined {
    const operand = bare(node.operand) as ts.PropertyAccessExpression;
    if (!this.#colours.cell(operand) && !this.#colours.element(operand)) return undefined;
    const { first, object, place, what } = this.#reference(operand);
    const [was, value] = [this.#temporary(), this.#temporary()];
    const operator = node.operator === ts.SyntaxKind.PlusPlusToken ? '++' : '--';
    const read = this.#site(operand, 'read', what, object);
    const write = this.#site(operand, 'write', what, object);
    const result = ts.isPrefixUnaryExpression(node) ? value : was;
    return `(${first}${value} = ${was} = (${read}, ${place}), ${value}${operator}, ${write}, ${place} = ${value}, ${result})`;
  }

  #callExpression(node: ts.CallExpression): string | undefined {
    const callee = node.expression;
    const list = () => node.arguments.map((argument) => this.#write(argument)).join(', ');
    if (this.#colours.atomicCall(node)) {
      const what = { cell: this.#atomicName(node), declared: true };
      const held = ts.isPropertyAccessExpression(callee) ? this.#hold(callee.expression) : { first: '', name: 'null' };
      const method = ts.isPropertyAccessExpression(callee) ? `${held.name}.${callee.name.text}` : callee.getText();
      const values = node.arguments.length > 0 ? this.#temporary() : '';
      const evaluate = values && `${values} = [${list()}], `;
      return `(${held.first}${evaluate}${this.#site(node, 'atomic', what, held.name)}, ${method}(${values && '...' + values}))`;
    }
    const body = this.#colours.sleepStep(node);
    if (body) return `(yield* $next(${this.#write(body)}))`;
    const { declaration, through, library } = this.#colours.target(node);
    if (library) return this.#libraryCall(node, callee);
    const unknown = through !== undefined && this.#colours.names.has(through);
    if (!unknown && !(declaration && this.#colours.twinned(declaration))) return undefined;
    const isMethod = ts.isPropertyAccessExpression(callee) && through !== '()';
    const { first, name } = this.#optional(node, isMethod ? callee.expression : callee);
    if (unknown && isMethod) return `(${first}(yield* $call(${name}, '${through}', [${list()}])))`;
    if (unknown || isClosure(declaration!)) return `(${first}(yield* $apply(${name}, [${list()}])))`;
    return `(${first}(yield* ${isMethod ? `${name}.${callee.name.text}` : name}$(${list()})))`;
  }

  /** `Requests.make()`, `#waiters.push()`. */
  #atomicName({ expression }: ts.CallExpression): string {
    const place = ts.isPropertyAccessExpression(expression) ? this.#colours.declaration(expression.name) : undefined;
    const owner = place?.parent;
    if (owner && ts.isClassLike(owner) && owner.name && this.#options.includes(place.getSourceFile().fileName)) {
      return `${owner.name.text}.${(place as ts.MethodDeclaration).name.getText()}()`;
    }
    return expression.getText().replace(/^this\./, '') + '()';
  }

  /**
   * The object or function of a call or an access, and what stands before its use: for `o?.m()` and `f?.()` a test. A longer
   * chain behind a question mark is refused.
   */
  #optional(
    node: ts.CallExpression | ts.PropertyAccessExpression,
    object: ts.Expression,
  ): { first: string; name: string } {
    if (!(node.flags & ts.NodeFlags.OptionalChain)) return { first: '', name: this.#write(object) };
    const callee = ts.isCallExpression(node) ? node.expression : node;
    const asks =
      ts.isPropertyAccessExpression(callee) && callee.expression === object
        ? callee.questionDotToken
        : node.questionDotToken;
    if (
      !asks ||
      (node.parent.flags & ts.NodeFlags.OptionalChain &&
        (node.parent as Partial<ts.CallExpression>).expression === node)
    ) {
      this.#refuse(node, 'cells within a chain of ?.: take it apart');
    }
    const name = this.#temporary();
    return { first: `(${name} = ${this.#write(object)}) == null ? undefined : `, name };
  }

  #libraryCall(node: ts.CallExpression, callee: ts.Expression): string | undefined {
    const closures = node.arguments.filter((argument) => isClosure(argument) && this.#colours.touches(argument));
    if (closures.length === 0) return undefined;
    if (ts.isPropertyAccessExpression(callee) && ARRAY_METHODS.has(callee.name.text)) {
      const list = [callee.expression, ...node.arguments].map((argument) => this.#write(argument)).join(', ');
      return `(yield* $array.${callee.name.text}(${list}))`;
    }
    this.#refuse(node, `${callee.getText()} calls back code that touches cells: it would not be preempted there`);
    return undefined;
  }
}
