// What transformed code calls: the announcement of an access, and the bridges between plain functions and their preemptible
// twins (`f` and `f$`). Nothing here decides a schedule.

/** The access that is about to happen; one object, overwritten by each. `site` indexes the transform's list. */
export const access: { site: number; object: unknown } = { site: 0, object: null };
export type CellAccess = typeof access;

export function $at(site: number, object: unknown): CellAccess {
  access.site = site;
  access.object = object;
  return access;
}

type Preemptible<T> = Generator<unknown, T, void>;
type Twin = ((...args: unknown[]) => unknown) & { $?: (...args: unknown[]) => Preemptible<unknown> };

/** The plain function behind a preemptible one: runs it to its end and lets nobody in. */
export function $run<T>(body: Preemptible<T>): T {
  for (;;) {
    const { done, value } = body.next();
    if (done) return value;
    if (value !== access) throw new Error('an atomic function asked to sleep');
  }
}

/** A closure that touches cells: callable as before, preemptible through `$`. */
export function $closure(body: (...args: unknown[]) => Preemptible<unknown>): Twin {
  return Object.assign((...args: unknown[]) => $run(body(...args)), { $: body });
}

/** Calls a function value that may or may not have a preemptible twin. */
export function* $apply(f: Twin, args: unknown[]): Preemptible<unknown> {
  return f.$ ? yield* f.$(...args) : f(...args);
}

/** Calls a method through an interface. */
export function* $call(object: Record<string, Twin>, name: string, args: unknown[]): Preemptible<unknown> {
  const twin = object[name + '$'] as unknown as Twin['$'];
  return twin ? yield* twin.apply(object, args) : object[name]!(...args);
}

/** Array methods whose callback may be preempted. */
export const $array = {
  *forEach(list: unknown[], f: Twin): Preemptible<void> {
    for (let i = 0; i < list.length; i++) yield* $apply(f, [list[i], i, list]);
  },
  *map(list: unknown[], f: Twin): Preemptible<unknown[]> {
    const out = [];
    for (let i = 0; i < list.length; i++) out.push(yield* $apply(f, [list[i], i, list]));
    return out;
  },
  *filter(list: unknown[], f: Twin): Preemptible<unknown[]> {
    const out = [];
    for (let i = 0; i < list.length; i++) if (yield* $apply(f, [list[i], i, list])) out.push(list[i]);
    return out;
  },
  *findIndex(list: unknown[], f: Twin): Preemptible<number> {
    for (let i = 0; i < list.length; i++) if (yield* $apply(f, [list[i], i, list])) return i;
    return -1;
  },
  *find(list: unknown[], f: Twin): Preemptible<unknown> {
    return list[yield* $array.findIndex(list, f)];
  },
  *some(list: unknown[], f: Twin): Preemptible<boolean> {
    return (yield* $array.findIndex(list, f)) >= 0;
  },
  *every(list: unknown[], f: Twin): Preemptible<boolean> {
    for (let i = 0; i < list.length; i++) if (!(yield* $apply(f, [list[i], i, list]))) return false;
    return true;
  },
  *reduce(list: unknown[], f: Twin, from: unknown): Preemptible<unknown> {
    for (let i = 0; i < list.length; i++) from = yield* $apply(f, [from, list[i], i, list]);
    return from;
  },
};
