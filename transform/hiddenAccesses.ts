// Accesses to cells that do not look like `object.field`: by destructuring, spread, iteration or a key, or through an interface
// that does not tell. The transform would not see them, so they are refused.

import ts from 'typescript';
import { marked, type Colours } from './colours.ts';

interface Hidden {
  readonly node: ts.Node;
  readonly why: string;
}

const isCell = (node: ts.Declaration | undefined): boolean =>
  node !== undefined && (ts.isPropertyDeclaration(node) || ts.isPropertySignature(node)) && marked(node.type, 'Cell');

/** The checker's name of a private field has a number in it. */
const nameInSource = (name: string): string => name.replace(/^__#\d+@/, '');

/** All in one file, outside of constructors: nobody shares the object there yet. */
export function hiddenAccesses(file: ts.SourceFile, checker: ts.TypeChecker, colours: Colours): Hidden[] {
  const found: Hidden[] = [];
  const propertiesOf = (node: ts.Node) => checker.getTypeAtLocation(node).getProperties();
  const cellsOf = (node: ts.Node): string[] =>
    propertiesOf(node).flatMap(({ name, valueDeclaration }) => (isCell(valueDeclaration) ? [nameInSource(name)] : []));

  const visit = (node: ts.Node): void => {
    if (ts.isTypeNode(node) || ts.isConstructorDeclaration(node)) return;
    if (ts.isBindingElement(node) && ts.isObjectBindingPattern(node.parent)) {
      const name = (node.propertyName ?? node.name).getText();
      if (isCell(checker.getTypeAtLocation(node.parent).getProperty(name)?.valueDeclaration)) {
        found.push({ node, why: 'a cell is read by destructuring: write object.field' });
      }
    } else if (ts.isSpreadAssignment(node)) {
      for (const name of cellsOf(node.expression)) {
        found.push({ node, why: `the cell ${name} is read by a spread: write its fields out` });
      }
    } else if (ts.isElementAccessExpression(node)) {
      for (const name of reached(node, checker, cellsOf)) {
        found.push({ node, why: `the cell ${name} is reached by a key: write object.${name}` });
      }
    } else if (ts.isPropertyDeclaration(node) && isCell(node)) {
      for (const above of hidingTypes(node, checker)) {
        found.push({ node, why: `the cell ${node.name.getText()} is no cell in ${above}: declare it so there, too` });
      }
    } else if ((ts.isForOfStatement(node) || ts.isSpreadElement(node)) && colours.container(node.expression)) {
      found.push({ node, why: 'iterating over a container of cells is many accesses: index it' });
    }
    ts.forEachChild(node, visit);
  };
  visit(file);
  return found;
}

/** Cells that `object[key]` may be. */
function reached(
  { expression, argumentExpression: key }: ts.ElementAccessExpression,
  checker: ts.TypeChecker,
  cellsOf: (node: ts.Node) => string[],
): string[] {
  const type = checker.getTypeAtLocation(key);
  if (type.flags & ts.TypeFlags.String) return cellsOf(expression);
  const names = (type.isUnion() ? type.types : [type]).flatMap((one) => (one.isStringLiteral() ? [one.value] : []));
  return names.length === 0 ? [] : cellsOf(expression).filter((name) => names.includes(name));
}

/** What the class implements or extends that has the field without the mark. */
function hidingTypes(node: ts.PropertyDeclaration, checker: ts.TypeChecker): string[] {
  const heritage = ts.isClassLike(node.parent) ? (node.parent.heritageClauses ?? []) : [];
  const types = heritage.flatMap((clause) => clause.types);
  const hiding = types.filter((type) => {
    const above = checker.getTypeAtLocation(type).getProperty(node.name.getText())?.valueDeclaration;
    return above !== undefined && !isCell(above);
  });
  return hiding.map((type) => type.expression.getText());
}
