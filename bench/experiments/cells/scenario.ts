// Three activities that meet in a Xen timer: its hard interrupt, a hypercall that arms it anew, an ioctl that reads it. Bundled twice: as it
// stands for plain runs and re-execution, and through the transform.
import { HrTimer, Mutex, XenTimer, type Version } from './xen-timer.ts';

export { HrTimer, Mutex, XenTimer };

/** A timer armed for 100 that is about to fire, and the activities that race for it. */
export function race(version: Version) {
  const timer = new XenTimer(version);
  timer.expires = 100;
  timer.hrtimer.start(100);
  return {
    timer,
    callback: () => timer.hrtimer.interrupt(),
    vcpu: () => timer.setTimer(200),
    vmm: () => timer.readAttr(),
  };
}
