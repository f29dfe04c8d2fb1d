// A case of `trapline test` and what came of it, as plain data: both travel between threads.

/** What is to be run, and how. */
export interface TestCase {
  readonly name: string;
  /** The image or source. */
  readonly file: string;
  /** For an assembler source: which of the cases that its directives promise; null for images. */
  readonly directiveCase: string | null;
  readonly vcpus?: number;
  /** Bytes. */
  readonly memory?: number;
  /** As `--cpu` takes it. */
  readonly cpu?: string;
  readonly commandLine?: string;
  /** Bytes of its memory that the host keeps in memory; absent: all. */
  readonly swap?: number;
  /** The guest halts its CPU by itself (QEMU's -overcommit cpu-pm=on). */
  readonly hltInGuest?: boolean;
  /** Seconds of virtual time after which it has hung; null: as the file says, or no limit. */
  readonly virtualSeconds: number | null;
  /** Exit status that means success, for images. */
  readonly success: number;
  /** Why it is not run; null: it is. */
  readonly skip: string | null;
  /** What of its configuration has no meaning here. */
  readonly notes: readonly string[];
}

/** A line that a guest reported: `PASS: text`, in kvm-unit-tests' grammar. */
export interface Check {
  readonly verdict: 'PASS' | 'FAIL' | 'SKIP' | 'XFAIL' | 'XPASS' | 'KFAIL' | 'KPASS';
  readonly text: string;
}

export type Verdict = 'ok' | 'not ok' | 'skip';

export interface TestResult {
  readonly name: string;
  readonly file: string;
  readonly verdict: Verdict;
  /** Why it failed or was skipped; empty: it passed. */
  readonly reasons: readonly string[];
  readonly checks: readonly Check[];
  readonly notes: readonly string[];
  /** What it printed. */
  readonly console: string;
  /** Virtual time that it took, and time of the host. */
  readonly virtualSeconds: number;
  readonly seconds: number;
}

const CHECK = /^(PASS|FAIL|SKIP|XFAIL|XPASS|KFAIL|KPASS): (.*?)\r?$/gm;

/** The checks that a guest reported on its console. */
export const checksOf = (console: string): Check[] =>
  Array.from(console.matchAll(CHECK), ([, verdict, text]) => ({ verdict: verdict as Check['verdict'], text: text! }));

/** Checks that ended as nobody expected. */
export const failedChecks = (checks: readonly Check[]): Check[] =>
  checks.filter(({ verdict }) => verdict === 'FAIL' || verdict === 'XPASS' || verdict === 'KPASS');
