// The two visitors of a machine's fields: one writes them into a tree by name, the other reads them back and refuses what is
// not there, is of another type, or is left over.

import type { PlainField, Plain } from '../../cpu/savedFields.ts';
import type { PhysicalCpu } from '../../host/cpu.ts';
import type { Host } from '../../host/host.ts';
import type { EventQueue, HostEvent } from '../../host/queue.ts';
import type { HostFields } from '../../host/savedFields.ts';
import type { Thread } from '../../host/thread.ts';
import { decode, decodeRuns, encode, encodeRuns, type Json } from './encoding.ts';
import { SnapshotError } from './snapshotError.ts';

/** Fields and parts by name. */
export type Tree = { [name: string]: Json };
type NumberArray = Uint8Array | Uint32Array | Float64Array;

const INTERRUPTS = ({ events }: PhysicalCpu): EventQueue => events;
const OLDER = 'restore it with the version of trapline that wrote it, or take it again';

/** Writes fields down. */
export class Saver implements HostFields {
  readonly restoring = false;
  readonly tree: Tree;
  /** Events that wait and were written down. */
  readonly events: Set<HostEvent>;
  readonly #host: Host;

  constructor(host: Host, tree: Tree = {}, events = new Set<HostEvent>()) {
    this.#host = host;
    this.tree = tree;
    this.events = events;
  }

  value<T extends Plain>(name: string, now: T): T {
    this.#put(name, encode(now));
    return now;
  }

  own<T extends object>(of: T, ...names: PlainField<T>[]): void {
    for (const name of names) this.#put(name, encode(of[name]));
  }

  numbers(name: string, of: object): void {
    this.#put(name, Object.fromEntries(Object.entries(of).filter(([, value]) => typeof value === 'number')) as Tree);
  }

  elements(name: string, array: NumberArray): void {
    this.#put(name, encodeRuns(array));
  }

  data<T>(name: string, now: T): T {
    this.#put(name, encode(now));
    return now;
  }

  part(name: string): this {
    const tree: Tree = {};
    this.#put(name, tree);
    return new Saver(this.#host, tree, this.events) as this;
  }

  cpu<T extends PhysicalCpu | null>(name: string, now: T): T {
    this.#put(name, now === null ? null : now.id);
    return now;
  }

  cpus(name: string, now: readonly PhysicalCpu[]): readonly PhysicalCpu[] {
    this.#put(
      name,
      now.map(({ id }) => id),
    );
    return now;
  }

  thread<T extends Thread | null>(name: string, now: T): T {
    this.#put(name, now === null ? null : this.#indexOf(now));
    return now;
  }

  threads(name: string, now: readonly Thread[]): Thread[] {
    this.#put(
      name,
      now.map((thread) => this.#indexOf(thread)),
    );
    return [...now];
  }

  event(name: string, event: HostEvent, where = INTERRUPTS): void {
    const cpu = this.#host.cpus.find((each) => where(each).holds(event));
    if (cpu !== undefined) this.events.add(event);
    this.#put(name, cpu === undefined ? null : { cpu: cpu.id, at: encode(event.at), sequence: event.sequence });
  }

  refuse(what: string, hint: string): never {
    throw new SnapshotError(what, hint, true);
  }

  #indexOf(thread: Thread): number {
    return this.#host.threads.indexOf(thread);
  }

  #put(name: string, json: Json): void {
    if (Object.hasOwn(this.tree, name)) throw new Error(`two fields of one part are called ${name}`);
    this.tree[name] = json;
  }
}

/** Reads fields back. */
export class Loader implements HostFields {
  readonly restoring = true;
  readonly #host: Host;
  readonly #tree: Tree;
  readonly #path: string;
  readonly #asked = new Set<string>();
  readonly #parts: Loader[] = [];

  constructor(host: Host, tree: Tree, path = '') {
    this.#host = host;
    this.#tree = tree;
    this.#path = path;
  }

  value<T extends Plain>(name: string, now: T): T {
    const value = decode(this.#get(name));
    const plain = value === null || typeof value !== 'object';
    if (!plain || (value !== null && now !== null && typeof value !== typeof now)) this.#refuse(name, now);
    return value as T;
  }

  own<T extends object>(of: T, ...names: PlainField<T>[]): void {
    for (const name of names) of[name] = this.value(name, of[name] as Plain) as T[typeof name];
  }

  numbers(name: string, of: object): void {
    const part = this.part(name);
    const counts = of as Record<string, unknown>;
    for (const [key, now] of Object.entries(counts)) if (typeof now === 'number') counts[key] = part.value(key, now);
  }

  elements(name: string, array: NumberArray): void {
    const runs = this.#get(name);
    if (typeof runs !== 'string' || !decodeRuns(runs, array)) this.#refuse(name, `${array.length} numbers`);
  }

  data<T>(name: string, now: T): T {
    const value = decode(this.#get(name));
    if (value !== null && now !== null && (typeof value !== typeof now || Array.isArray(value) !== Array.isArray(now)))
      this.#refuse(name, now);
    return value as T;
  }

  part(name: string): this {
    const tree = this.#get(name);
    if (tree === null || typeof tree !== 'object' || Array.isArray(tree)) this.#refuse(name, 'a part');
    const part = new Loader(this.#host, tree, `${this.#path}${name} / `);
    this.#parts.push(part);
    return part as this;
  }

  cpu<T extends PhysicalCpu | null>(name: string, now: T): T {
    const id = this.#get(name);
    if (id === null) return null as T;
    return (this.#host.cpus[id as number] ?? this.#refuse(name, now)) as T;
  }

  cpus(name: string, now: readonly PhysicalCpu[]): readonly PhysicalCpu[] {
    const saved = this.#list(name).map((id) => this.#host.cpus[id] ?? this.#refuse(name, 'CPUs'));
    return saved.length === now.length && saved.every((cpu, i) => cpu === now[i]) ? now : saved;
  }

  thread<T extends Thread | null>(name: string, now: T): T {
    const index = this.#get(name);
    if (index === null) return null as T;
    return (this.#host.threads[index as number] ?? this.#refuse(name, now)) as T;
  }

  threads(name: string): Thread[] {
    return this.#list(name).map((index) => this.#host.threads[index] ?? this.#refuse(name, 'threads'));
  }

  event(name: string, event: HostEvent, where = INTERRUPTS): void {
    for (const cpu of this.#host.cpus) if (where(cpu).holds(event)) where(cpu).remove(event);
    if (this.#get(name) === null) return;
    const place = this.part(name);
    const cpu = place.cpu('cpu', this.#host.thisCpu);
    where(cpu).restore(event, place.value('at', 0), place.value('sequence', 0));
  }

  refuse(what: string, hint: string): never {
    throw new SnapshotError(what, hint);
  }

  /** Throws SnapshotError if the tree has fields that nobody asked for. */
  finish(): void {
    const left = Object.keys(this.#tree).find((name) => !this.#asked.has(name));
    if (left !== undefined)
      throw new SnapshotError(`the snapshot has a field '${this.#path}${left}' that is not known here`, OLDER);
    for (const part of this.#parts) part.finish();
  }

  #list(name: string): number[] {
    const list = this.#get(name);
    return Array.isArray(list) ? list.map(Number) : this.#refuse(name, 'a list');
  }

  #get(name: string): Json {
    const json = Object.hasOwn(this.#tree, name) ? this.#tree[name] : undefined;
    if (json === undefined) throw new SnapshotError(`the snapshot has no field '${this.#path}${name}'`, OLDER);
    this.#asked.add(name);
    return json;
  }

  #refuse(name: string, wanted: unknown): never {
    const what = typeof wanted === 'string' ? wanted : `what ${typeof wanted} can be`;
    throw new SnapshotError(`the field '${this.#path}${name}' of the snapshot is not ${what}`, OLDER);
  }
}
