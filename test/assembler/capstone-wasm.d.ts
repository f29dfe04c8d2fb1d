// capstone-wasm 1.0.3 ships declarations that its `exports` hide; these are the parts in use.

declare module 'capstone-wasm' {
  export interface Insn {
    size: number;
    mnemonic: string;
    opStr: string;
  }
  export function loadCapstone(): Promise<void>;
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
