// Rows of shifts and rotates. Their flags stay as they are when the count is 0, and OF is defined for a count of 1 only.

import { row, type RowOptions } from './row.ts';

const rotate: RowOptions = { access: 'rw', written: 'oc', undefined: 'o' };
const rol: RowOptions = rotate;
const ror: RowOptions = { ...rotate };
const rcl: RowOptions = { ...rotate, read: 'c' };
const rcr: RowOptions = { ...rotate, read: 'c' };
const shift: RowOptions = { access: 'rw', written: 'oszpc', undefined: 'oa' };
const shl: RowOptions = shift;
const shr: RowOptions = { ...shift };
const sar: RowOptions = { ...shift };
const shld: RowOptions = { ...shift };
const shrd: RowOptions = { ...shift };
const flagless: RowOptions = { cpuid: 'BMI2' };

// prettier-ignore
export const SHIFT = [
  row('C0 /0',    'rol',  'Eb,Ib',    rol),
  row('C0 /1',    'ror',  'Eb,Ib',    ror),
  row('C0 /2',    'rcl',  'Eb,Ib',    rcl),
  row('C0 /3',    'rcr',  'Eb,Ib',    rcr),
  row('C0 /4',    'shl',  'Eb,Ib',    shl),
  row('C0 /5',    'shr',  'Eb,Ib',    shr),
  row('C0 /6',    'shl',  'Eb,Ib',    shl),
  row('C0 /7',    'sar',  'Eb,Ib',    sar),
  row('C1 /0',    'rol',  'Ev,Ib',    rol),
  row('C1 /1',    'ror',  'Ev,Ib',    ror),
  row('C1 /2',    'rcl',  'Ev,Ib',    rcl),
  row('C1 /3',    'rcr',  'Ev,Ib',    rcr),
  row('C1 /4',    'shl',  'Ev,Ib',    shl),
  row('C1 /5',    'shr',  'Ev,Ib',    shr),
  row('C1 /6',    'shl',  'Ev,Ib',    shl),
  row('C1 /7',    'sar',  'Ev,Ib',    sar),
  row('D0 /0',    'rol',  'Eb,1',     rol),
  row('D0 /1',    'ror',  'Eb,1',     ror),
  row('D0 /2',    'rcl',  'Eb,1',     rcl),
  row('D0 /3',    'rcr',  'Eb,1',     rcr),
  row('D0 /4',    'shl',  'Eb,1',     shl),
  row('D0 /5',    'shr',  'Eb,1',     shr),
  row('D0 /6',    'shl',  'Eb,1',     shl),
  row('D0 /7',    'sar',  'Eb,1',     sar),
  row('D1 /0',    'rol',  'Ev,1',     rol),
  row('D1 /1',    'ror',  'Ev,1',     ror),
  row('D1 /2',    'rcl',  'Ev,1',     rcl),
  row('D1 /3',    'rcr',  'Ev,1',     rcr),
  row('D1 /4',    'shl',  'Ev,1',     shl),
  row('D1 /5',    'shr',  'Ev,1',     shr),
  row('D1 /6',    'shl',  'Ev,1',     shl),
  row('D1 /7',    'sar',  'Ev,1',     sar),
  row('D2 /0',    'rol',  'Eb,CL',    rol),
  row('D2 /1',    'ror',  'Eb,CL',    ror),
  row('D2 /2',    'rcl',  'Eb,CL',    rcl),
  row('D2 /3',    'rcr',  'Eb,CL',    rcr),
  row('D2 /4',    'shl',  'Eb,CL',    shl),
  row('D2 /5',    'shr',  'Eb,CL',    shr),
  row('D2 /6',    'shl',  'Eb,CL',    shl),
  row('D2 /7',    'sar',  'Eb,CL',    sar),
  row('D3 /0',    'rol',  'Ev,CL',    rol),
  row('D3 /1',    'ror',  'Ev,CL',    ror),
  row('D3 /2',    'rcl',  'Ev,CL',    rcl),
  row('D3 /3',    'rcr',  'Ev,CL',    rcr),
  row('D3 /4',    'shl',  'Ev,CL',    shl),
  row('D3 /5',    'shr',  'Ev,CL',    shr),
  row('D3 /6',    'shl',  'Ev,CL',    shl),
  row('D3 /7',    'sar',  'Ev,CL',    sar),
  row('0F A4 /r', 'shld', 'Ev,Gv,Ib', shld),
  row('0F A5 /r', 'shld', 'Ev,Gv,CL', shld),
  row('0F AC /r', 'shrd', 'Ev,Gv,Ib', shrd),
  row('0F AD /r', 'shrd', 'Ev,Gv,CL', shrd),
  row('VEX.128.66.0F38 F7 /r', 'shlx', 'Gy,Ey,By', flagless),
  row('VEX.128.F3.0F38 F7 /r', 'sarx', 'Gy,Ey,By', flagless),
  row('VEX.128.F2.0F38 F7 /r', 'shrx', 'Gy,Ey,By', flagless),
  row('VEX.128.F2.0F3A F0 /r', 'rorx', 'Gy,Ey,Ib', flagless),
];
