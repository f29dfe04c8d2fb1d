// keystone-wasm 1.0.4 ships declarations that its `exports` hide; these are the parts in use.

declare module 'keystone-wasm' {
  /** Loads the one WebAssembly instance of this process; later calls change nothing. */
  export function loadKeystone(options?: { printErr?: (text: string) => void }): Promise<void>;
  export class Keystone {
    constructor(arch: number, mode: number);
    setOption(option: number, value: number): number;
    asm(text: string, options?: { address?: number | bigint }): Uint8Array;
    close(): void;
  }
  export const Const: Record<
    'KS_ARCH_X86' | 'KS_MODE_16' | 'KS_MODE_32' | 'KS_MODE_64' | 'KS_OPT_SYNTAX' | 'KS_OPT_SYNTAX_ATT',
    number
  >;
}
