// Devices of a PC that are not here, by the ports and addresses at which guests look for them, so that what a guest asked for
// in vain has a name.

interface Place {
  readonly first: number;
  readonly last: number;
  readonly name: string;
}

const at = (first: number, last: number, name: string): Place => ({ first, last, name });

/** Ranges may nest: the first one that holds a port names it. */
const PORTS: readonly Place[] = [
  at(0x00, 0x0f, 'DMA controller'),
  at(0x20, 0x21, 'interrupt controller'),
  at(0x22, 0x23, 'chipset configuration'),
  at(0x2e, 0x2f, 'Super I/O configuration'),
  at(0x40, 0x43, 'interval timer'),
  at(0x4e, 0x4f, 'Super I/O configuration'),
  at(0x61, 0x61, 'system control port B'),
  at(0x72, 0x73, 'extended CMOS'),
  at(0x74, 0x77, 'extended CMOS'),
  at(0x81, 0x8f, 'DMA page registers'),
  at(0xa0, 0xa1, 'interrupt controller'),
  at(0xb2, 0xb3, 'system management interrupt'),
  at(0xc0, 0xdf, 'DMA controller'),
  at(0xed, 0xed, 'delay port'),
  at(0xf0, 0xf1, 'coprocessor'),
  at(0x170, 0x177, 'second IDE channel'),
  at(0x1f0, 0x1f7, 'first IDE channel'),
  at(0x1ce, 0x1cf, 'Bochs display (VBE)'),
  at(0x201, 0x201, 'game port'),
  at(0x220, 0x22f, 'Sound Blaster'),
  at(0x278, 0x27f, 'parallel port LPT2'),
  at(0x2e8, 0x2ef, 'serial port COM4'),
  at(0x2f8, 0x2ff, 'serial port COM2'),
  at(0x300, 0x31f, 'network adapter'),
  at(0x330, 0x331, 'MIDI'),
  at(0x376, 0x376, 'second IDE channel'),
  at(0x378, 0x37f, 'parallel port LPT1'),
  at(0x388, 0x38b, 'AdLib'),
  at(0x3b0, 0x3bb, 'monochrome display'),
  at(0x3bc, 0x3be, 'parallel port LPT3'),
  at(0x3c0, 0x3df, 'VGA'),
  at(0x3e8, 0x3ef, 'serial port COM3'),
  at(0x3f6, 0x3f6, 'first IDE channel'),
  at(0x3f0, 0x3f7, 'floppy controller'),
  at(0x402, 0x402, 'firmware debug console'),
  at(0x4d0, 0x4d1, 'edge and level control (ELCR)'),
  at(0x510, 0x51b, 'fw_cfg DMA interface'),
  at(0x600, 0x63f, 'power management'),
  at(0x700, 0x73f, 'SMBus'),
  at(0xa79, 0xa79, 'ISA plug and play'),
  at(0xcd8, 0xcdf, 'CPU hotplug'),
  at(0xae00, 0xae17, 'PCI hotplug'),
  at(0xaf00, 0xaf1f, 'CPU hotplug'),
  at(0xafe0, 0xafe3, 'general-purpose events'),
  at(0xb000, 0xb03f, 'power management of older QEMU machines'),
  at(0x5658, 0x565a, "VMware's backdoor"),
  at(0x8900, 0x8900, 'Bochs shutdown port'),
];

const ADDRESSES: readonly Place[] = [
  at(0xb0000000, 0xbfffffff, 'PCI Express configuration space'),
  at(0xfec00000, 0xfec00fff, 'IOAPIC'),
  at(0xfed00000, 0xfed003ff, 'HPET'),
  at(0xfed40000, 0xfed44fff, 'TPM'),
  at(0xfed90000, 0xfed90fff, 'IOMMU'),
  at(0xfee00000, 0xfeefffff, 'local APIC'),
  at(0xffc00000, 0xffffffff, 'firmware'),
  at(0xe0000000, 0xfebfffff, 'PCI devices'),
];

const nameIn = (places: readonly Place[], index: number): string | null =>
  places.find(({ first, last }) => index >= first && index <= last)?.name ?? null;

/** What stands at a port on other PCs; null: nothing that is known. */
export const nameOfPort = (port: number): string | null => nameIn(PORTS, port);

/** What stands at a physical address on other PCs; null: nothing that is known. */
export const nameOfAddress = (gpa: number): string | null => nameIn(ADDRESSES, gpa);
