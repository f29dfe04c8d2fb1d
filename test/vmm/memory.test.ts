import { describe, expect, it } from 'vitest';
import { STAGE } from '../../src/cpu/memory/secondStage.ts';
import type { Machine } from '../../src/vmm/machine.ts';
import { GPR } from '../../src/x86/names/registers.ts';
import { bootGuest, MEMORY, POWER_OFF } from './guest.ts';

const PAGE = 4096;

/** Pages whose bit is set. */
const pagesOf = (bitmap: Uint8Array): number[] =>
  Array.from({ length: bitmap.length * 8 }, (_, i) => i).filter((i) => (bitmap[i >> 3]! >> (i & 7)) & 1);

/** Changes slot 0, all of the machine's memory, in one point. */
function setRam({ vm: { memslots } }: Machine, change: { logDirty?: boolean; size?: number }): void {
  const { address } = memslots.slots[0]!;
  memslots.set({ slot: 0, gpa: 0, size: MEMORY, address, ...change });
}

describe('dirty logging of a running guest', () => {
  it('names the pages that the guest has written, in every kind of store, and no others', async () => {
    const machine = await bootGuest(`
      1: incl counter(%rip)
      cmpl $0, 0x200000                # a read
      movb $1, 0x210000
      lock incl 0x220ffe               # two pages
      mov $0x230000, %rdi
      stosb
      push %rax
      pop %rax
      jmp 1b
      .balign 4096
      counter: .long 0`);
    machine.run({ maxCycles: 50_000 });
    setRam(machine, { logDirty: true });
    machine.run({ maxCycles: 80_000 });
    const stack = (MEMORY - PAGE) / PAGE;
    const counter = 0x101;
    const written = [counter, 0x210, 0x220, 0x221, 0x230, stack];
    const { memslots } = machine.vm;
    expect(pagesOf(memslots.getDirtyLog(0))).toEqual(written);
    // Clean again, and dirty again when the guest goes on.
    expect(pagesOf(memslots.getDirtyLog(0))).toEqual([]);
    machine.run({ maxCycles: 90_000 });
    expect(pagesOf(memslots.getDirtyLog(0))).toEqual(written);
  });

  it('sees pages that are touched for the first time while it is on', async () => {
    const machine = await bootGuest(`movb $1, 0x300000; ${POWER_OFF}`);
    setRam(machine, { logDirty: true });
    machine.run();
    expect(pagesOf(machine.vm.memslots.getDirtyLog(0))).toContain(0x300);
  });

  it('does not show in what the guest does', async () => {
    const source = `movl $3000, %ecx; 1: incl 0x300000(,%rcx,4); loop 1b; ${POWER_OFF}`;
    const [plain, logged] = [await bootGuest(source), await bootGuest(source)];
    setRam(logged, { logDirty: true });
    plain.run();
    logged.run({ maxCycles: 15_000 });
    logged.vm.memslots.getDirtyLog(0);
    logged.run();
    expect(logged.digest()).toBe(plain.digest());
  });
});

describe('memory that changes under a running guest', () => {
  it('a slot that goes away leaves MMIO behind, and comes back as memory with other contents', async () => {
    const machine = await bootGuest('1: movl 0x300000, %ebx; jmp 1b', { memory: MEMORY });
    const { memslots } = machine.vm;
    const { address } = memslots.slots[0]!;
    const ebx = (): number => machine.vm.vcpus[0]!.guest.state.gpr32(GPR.RBX);
    memslots.set({ slot: 0, gpa: 0, size: 0, address });
    memslots.set({ slot: 0, gpa: 0, size: 0x300000, address });
    machine.run({ maxCycles: 50_000 });
    expect(ebx()).toBe(0xffff_ffff);
    expect(machine.diagnostics).toMatchObject([{ what: 'mmio-read', index: 0x300000 }]);
    memslots.set({ slot: 1, gpa: 0x300000, size: PAGE, address: address + 0x300000 });
    machine.vm.memory.write(0x300000, Uint8Array.of(0x78, 0x56, 0x34, 0x12));
    machine.run({ maxCycles: 100_000 });
    expect(ebx()).toBe(0x12345678);
    expect(memslots.secondStage.lookup(0x300) & STAGE.PRESENT).toBe(STAGE.PRESENT);
  });

  it('a read-only slot is read as memory; writes go to the device there, read-modify-writes in both ways', async () => {
    const machine = await bootGuest(
      `movl 0x300000, %ebx; movl $0x55, 0x300000; incl 0x300004; xchgw %ax, 0x300008; movl 0x300000, %ebp; ${POWER_OFF}`,
    );
    const { memslots } = machine.vm;
    const { address } = memslots.slots[0]!;
    memslots.set({ slot: 0, gpa: 0, size: 0, address });
    memslots.set({ slot: 0, gpa: 0, size: 0x300000, address });
    memslots.set({ slot: 2, gpa: 0x301000, size: MEMORY - 0x301000, address: address + 0x301000 });
    machine.vm.memslots.arena.hostWrite(address + 0x300000, Uint8Array.of(0x78, 0x56, 0x34, 0x12, 9, 0, 0, 0, 7));
    memslots.set({ slot: 1, gpa: 0x300000, size: PAGE, address: address + 0x300000, readOnly: true });
    const written: string[] = [];
    machine.mmio.connect({
      name: 'flash',
      gpa: 0x300000,
      length: PAGE,
      read: () => expect.fail('the memory answers reads'),
      write: (offset, size, value) => void written.push(`${offset}.${size} = ${value}`),
    });
    expect(machine.run().kind).toBe('power-off');
    expect(written).toEqual(['0.4 = 85', '4.4 = 10', '8.2 = 0']);
    const { state } = machine.vm.vcpus[0]!.guest;
    expect([state.gpr32(GPR.RBX), state.gpr32(GPR.RBP)]).toEqual([0x12345678, 0x12345678]);
  });

  it('code that the host writes is executed at once', async () => {
    const machine = await bootGuest('1: incl %ebx; jmp 1b');
    machine.run({ maxCycles: 20_000 });
    const before = machine.vm.vcpus[0]!.guest.state.gpr32(GPR.RBX);
    // incl %ebp in the place of incl %ebx.
    machine.vm.memory.write(0x100001, Uint8Array.of(0xc5));
    machine.run({ maxCycles: 30_000 });
    const { state } = machine.vm.vcpus[0]!.guest;
    expect(state.gpr32(GPR.RBX) - before).toBeLessThanOrEqual(1);
    expect(state.gpr32(GPR.RBP)).toBeGreaterThan(4000);
  });
});
