// What a file is, before anything tries to load it: by its first bytes, then by whether it is text, then by its name.

import type { ProtocolName } from '../image.ts';
import { isElf } from './elf.ts';
import { protocolOf } from './protocols.ts';

export type Detection =
  /** What a loader loads, by the boot protocol that it announces. */
  | { kind: 'elf'; protocol: ProtocolName }
  | { kind: 'raw'; protocol: ProtocolName }
  | { kind: 'assembly' }
  /** No bytes, or nothing but blanks. */
  | { kind: 'empty' }
  /** Recognised as something that is no guest; `what` names it, `hint` says what to do instead. */
  | { kind: 'foreign'; what: string; hint: string };

interface Signature {
  at: number;
  bytes: readonly number[];
  what: string;
  hint: string;
}

const ascii = (text: string): number[] => [...text].map((character) => character.charCodeAt(0));
const UNPACK = 'unpack it first';
const BUILD = 'build an ELF file, a flat binary, or give AT&T assembler source';

// prettier-ignore
const SIGNATURES: readonly Signature[] = [
  { at: 0, bytes: ascii('!<arch>\n'), what: 'an archive of object files', hint: 'link it: ld -Ttext=0x100000 -o guest --whole-archive file.a' },
  { at: 0, bytes: [0x1f, 0x8b], what: 'a gzip file', hint: UNPACK },
  { at: 0, bytes: [0xfd, ...ascii('7zXZ')], what: 'an xz file', hint: UNPACK },
  { at: 0, bytes: [0x28, 0xb5, 0x2f, 0xfd], what: 'a zstd file', hint: UNPACK },
  { at: 0, bytes: ascii('BZh'), what: 'a bzip2 file', hint: UNPACK },
  { at: 0, bytes: [...ascii('PK'), 3, 4], what: 'a zip file', hint: UNPACK },
  { at: 257, bytes: ascii('ustar'), what: 'a tar file', hint: UNPACK },
  { at: 0, bytes: ascii('MZ'), what: 'a DOS, Windows or EFI program', hint: BUILD },
  { at: 0, bytes: [0xcf, 0xfa, 0xed, 0xfe], what: 'a Mach-O program', hint: BUILD },
  { at: 0, bytes: [0xca, 0xfe, 0xba, 0xbe], what: 'a Java class or a universal Mach-O program', hint: BUILD },
  { at: 0, bytes: [0, ...ascii('asm')], what: 'a WebAssembly module', hint: BUILD },
  { at: 0, bytes: [0x89, ...ascii('PNG')], what: 'a PNG picture', hint: BUILD },
  { at: 0, bytes: [0xff, 0xd8, 0xff], what: 'a JPEG picture', hint: BUILD },
  { at: 0, bytes: ascii('%PDF'), what: 'a PDF document', hint: BUILD },
  { at: 0, bytes: [...ascii('QFI'), 0xfb], what: 'a qcow2 disk image', hint: 'convert it: qemu-img convert -O raw' },
  { at: 0, bytes: ascii('SQLite format 3'), what: 'an SQLite database', hint: BUILD },
  { at: 0x8001, bytes: ascii('CD001'), what: 'a CD-ROM image', hint: 'give the kernel on it, or start its boot sector with --boot boot-sector' },
];

const ASSEMBLER_NAME = /\.(s|S|asm)$/;
const OTHER_TEXT: Record<string, string> = {
  c: 'C source',
  h: 'a C header',
  cc: 'C++ source',
  cpp: 'C++ source',
  rs: 'Rust source',
  js: 'JavaScript',
  ts: 'TypeScript',
  json: 'JSON',
  md: 'Markdown',
  html: 'HTML',
  py: 'Python',
  ld: 'a linker script',
};
/** NASM's and MASM's ways to begin: sections without a dot, sizes in words. */
const NASM =
  /^[ \t]*(\[?bits[ \t]+(16|32|64)|section[ \t]+\.|global[ \t]+\w|default[ \t]+rel|%(define|macro|include)\b)/im;

/** Whether bytes read as text: UTF-8 without control characters other than blanks. */
function asText(bytes: Uint8Array): string | null {
  if (bytes.some((byte) => (byte < 0x20 && (byte < 9 || byte > 13)) || byte === 0x7f)) return null;
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return null;
  }
}

/** Says what a file is. `name` is its path or name; only the ending counts. */
export function detect(bytes: Uint8Array, name: string): Detection {
  if (bytes.length === 0) return { kind: 'empty' };
  if (isElf(bytes)) return { kind: 'elf', protocol: protocolOf(bytes) };
  const protocol = protocolOf(bytes);
  if (protocol !== 'direct' && protocol !== 'boot-sector') return { kind: 'raw', protocol };
  const signature = SIGNATURES.find(({ at, bytes: wanted }) => wanted.every((byte, i) => bytes[at + i] === byte));
  const text = asText(bytes);
  if (signature !== undefined && text === null) return { kind: 'foreign', what: signature.what, hint: signature.hint };
  if (text === null) {
    const looksAssembled = ASSEMBLER_NAME.test(name);
    return looksAssembled
      ? {
          kind: 'foreign',
          what: 'binary data under the name of a source',
          hint: 'rename it to .bin to load it as a flat binary',
        }
      : { kind: 'raw', protocol };
  }
  if (text.trim() === '') return { kind: 'empty' };
  if (text.startsWith('#!')) return { kind: 'foreign', what: 'a script', hint: BUILD };
  if (NASM.test(text))
    return {
      kind: 'foreign',
      what: 'NASM or MASM source',
      hint: 'write AT&T syntax, or assemble it with nasm -f bin and give the flat binary',
    };
  if (ASSEMBLER_NAME.test(name)) return { kind: 'assembly' };
  const ending = /\.(\w+)$/.exec(name)?.[1].toLowerCase() ?? '';
  const other = Object.hasOwn(OTHER_TEXT, ending) ? OTHER_TEXT[ending] : null;
  if (other !== null)
    return {
      kind: 'foreign',
      what: other,
      hint: /C|Rust/.test(other) ? 'compile and link it, then give the ELF file' : BUILD,
    };
  if (signature !== undefined) return { kind: 'foreign', what: signature.what, hint: signature.hint };
  return { kind: 'assembly' };
}
