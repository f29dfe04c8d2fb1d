// `trapline run` with --snapshot-at, --snapshot-to and --restore.

import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Trapline } from './trapline.ts';

const trapline = new Trapline();
const file = join(trapline.folder, 'tick.snap');
const TICK = 'guests/tick.s';

beforeAll(async () => {
  const saved = await trapline.run('run', TICK, '--snapshot-at', '300k', '--snapshot-to', file);
  expect(saved.status).toBe(0);
  expect(saved.err).toContain(`snapshot at cycle 300000 written to ${file}`);
});
afterAll(() => trapline.remove());

describe('trapline run', () => {
  it('goes on from a snapshot and ends as the run that was saved', async () => {
    const whole = await trapline.run('run', TICK, '--quiet');
    const restored = await trapline.run('run', '--restore', file, '--quiet');
    expect(restored.status).toBe(whole.status);
    expect(whole.out.endsWith(restored.out)).toBe(true);
  });

  it('takes the file that was booted, to check it', async () => {
    expect((await trapline.run('run', '--restore', file, TICK, '--quiet')).status).toBe(0);
    const other = await trapline.run('run', '--restore', file, 'guests/hello.s', '--quiet');
    expect(other.status).toBe(4);
    expect(other.err).toContain('another image');
  });

  it('refuses a damaged snapshot and says what to try', async () => {
    const damaged = join(trapline.folder, 'damaged.snap');
    writeFileSync(damaged, readFileSync(file).fill(0x55, 5000, 5001));
    const { status, err } = await trapline.run('run', '--restore', damaged);
    expect(status).toBe(4);
    expect(err).toMatch(/damaged\.snap: the snapshot is damaged.*\nTry: /);
  });

  it('refuses options of the machine beside --restore', async () => {
    const { status, err } = await trapline.run('run', '--restore', file, '--vcpus', '2');
    expect(status).toBe(2);
    expect(err).toContain('--vcpus belongs to the machine of the snapshot');
  });

  it('wants both, a moment and a file', async () => {
    expect((await trapline.run('run', TICK, '--snapshot-at', '1k')).err).toContain('give --snapshot-to FILE too');
    expect((await trapline.run('run', TICK, '--snapshot-to', file)).err).toContain('give --snapshot-at N too');
  });

  it('says when the guest ended before', async () => {
    const late = join(trapline.folder, 'late.snap');
    const { err } = await trapline.run('run', 'guests/hello.s', '--snapshot-at', '10G', '--snapshot-to', late);
    expect(err).toContain('no snapshot was taken');
    expect(existsSync(late)).toBe(false);
  });

  it('leaves the old file when it cannot write the new one, and nothing else behind', async () => {
    const { status, err } = await trapline.run('run', TICK, '--snapshot-at', '1k', '--snapshot-to', '/dev/null/x.snap');
    expect(status).toBe(4);
    expect(err).toContain('cannot write /dev/null/x.snap');
    expect(readdirSync(trapline.folder).filter((name) => name.includes('.part'))).toEqual([]);
  });
});
