// How the interrupt pins of PCI's slots are soldered to lines: swizzled to four links as a PIIX3 has them (QEMU
// hw/isa/piix3.c), which lead where SeaBIOS would have routed them.

const LINKS = 4;
const LINES = [10, 10, 11, 11] as const;

/** The GSI of a function's pin; `pin`: 0 for INTA. */
export const gsiOfIntx = (slot: number, pin: number): number => LINES[(((slot - 1 + pin) % LINKS) + LINKS) % LINKS]!;
