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

export interface Site {
  readonly file: string;
  readonly line: number;
  /** `HrTimer.queued`, or the function's name when the access is a call of an atomic function. */
  readonly cell: string;
  readonly access: 'read' | 'write' | 'atomic';
  /** False in an audit: an ordinary field, announced to see who shares it. */
  readonly declared: boolean;
}

export interface Options {
  readonly program: ts.Program;
  /** Which files are host code. */
  readonly includes: (file: string) => boolean;
  /** Where `runtime.ts` is imported from. */
  readonly runtime: string;
  /** Announce every mutable field, declared a cell or not: the soundness check. */
  readonly audit?: boolean;
}

type FunctionNode =
  | ts.FunctionDeclaration
  | ts.MethodDeclaration
  | ts.AccessorDeclaration
  | ts.FunctionExpression
  | ts.ArrowFunction
  | ts.ConstructorDeclaration;

interface Colour {
  touches: boolean;
  /** Functions whose colour decides this one's. */
  readonly after: Set<ts.Node>;
  /** Calls through interfaces, by method name; '()' stands for a call of a function value. */
  readonly through: Set<string>;
}

const ARRAY_METHODS = new Set(['forEach', 'map', 'filter', 'findIndex', 'find', 'some', 'every', 'reduce']);
const LOGICAL = new Set(['&&=', '||=', '??=']);

const isFunction = (node: ts.Node): node is FunctionNode =>
  ts.isFunctionDeclaration(node) ||
  ts.isMethodDeclaration(node) ||
  ts.isAccessor(node) ||
  ts.isFunctionExpression(node) ||
  ts.isArrowFunction(node) ||
  ts.isConstructorDeclaration(node);

const isClosure = (node: ts.Node): node is ts.ArrowFunction | ts.FunctionExpression =>
  ts.isArrowFunction(node) || ts.isFunctionExpression(node);

const isAssignment = (node: ts.Node): node is ts.BinaryExpression =>
  ts.isBinaryExpression(node) &&
  node.operatorToken.kind >= ts.SyntaxKind.FirstAssignment &&
  node.operatorToken.kind <= ts.SyntaxKind.LastAssignment;

const isStep = (node: ts.Node): node is ts.PrefixUnaryExpression | ts.PostfixUnaryExpression =>
  (ts.isPrefixUnaryExpression(node) || ts.isPostfixUnaryExpression(node)) &&
  (node.operator === ts.SyntaxKind.PlusPlusToken || node.operator === ts.SyntaxKind.MinusMinusToken);

/** Is this declaration marked by one of the types of cells.ts? The name is enough: the types are transparent. */
const marked = (type: ts.TypeNode | undefined, marker: string): boolean =>
  type !== undefined && ts.isTypeReferenceNode(type) && type.typeName.getText() === marker;

/** The same through aliases: `type RegisterPage = Cells<Uint32Array>`. */
function isMarked(checker: ts.TypeChecker, type: ts.TypeNode | undefined, marker: string): boolean {
  if (type === undefined || marked(type, marker)) return type !== undefined;
  if (!ts.isTypeReferenceNode(type)) return false;
  let symbol = checker.getSymbolAtLocation(type.typeName);
  if (symbol && symbol.flags & ts.SymbolFlags.Alias) symbol = checker.getAliasedSymbol(symbol);
  const alias = symbol?.declarations?.find((declaration) => ts.isTypeAliasDeclaration(declaration));
  return alias !== undefined && isMarked(checker, alias.type, marker);
}

const bare = (node: ts.Node): ts.Node =>
  ts.isParenthesizedExpression(node) || ts.isNonNullExpression(node) || ts.isAsExpression(node)
    ? bare(node.expression)
    : node;

export class CellTransform {
  readonly sites: Site[] = [];
  readonly refusals: string[] = [];
  readonly #options: Options;
  readonly #checker: ts.TypeChecker;
  readonly #colours = new Map<ts.Node, Colour>();
  /** The function being written, its temporaries, and whether accesses are announced in it. */
  #current: FunctionNode | null = null;
  #temporaries = 0;
  #source!: ts.SourceFile;

  constructor(options: Options) {
    this.#options = options;
    this.#checker = options.program.getTypeChecker();
    for (const file of options.program.getSourceFiles()) if (options.includes(file.fileName)) this.#collect(file, null);
    this.#settle();
  }

  /** The transformed text of one file. */
  emit(file: string): string {
    this.#source = this.#options.program.getSourceFile(file)!;
    this.#current = null;
    const body = this.#write(this.#source);
    return `import { $at, $run, $closure, $apply, $call, $array } from '${this.#options.runtime}'; ${body}`;
  }

  // ---- which functions touch cells

  #collect(node: ts.Node, owner: FunctionNode | null): void {
    if (isFunction(node)) {
      this.#colours.set(node, { touches: false, after: new Set(), through: new Set() });
      if (ts.isMethodDeclaration(node)) this.#unifyOverrides(node);
      owner = node;
    } else if (owner) {
      const colour = this.#colours.get(owner)!;
      if (this.#cell(node) || this.#element(node) || this.#atomicCall(node)) colour.touches = true;
      if (ts.isPropertyAccessExpression(node)) for (const accessor of this.#accessors(node)) colour.after.add(accessor);
      if (ts.isCallExpression(node)) {
        const target = this.#target(node);
        if (target.declaration) colour.after.add(target.declaration);
        if (target.through) colour.through.add(target.through);
        if (target.library) for (const argument of node.arguments) if (isClosure(argument)) colour.after.add(argument);
      }
    }
    ts.forEachChild(node, (child) => this.#collect(child, owner));
  }

  #unifyOverrides(node: ts.MethodDeclaration): void {
    const heritage = ts.isClassLike(node.parent) ? (node.parent.heritageClauses ?? []) : [];
    for (const type of heritage.flatMap((clause) => clause.types)) {
      const above = this.#checker.getTypeAtLocation(type).getProperty(node.name.getText())?.valueDeclaration;
      if (!above || !ts.isMethodDeclaration(above) || !above.body) continue;
      this.#colours.get(node)!.after.add(above);
      const colour = this.#colours.get(above);
      if (colour) colour.after.add(node);
      else this.#late.push([above, node]);
    }
  }
  readonly #late: [ts.Node, ts.Node][] = [];

  #settle(): void {
    for (const [above, node] of this.#late) this.#colours.get(above)?.after.add(node);
    for (let changed = true; changed; ) {
      changed = false;
      const names = new Set<string>();
      for (const [node, { touches }] of this.#colours) {
        if (touches && this.#twinned(node))
          names.add(isClosure(node) ? '()' : ((node as FunctionNode).name?.getText() ?? ''));
      }
      for (const [, colour] of this.#colours) {
        if (colour.touches) continue;
        colour.touches =
          [...colour.after].some((node) => this.#touches(node)) || [...colour.through].some((name) => names.has(name));
        changed ||= colour.touches;
      }
      this.#names = names;
    }
  }
  #names = new Set<string>();

  /** May this declaration be preempted inside? */
  #touches(node: ts.Node): boolean {
    return (this.#colours.get(node)?.touches ?? false) && !this.#atomic(node) && !ts.isConstructorDeclaration(node);
  }
  #atomic = (node: ts.Node): boolean => ts.isFunctionLike(node) && marked(node.type, 'Atomic');
  #sleeps = (node: ts.Node): boolean => (node as Partial<ts.MethodDeclaration>).asteriskToken !== undefined;
  #twinned = (node: ts.Node): boolean => this.#touches(node) && !this.#sleeps(node);

  // ---- what a node means

  #declaration(node: ts.Node): ts.Declaration | undefined {
    let symbol = this.#checker.getSymbolAtLocation(node);
    if (symbol && symbol.flags & ts.SymbolFlags.Alias) symbol = this.#checker.getAliasedSymbol(symbol);
    return symbol?.valueDeclaration ?? symbol?.declarations?.[0];
  }

  /** The cell that a property access names, or null. */
  #cell(node: ts.Node): { cell: string; declared: boolean } | null {
    if (!ts.isPropertyAccessExpression(node)) return null;
    const declaration = this.#declaration(node.name);
    if (!declaration || !(ts.isPropertyDeclaration(declaration) || ts.isPropertySignature(declaration))) return null;
    const declared = marked(declaration.type, 'Cell');
    if (!declared) {
      if (!this.#options.audit || !ts.isPropertyDeclaration(declaration)) return null;
      if (!this.#options.includes(declaration.getSourceFile().fileName)) return null;
      if (declaration.modifiers?.some(({ kind }) => kind === ts.SyntaxKind.ReadonlyKeyword)) return null;
    }
    const owner = declaration.parent as ts.ClassLikeDeclaration;
    return { cell: `${owner.name?.text ?? 'anonymous'}.${node.name.text}`, declared };
  }

  /** An element of a container of cells: `this.irr[i]`. */
  #element(node: ts.Node): ts.ElementAccessExpression | null {
    return ts.isElementAccessExpression(node) && this.#container(node.expression) ? node : null;
  }

  #container(node: ts.Node): boolean {
    const inner = bare(node);
    if (!ts.isPropertyAccessExpression(inner) && !ts.isIdentifier(inner)) return false;
    const declaration = this.#declaration(ts.isIdentifier(inner) ? inner : inner.name);
    return (
      declaration !== undefined &&
      isMarked(this.#checker, (declaration as Partial<ts.PropertyDeclaration>).type, 'Cells')
    );
  }

  /** A call that is one access: of a function marked Atomic, or of a method of a container. */
  #atomicCall(node: ts.Node): ts.CallExpression | null {
    if (!ts.isCallExpression(node)) return null;
    if (ts.isPropertyAccessExpression(node.expression) && this.#container(node.expression.expression)) return node;
    const declaration = this.#checker.getResolvedSignature(node)?.declaration;
    return declaration && this.#atomic(declaration) ? node : null;
  }

  #accessors(node: ts.PropertyAccessExpression): ts.Declaration[] {
    const declarations = this.#checker.getSymbolAtLocation(node.name)?.declarations ?? [];
    return declarations.filter((declaration) => ts.isAccessor(declaration));
  }

  #target(node: ts.CallExpression): { declaration?: ts.Node; through?: string; library?: boolean } {
    if (node.expression.kind === ts.SyntaxKind.SuperKeyword) return {};
    const declaration = this.#checker.getResolvedSignature(node)?.declaration;
    if (!declaration) return {};
    if (this.#colours.has(declaration) && (!isClosure(declaration) || this.#isConstant(node.expression, declaration))) {
      return { declaration };
    }
    if (!this.#options.includes(declaration.getSourceFile().fileName)) return { library: true };
    if (ts.isMethodSignature(declaration)) return { through: declaration.name.getText() };
    return { through: '()' };
  }

  /** The callee is a constant whose value is that closure. */
  #isConstant(callee: ts.Expression, closure: ts.Node): boolean {
    const declaration = ts.isIdentifier(callee) ? this.#declaration(callee) : undefined;
    if (!declaration || !ts.isVariableDeclaration(declaration) || declaration.initializer !== closure) return false;
    return (ts.getCombinedNodeFlags(declaration) & ts.NodeFlags.Const) !== 0;
  }

  // ---- writing

  #refuse(node: ts.Node, what: string): void {
    const { line } = this.#source.getLineAndCharacterOfPosition(node.getStart());
    this.refusals.push(`${this.#source.fileName}:${line + 1}: ${what}`);
  }

  #site(node: ts.Node, access: Site['access'], what: { cell: string; declared: boolean }, object: string): string {
    const { line } = this.#source.getLineAndCharacterOfPosition(node.getStart());
    this.sites.push({ file: this.#source.fileName, line: line + 1, access, ...what });
    return `yield $at(${this.sites.length - 1}, ${object})`;
  }

  #temporary = (): string => `$${++this.#temporaries}`;

  /** An expression that may be repeated, and what must be evaluated before it. */
  #hold(node: ts.Expression): { first: string; name: string } {
    if (node.kind === ts.SyntaxKind.ThisKeyword || ts.isIdentifier(node)) return { first: '', name: node.getText() };
    const name = this.#temporary();
    return { first: `${name} = ${this.#write(node)}, `, name };
  }

  #write(node: ts.Node): string {
    const text = this.#rewritten(node) ?? this.#copied(node);
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
    this.#check(node);
    if (isAssignment(node)) return this.#assignment(node);
    if (isStep(node)) return this.#step(node);
    if (ts.isCallExpression(node)) return this.#callExpression(node);
    if (this.#cell(node) || this.#element(node)) return this.#read(node as ts.PropertyAccessExpression);
    if (ts.isPropertyAccessExpression(node)) {
      const getter = this.#accessors(node).find((d) => ts.isGetAccessor(d) && this.#touches(d));
      if (getter) return `(yield* ${this.#write(node.expression)}.${node.name.text}$get())`;
    }
    return undefined;
  }

  /** What cannot be preempted where it stands. */
  #check(node: ts.Node): void {
    if (ts.isBindingElement(node) && ts.isObjectBindingPattern(node.parent)) {
      const property = this.#checker
        .getTypeAtLocation(node.parent)
        .getProperty((node.propertyName ?? node.name).getText());
      const declaration = property?.valueDeclaration;
      if (declaration && ts.isPropertyDeclaration(declaration) && marked(declaration.type, 'Cell')) {
        this.#refuse(node, 'a cell is read by destructuring: write object.field');
      }
    }
    if (ts.isSpreadAssignment(node)) {
      for (const { valueDeclaration } of this.#checker.getTypeAtLocation(node.expression).getProperties()) {
        if (valueDeclaration && ts.isPropertyDeclaration(valueDeclaration) && marked(valueDeclaration.type, 'Cell')) {
          this.#refuse(node, `the cell ${valueDeclaration.name.getText()} is read by a spread: write its fields out`);
        }
      }
    }
    if ((ts.isForOfStatement(node) || ts.isSpreadElement(node)) && this.#container(node.expression)) {
      this.#refuse(node, 'iterating over a container of cells is many accesses: index it');
    }
  }

  #function(node: FunctionNode): string {
    const outer = { current: this.#current, temporaries: this.#temporaries };
    const touches = this.#touches(node) && node.body !== undefined;
    this.#current = touches ? node : null;
    this.#temporaries = 0;
    try {
      if (!touches) return this.#copied(node);
      return this.#sleeps(node) ? this.#head(node, '') + this.#body(node) : this.#twin(node);
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
    const declaration = this.#declaration(node.name);
    if (!declaration || !ts.isFunctionDeclaration(declaration) || !this.#twinned(declaration)) return node.getText();
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
      return { first, object: name, place: `${name}.${node.name.text}`, what: this.#cell(node)! };
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
      return `(${first}(${this.#site(node, 'read', this.#cell(node)!, name)}, ${name}.${node.name.text}))`;
    }
    if (node.flags & ts.NodeFlags.OptionalChain) this.#refuse(node, 'an element behind ?.: take it apart');
    const { first, object, place, what } = this.#reference(node);
    return `(${first}${this.#site(node, 'read', what, object)}, ${place})`;
  }

  #assignment(node: ts.BinaryExpression): string | undefined {
    const left = bare(node.left) as ts.PropertyAccessExpression;
    if (ts.isObjectLiteralExpression(left) || ts.isArrayLiteralExpression(left)) {
      const visit = (inner: ts.Node): void => {
        if (this.#cell(inner)) this.#refuse(inner, 'a cell is written by destructuring: assign it by itself');
        ts.forEachChild(inner, visit);
      };
      visit(left);
      return undefined;
    }
    if (
      ts.isPropertyAccessExpression(left) &&
      this.#accessors(left).some((d) => ts.isSetAccessor(d) && this.#touches(d))
    ) {
      this.#refuse(node, 'a setter touches a cell: write a method');
    }
    if (!this.#cell(left) && !this.#element(left)) return undefined;
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
    if (!this.#cell(operand) && !this.#element(operand)) return undefined;
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
    if (this.#atomicCall(node)) {
      const what = { cell: callee.getText().replace(/^this\./, '') + '()', declared: true };
      const held = ts.isPropertyAccessExpression(callee) ? this.#hold(callee.expression) : { first: '', name: 'null' };
      const method = ts.isPropertyAccessExpression(callee) ? `${held.name}.${callee.name.text}` : callee.getText();
      const values = node.arguments.length > 0 ? this.#temporary() : '';
      const evaluate = values && `${values} = [${list()}], `;
      return `(${held.first}${evaluate}${this.#site(node, 'atomic', what, held.name)}, ${method}(${values && '...' + values}))`;
    }
    const { declaration, through, library } = this.#target(node);
    if (library) return this.#libraryCall(node, callee);
    const unknown = through !== undefined && this.#names.has(through);
    if (!unknown && !(declaration && this.#twinned(declaration))) return undefined;
    const isMethod = ts.isPropertyAccessExpression(callee) && through !== '()';
    const { first, name } = this.#optional(node, isMethod ? callee.expression : callee);
    if (unknown && isMethod) return `(${first}(yield* $call(${name}, '${through}', [${list()}])))`;
    if (unknown || isClosure(declaration!)) return `(${first}(yield* $apply(${name}, [${list()}])))`;
    return `(${first}(yield* ${isMethod ? `${name}.${callee.name.text}` : name}$(${list()})))`;
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
    const closures = node.arguments.filter((argument) => isClosure(argument) && this.#touches(argument));
    if (closures.length === 0) return undefined;
    if (ts.isPropertyAccessExpression(callee) && ARRAY_METHODS.has(callee.name.text)) {
      const list = [callee.expression, ...node.arguments].map((argument) => this.#write(argument)).join(', ');
      return `(yield* $array.${callee.name.text}(${list}))`;
    }
    this.#refuse(node, `${callee.getText()} calls back code that touches cells: it would not be preempted there`);
    return undefined;
  }
}
