// What is typed or piped in, recordings of it, and the text screen, as a user meets them.

import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readRecording, writeRecording } from '../../src/cli/recording.ts';
import { Trapline } from './trapline.ts';

const POWER_OFF = 'movl $0x604, %edx\n movl $0x2000, %eax\n outw %ax, %dx\n hlt\n';
/** Echoes the serial line until `q`. */
const ECHO = `_start:
1:      movw $0x3fd, %dx
        inb %dx, %al
        testb $1, %al
        jz 1b
        movw $0x3f8, %dx
        inb %dx, %al
        movb %al, %cl
        outb %al, %dx
        cmpb $'q', %cl
        jne 1b
        ${POWER_OFF}`;
const SLEEPS = '_start: movw $0x3f9, %dx\n movb $1, %al\n outb %al, %dx\n sti\n hlt\n';
const WRITES_TO_SCREEN = `_start: movl $0x07210748, 0xb8000\n ${POWER_OFF}`;

const trapline = new Trapline();
let echo = '';
let recording = '';
beforeAll(async () => {
  await trapline.build();
  echo = trapline.file('echo.s', ECHO);
  recording = trapline.file('run.json', '');
});
afterAll(() => trapline.remove());

describe('standard input', () => {
  it('is the serial line, and its end is no crash', () => {
    const { status, out, err } = trapline.shell(`echo hello | trapline run ${echo} --quiet --max-cycles 20M`);
    expect(out).toBe('hello\n');
    expect(status).toBe(10);
    expect(err).not.toContain('defect');
  });

  it('ends a guest that sleeps until something comes when nothing can come any more', () => {
    const { status, err } = trapline.shell(`trapline run ${trapline.file('sleeps.s', SLEEPS)} --quiet < /dev/null`);
    expect(status).toBe(8);
    expect(err).toContain('every vCPU waits for input, and there is no more');
  });

  it('is not waited for by a guest that does not read it', async () => {
    const process = trapline.start('run', 'guests/hello.s', '--quiet');
    const status = await new Promise((resolve) => process.on('exit', resolve));
    expect(status).toBe(0);
  });
});

describe('a recording', () => {
  it('repeats the run: the same output, the same digest', async () => {
    const first = trapline.shell(`echo hello, q | trapline run ${echo} --quiet --record ${recording} --cpu max`);
    expect(first.status).toBe(0);
    expect(first.err).toContain('recorded 1 arrival of input');
    const again = await trapline.run('run', echo, '--quiet', '--replay', recording);
    expect(again.out).toBe(first.out);
    expect(again.status).toBe(0);
    const { options, end } = readRecording(recording);
    expect(options).toEqual(['--cpu=max']);
    expect(again.err).toContain(`the replay ended as the recorded run did, with digest ${end.digest}`);
  });

  it('says when a run goes another way', async () => {
    const changed = trapline.file('changed.json', '');
    const whole = readRecording(recording);
    writeRecording(changed, { ...whole, input: whole.input.map((entry) => ({ ...entry, at: entry.at + 1_000_000 })) });
    const other = await trapline.run('run', echo, '--quiet', '--replay', changed);
    expect(other.status).toBe(16);
    expect(other.err).toMatch(/the replay went another way: its digest is \w{16}, and that of the recorded run \w{16}/);
  });

  it('is refused with another image, with other options, damaged, cut off, and from a newer trapline', async () => {
    const text = readFileSync(recording, 'utf8');
    const refused = async (file: string, image = echo, ...more: string[]): Promise<string> => {
      const { status, err } = await trapline.run('run', image, '--replay', file, ...more);
      expect(status).toBe(2);
      return err;
    };
    const other = trapline.file('other.s', ECHO.replace("'q'", "'z'"));
    expect(await refused(recording, other)).toContain('was recorded with another image');
    expect(await refused(recording, echo, '--vcpus', '2')).toContain('--vcpus=2 is not how');
    expect(await refused(recording, echo, '--record', 'x')).toContain('two ways to run');
    const damaged = trapline.file('damaged.json', text.replace('"at": ', '"at": 9'));
    expect(await refused(damaged)).toContain('do not match its checksum');
    expect(await refused(trapline.file('cut.json', text.slice(0, -20)))).toContain('or only a part of one');
    expect(await refused(trapline.file('newer.json', text.replace('"version": 1', '"version": 2')))).toContain(
      'by a newer one',
    );
    expect(await refused(trapline.file('other.json', '{"a": 1}'))).toContain('is not a recording');
    expect(await refused('nowhere.json')).toContain('--replay cannot read nowhere.json');
  });
});

describe('the text screen', () => {
  it('is shown at the end when the guest used it, and with --screen in spite of --quiet', async () => {
    const guest = trapline.file('screen.s', WRITES_TO_SCREEN);
    for (const options of [[], ['--quiet', '--screen']]) {
      const { out } = await trapline.run('run', guest, ...options);
      expect(out).toContain(`│H!${' '.repeat(78)}│`);
    }
    expect((await trapline.run('run', guest, '--quiet')).out).toBe('');
  });
});

it('a reset ends the run, and says who asked', async () => {
  const guest = trapline.file('reset.s', '_start: movb $0xfe, %al\n outb %al, $0x64\n hlt\n');
  const { status, err } = await trapline.run('run', guest, '--quiet');
  expect(status).toBe(14);
  expect(err).toContain('guest: reset by the keyboard controller (ports 0x60, 0x64) on vCPU 0');
});

it('the last POST code is told with a crash', async () => {
  const guest = trapline.file('post.s', '_start: movb $0x5c, %al\n outb %al, $0x80\n ud2\n');
  expect((await trapline.run('run', guest)).err).toContain('the last POST code (port 0x80) was 0x5c');
});
