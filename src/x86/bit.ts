// Rows that test, scan, count, extract and deposit bits, and CRC32.

import { row, type RowOptions } from './row.ts';

const test: RowOptions = { written: 'c', undefined: 'osap' };
const bt: RowOptions = { ...test, access: 'r' };
const bts: RowOptions = { ...test, access: 'rw', lock: true };
const btr: RowOptions = { ...test, access: 'rw', lock: true };
const btc: RowOptions = { ...test, access: 'rw', lock: true };
const bsf: RowOptions = { access: 'rw', written: 'z', undefined: 'osapc' };
const bsr: RowOptions = { access: 'rw', written: 'z', undefined: 'osapc' };
const tzcnt: RowOptions = { written: 'zc', undefined: 'osap', cpuid: 'BMI1' };
const lzcnt: RowOptions = { written: 'zc', undefined: 'osap', cpuid: 'LZCNT' };
const popcnt: RowOptions = { written: 'oszapc', cpuid: 'POPCNT' };
const crc32: RowOptions = { access: 'rw', cpuid: 'SSE4_2' };
const andn: RowOptions = { written: 'oszc', undefined: 'ap', cpuid: 'BMI1' };
const bextr: RowOptions = { written: 'ozc', undefined: 'sap', cpuid: 'BMI1' };
const lowest: RowOptions = { written: 'oszc', undefined: 'ap', cpuid: 'BMI1' };
const bzhi: RowOptions = { written: 'oszc', undefined: 'ap', cpuid: 'BMI2' };
const scatter: RowOptions = { cpuid: 'BMI2' };

// prettier-ignore
export const BIT = [
  row('0F A3 /r',              'bt',     'Ev,Gv',    bt),
  row('0F AB /r',              'bts',    'Ev,Gv',    bts),
  row('0F B3 /r',              'btr',    'Ev,Gv',    btr),
  row('F3 0F B8 /r',           'popcnt', 'Gv,Ev',    popcnt),
  row('0F BA /4',              'bt',     'Ev,Ib',    bt),
  row('0F BA /5',              'bts',    'Ev,Ib',    bts),
  row('0F BA /6',              'btr',    'Ev,Ib',    btr),
  row('0F BA /7',              'btc',    'Ev,Ib',    btc),
  row('0F BB /r',              'btc',    'Ev,Gv',    btc),
  row('0F BC /r',              'bsf',    'Gv,Ev',    bsf),
  row('F3 0F BC /r',           'tzcnt',  'Gv,Ev',    tzcnt),
  row('0F BD /r',              'bsr',    'Gv,Ev',    bsr),
  row('F3 0F BD /r',           'lzcnt',  'Gv,Ev',    lzcnt),
  row('F2 0F 38 F0 /r',        'crc32',  'Gy,Eb',    crc32),
  row('F2 0F 38 F1 /r',        'crc32',  'Gy,Ev',    crc32),
  row('VEX.128.NP.0F38 F2 /r', 'andn',   'Gy,By,Ey', andn),
  row('VEX.128.NP.0F38 F3 /1', 'blsr',   'By,Ey',    lowest),
  row('VEX.128.NP.0F38 F3 /2', 'blsmsk', 'By,Ey',    lowest),
  row('VEX.128.NP.0F38 F3 /3', 'blsi',   'By,Ey',    lowest),
  row('VEX.128.NP.0F38 F5 /r', 'bzhi',   'Gy,Ey,By', bzhi),
  row('VEX.128.F3.0F38 F5 /r', 'pext',   'Gy,By,Ey', scatter),
  row('VEX.128.F2.0F38 F5 /r', 'pdep',   'Gy,By,Ey', scatter),
  row('VEX.128.NP.0F38 F7 /r', 'bextr',  'Gy,Ey,By', bextr),
];
