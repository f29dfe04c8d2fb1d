// Exits of rare instructions: INVD, WBINVD, MONITOR, MWAIT and XSETBV.

import { GPR, XCR0 } from '../../x86/names/registers.ts';
import { injectGp } from '../inject.ts';
import type { Vcpu } from '../vcpu.ts';
import { CONTINUE, say, skipInstruction, skipRecurring, type Disposition } from './handler.ts';

/** INVD and WBINVD: the model has no caches to write back; KVM treats both as a no-op where memory is coherent. */
export function handleCacheFlush(vcpu: Vcpu): Disposition {
  if (vcpu.probes.active) say(vcpu, 'nothing to do: memory is coherent');
  return skipRecurring(vcpu);
}

/** MONITOR and MWAIT: a no-op, by KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS. */
export function handleMonitorMwait(vcpu: Vcpu): Disposition {
  if (vcpu.probes.active) say(vcpu, 'executed as NOP');
  return skipInstruction(vcpu);
}

/** kvm_emulate_xsetbv(): XCR0 alone, with x87 always on and no state component beyond what is offered. */
export function handleXsetbv(vcpu: Vcpu): Disposition {
  const { state } = vcpu.guest;
  const value = (state.gpr(GPR.RDX) << 32n) | (state.gpr(GPR.RAX) & 0xffff_ffffn);
  const offered = XCR0.X87 | XCR0.SSE | (vcpu.vm.cpuid.offers('AVX') ? XCR0.AVX : 0n);
  const consistent = (value & XCR0.AVX) === 0n || (value & XCR0.SSE) !== 0n;
  if (
    state.gpr32(GPR.RCX) !== 0 ||
    state.cpl !== 0 ||
    (value & XCR0.X87) === 0n ||
    (value & ~offered) !== 0n ||
    !consistent
  ) {
    injectGp(vcpu);
    if (vcpu.probes.active) say(vcpu, 'XSETBV refused: #GP(0)');
    return CONTINUE;
  }
  state.xcr0 = value;
  if (vcpu.probes.active) say(vcpu, `XCR0 set to ${value}`);
  return skipInstruction(vcpu);
}
