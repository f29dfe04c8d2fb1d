// Enumerates every schedule of a few activities with a bounded number of preemptions, by running each from the start. It knows
// nothing of how an activity is preempted: both mechanisms give it the same interface.

export type Step = 'access' | 'asleep' | 'done';

export interface Activity {
  readonly name: string;
  /** Performs the access that was announced, and runs to the next announcement (`asleep`: through a sleep) or the end. */
  step(): Step;
  /** The access announced last, for stories. */
  pending(): string;
}

export interface Trial {
  readonly activities: readonly Activity[];
  /** What is wrong after all activities have ended, or null. */
  verdict(): string | null;
}

export interface Outcome {
  schedules: number;
  steps: number;
  /** Distinct verdicts, each with the first schedule that led to it. */
  readonly failures: Map<string, { count: number; choices: readonly number[] }>;
}

export function explore(make: () => Trial, preemptions: number): Outcome {
  const outcome: Outcome = { schedules: 0, steps: 0, failures: new Map() };
  for (let choices: number[] | null = []; choices !== null; ) {
    const options: number[] = [];
    const trial = make();
    const taken = run(trial, preemptions, choices, options, () => outcome.steps++);
    outcome.schedules++;
    const verdict = trial.verdict();
    if (verdict !== null) {
      const failure = outcome.failures.get(verdict);
      if (failure) failure.count++;
      else outcome.failures.set(verdict, { count: 1, choices: taken });
    }
    choices = nextChoices(taken, options);
  }
  return outcome;
}

/** One schedule as lines: who does what. */
export function story(make: () => Trial, preemptions: number, choices: readonly number[]): string[] {
  const lines: string[] = [];
  const trial = make();
  run(trial, preemptions, choices, [], (activity) => lines.push(`${activity.name.padEnd(9)} ${activity.pending()}`));
  return lines;
}

/** Depth first: the last choice that has an option left takes it. */
function nextChoices(taken: readonly number[], options: readonly number[]): number[] | null {
  for (let i = taken.length - 1; i >= 0; i--) {
    if (taken[i]! + 1 < options[i]!) return [...taken.slice(0, i), taken[i]! + 1];
  }
  return null;
}

function run(
  { activities }: Trial,
  preemptions: number,
  choices: readonly number[],
  options: number[],
  before: (activity: Activity) => void,
): number[] {
  const taken: number[] = [];
  const state = activities.map((): Step => 'access');
  let current = -1;
  let left = preemptions;
  for (;;) {
    const runnable = activities.flatMap((_, i) => (state[i] === 'access' && i !== current ? [i] : []));
    const goesOn = current >= 0 && state[current] === 'access';
    const open = goesOn ? (left > 0 ? [current, ...runnable] : [current]) : runnable;
    if (open.length === 0) {
      if (state.every((s) => s === 'done')) return taken;
      throw new Error(`deadlock: ${activities.map((a, i) => `${a.name} ${state[i]}`).join(', ')}`);
    }
    let choice = 0;
    if (open.length > 1) {
      choice = choices[taken.length] ?? 0;
      taken.push(choice);
      options.push(open.length);
    }
    if (goesOn && choice > 0) left--;
    current = open[choice]!;
    before(activities[current]!);
    state[current] = activities[current]!.step();
    // A sleeper looks at its condition again once somebody has done more than that.
    if (state[current] !== 'asleep')
      for (let i = 0; i < state.length; i++) if (state[i] === 'asleep') state[i] = 'access';
  }
}
