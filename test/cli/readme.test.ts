// What README.md and docs/isa.md show is what the commands print, and their examples run.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { ROOT, Trapline } from './trapline.ts';

const trapline = new Trapline();
afterAll(() => trapline.remove());

const README = readFileSync(join(ROOT, 'README.md'), 'utf8');
const ISA = readFileSync(join(ROOT, 'docs', 'isa.md'), 'utf8');

/** The block of a document that contains a text. */
function block(containing: string, document = README): string {
  const blocks = [...document.matchAll(/^```\w*\n([\s\S]*?)^```$/gm)].map(([, text]) => text!);
  const found = blocks.find((text) => text.includes(containing));
  if (found === undefined) throw new Error(`there is no block with '${containing}'`);
  return found;
}

describe('README.md', () => {
  it('shows what run prints', async () => {
    expect((await trapline.run('run', 'guests/tick.s')).out).toBe(block('ticks of 100000 cycles'));
  });

  it('shows lines of a trace', async () => {
    const { out } = await trapline.run('trace', 'guests/tick.s');
    for (const line of block('exit: what the hypervisor did').trimEnd().split('\n')) expect(out).toContain(`${line}\n`);
  });

  it('shows how a triple fault is explained', async () => {
    expect((await trapline.run('run', 'guests/fault.s', '--quiet')).err).toBe(block('triple fault on vCPU 0'));
  });

  it('shows what the lazy TSC deadline saves', async () => {
    expect((await trapline.run('lab', 'lazy-tscdeadline')).out).toContain(block('tsc-deadline writes'));
  });

  it('shows what the ways of an event to a Xen guest take', async () => {
    expect((await trapline.run('lab', 'xen-evtchn')).out).toContain(block('from the EVTCHNOP_send'));
  }, 60_000);

  it('has a guest that runs', async () => {
    const file = trapline.file('hello.s', block('Says hello and powers off'));
    expect(await trapline.run('run', file, '--quiet')).toEqual({ status: 0, out: 'Hello.\n', err: '' });
  });

  it('names files that exist', () => {
    const linked = [...README.matchAll(/\]\(([^)#:]+)\)/g)].map(([, path]) => path!);
    expect(linked.length).toBeGreaterThan(5);
    for (const path of linked) expect(() => readFileSync(join(ROOT, path)), path).not.toThrow();
  });
});

describe('docs/isa.md', () => {
  it('shows the forms of its example', async () => {
    const [command, ...lines] = block('npx trapline isa andn.32', ISA).trimEnd().split('\n');
    const { out } = await trapline.run(...command!.split(' ').slice(3));
    expect(out).toContain(`${lines.join('\n')}\n`);
  });

  it('shows rows and semantics as they are in the source', () => {
    const source = readFileSync(join(ROOT, 'src', 'x86', 'bit.ts'), 'utf8').replace(/ +/g, ' ');
    for (const code of [block("row('VEX", ISA), block('const andn', ISA)])
      expect(source).toContain(code.trim().replace(/ +/g, ' '));
  });
});
