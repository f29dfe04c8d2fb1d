// Rows of port I/O.

import { row, type RowOptions } from './row.ts';
import { RAX, RDX } from './semantics.ts';

const port: RowOptions = { exits: 'IO_INSTRUCTION', endsBlock: true };
/** AL and AX keep what is above them: it is part of the question, as it is of the answer. */
const input: RowOptions = { ...port, answer: { from: [RDX], to: [RAX], within: [RAX], counts: true }, microcode: 'in' };
const output: RowOptions = { ...port, access: 'r', answer: { from: [RDX, RAX], to: [] }, microcode: 'out' };
const ins: RowOptions = { ...port, rep: 'rep', addressed: 'memory', read: 'd', microcode: 'ins' };
const outs: RowOptions = { ...port, rep: 'rep', addressed: 'memory', read: 'd', access: 'r', microcode: 'outs' };

// prettier-ignore
export const IO = [
  row('6C', 'ins',  'Yb,DX',  ins),
  row('6D', 'ins',  'Yz,DX',  ins),
  row('6E', 'outs', 'DX,Xb',  outs),
  row('6F', 'outs', 'DX,Xz',  outs),
  row('E4', 'in',   'AL,Ib',  input),
  row('E5', 'in',   'eAX,Ib', input),
  row('E6', 'out',  'Ib,AL',  output),
  row('E7', 'out',  'Ib,eAX', output),
  row('EC', 'in',   'AL,DX',  input),
  row('ED', 'in',   'eAX,DX', input),
  row('EE', 'out',  'DX,AL',  { ...output, size: 'b' }), // the port's number has two bytes
  row('EF', 'out',  'DX,eAX', output),
];
