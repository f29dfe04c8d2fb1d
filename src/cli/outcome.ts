// Says how a run ended: one clear message with what to try, for the terminal. The exit status is vmm/result.ts's.

import { describeTripleFault } from '../hypervisor/describe.ts';
import { backtrace } from '../vmm/backtrace.ts';
import type { Machine } from '../vmm/machine.ts';
import { exitStatus, type RunResult } from '../vmm/result.ts';
import { reportVcpu, type VcpuReport } from '../vmm/vcpuReport.ts';
import { GPR } from '../x86/names/registers.ts';
import { VECTOR } from '../x86/names/vectors.ts';
import { codeOf, instructionText, missingFeature } from './instructionText.ts';
import { describeVainRequests } from './vainRequests.ts';

const hex = (value: number | bigint): string => `0x${value.toString(16)}`;

/** How the run ended, in lines; empty for a guest that switched itself off. */
export function describeOutcome(machine: Machine, result: RunResult): string[] {
  switch (result.kind) {
    case 'power-off':
    case 'until':
      return [];
    case 'debug-exit':
      return [`guest: debug exit with ${hex(result.value)} on vCPU ${result.vcpu}: exit status ${exitStatus(result)}`];
    case 'triple-fault':
      return [
        `trapline: triple fault on vCPU ${result.vcpu.vcpu} at ${placeOf(machine, result.vcpu)}`,
        ...describeTripleFault(result.fault).map((line) => `  ${line}`),
        `  ${registers(machine, result.vcpu.vcpu)}`,
        ...callers(machine, result.vcpu.vcpu),
        `Try: ${adviceFor(machine, result)}.`,
      ];
    case 'reset':
      return [
        `guest: reset by ${result.by} on vCPU ${result.vcpu}: the machine ends here, with exit status ${exitStatus(result)}`,
      ];
    case 'guest-crash':
      return [
        `guest: it has crashed, as it says itself by ${result.by}, on vCPU ${result.vcpu.vcpu} at ${placeOf(machine, result.vcpu)}`,
        `  ${registers(machine, result.vcpu.vcpu)}`,
        ...callers(machine, result.vcpu.vcpu),
      ];
    case 'awaiting-input':
      return [
        'trapline: every vCPU waits for input, and there is no more',
        ...vcpuLines(machine),
        'Try: type on a terminal, or give the guest more on its standard input.',
      ];
    case 'deadlock':
      return [
        'trapline: nothing can ever happen any more: every vCPU waits, and nothing will ever wake one',
        ...vcpuLines(machine),
        'Try: a guest that is done powers off (0x2000 to port 0x604) or writes the debug exit port 0xf4; one that is not arms a timer.',
      ];
    case 'budget':
      return [
        `trapline: the budget of ${result.cycles} ${result.cycles === 1 ? 'cycle' : 'cycles'} is used up`,
        ...vcpuLines(machine),
        'Try: more with --max-cycles, or look for an endless loop where the vCPUs stand.',
      ];
    case 'not-implemented':
      return [
        `trapline: ${result.what}, on vCPU ${result.vcpu.vcpu} at ${placeOf(machine, result.vcpu)}`,
        ...callers(machine, result.vcpu.vcpu),
        `Try: ${result.hint}.`,
      ];
  }
}

/** What to try after a triple fault. */
function adviceFor(machine: Machine, { vcpu, fault }: Extract<RunResult, { kind: 'triple-fault' }>): string {
  const missing = fault.first.vector === VECTOR.UD ? missingFeature(machine, vcpu.vcpu, vcpu.rip) : null;
  if (missing !== null)
    return `do without this instruction: CPUID does not offer ${missing}, so it does not exist here`;
  return 'give the IDT a gate for the first exception (asm/idt.s does), and #DF a stack of its own (IST)';
}

/** Where each vCPU stands, a line each. */
export const vcpuLines = (machine: Machine): string[] =>
  machine.vm.vcpus.map((vcpu) => vcpuLine(machine, reportVcpu(vcpu)));

/** `work+0x4 (0x100123): push %rdi`. */
function placeOf(machine: Machine, report: VcpuReport): string {
  const code = codeOf(machine, report);
  const symbol = machine.image.symbols.format(code.linear);
  const text = instructionText(machine, report.vcpu, code);
  return `${symbol}${symbol.startsWith('0x') ? '' : ` (${hex(code.linear)})`}${text === null ? '' : `: ${text}`}`;
}

/** Who called the code that crashed, a line each. */
function callers(machine: Machine, vcpu: number): string[] {
  const { symbols } = machine.image;
  return backtrace(machine, vcpu).map((address) => {
    // A call that never returns may be the last instruction of its function: the byte before is still inside.
    const name = symbols.lookup(address - 1n)?.name;
    const offset = name === undefined ? 0n : address - symbols.find(name)!.address;
    return `  called from ${name === undefined ? hex(address) : `${name}+${hex(offset)} (${hex(address)})`}`;
  });
}

/** The registers that a fault in delivering an exception is about. */
function registers(machine: Machine, vcpu: number): string {
  const { state } = machine.vm.vcpus[vcpu]!.guest;
  const idtr = `IDTR ${hex(state.idtrBase)} limit ${hex(state.idtrLimit)}`;
  const rsp = hex(state.gpr(GPR.RSP));
  return `RSP ${rsp}, CR3 ${hex(state.cr3)}, CPL ${state.cpl}, ${idtr}, TSC ${state.tsc}`;
}

function vcpuLine(machine: Machine, v: VcpuReport): string {
  const wait = v.waitsFor ?? `vCPU ${v.vcpu} is ${v.state}`;
  const timer = v.deadline === 0n ? '' : `, deadline ${v.deadline}`;
  // A halted vCPU stands behind its HLT: what comes next says nothing.
  const place = v.state === 'halted' ? machine.image.symbols.format(codeOf(machine, v).linear) : placeOf(machine, v);
  return `  ${wait}, interrupts ${v.interruptsEnabled ? 'on' : 'off'}, TSC ${v.tsc}${timer}, at ${place}`;
}

/** How far the guest had come by its own account; empty: it has said nothing. */
export function describePostCode({ pc }: Machine): string[] {
  const { last } = pc.postCode.state;
  return last === null ? [] : [`trapline: the last POST code (port 0x80) was ${hex(last)}`];
}

/** What no reader should miss: a machine that cannot exist, and what the guest asked for in vain, a line each. */
export function describeDiagnostics(machine: Machine): string[] {
  const { timerOwnership } = machine.vm.params;
  const hypothetical =
    timerOwnership === 'off'
      ? []
      : [`trapline: hypothetical on x86: the TSC deadline is a timer of the guest's own, moved by ${timerOwnership}`];
  return [...hypothetical, ...describeVainRequests(machine)];
}
