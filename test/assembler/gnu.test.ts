// The same source through GNU as and ld: images must be equal to the byte, and the linked ELF file must load to the same image.

import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { assemble } from '../../src/assembler/assemble.ts';
import { DEFAULT_ORIGIN, type Image } from '../../src/vmm/image.ts';
import { loadElf64 } from '../../src/vmm/loaders/elf.ts';
import { flatten, gnu, isInstalled, repository, ROOT, WITHOUT_GNU } from './assembling.ts';

const guests = readdirSync(join(ROOT, 'guests')).filter((name) => name.endsWith('.s'));
const sources = ['test/assembler/corpus.s', 'test/assembler/corpus16.s', ...guests.map((name) => `guests/${name}`)];

/** The first statement whose bytes differ, for a message that shows where to look. */
function firstDifference(image: Image, ours: string, theirs: string): string | null {
  if (ours === theirs) return null;
  let at = 0;
  while (ours.slice(at, at + 2) === theirs.slice(at, at + 2)) at += 2;
  const address = BigInt(DEFAULT_ORIGIN + at / 2);
  const line = image.listing?.find(
    ({ address: start, bytes }) => address >= start && address < start + BigInt(bytes.length),
  );
  const from = line === undefined ? at : 2 * Number(line.address - BigInt(DEFAULT_ORIGIN));
  return `${line?.file}:${line?.line}: ${line?.text}\n  trapline ${ours.slice(from, from + 40)}\n  GNU as   ${theirs.slice(from, from + 40)}`;
}

describe.skipIf(WITHOUT_GNU !== null)(
  `compared with GNU as${WITHOUT_GNU === null ? '' : ` (skipped: ${WITHOUT_GNU})`}`,
  () => {
    it.each(sources)('%s assembles to the same bytes', async (file) => {
      const source = readFileSync(join(ROOT, file), 'utf8');
      const image = await assemble(source, { file, origin: DEFAULT_ORIGIN, read: repository });
      const ours = Buffer.from(flatten(image)).toString('hex');
      expect(firstDifference(image, ours, gnu(source).flat)).toBeNull();
    });

    it('a thousand branches, each pushing the one before out of reach, settle in the same shape', async () => {
      // Every target is exactly 127 bytes away as long as the two branches in between are short.
      const link = (i: number): string => `jmp t${i}\n.skip 7\nt${i - 2}:\n.skip 51`;
      const source = `t_start:\n${Array.from({ length: 1000 }, (_, i) => link(i + 2)).join('\n')}\nt1000:\n.skip 200\nt1001:`;
      const assembled = await assemble(source, { file: 'chain.s', origin: DEFAULT_ORIGIN, read: () => null });
      const ours = Buffer.from(flatten(assembled)).toString('hex');
      expect(ours).toContain('e9');
      expect(firstDifference(assembled, ours, gnu(source).flat)).toBeNull();
    });

    it.each(guests)('guests/%s linked by GNU ld loads to the same memory, entry and symbols', async (name) => {
      const file = `guests/${name}`;
      const source = readFileSync(join(ROOT, file), 'utf8');
      const assembled = await assemble(source, { file, origin: DEFAULT_ORIGIN, read: repository });
      const linked = loadElf64(gnu(source).elf);
      expect(linked.entry).toBe(assembled.entry);
      expect(Buffer.from(flatten(linked)).equals(flatten(assembled))).toBe(true);
      for (const { name: symbol, address, kind } of linked.symbols) {
        expect([symbol, assembled.symbols.find(symbol)?.address]).toEqual([symbol, address]);
        // A label behind the last byte of a section names nothing.
        if (kind !== 'absolute') expect(assembled.symbols.lookup(address)?.offset ?? 0n).toBe(0n);
      }
    });
  },
);

const WITHOUT_GCC = WITHOUT_GNU ?? (isInstalled('gcc') ? null : 'gcc is not installed');

/** Tables, strings, statics, a switch, divisions, floating point, inline assembly. */
const C = `
struct entry { int key; char name[12]; unsigned long weight; };
static struct entry table[4] = {{1, "abc", 2}, {3, "def", 4}};
const char *names[] = {"zero", "one", "two"};
static int counters[100];
double scale = 1.5;
static void put(const char *text) { while (*text) __asm__ volatile("outb %b0, $0xe9" : : "a"(*text++)); }
int choose(int x) { switch (x) { case 0: return 5; case 1: return 77; case 2: return 9; case 3: return 1000; case 4: return 3; case 5: return 8; } return -1; }
unsigned long work(unsigned long n) {
  unsigned long sum = 0;
  for (unsigned long i = 0; i < n; i++) { sum += table[i & 3].weight * i; counters[i % 100] += choose(i); if (sum > 1000000) sum /= 7; }
  return sum * scale;
}
void _start(void) { put(names[work(10) % 3]); __atomic_fetch_add(&counters[2], 1, __ATOMIC_SEQ_CST); for (;;) __asm__ volatile("cli; hlt"); }
`;

describe.skipIf(WITHOUT_GCC !== null)(
  `what gcc writes${WITHOUT_GCC === null ? '' : ` (skipped: ${WITHOUT_GCC})`}`,
  () => {
    it.each(['-O0', '-O2', '-O3', '-Os'])('at %s assembles to the same bytes', async (level) => {
      const flags = [
        '-S',
        '-xc',
        level,
        '-fno-pic',
        '-fcf-protection=none',
        '-fno-asynchronous-unwind-tables',
        '-ffreestanding',
      ];
      const source = execFileSync('gcc', [...flags, '-o', '-', '-'], { input: C, encoding: 'utf8' });
      const image = await assemble(source, { file: 'guest.s', origin: DEFAULT_ORIGIN, read: () => null });
      const ours = Buffer.from(flatten(image)).toString('hex');
      expect(firstDifference(image, ours, gnu(source).flat)).toBeNull();
      expect(image.symbols.find('table')).toMatchObject({ kind: 'object', size: 96 });
      expect(image.symbols.find('work')).toMatchObject({ kind: 'function', global: true });
    });
  },
);
