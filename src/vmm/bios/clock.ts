// The timer's interrupt and INT 1Ah: ticks of 18.2 Hz since midnight, and the real-time clock.

import { BDA } from './rom.ts';
import type { Bios } from './bios.ts';
import type { BiosCall } from './call.ts';

const TICKS_A_DAY = 0x1800b0;
const FUNCTION = { GET_TICKS: 0x00, SET_TICKS: 0x01, GET_TIME: 0x02, GET_DATE: 0x04 } as const;
const CMOS = { INDEX: 0x70, DATA: 0x71 } as const;
const REGISTER = { SECOND: 0x00, MINUTE: 0x02, HOUR: 0x04, DAY: 0x07, MONTH: 0x08, YEAR: 0x09, CENTURY: 0x32 } as const;

/** IRQ 0. The stub calls the program's own handler behind it. */
export function tick(call: BiosCall, bios: Bios): boolean {
  const ticks = call.u32(BDA.TICKS) + 1;
  call.setU32(BDA.TICKS, ticks % TICKS_A_DAY);
  if (ticks >= TICKS_A_DAY) call.setU8(BDA.MIDNIGHT, 1);
  bios.endInterrupt(call);
  return true;
}

/** Serves INT 1Ah; false: there is no such function. */
export function clock(call: BiosCall, bios: Bios): boolean {
  switch (call.ah) {
    case FUNCTION.GET_TICKS: {
      const ticks = call.u32(BDA.TICKS);
      call.ax = call.u8(BDA.MIDNIGHT);
      call.cx = ticks >>> 16;
      call.dx = ticks & 0xffff;
      call.setU8(BDA.MIDNIGHT, 0);
      return true;
    }
    case FUNCTION.SET_TICKS:
      call.setU32(BDA.TICKS, ((call.cx << 16) | call.dx) >>> 0);
      return true;
    case FUNCTION.GET_TIME:
      call.cx = pair(call, bios, REGISTER.HOUR, REGISTER.MINUTE);
      call.dx = pair(call, bios, REGISTER.SECOND, null);
      call.carry = false;
      return true;
    case FUNCTION.GET_DATE:
      call.cx = pair(call, bios, REGISTER.CENTURY, REGISTER.YEAR);
      call.dx = pair(call, bios, REGISTER.MONTH, REGISTER.DAY);
      call.carry = false;
      return true;
    default:
      return false;
  }
}

/** Two registers of the real-time clock, which counts in BCD. */
function pair({ vcpu }: BiosCall, bios: Bios, high: number, low: number | null): number {
  const read = (register: number): number => {
    bios.out(vcpu, CMOS.INDEX, register);
    return bios.in(vcpu, CMOS.DATA);
  };
  return (read(high) << 8) | (low === null ? 0 : read(low));
}
