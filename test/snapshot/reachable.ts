// Every field that can be reached from a machine, private ones included, by path: what a snapshot is judged by. The inspector
// sees private fields; nothing else does.

import { Session } from 'node:inspector';
import type { Runtime } from 'node:inspector';
import { EventQueue, HostEvent } from '../../src/host/queue.ts';

export type Leaf = number | bigint | boolean | string | null | undefined;

const SHELF = '__reachable';
interface Shelf {
  object: unknown;
  privates: [name: string, value: unknown][];
}
const global = globalThis as unknown as Record<string, Shelf>;

/** Reads private fields of objects, class by class. */
class PrivateFields {
  readonly #session = new Session();
  /** Classes that have none. */
  readonly #plain = new Set<unknown>();

  constructor() {
    this.#session.connect();
  }

  close(): void {
    this.#session.disconnect();
  }

  of(object: object): readonly [string, unknown][] {
    const kind: unknown = Object.getPrototypeOf(object);
    if (kind === null || kind === Object.prototype || kind === Array.prototype || this.#plain.has(kind)) return [];
    global[SHELF] = { object, privates: [] };
    const { objectId } = this.#post('Runtime.evaluate', { expression: `globalThis.${SHELF}.object` })
      .result as Runtime.RemoteObject;
    const { privateProperties = [] } = this.#post('Runtime.getProperties', { objectId, ownProperties: true }) as {
      privateProperties?: Runtime.PropertyDescriptor[];
    };
    for (const { name, value } of privateProperties) {
      if (value === undefined) continue;
      const argument =
        value.objectId === undefined
          ? { value: value.value as unknown, unserializableValue: value.unserializableValue }
          : { objectId: value.objectId };
      this.#post('Runtime.callFunctionOn', {
        objectId,
        functionDeclaration: `function (name, value) { globalThis.${SHELF}.privates.push([name, value]); }`,
        arguments: [{ value: name }, argument],
      });
    }
    this.#post('Runtime.releaseObject', { objectId });
    if (privateProperties.length === 0) this.#plain.add(kind);
    return global[SHELF].privates;
  }

  #post(method: string, parameters: object): Record<string, unknown> {
    let answer: Record<string, unknown> | undefined;
    let failed: Error | null = null;
    this.#session.post(method, parameters, (error: Error | null, result: unknown) => {
      failed = error;
      answer = result as Record<string, unknown>;
    });
    if (failed !== null) throw new Error(`${method}: ${JSON.stringify(failed)}`);
    return answer!;
  }
}

const isTyped = (object: object): object is Uint8Array => ArrayBuffer.isView(object) && !(object instanceof DataView);

/**
 * Leaves by path, such as `vm.vcpus.0.lapic.#mode`. An object that is reached twice stands at its first path, and the second
 * says where that is, so that references are compared too. `skips`: paths that are not followed.
 */
export function reachable(root: object, skips: (path: string) => boolean): Map<string, Leaf> {
  const found = new Map<string, Leaf>();
  const known = new Map<object, string>();
  const privates = new PrivateFields();
  const queue: [string, unknown][] = [['', root]];
  try {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const [path, value] = next;
      if (typeof value === 'function' || skips(path)) continue;
      if (value === null || typeof value !== 'object') {
        found.set(path, value as Leaf);
        continue;
      }
      const at = known.get(value);
      if (at !== undefined) {
        found.set(path, `-> ${at}`);
        continue;
      }
      known.set(value, path);
      if (isTyped(value)) {
        found.set(path, value.length <= 0x10000 ? value.join(' ') : `${value.length} elements`);
        continue;
      }
      const below = (name: string | number): string => (path === '' ? `${name}` : `${path}.${name}`);
      if (value instanceof Map) {
        let index = 0;
        for (const [key, element] of value) {
          queue.push([below(`key ${index}`), key], [below(`value ${index}`), element]);
          index++;
        }
      }
      if (value instanceof Set)
        [...value].forEach((element, index) => queue.push([below(`element ${index}`), element]));
      if (value instanceof EventQueue) {
        // In what order a heap holds its events says nothing.
        queue.push([below('next'), value.next], [below('pending'), value.pending()]);
        queue.push([below('#sequence'), privates.of(value).find(([name]) => name === '#sequence')![1]]);
        continue;
      }
      if (value instanceof HostEvent) {
        const { owner, kind, args, queued, at, sequence } = value;
        queue.push([below('owner'), owner], [below('kind'), kind], [below('args'), args]);
        if (queued) queue.push([below('at'), at], [below('sequence'), sequence]);
        continue;
      }
      for (const [name, descriptor] of Object.entries(Object.getOwnPropertyDescriptors(value)))
        if ('value' in descriptor) queue.push([below(name), descriptor.value]);
      for (const [name, element] of privates.of(value)) queue.push([below(name), element]);
    }
  } finally {
    privates.close();
  }
  return found;
}
