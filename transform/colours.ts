// Which functions of host code may touch cells, and what an expression means for that: the half of the transform that reads. A
// fixed point over the call graph of the whole program; cellTransform.ts writes.
import ts from 'typescript';

export interface Scope {
  readonly program: ts.Program;
  /** Which files are host code. */
  readonly includes: (file: string) => boolean;
  /** Announce every mutable field, declared a cell or not: the soundness check. */
  readonly audit?: boolean;
}

export type FunctionNode =
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

export const isFunction = (node: ts.Node): node is FunctionNode =>
  ts.isFunctionDeclaration(node) ||
  ts.isMethodDeclaration(node) ||
  ts.isAccessor(node) ||
  ts.isFunctionExpression(node) ||
  ts.isArrowFunction(node) ||
  ts.isConstructorDeclaration(node);

export const isClosure = (node: ts.Node): node is ts.ArrowFunction | ts.FunctionExpression =>
  ts.isArrowFunction(node) || ts.isFunctionExpression(node);

/** Is this declaration marked by one of the types of cells.ts? The name is enough: the types are transparent. */
export const marked = (type: ts.TypeNode | undefined, marker: string): boolean =>
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

/** A method without a body: of an interface, or abstract. */
const isAbstract = (node: ts.Node): node is ts.MethodSignature | ts.MethodDeclaration =>
  ts.isMethodSignature(node) || (ts.isMethodDeclaration(node) && node.body === undefined);

/** Without parentheses, ! and `as`. */
export const bare = (node: ts.Node): ts.Node =>
  ts.isParenthesizedExpression(node) || ts.isNonNullExpression(node) || ts.isAsExpression(node)
    ? bare(node.expression)
    : node;

export class Colours {
  readonly #scope: Scope;
  readonly #checker: ts.TypeChecker;
  readonly #colours = new Map<ts.Node, Colour>();

  constructor(scope: Scope) {
    this.#scope = scope;
    this.#checker = scope.program.getTypeChecker();
    const files = scope.program.getSourceFiles().filter(({ fileName }) => scope.includes(fileName));
    for (const file of files) this.#register(file);
    for (const file of files) this.#collect(file, null);
    this.#settle();
  }

  #register(node: ts.Node): void {
    if (isFunction(node)) this.#colours.set(node, { touches: false, after: new Set(), through: new Set() });
    ts.forEachChild(node, (child) => this.#register(child));
  }

  #collect(node: ts.Node, owner: FunctionNode | null): void {
    if (isFunction(node)) {
      if (ts.isMethodDeclaration(node)) this.#unifyOverrides(node);
      owner = node;
    } else if (owner) {
      const colour = this.#colours.get(owner)!;
      if (this.cell(node) || this.element(node) || this.atomicCall(node) || this.sleepStep(node)) colour.touches = true;
      if (ts.isPropertyAccessExpression(node)) for (const accessor of this.accessors(node)) colour.after.add(accessor);
      if (ts.isCallExpression(node)) {
        const target = this.target(node);
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
      this.#colours.get(above)?.after.add(node);
    }
  }

  #settle(): void {
    for (let changed = true; changed; ) {
      changed = false;
      const names = new Set<string>();
      for (const [node, { touches }] of this.#colours) {
        if (touches && this.twinned(node))
          names.add(isClosure(node) ? '()' : ((node as FunctionNode).name?.getText() ?? ''));
      }
      for (const [, colour] of this.#colours) {
        if (colour.touches) continue;
        colour.touches =
          [...colour.after].some((node) => this.touches(node)) || [...colour.through].some((name) => names.has(name));
        changed ||= colour.touches;
      }
      this.names = names;
    }
  }
  /** Names under which some function with a twin may be called through an interface; '()': a function value. */
  names = new Set<string>();

  /** May this declaration be preempted inside? */
  touches(node: ts.Node): boolean {
    return (this.#colours.get(node)?.touches ?? false) && !this.#atomic(node) && !ts.isConstructorDeclaration(node);
  }
  #atomic = (node: ts.Node): boolean => ts.isFunctionLike(node) && marked(node.type, 'Atomic');
  readonly sleeps = (node: ts.Node): boolean => (node as Partial<ts.MethodDeclaration>).asteriskToken !== undefined;
  readonly twinned = (node: ts.Node): boolean => this.touches(node) && !this.sleeps(node);

  // ---- what a node means

  declaration(node: ts.Node): ts.Declaration | undefined {
    let symbol = this.#checker.getSymbolAtLocation(node);
    if (symbol && symbol.flags & ts.SymbolFlags.Alias) symbol = this.#checker.getAliasedSymbol(symbol);
    const implementation = symbol?.declarations?.find((node) => ts.isFunctionLike(node) && 'body' in node && node.body);
    return implementation ?? symbol?.valueDeclaration ?? symbol?.declarations?.[0];
  }

  /** The cell that a property access names, or null. */
  cell(node: ts.Node): { cell: string; declared: boolean } | null {
    if (!ts.isPropertyAccessExpression(node)) return null;
    const declaration = this.declaration(node.name);
    if (!declaration || !(ts.isPropertyDeclaration(declaration) || ts.isPropertySignature(declaration))) return null;
    const declared = marked(declaration.type, 'Cell');
    if (!declared) {
      if (!this.#scope.audit || !ts.isPropertyDeclaration(declaration)) return null;
      if (!this.#scope.includes(declaration.getSourceFile().fileName)) return null;
      if (declaration.modifiers?.some(({ kind }) => kind === ts.SyntaxKind.ReadonlyKeyword)) return null;
    }
    const owner = declaration.parent as ts.ClassLikeDeclaration;
    return { cell: `${owner.name?.text ?? 'anonymous'}.${node.name.text}`, declared };
  }

  /** An element of a container of cells: `this.irr[i]`. */
  element(node: ts.Node): ts.ElementAccessExpression | null {
    return ts.isElementAccessExpression(node) && this.container(node.expression) ? node : null;
  }

  container(node: ts.Node): boolean {
    const inner = bare(node);
    if (!ts.isPropertyAccessExpression(inner) && !ts.isIdentifier(inner)) return false;
    const declaration = this.declaration(ts.isIdentifier(inner) ? inner : inner.name);
    return (
      declaration !== undefined &&
      isMarked(this.#checker, (declaration as Partial<ts.PropertyDeclaration>).type, 'Cells')
    );
  }

  /** A call that is one access: of a function marked Atomic, or of a method of a container. */
  atomicCall(node: ts.Node): ts.CallExpression | null {
    if (!ts.isCallExpression(node)) return null;
    if (ts.isPropertyAccessExpression(node.expression) && this.container(node.expression.expression)) return node;
    const declaration = this.#callee(node);
    return declaration && this.#atomic(declaration) ? node : null;
  }

  /** `body.next()` of a Sleep: a scheduler resumes a thread, which is preempted inside. Returns `body`. */
  sleepStep(node: ts.Node): ts.Expression | null {
    if (!ts.isCallExpression(node) || !ts.isPropertyAccessExpression(node.expression)) return null;
    const { name, expression } = node.expression;
    if (name.text !== 'next') return null;
    return this.#checker.getTypeAtLocation(expression).aliasSymbol?.name === 'Sleep' ? expression : null;
  }

  accessors(node: ts.PropertyAccessExpression): ts.Declaration[] {
    const declarations = this.#checker.getSymbolAtLocation(node.name)?.declarations ?? [];
    return declarations.filter((declaration) => ts.isAccessor(declaration));
  }

  target(node: ts.CallExpression): { declaration?: ts.Node; through?: string; library?: boolean } {
    if (node.expression.kind === ts.SyntaxKind.SuperKeyword) return {};
    const declaration = this.#callee(node);
    if (!declaration) return {};
    if (
      this.#colours.has(declaration) &&
      !isAbstract(declaration) &&
      (!isClosure(declaration) || this.#isConstant(node.expression, declaration))
    ) {
      return { declaration };
    }
    if (!this.#scope.includes(declaration.getSourceFile().fileName)) return { library: true };
    if (isAbstract(declaration)) return { through: declaration.name.getText() };
    return { through: '()' };
  }

  /** What is called. Resolving a signature checks all arguments; the name of a function or method tells as much. */
  #callee(node: ts.CallExpression): ts.Declaration | undefined {
    const name = ts.isPropertyAccessExpression(node.expression) ? node.expression.name : node.expression;
    const declaration = ts.isIdentifier(name) || ts.isPrivateIdentifier(name) ? this.declaration(name) : undefined;
    if (declaration && (ts.isMethodSignature(declaration) || this.#colours.has(declaration))) return declaration;
    return this.#checker.getResolvedSignature(node)?.declaration;
  }

  /** The callee is a constant whose value is that closure. */
  #isConstant(callee: ts.Expression, closure: ts.Node): boolean {
    const declaration = ts.isIdentifier(callee) ? this.declaration(callee) : undefined;
    if (!declaration || !ts.isVariableDeclaration(declaration) || declaration.initializer !== closure) return false;
    return (ts.getCombinedNodeFlags(declaration) & ts.NodeFlags.Const) !== 0;
  }
}
