// guests/pv.s: what its expectations leave open, because it hangs on who delivers interrupts.

import { expect, it } from 'vitest';
import { runGuest } from '../../src/testing/bootGuest.ts';

it.each([
  ['spares every write of EOI where the hypervisor delivers interrupts', false, '0'],
  ['is never offered an interrupt where the processor delivers them, as in KVM', true, '100'],
])('PV EOI %s', async (_, apicv, byMsr) => {
  const machine = await runGuest('guests/pv.s', { vcpus: 2, params: { apicv } });
  expect(machine.console.text).toContain(`PV EOI: 100 interrupts, ${byMsr} of them ended by the MSR`);
});
