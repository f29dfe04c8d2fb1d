// Input from outside: when it arrives, and that a run in which it arrives again goes the same way to the bit.

import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Image } from '../../src/vmm/image.ts';
import { Machine } from '../../src/vmm/machine.ts';
import { bootGuest, imageOf, MEMORY, POWER_OFF } from './guest.ts';

/**
 * vCPU 0 polls the serial line, echoes what comes with the clock's low digit, and ends at `q`; the others count clock reads in
 * memory, so that whoever went first is in the digest.
 */
const ECHO = `
_start: testl %edi, %edi
        jnz 3f
1:      movw $0x3fd, %dx
        inb %dx, %al
        testb $1, %al
        jz 1b
        movw $0x3f8, %dx
        inb %dx, %al
        movb %al, %cl
        outb %al, %dx
        rdtsc
        andb $7, %al
        addb $'0', %al
        movw $0x3f8, %dx
        outb %al, %dx
        cmpb $'q', %cl
        jne 1b
        ${POWER_OFF}
        hlt
3:      rdtsc
        movl %eax, seen(,%rdi,4)
        xaddl %eax, total
        movl $200, %ecx
4:      decl %ecx
        jnz 4b
        jmp 3b
        .bss
        .balign 4
seen:   .skip 64
total:  .skip 4
`;

/** What is typed, and after how many cycles more. */
type Typing = readonly { readonly after: number; readonly text: string }[];

describe('input', () => {
  let image: Image;
  beforeAll(async () => {
    image = await imageOf(ECHO);
  });
  const boot = (vcpus: number): Machine => Machine.boot({ image, memory: MEMORY, vcpus });

  function record(vcpus: number, typing: Typing) {
    const machine = boot(vcpus);
    let position = 0;
    for (const { after, text } of typing) {
      position += after;
      while (machine.step(position) === null);
      machine.type(text);
    }
    machine.type('q');
    expect(machine.run({ maxCycles: 1e9 }).kind).toBe('power-off');
    return machine;
  }

  it('is echoed', () => {
    const machine = record(1, [{ after: 50_000, text: 'hello' }]);
    expect(machine.console.text.replace(/[0-7]/g, '')).toBe('helloq');
  });

  it('is there at once, although the guest never sleeps', () => {
    const machine = boot(1);
    while (machine.step(50_000) === null);
    const echoed: number[] = [];
    machine.console.listen(() => echoed.push(machine.host.thisCpu.now));
    machine.type('q');
    machine.run({ maxCycles: 1e8 });
    expect(echoed[0]! - machine.input.journal[0]!.at).toBeLessThan(20_000);
  });

  it('may be typed by whoever reads the console, in the middle of a step, and is replayed all the same', () => {
    const first = boot(2);
    first.console.listen((byte) => {
      if (byte === 'a'.charCodeAt(0)) first.type('bq');
    });
    first.type('a');
    expect(first.run({ maxCycles: 1e8 }).kind).toBe('power-off');
    expect(first.console.text.replace(/[0-7]/g, '')).toBe('abq');
    const again = boot(2);
    again.input.replay(first.input.journal);
    again.run({ maxCycles: 1e8 });
    expect(again.digest()).toBe(first.digest());
  });

  it('arrives at a position that no CPU has passed, and never before what was typed earlier', () => {
    const machine = record(3, [
      { after: 100_000, text: 'a' },
      { after: 0, text: 'b' },
      { after: 70_000, text: 'c' },
    ]);
    const positions = machine.input.journal.map(({ at }) => at);
    expect(positions[0]).toBeGreaterThan(100_000);
    expect([...positions].sort((x, y) => x - y)).toEqual(positions);
  });

  it('gives the same digest and the same console when a journal is replayed, at whatever moments it was typed', () => {
    const typing = fc.array(fc.record({ after: fc.nat(60_000), text: fc.string({ minLength: 1, maxLength: 20, unit: fc.constantFrom('a', 'b', '\n') }) }), { maxLength: 3 }); // prettier-ignore
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2 }), typing, (vcpus, typed) => {
        const first = record(vcpus, typed);
        const again = boot(vcpus);
        again.input.replay(first.input.journal);
        expect(again.run().kind).toBe('power-off');
        expect(again.console.text).toBe(first.console.text);
        expect(again.digest()).toBe(first.digest());
        expect(again.input.journal).toEqual(first.input.journal);
      }),
      { numRuns: 8 },
    );
  });

  it('another moment is another run', () => {
    const journal = record(2, [{ after: 50_000, text: 'x' }]).input.journal;
    const digests = [0, 20_000].map((later) => {
      const machine = boot(2);
      machine.input.replay(journal.map((entry) => ({ ...entry, at: entry.at + later })));
      machine.run();
      return machine.digest();
    });
    expect(digests[0]).not.toBe(digests[1]);
  });

  it('refuses a journal that goes back in time', () => {
    const entries = [9, 5].map((at) => ({ at, device: 'serial' as const, bytes: [1] }));
    expect(() => boot(1).input.replay(entries)).toThrow('input 1 arrives at 5, before the one that precedes it, at 9');
  });
});

/** So that the line stays a line: a PC's 8259 is on at reset, and gives vectors that these guests have no gates for. */
const MASK_PIC = 'movb $0xff, %al; outb %al, $0x21';

describe('a machine that waits for input', () => {
  it('says so where the guest has asked for the interrupt, and goes on when somebody types', async () => {
    const machine = await bootGuest(`${MASK_PIC}; movw $0x3f9, %dx; movb $1, %al; outb %al, %dx; sti; hlt`);
    expect(machine.run().kind).toBe('awaiting-input');
    machine.type('x');
    expect(machine.run().kind).toBe('awaiting-input');
    expect(machine.pc.serial.save().fifo).toEqual([0x78]);
  });

  it('is dead where the guest has not', async () => {
    expect((await bootGuest('sti; hlt')).run().kind).toBe('deadlock');
  });

  it('waits for keys where somebody sits at the keyboard', async () => {
    const machine = await bootGuest(`${MASK_PIC}; sti; hlt`);
    machine.input.attach('keyboard');
    expect(machine.run().kind).toBe('awaiting-input');
    machine.type('a', 'keyboard');
    expect(machine.run().kind).toBe('awaiting-input');
    expect(machine.pc.keyboard.save().output).toBe(0x1e);
  });
});
