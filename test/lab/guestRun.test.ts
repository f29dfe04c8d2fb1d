import { describe, expect, it } from 'vitest';
import { commandLine } from '../../src/cli/commandLine.ts';
import { GuestStopped, runToPowerOff, samplesOf } from '../../src/lab/guestRun.ts';
import { bootGuest } from '../../src/testing/index.ts';

describe('an experiment whose guest does not come to its end', () => {
  it('says where each thread stands when a deadlock stops it', async () => {
    const machine = await bootGuest('guests/lostwakeup.s');
    let stopped: unknown;
    try {
      runToPowerOff(machine, 'lostwakeup');
    } catch (error) {
      stopped = error;
    }
    expect(stopped).toBeInstanceOf(GuestStopped);
    const { message, status } = stopped as GuestStopped;
    expect(message.split('\n')).toEqual([
      "the experiment's guest lostwakeup did not come to its end: every thread waits, and nothing will ever wake one",
      expect.stringMatching(
        /^ {2}vCPU 0 is halted, no timer is armed, interrupts on, on CPU 0, TSC \d+, at sleep\+0x1$/,
      ),
      expect.stringMatching(
        /^ {2}vCPU 1 is halted with interrupts disabled, interrupts off, on CPU 1, TSC \d+, at park\+0x2$/,
      ),
      'It had printed:',
      'vCPU 0: no message yet, so I go to sleep.',
    ]);
    expect(status).toBe(8);
  });

  it('says what is not implemented, and where', async () => {
    const machine = await bootGuest('.text\n.globl _start\n_start: fld1\n');
    expect(() => runToPowerOff(machine, 'x87')).toThrow(
      /x87 did not come to its end: .*\n {2}vCPU 0 is runnable, .* at _start/,
    );
  });

  it('names the samples that its guest does not have', async () => {
    const machine = await bootGuest('guests/hello.s');
    expect(() => samplesOf(machine, 'nothing', 4)).toThrow('no array nothing of 4 samples');
  });

  it('has a name, or the names that exist are told', async () => {
    await expect(commandLine(['lab', 'perpetuum-mobile'])).resolves.toBe(2);
  });
});
