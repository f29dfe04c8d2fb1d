// What transformed host code calls (transform/): the announcement of an access, and the bridges between plain functions and
// their preemptible twins (`f` and `f$`). Nothing here decides a schedule.

/** One access in the source. */
export interface Site {
  readonly file: string;
  readonly line: number;
  /** The function that it stands in. */
  readonly within: string;
  /** `Hrtimer.expires`, or the function's name when the access is the call of an atomic function: `requests.make()`. */
  readonly cell: string;
  readonly access: 'read' | 'write' | 'atomic';
  /** False in an audit: an ordinary field, announced to see who shares it. */
  readonly declared: boolean;
}

/** What preemptible code yields before each access: where it stands, and the object whose cell it is. One object, overwritten by each. */
export const access: { site: Site | null; object: unknown } = { site: null, object: null };
export type CellAccess = typeof access;

/** Code that yields before each access, and whatever its sleeping functions ask for in between. */
export type Preemptible<T> = Generator<unknown, T, void>;
type Twin = ((...args: unknown[]) => unknown) & { $?: (...args: unknown[]) => Preemptible<unknown> };

export function $at(site: Site, object: unknown): CellAccess {
  access.site = site;
  access.object = object;
  return access;
}

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

/** Resumes a thread: its accesses are those of whoever resumes it, its requests are the answer. */
export function* $next<T>(body: Preemptible<T>): Preemptible<IteratorResult<unknown, T>> {
  for (;;) {
    const asked = body.next();
    if (asked.done || asked.value !== access) return asked;
    yield access;
  }
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
