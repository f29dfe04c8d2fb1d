// Linux kernels by the 64-bit boot protocol (Linux Documentation/arch/x86/boot.rst): a bzImage, which is a boot sector and
// real-mode code that are left out, then the kernel that is loaded; or a vmlinux, which is ELF and enters the same way.

import { type Image, ImageError, type LinuxSetup } from '../image.ts';
import { SymbolTable } from '../symbols.ts';
import { imageOf, isElf, physicalEntry, readElf } from './elf.ts';
import { FileView } from './fileView.ts';

/** Offsets in the file, which are those in the zero page too. */
// prettier-ignore
const FIELD = {
  SETUP_SECTORS: 0x1f1, BOOT_FLAG: 0x1fe, JUMP: 0x200, MAGIC: 0x202, VERSION: 0x206, LOAD_FLAGS: 0x211, INITRD_MAX: 0x22c,
  XLOAD_FLAGS: 0x236, COMMAND_LINE_SIZE: 0x238, PREFERRED_ADDRESS: 0x258, INIT_SIZE: 0x260, END: 0x264,
} as const;
const MAGIC = 0x53726448;
const BOOT_FLAG = 0xaa55;
const SECTOR = 512;
/** What 0 sectors of setup code mean. */
const DEFAULT_SETUP_SECTORS = 4;
/** The first version with a field that tells of a 64-bit entry. */
const VERSION_64 = 0x020c;
const LOADED_HIGH = 1 << 0;
const KERNEL_64 = 1 << 0;
/** The 64-bit entry, behind the load address. */
const ENTRY_64 = 0x200;
/** What a vmlinux does not say: the values of bzImages since 2.6. */
const VMLINUX: LinuxSetup = { header: new Uint8Array(0), initrdMax: 0x7fff_ffff, commandLineMax: 2047 };

/** Whether a file has the header of a bzImage. */
export const isBzImage = (bytes: Uint8Array): boolean =>
  bytes.length >= FIELD.VERSION && new FileView(bytes).u32(FIELD.MAGIC) === MAGIC;

function refuse(message: string, hint: string): never {
  throw new ImageError(`a Linux kernel ${message}`, hint);
}

/** Loads a bzImage or a vmlinux. Throws ImageError. */
export function loadLinux(bytes: Uint8Array): Image {
  if (isElf(bytes)) return loadVmlinux(bytes);
  if (isBzImage(bytes)) return loadBzImage(bytes);
  throw new ImageError(
    "it is neither a bzImage ('HdrS' at 0x202) nor a vmlinux (ELF)",
    'give what the kernel build left in arch/x86/boot, or vmlinux itself',
  );
}

function loadBzImage(bytes: Uint8Array): Image {
  const file = new FileView(bytes);
  file.require(0, FIELD.END, 'the setup header');
  const version = file.u16(FIELD.VERSION);
  const text = `${version >> 8}.${(version & 0xff).toString().padStart(2, '0')}`;
  if (file.u16(FIELD.BOOT_FLAG) !== BOOT_FLAG) refuse('without the boot signature at 0x1fe', 'copy the file again');
  if ((file.u8(FIELD.LOAD_FLAGS) & LOADED_HIGH) === 0)
    refuse('of the old zImage format, which is loaded low', 'give the vmlinux, or a kernel of this century');
  if (version < VERSION_64 || (file.u16(FIELD.XLOAD_FLAGS) & KERNEL_64) === 0)
    refuse(
      `of boot protocol ${text} without a 64-bit entry`,
      'give a kernel for x86-64 with protocol 2.12 (Linux 3.8) or later',
    );
  const start = ((file.u8(FIELD.SETUP_SECTORS) || DEFAULT_SETUP_SECTORS) + 1) * SECTOR;
  file.require(start, ENTRY_64 + 1, 'the setup code with the kernel behind it');
  const headerEnd = FIELD.MAGIC + file.u8(FIELD.JUMP + 1);
  file.require(FIELD.SETUP_SECTORS, headerEnd - FIELD.SETUP_SECTORS, 'the setup header');
  const address = file.u64(FIELD.PREFERRED_ADDRESS);
  const kernel = bytes.subarray(start);
  const memorySize = Math.max(file.u32(FIELD.INIT_SIZE), kernel.length);
  if (address > BigInt(0xffff_ffff))
    refuse(`that prefers to be loaded at 0x${address.toString(16)}`, 'addresses are below 4 GiB');
  return {
    format: 'bzimage',
    entry: address + BigInt(ENTRY_64),
    segments: [{ gpa: Number(address), bytes: kernel, memorySize, executable: true }],
    symbols: SymbolTable.empty,
    protocol: {
      kind: 'linux',
      header: bytes.subarray(FIELD.SETUP_SECTORS, headerEnd),
      initrdMax: file.u32(FIELD.INITRD_MAX),
      commandLineMax: file.u32(FIELD.COMMAND_LINE_SIZE),
    },
  };
}

/** Loads a vmlinux that is entered as a bzImage's kernel is, with the zero page in RSI. */
function loadVmlinux(bytes: Uint8Array): Image {
  const elf = readElf(bytes);
  if (elf.layout.bits === 32) refuse('for 32-bit processors', 'build one for x86-64');
  return { ...imageOf(elf), entry: physicalEntry(elf), protocol: { kind: 'linux', ...VMLINUX } };
}
