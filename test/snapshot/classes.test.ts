// Every class that says what a snapshot keeps of it (`transfer`) names each of its fields that can change, or stands here
// with the reason why not. So a field that is added later cannot be forgotten, whatever value it has in the guests of a test.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { expect, it } from 'vitest';

const SRC = fileURLToPath(new URL('../../src', import.meta.url));

/** Fields that are not saved, and why. */
const NOT_SAVED: Readonly<Record<string, string>> = {
  'AsyncPf.#waiting': 'empty: a machine that pages out is refused',
  'Controls.#baseWritesExit': 'follows from the bitmap',
  'Controls.virtualApic': "its owner's, which sets it (vmx/apicv.ts)",
  'EventQueue.#heap': 'each event is saved by whose it is, and one that nobody saves is refused',
  'EventQueue.next': 'follows from the heap',
  'GuestConsole.#listeners': 'of the session',
  'GuestPageCache.#generation': 'looked up again',
  'GuestPageCache.#readers': 'zero: held within one piece of host code only',
  'GuestTsc.#small': 'follows from the offset',
  'Host.#returnSoon': 'of one step',
  'Host.#settled': 'compared with what spinning threads were looked at since',
  'Host.#stepping': 'false: a snapshot during a step is refused',
  'Host.stepExits': 'of one step',
  'Host.stepUnits': 'of one step',
  'Host.stopAt': 'of one step',
  'Host.workqueues': 'saved behind the owners of what waits there (machineFields.ts)',
  'Input.#attached': 'of the session',
  'MainLoop.#sources': 'the same in every machine',
  'MainLoop.#thread': 'made anew',
  'MsrCounts.#last': 'one of the others, whichever is found first',
  'Memslots.#observers': 'register themselves',
  'PhysicalCpu.#softirqs': 'empty, or the snapshot is refused',
  'PhysicalCpu.currentVmcs': 'saved by the VMCS (load.ts)',
  'PhysicalCpu.hardirq': 'null, or the snapshot is refused',
  'PhysicalCpu.locksHeld': 'empty, or the snapshot is refused',
  'PhysicalCpu.softirq': 'null, or the snapshot is refused',
  'RunPlace.disposition': 'from the end of a handler to the next look at it, between which no thread waits',
  'RunPlace.pause': 'likewise',
  'RunstateArea.#crosses': 'of one piece of host code',
  'Thread.locksHeld': 'empty, or the snapshot is refused',
  'Thread.spin': 'made anew where it goes on to spin',
  'Thread.preemptNotifiers': 'registered again by the vCPU that is loaded',
  'TimerAdvance.cycles': 'follows from the nanoseconds',
  'Vcpu.action': 'for the trace of one exit',
  'Vcpu.serveAccess': "the machine's",
  'Vcpu.thread': 'made anew',
  'VirtualApic.postedInterrupts': 'set once',
  'Vm.lapics': 'made with the vCPUs',
  'Vm.onStuck': "the machine's",
  'Vm.swap': 'null, or the snapshot is refused',
  'WorkerPool.#busy': 'empty, or the snapshot is refused',
  'WorkerPool.#waiting': 'saved by the queue, which knows the names',
  'WorkerPool.#workers': 'threads of the snapshot, adopted in their order',
  'Workqueue.#lasting': 'register themselves',
  'XenTimer.eventfd': 'assigned again by the VMM',
  'VmxApicv.#notifications': 'saved one by one, and made when they are asked for',
};

const FILES = (readdirSync(SRC, { recursive: true }) as string[]).filter((file) => file.endsWith('.ts'));

/** Whether what the field holds can change though the field cannot: a container that the class itself has made. */
const isContainer = ({ initializer }: ts.PropertyDeclaration): boolean =>
  initializer !== undefined &&
  (ts.isArrayLiteralExpression(initializer) ||
    ts.isObjectLiteralExpression(initializer) ||
    (ts.isNewExpression(initializer) && /^(Map|Set|\w+Array)$/.test(initializer.expression.getText())));

function unnamed(file: string): string[] {
  const found: string[] = [];
  const source = ts.createSourceFile(file, readFileSync(join(SRC, file), 'utf8'), ts.ScriptTarget.Latest, true);
  const visit = (node: ts.Node): void => {
    ts.forEachChild(node, visit);
    if (!ts.isClassDeclaration(node)) return;
    const transfer = node.members.find(
      (member) => ts.isMethodDeclaration(member) && member.name.getText() === 'transfer',
    );
    if (transfer === undefined) return;
    const text = transfer.getText();
    for (const member of node.members) {
      if (!ts.isPropertyDeclaration(member)) continue;
      const name = member.name.getText();
      const flags = ts.getCombinedModifierFlags(member);
      if ((flags & ts.ModifierFlags.Static) !== 0) continue;
      if ((flags & ts.ModifierFlags.Readonly) !== 0 && !isContainer(member)) continue;
      const bare = name.replace('#', '');
      const isNamed =
        text.includes(`this.${name}`) || new RegExp(`'${bare}'|fields\\.numbers\\('\\w+', this\\)`).test(text);
      if (!isNamed) found.push(`${node.name!.text}.${name}`);
    }
  };
  visit(source);
  return found;
}

it('every field of a class that is saved is named, or excused', () => {
  expect(FILES.flatMap(unnamed).sort()).toEqual(Object.keys(NOT_SAVED).sort());
});
