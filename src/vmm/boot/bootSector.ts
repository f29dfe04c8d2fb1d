// A boot sector: loaded by a minimal BIOS and entered in real mode.
import type { Boot } from './start.ts';
import { Placement } from './placement.ts';
export function startBootSector({ vm, image, ram }: Boot, _protocol: { disk: Uint8Array }): void {
  const placement = new Placement(vm, ram);
  placement.image(image);
  placement.write();
}
