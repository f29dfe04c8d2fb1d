// Exits of APIC virtualisation: all of them come behind the instruction that caused them, so nothing is skipped.

import type { Vcpu } from '../vcpu.ts';
import { CONTINUE, exitAs, say, type Disposition } from './handler.ts';

/** handle_apic_eoi_induced(): the processor has ended the interrupt, and an IOAPIC wants to know. */
export function handleEoiInduced(vcpu: Vcpu): Disposition {
  const { vector } = exitAs(vcpu, 'EOI_INDUCED');
  vcpu.lapic.endOfInterruptAccelerated(vector);
  if (vcpu.probes.active) say(vcpu, `interrupt 0x${vector.toString(16)} ended`);
  return CONTINUE;
}

/** handle_apic_write(): the processor has stored the value; what it sets in motion is left. */
export function handleApicWrite(vcpu: Vcpu): Disposition {
  const { offset } = exitAs(vcpu, 'APIC_WRITE');
  vcpu.lapic.writeRegister(offset, vcpu.lapic.register(offset));
  if (vcpu.probes.active) say(vcpu, 'written');
  return CONTINUE;
}

/** handle_tpr_below_threshold(). */
export function handleTprBelowThreshold(vcpu: Vcpu): Disposition {
  vcpu.lapic.updatePpr();
  if (vcpu.probes.active) say(vcpu, 'the task priority lets an interrupt through');
  return CONTINUE;
}
