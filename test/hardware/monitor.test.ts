// bochs in the processor's place: the monitor's answers, and what trapline makes of the same cases. All of them are recorded; here are a few.
import { beforeAll, describe, expect, it } from 'vitest';
import { ROWS } from '../../src/x86/rows.ts';
import { bochs } from '../peers/bochs.ts';
import { askRows, type Answer } from './ask.ts';
import { describeCase } from './compare.ts';
import { userGuest } from './guest.ts';
import { CS, selectorOf } from './localSegments.ts';
import { askPeer } from './monitor.ts';
import { NATIVE, type NativeCase } from './nativeCase.ts';
import { identifyBochs, type Oracle } from './oracle.ts';
import { plainScene } from './scene.ts';

const available = bochs.available();
const where = available === true ? '' : ` (skipped: ${available})`;
const MNEMONICS = ['add', 'pusha', 'daa', 'bound', 'les', 'jmpf', 'iret', 'arpl', 'call', 'movs'];
const [INTO, HLT] = [0xce, 0xf4];
const OF = 0x800n;
const [ES, SS] = [0, 2];

const test = (bytes: readonly number[], changes: Partial<NativeCase> = {}): NativeCase => ({
  bytes: Uint8Array.from(bytes),
  offset: 0x10,
  step: false,
  gpr: Array.from({ length: 16 }, (_, i) => (i < 8 ? BigInt(0x1234_5678 + i) : 0n)),
  rflags: 2n,
  window: new Uint8Array(NATIVE.WINDOW_SIZE),
  selectors: plainScene(16),
  ...changes,
});

describe.skipIf(available !== true)(`bochs under the monitor${where}`, { timeout: 120_000 }, () => {
  let oracle: Oracle;
  beforeAll(async () => {
    oracle = { host: await identifyBochs(), ask: (cases) => askPeer(bochs, cases) };
  }, 60_000);

  it('begins a case with its registers and segments, and says where it ends', async () => {
    const [retired, trapped, forbidden] = await oracle.ask([
      test([0x40]),
      test([INTO], { rflags: OF | 2n }),
      test([HLT]),
    ]);
    expect(retired).toMatchObject({ vector: null, rip: 0x11n, selectors: plainScene(16), fsBase: 0x2fff_1000n });
    expect(retired!.gpr.slice(0, 5)).toEqual([0x1234_5679n, 0x1234_5679n, 0x1234_567an, 0x1234_567bn, 0x1234_567cn]);
    expect(trapped).toMatchObject({ vector: 4, rip: 0x11n });
    expect(forbidden).toMatchObject({ vector: 13, errorCode: 0, rip: 0x10n });
  });

  it('keeps the upper half of ESP on a 16-bit stack', async () => {
    const gpr = test([]).gpr.with(4, 0xabcd_1000n);
    const [pushed] = await oracle.ask([test([0x50], { gpr })]);
    expect(pushed!.gpr[4]).toBe(0xabcd_0ffen);
    expect([...pushed!.window.subarray(0x7e, 0x80)]).toEqual([0x78, 0x56]);
  });

  it.each([
    ['execute-only code in ES', ES, selectorOf(5)],
    ['a stack that may not be written', SS, selectorOf(16)],
  ])('says so when a case cannot begin: %s', async (_, segment, selector) => {
    const selectors = plainScene(16).with(segment, selector);
    await expect(oracle.ask([test([0x90], { selectors })])).rejects.toThrow('the monitor ran into exception 13');
  });

  describe.each([32, 16] as const)('and trapline in %i-bit code', (bits) => {
    let answers: readonly Answer[];
    beforeAll(async () => {
      const rows = MNEMONICS.map((mnemonic) => ROWS.find((row) => row.mnemonic === mnemonic)!);
      const run = userGuest({ xcr0: oracle.host.xcr0 });
      answers = [...(await askRows(rows, bits, 30, 5, oracle, run)).values()].flat();
    }, 120_000);

    it('agree', () => {
      const found = answers.filter(({ differing }) => differing.length > 0);
      expect(found.map(({ differing, test: of }) => `${differing.join('; ')}\n  ${describeCase(of)}`)).toEqual([]);
    });

    it('do most of it without a fault, in segments of all kinds', () => {
      expect(answers.filter(({ native }) => native.vector === null).length).toBeGreaterThan(answers.length / 3);
      expect(new Set(answers.map(({ test: of }) => of.selectors![CS])).size).toBeGreaterThan(4);
    });
  });
});
