// Says how a run ended: one clear message with what to try, for the terminal. The exit status is vmm/result.ts's.

import { nameOfMsr } from '../hypervisor/msrs.ts';
import type { Diagnostic } from '../hypervisor/diagnostics.ts';
import type { Machine } from '../vmm/machine.ts';
import type { RunResult } from '../vmm/result.ts';
import type { VcpuReport } from '../vmm/vcpuReport.ts';
import { exitStatus } from '../vmm/result.ts';

const hex = (value: number | bigint): string => `0x${value.toString(16)}`;

/** How the run ended, in lines; empty for a guest that switched itself off. */
export function describeOutcome(machine: Machine, result: RunResult): string[] {
  const where = (report: VcpuReport): string => `${machine.image.symbols.format(report.rip)}`;
  switch (result.kind) {
    case 'power-off':
    case 'until':
      return [];
    case 'debug-exit':
      return [`guest: debug exit with ${hex(result.value)} on vCPU ${result.vcpu}: exit status ${exitStatus(result)}`];
    case 'triple-fault':
      return [
        `trapline: triple fault on vCPU ${result.vcpu.vcpu} at ${where(result.vcpu)}, TSC ${result.vcpu.tsc}`,
        'An exception could not be delivered, nor the double fault that followed: look at the IDT, its handlers and the stack.',
        `trapline trace shows the last exits; RIP is that of the instruction that faulted.`,
      ];
    case 'deadlock':
      return [
        'trapline: nothing can ever happen any more: every vCPU waits, and no timer is armed',
        ...result.vcpus.map((v) => vcpuLine(v, where(v))),
        'A guest that is done should power off (out to port 0x604) or write the debug exit port 0xf4.',
      ];
    case 'budget':
      return [
        `trapline: the budget of ${result.cycles} cycles is used up`,
        ...result.vcpus.map((v) => vcpuLine(v, where(v))),
        'Give --max-cycles more, or look for an endless loop where the vCPUs stand.',
      ];
    case 'not-implemented':
      return [
        `trapline: ${result.what}, on vCPU ${result.vcpu.vcpu} at ${where(result.vcpu)} (${hex(result.vcpu.rip)})`,
        `Try: ${result.hint}.`,
      ];
  }
}

function vcpuLine(v: VcpuReport, where: string): string {
  const wait = v.waitsFor === null ? v.state : `${v.state}, waits for ${v.waitsFor}`;
  const timer = v.deadline === 0n ? 'no deadline armed' : `deadline ${v.deadline}`;
  return `  vCPU ${v.vcpu}: ${wait}, at ${where}, TSC ${v.tsc}, interrupts ${v.interruptsEnabled ? 'on' : 'off'}, ${timer}`;
}

const ASKED: Record<Diagnostic['what'], (index: number) => string> = {
  'msr-read': (i) => `read of MSR ${nameOfMsr(i)}`,
  'msr-write': (i) => `write of MSR ${nameOfMsr(i)}`,
  'port-in': (i) => `input from port ${hex(i)}`,
  'port-out': (i) => `output to port ${hex(i)}`,
  'mmio-read': (i) => `read of guest physical ${hex(i)}, where nothing is`,
  'mmio-write': (i) => `write to guest physical ${hex(i)}, where nothing is`,
  hypercall: (i) => `hypercall ${i}`,
};

/** What the guest asked for in vain, a line each. */
export function describeDiagnostics(machine: Machine): string[] {
  return machine.diagnostics.map((d) => {
    const times = d.count === 1 ? 'once' : `${d.count} times`;
    const where = machine.image.symbols.format(d.rip);
    return `trapline: unknown ${ASKED[d.what](d.index)}, ${times}, first by vCPU ${d.vcpu} at ${where}: answered with ${d.answer}`;
  });
}
