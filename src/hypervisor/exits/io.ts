// IO_INSTRUCTION: handle_io. Ports of devices in the kernel are served here; all others are userspace's.

import { ioAccess } from '../../cpu/vmexit.ts';
import { COST } from '../../host/costs.ts';
import type { Vcpu } from '../vcpu.ts';
import { CONTINUE, say, TO_USERSPACE, type Disposition } from './handler.ts';

export function handleIo(vcpu: Vcpu): Disposition {
  const { port, size, direction, value } = ioAccess(vcpu.guest.state);
  const { ports } = vcpu.vm;
  const inKernel = ports.has(port);
  vcpu.stat.ioExits++;
  if (vcpu.probes.active) {
    // The value of a read is known when userspace has answered (traceCompletion).
    if (direction === 'out') tracePio(vcpu, port, size, value, true);
    say(vcpu, inKernel ? 'served in the kernel' : 'userspace serves it');
  }
  if (!inKernel) {
    vcpu.userspace = { reason: 'IO', port, size, direction, value };
    return TO_USERSPACE;
  }
  vcpu.cpu.charge(COST.deviceAccess);
  if (ports.isSteady(port, size)) vcpu.recurrence.allow();
  if (direction === 'out') {
    ports.write(port, size, value);
    vcpu.guest.complete(0);
    return CONTINUE;
  }
  const { value: answer } = ports.read(port, size);
  vcpu.guest.complete(answer);
  if (vcpu.probes.active) tracePio(vcpu, port, size, answer, false);
  return CONTINUE;
}

function tracePio({ id, probes, cpu }: Vcpu, port: number, size: number, value: number, write: boolean): void {
  probes.fire('kvm_pio', { vcpu: id, write, port, size, count: 1, value }, cpu.now);
}
