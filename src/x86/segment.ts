// Rows that load and store segment registers, and what does it on the way: far transfers, interrupts, returns.

import { interruptReturn } from './interruptReturn.ts';
import { row, type RowOptions } from './row.ts';

const load: RowOptions = { microcode: 'loadSegment', endsBlock: true };
const store: RowOptions = { microcode: 'storeSegment' };
const push: RowOptions = { d64: true, stack: true, size: 'v', access: 'r', microcode: 'pushSegment' };
const pop: RowOptions = { d64: true, stack: true, size: 'v', access: 'w', microcode: 'popSegment', endsBlock: true };
const no64 = { modes: 'no64' } as const;
const far: RowOptions = { endsBlock: true, access: 'r' };
const iret: RowOptions = {
  endsBlock: true,
  stack: true,
  size: 'v',
  written: 'oszapcditrvx',
  semantics: interruptReturn,
  microcode: 'iret',
};
const interrupt: RowOptions = { endsBlock: true, stack: true, exits: 'EXCEPTION_NMI', written: 'itr' };

// prettier-ignore
export const SEGMENT_ROWS = [
  row('06',       'push', 'ES',      { ...push, ...no64 }),
  row('07',       'pop',  'ES',      { ...pop, ...no64 }),
  row('0E',       'push', 'CS',      { ...push, ...no64 }),
  row('16',       'push', 'SS',      { ...push, ...no64 }),
  row('17',       'pop',  'SS',      { ...pop, ...no64 }),
  row('1E',       'push', 'DS',      { ...push, ...no64 }),
  row('1F',       'pop',  'DS',      { ...pop, ...no64 }),
  row('63 /r',    'arpl', 'Ew,Gw',   { access: 'rw', written: 'z', modes: 'no64', microcode: 'arpl' }),
  row('8C /r',    'mov',  'Rv/Mw,Sw', store),
  row('8E /r',    'mov',  'Sw,Ew',   load),
  row('9A',       'callf', 'Ap',     { ...far, ...no64, stack: true, microcode: 'farCall' }),
  row('C4 /r',    'les',  'Gz,Mp',   { ...load, ...no64, microcode: 'les' }),
  row('C5 /r',    'lds',  'Gz,Mp',   { ...load, ...no64, microcode: 'lds' }),
  row('CA',       'retf', 'Iw',      { ...far, size: 'v', stack: true, microcode: 'farReturn' }),
  row('CB',       'retf', '',        { ...far, size: 'v', stack: true, microcode: 'farReturn' }),
  row('CC',       'int3', '',        { ...interrupt, microcode: 'int3' }),
  row('CD',       'int',  'Ib',      { ...interrupt, microcode: 'int' }),
  row('CE',       'into', '',        { ...interrupt, ...no64, read: 'o', microcode: 'into' }),
  row('CF',       'iret', '',        iret),
  row('EA',       'jmpf', 'Ap',      { ...far, ...no64, microcode: 'farJump' }),
  row('F1',       'int1', '',        { ...interrupt, microcode: 'int1' }),
  row('FF /3',    'callf', 'Mp',     { ...far, stack: true, microcode: 'farCall' }),
  row('FF /5',    'jmpf', 'Mp',      { ...far, microcode: 'farJump' }),
  row('0F A0',    'push', 'FS',      push),
  row('0F A1',    'pop',  'FS',      pop),
  row('0F A8',    'push', 'GS',      push),
  row('0F A9',    'pop',  'GS',      pop),
  row('0F B2 /r', 'lss',  'Gv,Mp',   { ...load, microcode: 'lss' }),
  row('0F B4 /r', 'lfs',  'Gv,Mp',   { ...load, microcode: 'lfs' }),
  row('0F B5 /r', 'lgs',  'Gv,Mp',   { ...load, microcode: 'lgs' }),
];
