// keystone-wasm 1.0.4 and capstone-wasm 1.0.3 ship declarations that their `exports` hide; these are the parts in use.

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

declare module 'capstone-wasm' {
  export interface Insn {
    address: number | bigint;
    size: number;
    bytes: Uint8Array;
    mnemonic: string;
    opStr: string;
  }
  export function loadCapstone(options?: Record<string, unknown>): Promise<void>;
  export class Capstone {
    constructor(arch: number, mode: number);
    setOption(option: number, value: number): number;
    disasm(bytes: Uint8Array, options?: { address?: number | bigint; count?: number }): Insn[];
    close(): void;
  }
  export const Const: Record<
    'CS_ARCH_X86' | 'CS_MODE_16' | 'CS_MODE_32' | 'CS_MODE_64' | 'CS_OPT_SYNTAX' | 'CS_OPT_SYNTAX_ATT',
    number
  >;
}
