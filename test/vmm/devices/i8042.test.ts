import { describe, expect, it } from 'vitest';
import { I8042 } from '../../../src/vmm/devices/i8042.ts';
import { Bench, bytes } from './bench.ts';

function bench() {
  const rig = new Bench();
  const asked: string[] = [];
  const controller = new I8042(rig.irq, () => asked.push('reset'), (port) => asked.push(`A20 off at ${port.toString(16)}`)); // prettier-ignore
  rig.bus.connect(controller);
  /** Everything that can be read. */
  const drain = (): number[] => {
    const read: number[] = [];
    while ((rig.in(0x64) & 1) !== 0) read.push(rig.in(0x60));
    return read;
  };
  const command = (value: number, ...data: number[]): void => {
    rig.out(0x64, value);
    for (const byte of data) rig.out(0x60, byte);
  };
  return { rig, controller, asked, drain, command };
}

describe('the controller', () => {
  it('passes its self-test and the test of the keyboard', () => {
    const { command, drain, rig } = bench();
    command(0xaa);
    expect(drain()).toEqual([0x55]);
    command(0xab);
    expect(drain()).toEqual([0x00]);
    expect(rig.in(0x64)).toBe(0x1c);
  });

  it('has no second port: the bit that disables it stays set, its test fails, nothing answers there', () => {
    const { command, drain } = bench();
    command(0x60, 0x47);
    command(0x20);
    expect(drain()).toEqual([0x67]);
    command(0xa8);
    command(0x20);
    expect(drain()).toEqual([0x67]);
    command(0xa9);
    expect(drain()).toEqual([0x01]);
    command(0xd3, 0x5a);
    command(0xd4, 0xf2);
    expect(drain()).toEqual([]);
  });

  it('resets by a pulse and by its output port, and by nothing else', () => {
    const { command, asked } = bench();
    command(0xff);
    command(0xd1, 0xdf);
    expect(asked).toEqual([]);
    command(0xfe);
    command(0xd1, 0x02);
    expect(asked).toEqual(['reset', 'reset']);
  });

  it('reads back what was written to A20, and tells of its being turned off', () => {
    const { command, drain, asked } = bench();
    command(0xd0);
    expect(drain()).toEqual([0x03]);
    command(0xdd);
    command(0xd0);
    expect(drain()).toEqual([0x01]);
    command(0xdf);
    command(0xd1, 0x01);
    expect(asked).toEqual(['A20 off at 64', 'A20 off at 64']);
  });
});

describe('the keyboard', () => {
  it('sends keys in set 1 through the translation, an interrupt for each byte', () => {
    const { controller, rig, drain } = bench();
    controller.type(bytes('aB'));
    expect(rig.lineSince()).toBe('+');
    expect(drain()).toEqual([0x1e, 0x9e, 0x2a, 0x30, 0xb0, 0xaa]);
    expect(rig.lineSince()).toBe('-+-+-+-+-+-');
  });

  it('sends set 2 without the translation, and set 1 by itself when told to', () => {
    const { controller, command, drain, rig } = bench();
    command(0x60, 0x05);
    controller.type(bytes('a\n'));
    expect(drain()).toEqual([0x1c, 0xf0, 0x1c, 0x5a, 0xf0, 0x5a]);
    rig.out(0x60, 0xf0);
    rig.out(0x60, 0x01);
    expect(drain()).toEqual([0xfa, 0xfa]);
    controller.type(bytes('~\x03'));
    expect(drain()).toEqual([0x2a, 0x29, 0xa9, 0xaa, 0x1d, 0x2e, 0xae, 0x9d]);
  });

  it.each([
    ['identifies itself, translated', [0xf2], [0xfa, 0xab, 0x41]],
    ['echoes', [0xee], [0xee]],
    ['resets and tests itself', [0xff], [0xfa, 0xaa]],
    ['takes LEDs and a rate', [0xed, 0x07, 0xf3, 0x20], [0xfa, 0xfa, 0xfa, 0xfa]],
    ['says which set it uses, translated', [0xf0, 0x00], [0xfa, 0xfa, 0x41]],
    ['does not know set 3', [0xf0, 0x03], [0xfa, 0xfe]],
    ['does not know every command', [0xe8], [0xfe]],
    ['sends again', [0xee, 0xfe], [0xee, 0xee]],
  ])('%s', (_, sent, answered) => {
    const { rig, drain } = bench();
    for (const byte of sent) rig.out(0x60, byte);
    expect(drain()).toEqual(answered);
  });

  it('is silent while disabled, by itself or by the controller, and forgets nothing', () => {
    const { controller, command, drain, rig } = bench();
    rig.out(0x60, 0xf5);
    expect(drain()).toEqual([0xfa]);
    controller.type(bytes('x'));
    expect(drain()).toEqual([]);
    rig.out(0x60, 0xf4);
    expect(drain()).toEqual([0xfa, 0x2d, 0xad]);
    command(0xad);
    controller.type(bytes('x'));
    expect(drain()).toEqual([]);
    command(0xae);
    expect(drain()).toEqual([0x2d, 0xad]);
  });
});

it('is what it was after save and restore, its line too', () => {
  const { controller } = bench();
  controller.type(bytes('hi'));
  const other = bench();
  other.controller.restore(JSON.parse(JSON.stringify(controller.save())));
  expect(other.controller.save()).toEqual(controller.save());
  expect(other.rig.lineSince()).toBe('+');
  expect(other.drain()).toEqual([0x23, 0xa3, 0x17, 0x97]);
});
