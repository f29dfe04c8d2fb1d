// Tokens of one statement's operands, and a cursor over them. Numbers get their value here and nowhere else: decimal is
// decimal, 0x hexadecimal, 0b binary, a leading 0 octal, as in GNU as.

import { reject } from './problem.ts';

export type Token =
  | { kind: 'number'; value: bigint }
  | { kind: 'name'; text: string }
  /** `1b`, `1f`: the nearest numeric label before or behind. */
  | { kind: 'local'; label: string; direction: 'b' | 'f' }
  /** Without its percent sign, lower case: `rax`, `st(3)`. */
  | { kind: 'register'; text: string }
  | { kind: 'string'; bytes: Uint8Array }
  | { kind: 'operator'; text: string };

const OPERATOR = /^(?:<<|>>|<=|>=|==|!=|<>|&&|\|\||[-+*/%&|^!~()<>,:$@={}])/;
const NAME = /^[A-Za-z_.][\w.$]*/;
const LOCAL = /^(\d+)([bf])(?![\w.])/;
const NUMBER = /^(?:0[xX][0-9a-fA-F]+|0[bB][01]+|\d+)/;
const REGISTER = /^%[ \t]*([A-Za-z]\w*)/;
const ESCAPES: Record<string, number> = { b: 8, f: 12, n: 10, r: 13, t: 9, '"': 34, "'": 39, '\\': 92 };

/** Reads one escape behind a backslash at `at`; `next` is the index behind it. */
function escape(text: string, at: number): { byte: number; next: number } {
  const octal = /^[0-7]{1,3}/.exec(text.slice(at, at + 3));
  if (octal !== null) return { byte: parseInt(octal[0], 8) & 255, next: at + octal[0].length };
  const hex = /^[xX][0-9a-fA-F]+/.exec(text.slice(at));
  if (hex !== null) return { byte: Number(BigInt(`0x${hex[0].slice(1)}`) & 255n), next: at + hex[0].length };
  const byte = Object.hasOwn(ESCAPES, text[at] ?? '') ? ESCAPES[text[at]] : undefined;
  if (byte === undefined)
    reject(`unknown escape \\${text[at] ?? ''}`, 'known: \\b \\f \\n \\r \\t \\" \\\\ \\123 \\x1f');
  return { byte, next: at + 1 };
}

function readString(text: string): { bytes: Uint8Array; length: number } {
  const bytes: number[] = [];
  let i = 1;
  while (text[i] !== '"') {
    if (i >= text.length) reject('this string has no end', 'close it with "');
    if (text[i] === '\\') {
      const { byte, next } = escape(text, i + 1);
      bytes.push(byte);
      i = next;
    } else {
      const character = String.fromCodePoint(text.codePointAt(i) ?? 0);
      bytes.push(...new TextEncoder().encode(character));
      i += character.length;
    }
  }
  return { bytes: Uint8Array.from(bytes), length: i + 1 };
}

function readCharacter(text: string): { value: bigint; length: number } {
  if (text[1] === undefined) reject("a character is missing behind '");
  const { byte, next } = text[1] === '\\' ? escape(text, 2) : { byte: text.charCodeAt(1), next: 2 };
  return { value: BigInt(byte), length: text[next] === "'" ? next + 1 : next };
}

function readNumber(digits: string): bigint {
  if (/^0[0-9]+$/.test(digits)) {
    if (/[89]/.test(digits))
      reject(`${digits} is not an octal number`, 'a leading 0 means octal; leave it out for decimal');
    return BigInt(`0o${digits}`);
  }
  return BigInt(digits.toLowerCase());
}

const MAX_NUMBER = (1n << 64n) - 1n;

/** All tokens of an operand list. */
function tokenize(text: string): Token[] {
  const tokens: Token[] = [];
  let rest = text.trimStart();
  const take = (length: number): void => {
    rest = rest.slice(length).trimStart();
  };
  while (rest !== '') {
    const previous = tokens.at(-1);
    const afterValue =
      previous !== undefined &&
      (previous.kind === 'number' ||
        previous.kind === 'name' ||
        (previous.kind === 'operator' && previous.text === ')'));
    const register = afterValue ? null : REGISTER.exec(rest);
    const local = LOCAL.exec(rest);
    const number = NUMBER.exec(rest);
    const name = NAME.exec(rest);
    const operator = OPERATOR.exec(rest);
    if (register !== null) {
      take(register[0].length);
      const stack = register[1].toLowerCase() === 'st' ? /^\(\s*([0-7])\s*\)/.exec(rest) : null;
      if (stack !== null) take(stack[0].length);
      tokens.push({ kind: 'register', text: stack === null ? register[1].toLowerCase() : `st(${stack[1]})` });
    } else if (rest[0] === '"') {
      const { bytes, length } = readString(rest);
      tokens.push({ kind: 'string', bytes });
      take(length);
    } else if (rest[0] === "'") {
      const { value, length } = readCharacter(rest);
      tokens.push({ kind: 'number', value });
      take(length);
    } else if (local !== null) {
      tokens.push({ kind: 'local', label: local[1], direction: local[2] as 'b' | 'f' });
      take(local[0].length);
    } else if (number !== null) {
      const value = readNumber(number[0]);
      if (value > MAX_NUMBER) reject(`${number[0]} needs more than 64 bits`);
      if (/^\w/.test(rest.slice(number[0].length))) reject(`${/^\w+/.exec(rest)?.[0]} is not a number`);
      tokens.push({ kind: 'number', value });
      take(number[0].length);
    } else if (name !== null) {
      tokens.push({ kind: 'name', text: name[0] });
      take(name[0].length);
    } else if (operator !== null) {
      tokens.push({ kind: 'operator', text: operator[0] });
      take(operator[0].length);
    } else {
      const character = String.fromCodePoint(rest.codePointAt(0) ?? 0);
      reject(
        `unexpected character ${JSON.stringify(character)}`,
        character === '\\' ? 'macro parameters exist only inside .macro, .irp and .irpc' : null,
      );
    }
  }
  return tokens;
}

/** What a token looks like in a message. */
function show(token: Token | undefined): string {
  if (token === undefined) return 'the end of the statement';
  switch (token.kind) {
    case 'number':
      return `0x${token.value.toString(16)}`;
    case 'local':
      return `${token.label}${token.direction}`;
    case 'register':
      return `%${token.text}`;
    case 'string':
      return 'a string';
    default:
      return `"${token.text}"`;
  }
}

/** Reads tokens in order. */
export class Cursor {
  readonly #tokens: readonly Token[];
  #at = 0;

  constructor(text: string) {
    this.#tokens = tokenize(text);
  }

  get done(): boolean {
    return this.#at >= this.#tokens.length;
  }

  peek(ahead = 0): Token | undefined {
    return this.#tokens[this.#at + ahead];
  }

  next(): Token | undefined {
    return this.#tokens[this.#at++];
  }

  isOperator(text: string, ahead = 0): boolean {
    const token = this.peek(ahead);
    return token?.kind === 'operator' && token.text === text;
  }

  /** Takes that operator if it is next. */
  accept(text: string): boolean {
    if (!this.isOperator(text)) return false;
    this.#at++;
    return true;
  }

  expect(text: string): void {
    if (!this.accept(text)) reject(`expected "${text}", found ${show(this.peek())}`);
  }

  /** Takes a name; `what` says of what, for the message. */
  name(what: string): string {
    const token = this.next();
    if (token?.kind !== 'name') return reject(`expected ${what}, found ${show(token)}`);
    return token.text;
  }

  /** Rejects whatever is left. */
  end(): void {
    if (!this.done) reject(`unexpected ${show(this.peek())}`);
  }

  describeNext(): string {
    return show(this.peek());
  }
}
