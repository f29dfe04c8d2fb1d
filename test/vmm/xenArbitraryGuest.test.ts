// A guest that asks Xen for anything, from two vCPUs, while a device and lines interrupt and timers expire: it ends as it does when
// no exit is served in place, and as when it is moved at any moments in between.

import fc from 'fast-check';
import { expect, it } from 'vitest';
import { XEN_HYPERCALL as CALL, SCHEDOP } from '../../src/hypervisor/xen/names.ts';
import { Machine } from '../../src/vmm/machine.ts';
import { snapshotFromBytes, snapshotToBytes } from '../../src/vmm/snapshot/file.ts';
import { DOMID, EVTCHNOP, HVMOP, PHYSDEVOP, VCPUOP, XENMEM } from '../../src/vmm/xen/abi.ts';
import { XEN_ROUTES } from '../../src/vmm/xen/routing.ts';
import { endOf } from '../snapshot/endOf.ts';
import { imageOf, MEMORY } from './guest.ts';

const SHARED_INFO = 0x20_0000;
/** What each vCPU is to do, one thing after the other: what kind of thing, three words, and the structure of a hypercall. */
const TABLE = 0x18_0000;
const OF_VCPU = 0x1_0000;
const ENTRY = { SIZE: 256, WORDS: 8, ANSWER: 40, STRUCTURE: 64 };
const THINGS = 120;
const KIND = { HYPERCALL: 0, OUT: 1, STORE: 2, HALT: 3, WAIT: 4, NOTHING: 5 } as const;

/** Lines of QEMU's testdev, and registers of msix-test. */
const LINES = 0x2000;
const DOORBELL = 0xfeb0_0004;
const MSIX_TABLE = 0xfeb0_1000;

const GUEST = `
        .include "asm/start.s"
        .include "asm/msr.s"
        .include "asm/percpu.s"
        .include "asm/console.s"
        .include "asm/idt.s"
        .include "asm/x2apic.s"
        .include "asm/timer.s"
        .text
        .globl  _start
_start: movl    %edi, %ebp
        movl    %esi, %r14d
        call    percpu_init
        testl   %ebp, %ebp
        jnz     1f
        movb    $0xff, %al                      # no interrupt comes by the PICs
        outb    %al, $0x21
        outb    %al, $0xa1
        movq    %cr3, %rax                      # the last GiB below 4 GiB
        movq    (%rax), %rax
        andq    $-4096, %rax
        movl    $0xc0000083, %ecx
        movq    %rcx, 24(%rax)
        call    idt_init
        .equ    vector, 32
        .rept   224
        set_gate vector, handler
        .equ    vector, vector + 1
        .endr
1:      movl    %r14d, %edi
        call    barrier
        call    idt_load
        call    x2apic_enable
        movl    $0xec, %edi
        call    timer_init
        movl    %ebp, %eax
        imull   $${OF_VCPU}, %eax, %eax
        leaq    ${TABLE}(%rax), %r12
        movl    $${THINGS}, %r13d
        sti
next:   read_tsc                                # nothing is waited for longer than this
        leaq    300000(%rax), %rdi
        call    timer_arm
        movl    (%r12), %eax
        movq    16(%r12), %rdi
        movq    24(%r12), %rsi
        movq    32(%r12), %rdx
        cmpl    $${KIND.OUT}, %eax
        je      out
        cmpl    $${KIND.STORE}, %eax
        je      store
        cmpl    $${KIND.HALT}, %eax
        je      halt
        cmpl    $${KIND.WAIT}, %eax
        je      wait
        ja      done
        movq    8(%r12), %rax
        vmcall
        movq    %rax, ${ENTRY.ANSWER}(%r12)
        jmp     done
out:    movl    8(%r12), %edx
        movl    %edi, %eax
        outl    %eax, %dx
        jmp     done
store:  movq    8(%r12), %rax
        movl    %edi, (%rax)
        jmp     done
halt:   hlt
        jmp     done
wait:   pause
        decl    %edi
        jnz     wait
done:   addq    $${ENTRY.SIZE}, %r12
        decl    %r13d
        jnz     next
        testl   %ebp, %ebp
        jz      power_off
2:      hlt
        jmp     2b
handler:
        push_registers
        movl    %ebp, %eax
        shll    $6, %eax
        addl    $${SHARED_INFO}, %eax
        movb    $0, (%rax)
        xorl    %ecx, %ecx
        xchgq   %rcx, 8(%rax)
        movq    $0, ${SHARED_INFO + 0x800}
        x2apic_eoi
        pop_registers
        iretq
`;

interface Thing {
  readonly kind: number;
  readonly words?: readonly (number | 'structure')[];
  readonly structure?: readonly number[];
}
type Numbers = fc.Arbitrary<readonly number[]>;

const SELF = DOMID.SELF;
const small = fc.nat({ max: 12 });
const some = (count: number): Numbers => fc.array(small, { minLength: count, maxLength: count });
const us = fc.nat({ max: 1500 });
const frame = fc.constantFrom(SHARED_INFO / 4096, 0x204, 0x205, 0x999_9999);
const hypercall = (nr: number, op: number | fc.Arbitrary<number>, structure: Numbers = some(8)): fc.Arbitrary<Thing> =>
  fc
    .tuple(typeof op === 'number' ? fc.constant(op) : op, structure)
    .map(([of, words]) => ({ kind: KIND.HYPERCALL, words: [nr, of, 'structure'], structure: words }));
const vcpuOp = (op: number, vcpu: fc.Arbitrary<number>, structure: Numbers = some(8)): fc.Arbitrary<Thing> =>
  fc
    .tuple(vcpu, structure)
    .map(([id, words]) => ({ kind: KIND.HYPERCALL, words: [CALL.VCPU_OP, op, id, 'structure'], structure: words }));
const write = (kind: number, at: fc.Arbitrary<number>, value: fc.Arbitrary<number>): fc.Arbitrary<Thing> =>
  fc.tuple(at, value).map((words) => ({ kind, words }));

const vcpu = fc.nat({ max: 1 });
const thing = fc.oneof(
  hypercall(CALL.EVENT_CHANNEL_OP, EVTCHNOP.BIND_VIRQ, fc.tuple(fc.constantFrom(0, 0, 1, 2), vcpu)),
  hypercall(CALL.EVENT_CHANNEL_OP, EVTCHNOP.BIND_IPI, fc.tuple(vcpu)),
  hypercall(CALL.EVENT_CHANNEL_OP, EVTCHNOP.SEND, fc.tuple(small)),
  hypercall(CALL.EVENT_CHANNEL_OP, fc.nat({ max: 11 })),
  hypercall(CALL.EVENT_CHANNEL_OP, EVTCHNOP.ALLOC_UNBOUND, fc.constant([SELF | (SELF << 16)])),
  hypercall(CALL.EVENT_CHANNEL_OP, EVTCHNOP.BIND_INTERDOMAIN, fc.tuple(fc.constant(SELF), small)),
  hypercall(CALL.EVENT_CHANNEL_OP, EVTCHNOP.BIND_PIRQ, fc.tuple(fc.constantFrom(16, 17, 20, 254, 255))),
  hypercall(CALL.SCHED_OP, fc.nat({ max: 1 })),
  hypercall(CALL.SCHED_OP, SCHEDOP.POLL, fc.tuple(fc.constant(TABLE + ENTRY.WORDS), fc.constant(0), small, fc.constant(0), us.map((after) => 1000 * after), fc.constant(0))), // prettier-ignore
  vcpuOp(VCPUOP.SET_SINGLESHOT_TIMER, vcpu, us.map((after) => [1000 * after, 0, 0])), // prettier-ignore
  vcpuOp(VCPUOP.SET_PERIODIC_TIMER, vcpu, us.map((more) => [1_000_000 + 100 * more, 0])), // prettier-ignore
  fc.constantFrom(VCPUOP.UP, VCPUOP.DOWN, VCPUOP.DOWN, VCPUOP.GET_RUNSTATE_INFO).chain((op) => vcpuOp(op, fc.constant(1))), // prettier-ignore
  vcpuOp(VCPUOP.REGISTER_RUNSTATE_MEMORY_AREA, vcpu, fc.constantFrom([0x20_1000, 0], [0x20_1ff8, 0])),
  vcpuOp(VCPUOP.REGISTER_VCPU_INFO, vcpu, fc.tuple(frame, fc.constant(0), fc.constantFrom(0, 64, 4090))),
  hypercall(CALL.HVM_OP, HVMOP.SET_PARAM, fc.tuple(fc.constant(SELF), fc.constant(0), fc.constantFrom(0x50, 5, 20, 0x1001), fc.nat({ max: 2 }).map((type) => type << 24))), // prettier-ignore
  hypercall(CALL.HVM_OP, HVMOP.SET_EVTCHN_UPCALL_VECTOR, fc.tuple(vcpu, fc.constantFrom(5, 0x50, 0xf3))),
  hypercall(CALL.PHYSDEV_OP, PHYSDEVOP.MAP_PIRQ, fc.tuple(fc.constant(SELF), fc.constant(1), fc.constantFrom(10, 16, 20, 25), fc.constantFrom(0xffff_ffff, 17))), // prettier-ignore
  hypercall(CALL.PHYSDEV_OP, fc.constantFrom(...Object.values(PHYSDEVOP)), fc.tuple(fc.constantFrom(16, 17, 20, 255), small)), // prettier-ignore
  hypercall(CALL.MEMORY_OP, XENMEM.ADD_TO_PHYSMAP, fc.tuple(fc.constant(SELF), fc.constant(0), fc.constant(0), fc.constant(0), frame)), // prettier-ignore
  us.map((after) => ({ kind: KIND.HYPERCALL, words: [CALL.SET_TIMER_OP, 1000 * after] })),
  write(KIND.OUT, fc.nat({ max: 23 }).map((gsi) => LINES + gsi), fc.nat({ max: 1 })), // prettier-ignore
  write(KIND.STORE, fc.constant(DOORBELL), fc.nat({ max: 8 })),
  write(KIND.STORE, fc.nat({ max: 31 }).map((word) => MSIX_TABLE + 4 * word), fc.constantFrom(0, 1, 0xf_f000, 0xfee0_0000, 0x50)), // prettier-ignore
  fc.constant({ kind: KIND.HALT }),
  fc.integer({ min: 1, max: 300 }).map((rounds) => ({ kind: KIND.WAIT, words: [0, rounds] })),
);

/** The domain as Linux sets it up, and msix-test switched on. */
const BEGIN: readonly Thing[] = [
  { kind: KIND.HYPERCALL, words: [CALL.MEMORY_OP, XENMEM.ADD_TO_PHYSMAP, 'structure'], structure: [SELF, 0, 0, 0, SHARED_INFO / 4096] }, // prettier-ignore
  { kind: KIND.HYPERCALL, words: [CALL.HVM_OP, HVMOP.SET_PARAM, 'structure'], structure: [SELF, 0, 0x50, 2 << 24] },
  ...[[0xcf8, 0x8000_2004], [0xcfc, 6], [0xcf8, 0x8000_2040], [0xcfc, 0x8000_0011]].map((words) => ({ kind: KIND.OUT, words })), // prettier-ignore
];

function table(things: readonly Thing[], gpa: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(ENTRY.SIZE * THINGS));
  for (let i = 0; i < THINGS; i++) {
    const { kind, words = [], structure = [] }: Thing = things[i] ?? { kind: KIND.NOTHING };
    const at = ENTRY.SIZE * i;
    view.setUint32(at, kind, true);
    for (const [n, word] of words.entries())
      view.setBigUint64(
        at + ENTRY.WORDS + 8 * n,
        BigInt(word === 'structure' ? gpa + at + ENTRY.STRUCTURE : word),
        true,
      );
    for (const [n, word] of structure.entries()) view.setUint32(at + ENTRY.STRUCTURE + 4 * n, word, true);
  }
  return new Uint8Array(view.buffer);
}

const CYCLES = 5_000_000;
const route = fc.constantFrom(...XEN_ROUTES);
const hosts = [{}, { hostCpus: 1, slice: 50_000 }, { quantum: 30_000 }, { params: { apicv: true } }, { params: { xenEvtchn: 'shadow' } }] as const; // prettier-ignore

it('ends alike, served in place or not, and moved or not', async () => {
  const image = await imageOf(GUEST);
  let ends = 0;
  const things = fc.array(thing, { minLength: 20, maxLength: THINGS - BEGIN.length, size: 'max' });
  const moves = fc.array(fc.integer({ min: 20_000, max: 1_500_000 }), { minLength: 3, maxLength: 8 });
  fc.assert(
    fc.property(things, things, fc.tuple(route, route, route), fc.constantFrom(...hosts), moves, (first, second, [ipi, timer, pirq], host, after) => {
      const boot = (noInPlace: boolean): Machine => {
        const machine = Machine.boot({ image, memory: MEMORY, vcpus: 2, xen: 'domain', xenRoute: { ipi, timer, pirq }, devices: ['msix-test'], noInPlace, ...host }); // prettier-ignore
        machine.vm.memory.write(TABLE, table([...BEGIN, ...first], TABLE));
        machine.vm.memory.write(TABLE + OF_VCPU, table(second, TABLE + OF_VCPU));
        return machine;
      };
      const whole = boot(false);
      if (whole.run({ maxCycles: CYCLES }).kind === 'power-off') ends++;
      const left = boot(true);
      left.run({ maxCycles: CYCLES });
      expect(endOf(left)).toEqual(endOf(whole));
      let moved = boot(false);
      let at = 0;
      for (const more of after) {
        at = Math.min(at + more, CYCLES);
        if (moved.run({ maxCycles: at }).kind !== 'budget') break;
        moved = Machine.restore(snapshotFromBytes(snapshotToBytes(moved.snapshot())));
      }
      if (moved.result === null) moved.run({ maxCycles: CYCLES });
      expect(endOf(moved)).toEqual(endOf(whole));
    }), // prettier-ignore
    { numRuns: 25 },
  );
  // Most guests come to their end.
  expect(ends).toBeGreaterThan(5);
}, 120_000);
