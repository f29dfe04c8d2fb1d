// CR_ACCESS: handle_cr. The guest owns CR0, CR3 and CR4; only CR8, which is the LAPIC's task priority, exits.

import { crAccess } from '../../cpu/vmexit.ts';
import { injectGp } from '../inject.ts';
import { DEPENDS } from '../roundTrip.ts';
import type { Vcpu } from '../vcpu.ts';
import { CONTINUE, say, skipRecurring, type Disposition } from './handler.ts';
import { notConfigured } from './unexpected.ts';

const CR8 = 8;

export function handleCrAccess(vcpu: Vcpu): Disposition {
  const { state } = vcpu.guest;
  const { cr, access, gpr } = crAccess(state);
  const write = access === 'write';
  if (cr !== CR8 || (!write && access !== 'read')) return notConfigured(vcpu, `access to CR${cr}`);
  if (write && !vcpu.lapic.writeCr8(state.exitValue)) {
    injectGp(vcpu);
    if (vcpu.probes.active) say(vcpu, 'MOV to CR8 refused: #GP(0)');
    return CONTINUE;
  }
  if (!write) state.setGpr32(gpr, vcpu.lapic.cr8);
  if (vcpu.probes.active) {
    const now = write ? state.exitValue : BigInt(vcpu.lapic.cr8);
    vcpu.probes.fire('kvm_cr', { vcpu: vcpu.id, write, cr, value: now }, vcpu.cpu.now);
    say(vcpu, `task priority ${write ? 'set to' : 'is'} ${now}`);
  }
  return skipRecurring(vcpu, DEPENDS.ON_STANDING);
}
