import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { dateOf, parseDate, secondsOf } from '../../../src/vmm/devices/calendar.ts';
import { cmosMemory } from '../../../src/vmm/devices/cmos.ts';
import { Rtc } from '../../../src/vmm/devices/rtc.ts';
import { Ram } from '../../../src/vmm/ram.ts';
import { Bench, MS, SECOND } from './bench.ts';

const START = parseDate('1999-12-31T23:59:57')!;

function bench(start = START, ram = new Ram(64 * 2 ** 20), vcpus = 1) {
  const rig = new Bench();
  const rtc = new Rtc(rig.loop, rig.irq, start, cmosMemory(ram, vcpus));
  rig.bus.connect(rtc);
  const get = (register: number): number => {
    rig.out(0x70, register);
    return rig.in(0x71);
  };
  const set = (register: number, value: number): void => {
    rig.out(0x70, register);
    rig.out(0x71, value);
  };
  const hex = (...registers: number[]): string => registers.map((r) => get(r).toString(16).padStart(2, '0')).join(' ');
  return { rig, rtc, get, set, time: () => hex(0x32, 9, 8, 7, 6, 4, 2, 0) };
}

describe('the clock', () => {
  it('shows the date of the machine, in BCD, and goes with virtual time', () => {
    const { rig, time } = bench();
    expect(time()).toBe('19 99 12 31 06 23 59 57');
    rig.until(3 * SECOND - 1);
    expect(time()).toBe('19 99 12 31 06 23 59 59');
    rig.until(3 * SECOND);
    expect(time()).toBe('20 00 01 01 07 00 00 00');
  });

  it('in binary and with twelve hours, when register B says so', () => {
    const { rig, get, set } = bench();
    set(11, 0x04);
    expect([get(9), get(8), get(4), get(2)]).toEqual([99, 12, 0x80 | 11, 59]);
    rig.until(3 * SECOND);
    expect(get(4)).toBe(12);
  });

  it('stands while SET is set, and goes on with what was written', () => {
    const { rig, set, time } = bench();
    set(11, 0x82);
    rig.until(10 * SECOND);
    expect(time()).toBe('19 99 12 31 06 23 59 57');
    for (const [register, value] of [[9, 0x24], [8, 0x02], [7, 0x28], [4, 0x23], [2, 0x59], [0, 0x59], [0x32, 0x20]] as const) set(register, value); // prettier-ignore
    set(11, 0x02);
    rig.until(11 * SECOND + 1);
    expect(time()).toBe('20 24 02 29 05 00 00 00');
  });

  it('says in advance that an update comes: UIP for the last 244 µs of a second', () => {
    const { rig, get } = bench();
    rig.until(SECOND - 250_000);
    expect(get(10)).toBe(0x26);
    rig.until(SECOND - 200_000);
    expect(get(10)).toBe(0xa6);
    rig.until(SECOND);
    expect(get(10)).toBe(0x26);
  });
});

describe('its interrupts', () => {
  it('the update comes each second, once register C was read', () => {
    const { rig, get, set } = bench();
    get(12);
    set(11, 0x12);
    rig.until(2.5 * SECOND);
    expect(rig.lineSince()).toBe('+');
    expect(get(12)).toBe(0xd0);
    expect(rig.lineSince()).toBe('-');
    expect(get(12)).toBe(0);
    rig.until(3.5 * SECOND);
    expect(rig.lineSince()).toBe('+');
    expect(rig.rises.map((at) => Math.floor(at / MS))).toEqual([1000, 3000]);
  });

  it('flags rise without being enabled, and enabling them then interrupts', () => {
    const { rig, get, set } = bench();
    rig.until(1.5 * SECOND);
    expect(rig.lineSince()).toBe('');
    set(11, 0x12);
    expect(rig.lineSince()).toBe('+');
    expect(get(12)).toBe(0xd0);
  });

  it('the alarm comes at its time of day, parts that it leaves open matching any', () => {
    const { rig, get, set } = bench();
    set(5, 0x00);
    set(3, 0xc0);
    set(1, 0x02);
    set(11, 0x22);
    rig.until(4.9 * SECOND);
    expect(rig.lineSince()).toBe('');
    rig.until(5.1 * SECOND);
    expect(rig.lineSince()).toBe('+');
    expect(get(12) & 0xa0).toBe(0xa0);
    rig.until(60 * SECOND);
    expect(rig.lineSince()).toBe('-');
    rig.until(65.1 * SECOND);
    expect(rig.lineSince()).toBe('+');
  });

  it('periods come at the rate of register A', () => {
    const { rig, get, set } = bench();
    set(10, 0x2f); // 2 Hz
    get(12);
    set(11, 0x42);
    for (let half = 1; half <= 4; half++) {
      rig.until((half * SECOND) / 2 + MS);
      expect(get(12) & 0xc0).toBe(0xc0);
    }
    expect(rig.lineSince()).toBe('+-+-+-+-');
    expect(rig.rises.map((at) => Math.floor(at / MS))).toEqual([500, 1000, 1500, 2000]);
  });
});

it('the CMOS memory says how much memory there is, and keeps what is written', () => {
  const { get, set } = bench(START, new Ram(64 * 2 ** 20), 3);
  const word = (at: number): number => get(at) | (get(at + 1) << 8);
  expect([word(0x15), word(0x17), word(0x30), word(0x34), get(0x5f)]).toEqual([640, 63 * 1024, 63 * 1024, 48 * 16, 2]);
  set(0x0f, 0x0a);
  expect(get(0x8f)).toBe(0x0a);
  const large = cmosMemory(new Ram(0xc0000000 + 2 ** 28), 1);
  expect(large.slice(0x5b, 0x5e)).toEqual([0x00, 0x10, 0]);
  expect(large.slice(0x30, 0x32)).toEqual([0xff, 0xff]);
});

it('is what it was after save and restore, and its alarm still comes', () => {
  const { rig, rtc, set } = bench();
  set(1, 0x59);
  set(3, 0xff);
  set(5, 0xff);
  set(11, 0x22);
  const other = bench(0);
  other.rtc.restore(JSON.parse(JSON.stringify(rtc.save())));
  expect(other.rtc.save()).toEqual(rtc.save());
  other.rig.until(2.1 * SECOND);
  rig.until(2.1 * SECOND);
  expect(other.rig.lineSince()).toBe('+');
  expect(rig.lineSince()).toBe('+');
});

describe('dates', () => {
  it('are those of the Gregorian calendar', () => {
    const reference = (seconds: number): Date => new Date(seconds * 1000);
    fc.assert(
      fc.property(fc.integer({ min: -62135596800, max: 253402300799 }), (seconds) => {
        const date = dateOf(seconds);
        const is = reference(seconds);
        expect([date.year, date.month, date.day, date.hour, date.minute, date.second, date.weekday]).toEqual([
          is.getUTCFullYear(), is.getUTCMonth() + 1, is.getUTCDate(), is.getUTCHours(), is.getUTCMinutes(), is.getUTCSeconds(),
          is.getUTCDay() + 1,
        ]); // prettier-ignore
        expect(secondsOf(date)).toBe(seconds);
      }),
    );
  });

  it('are read as QEMU reads them, and only if they exist', () => {
    expect(parseDate('2006-06-17T16:01:21')).toBe(1150560081);
    expect(parseDate('2006-06-17')).toBe(1150502400);
    for (const no of ['2006-02-29', '2006-13-01', '17.6.2006', '2006-06-17T24:00', ''])
      expect(parseDate(no)).toBeNull();
  });
});
