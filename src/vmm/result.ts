// How a run of a machine ended, as data, and the exit status that a command makes of it.

import type { TripleFault } from '../cpu/exit.ts';
import type { VcpuReport } from './vcpuReport.ts';

/** `position` is where the CPU stood that was furthest behind, in cycles. */
export type RunResult =
  /** The guest wrote `value` to the debug exit port. */
  | { readonly kind: 'debug-exit'; readonly value: number; readonly vcpu: number }
  | { readonly kind: 'power-off'; readonly vcpu: number }
  /** The guest reset the machine; `by`: how it asked. QEMU does the same with -no-reboot. */
  | { readonly kind: 'reset'; readonly by: string; readonly vcpu: number }
  /** The guest says itself that it has crashed; `by`: how. */
  | { readonly kind: 'guest-crash'; readonly by: string; readonly vcpu: VcpuReport }
  | { readonly kind: 'triple-fault'; readonly vcpu: VcpuReport; readonly fault: TripleFault }
  /** Every vCPU waits, and nothing can ever happen again. */
  | { readonly kind: 'deadlock'; readonly vcpus: readonly VcpuReport[] }
  /** Every vCPU waits until somebody types: `Machine.type` makes the machine go on. */
  | { readonly kind: 'awaiting-input'; readonly vcpus: readonly VcpuReport[] }
  /** `maxCycles` are over; the machine can go on. */
  | { readonly kind: 'budget'; readonly cycles: number; readonly vcpus: readonly VcpuReport[] }
  /** `until` was met; the machine can go on. */
  | { readonly kind: 'until' }
  /** Something that trapline does not implement, by name. */
  | { readonly kind: 'not-implemented'; readonly what: string; readonly hint: string; readonly vcpu: VcpuReport };

export type RunResultKind = RunResult['kind'];

/** Exit statuses that are trapline's own are even; a guest's are odd, or 0 for a power-off. */
export const EXIT_STATUS = {
  POWER_OFF: 0,
  USAGE: 2,
  IMAGE: 4,
  TRIPLE_FAULT: 6,
  DEADLOCK: 8,
  BUDGET: 10,
  NOT_IMPLEMENTED: 12,
  RESET: 14,
  /** A replay did not end as the run that was recorded. */
  DIFFERS: 16,
  GUEST_CRASH: 18,
} as const;

/** The exit status of a command that ran the machine. */
export function exitStatus(result: RunResult): number {
  switch (result.kind) {
    case 'debug-exit':
      return ((result.value << 1) | 1) & 0xff;
    case 'power-off':
    case 'until':
      return EXIT_STATUS.POWER_OFF;
    case 'triple-fault':
      return EXIT_STATUS.TRIPLE_FAULT;
    case 'reset':
      return EXIT_STATUS.RESET;
    case 'guest-crash':
      return EXIT_STATUS.GUEST_CRASH;
    case 'deadlock':
    case 'awaiting-input':
      return EXIT_STATUS.DEADLOCK;
    case 'budget':
      return EXIT_STATUS.BUDGET;
    case 'not-implemented':
      return EXIT_STATUS.NOT_IMPLEMENTED;
  }
}
