// IO_INSTRUCTION: handle_io. No port is served in the kernel; userspace completes the access.

import type { Vcpu } from '../vcpu.ts';
import { exitAs, say, TO_USERSPACE, type Disposition } from './handler.ts';

export function handleIo(vcpu: Vcpu): Disposition {
  const { port, size, direction, value } = exitAs(vcpu, 'IO_INSTRUCTION');
  vcpu.stat.ioExits++;
  vcpu.userspace = { reason: 'IO', port, size, direction, value };
  if (vcpu.probes.active) {
    // The value of a read is known when userspace has answered (traceCompletion).
    if (direction === 'out')
      vcpu.probes.fire('kvm_pio', { vcpu: vcpu.id, write: true, port, size, count: 1, value }, vcpu.cpu.now);
    say(vcpu, 'userspace serves it');
  }
  return TO_USERSPACE;
}
