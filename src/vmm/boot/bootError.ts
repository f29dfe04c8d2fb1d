/** Why an image cannot be booted on this machine, and what to try. */
export class BootError extends Error {
  override readonly name = 'BootError';
}
