// Results as TAP 14 (testanything.org): a test point for each case, with the checks that its guest reported as a subtest where
// they are wanted, and a YAML block behind each failure.

import { failedChecks, type Check, type TestResult } from './testCase.ts';

export const tapHead = (count: number): string[] => ['TAP version 14', `1..${count}`];

/** The lines of one result. `number` counts from 1. */
export function tapLines(number: number, result: TestResult, { subtests }: { subtests: boolean }): string[] {
  const { name, verdict, reasons, checks, notes } = result;
  const directive = verdict === 'skip' ? ` # SKIP ${escape(reasons.join('; '))}` : '';
  const lines = notes.map((note) => `# ${name}: ${note}`);
  if (subtests && checks.length > 0) lines.push(...subtest(name, checks));
  lines.push(`${verdict === 'not ok' ? 'not ok' : 'ok'} ${number} - ${escape(name)}${countText(result)}${directive}`);
  if (verdict === 'not ok') lines.push(...diagnosis(result));
  return lines;
}

/** `(56 checks)`, `(2 of 56 checks failed)`. */
function countText({ checks }: TestResult): string {
  const failed = failedChecks(checks).length;
  if (checks.length === 0) return '';
  const all = `${checks.length} check${checks.length === 1 ? '' : 's'}`;
  return failed === 0 ? ` (${all})` : ` (${failed} of ${all} failed)`;
}

function subtest(name: string, checks: readonly Check[]): string[] {
  const points = checks.map((check, i) => {
    const ok = failedChecks([check]).length === 0 && check.verdict !== 'XFAIL' && check.verdict !== 'KFAIL';
    const directive =
      check.verdict === 'SKIP' ? ' # SKIP' : /^[XK]/.test(check.verdict) ? ` # TODO ${check.verdict}` : '';
    return `    ${ok ? 'ok' : 'not ok'} ${i + 1} - ${escape(check.text)}${directive}`;
  });
  return [`# Subtest: ${name}`, ...points, `    1..${checks.length}`];
}

/** How much of a console is shown with a failure, in lines. */
const LAST_LINES = 12;

function diagnosis({ reasons, console, virtualSeconds, file }: TestResult): string[] {
  const last = console.replaceAll('\r', '').trimEnd().split('\n').slice(-LAST_LINES);
  return [
    '  ---',
    `  file: ${JSON.stringify(file)}`,
    `  virtual-seconds: ${virtualSeconds.toFixed(6)}`,
    '  reasons:',
    ...reasons.map((reason) => `    - ${JSON.stringify(reason)}`),
    ...(console.trim() === '' ? [] : ['  console: |', ...last.map((line) => `    ${line}`)]),
    '  ...',
  ];
}

/** `#` begins a directive. */
const escape = (text: string): string => text.replaceAll('\\', '\\\\').replaceAll('#', '\\#').replaceAll('\n', ' ');
