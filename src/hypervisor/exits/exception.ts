// EXCEPTION_NMI: handle_exception_nmi. KVM intercepts #UD alone, because an instruction that this processor does not have may be
// one that the guest's vendor has: the other vendor's hypercall is replaced by this one's, where it stands
// (KVM_X86_QUIRK_FIX_HYPERCALL_INSN). Every other #UD is the guest's own.

import { VECTOR } from '../../x86/names/vectors.ts';
import { injectPageFault, queueException } from '../inject.ts';
import type { Vcpu } from '../vcpu.ts';
import { CONTINUE, exitAs, say, type Disposition } from './handler.ts';
import { notConfigured } from './unexpected.ts';

/** Exceptions that make the guest exit: bits by vector. */
export const EXCEPTION_BITMAP = 1 << VECTOR.UD;

const VMCALL = Uint8Array.of(0x0f, 0x01, 0xc1);
const VMMCALL = Uint8Array.of(0x0f, 0x01, 0xd9);

const isInstruction = (code: Uint8Array, instruction: Uint8Array): boolean =>
  instruction.every((byte, i) => code[i] === byte);

export function handleExceptionNmi(vcpu: Vcpu): Disposition {
  const { vector } = exitAs(vcpu, 'EXCEPTION_NMI');
  if (vector !== VECTOR.UD) return notConfigured(vcpu, `exception ${vector}`);
  const code = vcpu.guest.codeAtRip(VMMCALL.length);
  // VMCALL: another vCPU has replaced it since.
  if (code === null || !(isInstruction(code, VMMCALL) || isInstruction(code, VMCALL))) {
    if (vcpu.probes.active) say(vcpu, 'handed on to the guest');
    queueException(vcpu, VECTOR.UD, null);
    return CONTINUE;
  }
  // emulator_fix_hypercall() writes as the guest would; the instruction is then executed again.
  const fault = vcpu.guest.patchCodeAtRip(VMCALL);
  if (fault !== null) injectPageFault(vcpu, fault.address, fault.errorCode);
  if (vcpu.probes.active) say(vcpu, fault === null ? 'VMMCALL replaced by VMCALL' : 'VMMCALL cannot be replaced: #PF');
  return CONTINUE;
}
