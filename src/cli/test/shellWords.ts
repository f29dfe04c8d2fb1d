// Words as a shell takes a line apart, as far as kvm-unit-tests' configuration uses it: quotes, backslashes, and the time.

/** `$(date +%s)` in both spellings: the only command whose output a test may ask for. */
const DATE = /`date \+%s`|\$\(date \+%s\)/g;

/** Splits a line; `now` stands for the seconds since 1970 that it may ask for. */
export function shellWords(line: string, now: number): string[] {
  const text = line.replace(DATE, String(now));
  const words: string[] = [];
  let word: string | null = null;
  let quote = '';
  for (let i = 0; i < text.length; i++) {
    const char = text[i]!;
    if (quote !== '') {
      if (char === quote) quote = '';
      else if (char === '\\' && quote === '"' && '"\\$`'.includes(text[i + 1] ?? '')) word += text[++i]!;
      else word += char;
    } else if (char === '"' || char === "'") {
      quote = char;
      word ??= '';
    } else if (/\s/.test(char)) {
      if (word !== null) words.push(word);
      word = null;
    } else if (char === '\\' && i + 1 < text.length) word = (word ?? '') + text[++i]!;
    else word = (word ?? '') + char;
  }
  if (word !== null) words.push(word);
  return words;
}
