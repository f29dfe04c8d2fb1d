// Results as JUnit XML, as CI systems read it: a testsuite for each case, a testcase for each check that its guest reported, or
// for the case itself when it reported none. What fails a case beside its checks is a testcase of its own.

import { failedChecks, type Check, type TestResult } from './testCase.ts';

interface Testcase {
  readonly name: string;
  readonly failure: string | null;
  readonly skipped: string | null;
}

/** The whole document. */
export function junit(results: readonly TestResult[]): string {
  const suites = results.map(suite);
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites name="trapline">`,
    ...suites,
    '</testsuites>',
    '',
  ].join('\n');
}

function suite(result: TestResult): string {
  const cases = testcases(result);
  const failures = cases.filter(({ failure }) => failure !== null).length;
  const skipped = cases.filter((each) => each.skipped !== null).length;
  const attributes = `name="${xml(result.name)}" tests="${cases.length}" failures="${failures}" errors="0" skipped="${skipped}" time="${result.seconds.toFixed(3)}"`;
  const body = cases.map((each) => testcase(result.name, each));
  const output = result.console === '' ? [] : [`    <system-out>${xml(result.console)}</system-out>`];
  return [`  <testsuite ${attributes}>`, ...body, ...output, '  </testsuite>'].join('\n');
}

function testcases({ name, verdict, reasons, checks }: TestResult): Testcase[] {
  if (verdict === 'skip') return [{ name, failure: null, skipped: reasons.join('\n') }];
  const cases = checks.map(ofCheck);
  const failed = new Set(failedChecks(checks).map((check) => `${check.verdict}: ${check.text}`));
  const others = reasons.filter((reason) => !failed.has(reason));
  if (verdict === 'not ok' && (others.length > 0 || failed.size === 0))
    cases.push({ name, failure: others.join('\n'), skipped: null });
  else if (cases.length === 0) cases.push({ name, failure: null, skipped: null });
  return cases;
}

const ofCheck = (check: Check): Testcase => ({
  name: check.text,
  failure: failedChecks([check]).length > 0 ? check.verdict : null,
  skipped: check.verdict === 'SKIP' ? 'skipped by the guest' : null,
});

function testcase(suiteName: string, { name, failure, skipped }: Testcase): string {
  const head = `    <testcase classname="${xml(suiteName)}" name="${xml(name)}"`;
  if (failure !== null)
    return `${head}><failure message="${xml(failure.split('\n')[0]!)}">${xml(failure)}</failure></testcase>`;
  return skipped === null ? `${head}/>` : `${head}><skipped message="${xml(skipped)}"/></testcase>`;
}

/** XML 1.0 has no place for most control characters, escaped or not. */
// eslint-disable-next-line no-control-regex -- these are what must go
const FORBIDDEN = /[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]/g;
const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  '\n': '&#10;',
};
const xml = (text: string): string => text.replace(FORBIDDEN, '?').replace(/[&<>"\n]/g, (char) => ENTITIES[char]!);
