/** A machine that cannot be saved, or a snapshot that cannot be used: what was found, and what to try. */
export class SnapshotError extends Error {
  override readonly name = 'SnapshotError';
  readonly hint: string;
  /** It is so just now, and will not be when the host has gone on. */
  readonly passes: boolean;

  constructor(message: string, hint: string, passes = false) {
    super(message);
    this.hint = hint;
    this.passes = passes;
  }
}
