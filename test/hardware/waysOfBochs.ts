// What bochs 2.7, which may stand in for a processor (oracle.ts), is known to do otherwise than one.
import { VECTOR } from '../../src/x86/names/vectors.ts';
import type { Exception, Observation } from './exceptions.ts';

const ARITHMETIC_FLAGS = 0x8d5n;

const differInFlags = ({ native, guest }: Observation): boolean =>
  ((native.rflags ^ guest.rflags) & ARITHMETIC_FLAGS) !== 0n;

const differInFault = ({ native, guest }: Observation): boolean =>
  native.vector !== guest.vector || native.cr2 !== guest.cr2;

export const WAYS_OF_BOCHS: readonly Exception[] = [
  {
    name: 'VEX.W outside 64-bit mode',
    reason: 'bochs raises #UD for instructions on general registers with VEX.W; 16- and 32-bit code ignores it.',
    vendor: 'bochs',
    manual: 'SDM vol. 2, ANDN',
    tolerates: { everything: true },
    concerns: ({ encoding }) => encoding.vex,
    applies: ({ native }) => native.vector === VECTOR.UD,
  },
  {
    name: 'ADOX without a carry',
    reason: 'bochs clears OF where the addition carries.',
    vendor: 'bochs',
    manual: 'SDM vol. 2, ADOX',
    tolerates: { flags: true },
    concerns: ({ mnemonic }) => mnemonic === 'adox',
    applies: differInFlags,
  },
  {
    name: 'CALL looks late where it goes',
    reason: 'bochs pushes before it looks whether the target is within the code segment.',
    vendor: 'bochs',
    manual: 'SDM vol. 2, CALL',
    tolerates: { memory: true },
    concerns: ({ mnemonic }) => /^callf?$/.test(mnemonic),
    applies: ({ guest }) => guest.vector === VECTOR.GP,
  },
  {
    name: 'a far CALL’s frame around the end of 64 KiB',
    reason: 'bochs finds no room for it where SP passes 0.',
    vendor: 'bochs',
    manual: 'SDM vol. 2, CALL',
    tolerates: { everything: true },
    concerns: ({ mnemonic }) => mnemonic === 'callf',
    applies: ({ native }) => native.vector === VECTOR.SS,
  },
  {
    name: 'reads of a far pointer',
    reason:
      'bochs reads the selector first, processors the offset: it matters when both fault. And 16-bit addresses wrap between the two.',
    vendor: 'bochs',
    manual: 'SDM vol. 2, LFS, leaves it open',
    tolerates: { everything: true },
    concerns: ({ operands }) => operands.some(({ notation }) => notation === 'Mp'),
    applies: differInFault,
  },
  {
    name: 'POP of a segment register reads a word',
    reason:
      'bochs reads a word of the doubleword that it pops, where no manual says so: only the latter may pass a limit or be misaligned.',
    vendor: 'bochs',
    manual: 'SDM vol. 2, POP',
    tolerates: { everything: true },
    concerns: ({ microcode }) => microcode === 'popSegment',
    applies: ({ guest }) => guest.vector === VECTOR.SS || guest.vector === VECTOR.AC,
  },
  {
    name: 'UD0 without operands',
    reason: 'bochs fetches no ModRM byte of UD0, as AMD’s processors do not.',
    vendor: 'bochs',
    manual: 'SDM vol. 2, UD',
    tolerates: { everything: true },
    concerns: ({ mnemonic }) => mnemonic === 'ud0',
    applies: ({ guest }) => guest.vector === VECTOR.GP,
  },
  {
    name: 'order of CMPS’s reads',
    reason: 'bochs reads by rSI first, processors by rDI: it matters when both fault.',
    vendor: 'bochs',
    manual: 'SDM vol. 2, CMPS, leaves it open',
    tolerates: { everything: true },
    concerns: ({ mnemonic }) => mnemonic === 'cmps',
    applies: differInFault,
  },
];
