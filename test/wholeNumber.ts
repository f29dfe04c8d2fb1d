// Numbers on the command lines of tools of the tests.

/** The number an option was given, or `otherwise`. Throws an Error that says what would be accepted. */
export function wholeNumber(
  name: string,
  text: string | undefined,
  least: number,
  most: number,
  otherwise: number,
): number {
  if (text === undefined) return otherwise;
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < least || value > most)
    throw new Error(`--${name} takes a whole number from ${least} to ${most}, not '${text}'`);
  return value;
}
