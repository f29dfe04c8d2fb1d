// A whole machine at one moment, as data: taken between two steps, and made a machine again.
//
// Theory. Every thread of the host is a generator, which cannot be saved. So a snapshot is taken when each of them stands at
// a *named safe point*: one from which a generator can be made anew that does exactly what the old one would have. A vCPU's
// thread stands at one whenever it has given up its CPU (hypervisor/runPoint.ts), the main loop's likewise. Whatever is
// pending besides must be known by name: an event that nobody writes down is refused, and so is a thread of somebody else.
// Nothing that happens is changed by it, and no virtual time passes.

import { COST_MODELS } from '../../host/costs.ts';
import type { HostEvent } from '../../host/queue.ts';
import type { Sleep } from '../../host/sleep.ts';
import type { Thread } from '../../host/thread.ts';
import type { Machine } from '../machine.ts';
import { decode, encode } from './encoding.ts';
import { Loader, Saver, type Tree } from './fields.ts';
import { transferMachine } from './machineFields.ts';
import { restorePages, savePages, type SavedPages } from './pages.ts';
import { identityOf, saveImage, type SavedImage } from './savedImage.ts';
import { saveOptions, type SavedOptions } from './savedOptions.ts';
import { SnapshotError } from './snapshotError.ts';
import type { Image } from '../image.ts';

/** Raised whenever a field is added, renamed or dropped. A newer snapshot is refused, and so is an older one. */
export const SNAPSHOT_VERSION = 6;

/** Whose a thread is: the number of a vCPU; the main loop's; a pool of workers of a queue; nobody's, as it has ended. */
export type ThreadOwner = number | 'main loop' | 'nobody' | { readonly workqueue: number; readonly pool: number };

/** What a snapshot says of itself and its machine, before any state. */
export interface SnapshotHead {
  readonly version: number;
  readonly options: SavedOptions;
  readonly image: SavedImage;
  /** Whose each thread of the host is, in its order. */
  readonly threads: readonly ThreadOwner[];
}

export interface Snapshot {
  readonly head: SnapshotHead;
  readonly state: Tree;
  readonly pages: SavedPages;
}

const PRESETS: ReadonlySet<string> = new Set(Object.keys(COST_MODELS));
const STEP_ON = 'let the machine go on for a step, and try again';

/** Writes a machine down as it stands. Throws SnapshotError: something of it cannot be saved, or not now. */
export function collect(machine: Machine): Snapshot {
  refuseWhole(machine);
  const { host, options, image } = machine;
  const threads = host.threads.map((thread) => ownerOf(machine, thread));
  const kept = saveOptions(options, PRESETS);
  const saver = new Saver(host);
  transferMachine(saver, machine);
  refuseStrayEvents(machine, saver.events);
  return {
    head: { version: SNAPSHOT_VERSION, options: kept, image: saveImage(image, machine.imageIdentity), threads },
    state: saver.tree,
    pages: savePages(machine.vm.memslots.arena),
  };
}

/** Fills a machine that was built and neither booted nor started. */
export function apply({ head, state, pages }: Snapshot, machine: Machine): void {
  for (const owner of head.threads) adoptThread(machine, owner);
  restorePages(machine.vm.memslots.arena, pages);
  const loader = new Loader(machine.host, state);
  transferMachine(loader, machine);
  loader.finish();
}

/** Makes a thread that the restored host has, in the order in which it had them. */
function adoptThread({ mainLoop, host, vm, threads }: Machine, of: ThreadOwner): void {
  if (of === 'main loop') mainLoop.adoptThread();
  else if (of === 'nobody') host.scheduler.adopt('a thread that has ended', host.cpus[0]!, ended(), {});
  else if (typeof of === 'object') {
    const pool = host.workqueues[of.workqueue]?.pools[of.pool];
    if (pool === undefined)
      throw new SnapshotError('the snapshot has a worker of a queue that does not exist', 'take it again');
    pool.adopt();
  } else {
    const vcpu = vm.vcpus[of];
    if (vcpu === undefined)
      throw new SnapshotError(`the snapshot has a thread of vCPU ${of}, which does not exist`, 'take it again');
    threads.adopt(vcpu);
  }
}

/** The body of a thread that has ended already. */
function* ended(): Sleep<void> {}

/** What no snapshot can be taken of. */
function refuseWhole({ result, host, options, vm }: Machine): void {
  if (result !== null)
    throw new SnapshotError(`the machine has ended (${result.kind})`, 'take the snapshot before it does');
  if (host.stepping)
    throw new SnapshotError('a snapshot was asked for by a device or a probe', 'take it between two steps');
  if (options.host !== undefined)
    throw new SnapshotError(
      'a machine on a host that it does not own cannot be saved: others may be on it',
      'boot it without the option host',
    );
  if (vm.params.timerOwnership !== 'off')
    throw new SnapshotError(
      `timerOwnership '${vm.params.timerOwnership}' cannot be saved yet: the state of its timer and interrupt controller is not written down`,
      "boot the machine with timerOwnership 'off'",
    );
  if (vm.swap !== null)
    throw new SnapshotError(
      'a machine whose host pages guest memory out cannot be saved yet: what is out, and what is being read, is not written down',
      'boot it without swap',
    );
  const halfway = host.cpus.map((cpu) => cpu.halfway).find((what) => what !== null);
  if (halfway !== undefined) throw new SnapshotError(`something stands half way: ${halfway}`, STEP_ON, true);
}

function ownerOf({ vm, mainLoop, host }: Machine, thread: Thread): ThreadOwner {
  if (thread.state === 'finished') return 'nobody';
  if (thread.locksHeld.length > 0)
    throw new SnapshotError(
      `the thread ${thread.name} holds ${thread.locksHeld.map(({ name }) => name).join(', ')}`,
      STEP_ON,
      true,
    );
  if (thread === mainLoop.thread) return 'main loop';
  const vcpu = vm.vcpus.find((each) => each.thread === thread);
  if (vcpu !== undefined) return vcpu.id;
  for (const [workqueue, { pools }] of host.workqueues.entries()) {
    const pool = pools.findIndex((each) => each.hasBetweenItems(thread));
    if (pool >= 0) return { workqueue, pool };
  }
  throw new SnapshotError(
    `the thread ${thread.name} stands at no named safe point (${thread.state}${thread.waitsFor === '' ? '' : `: ${thread.waitsFor}`})`,
    `only the threads of vCPUs and the main loop can be made anew; end it, or ${STEP_ON}`,
    true,
  );
}

function refuseStrayEvents({ host }: Machine, saved: ReadonlySet<HostEvent>): void {
  for (const { id, events, localTimer } of host.cpus) {
    for (const queue of [events, localTimer.queue(false), localTimer.queue(true)]) {
      const stray = queue.pending().find((event) => !saved.has(event));
      if (stray !== undefined)
        throw new SnapshotError(
          `the event "${stray.kind}" of ${stray.owner.name}, due on CPU ${id} at cycle ${stray.at}, cannot be saved`,
          STEP_ON,
          true,
        );
    }
  }
}

/** Throws SnapshotError when an image is not the one that the machine of a snapshot was booted from. */
export function checkImage({ head }: Snapshot, image: Image): void {
  const { identity, name } = head.image;
  if (identityOf(image) === identity) return;
  throw new SnapshotError(
    `the snapshot is of a machine that was booted from another image${name === null ? '' : ` (${name})`}`,
    'give the file that was booted, as it was then, or none',
  );
}

/** Head and state as one JSON text, and back. */
export const headAndState = ({ head, state }: Snapshot): string => JSON.stringify({ head: encode(head), state });

export function readHeadAndState(text: string): Pick<Snapshot, 'head' | 'state'> {
  const { head, state } = JSON.parse(text) as { head: Tree; state: Tree };
  return { head: decode(head) as SnapshotHead, state };
}
