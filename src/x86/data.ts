// Rows that move data without computing: MOV, XCHG, LEA, extensions, conditional moves, byte order.

import { conditional, row, type RowOptions } from './row.ts';

const mov: RowOptions = {};
const xchg: RowOptions = { access: 'rw rw', lock: true };
const lea: RowOptions = { access: 'w n' };
const movzx: RowOptions = {};
const movsx: RowOptions = {};
const movbe: RowOptions = { cpuid: 'MOVBE' };
const cmov: RowOptions = { access: 'rw', cpuid: 'CMOV' };
const set: RowOptions = { access: 'w' };
const bswap: RowOptions = { access: 'rw' };
const xlat: RowOptions = { addressed: 'memory', size: 'b' };
const direct: RowOptions = { cpuid: 'MOVDIRI' };
const direct64: RowOptions = { access: 'r r', cpuid: 'MOVDIR64B' };

// prettier-ignore
export const DATA = [
  row('63 /r',            'movsxd',    'Gv,Ez',   { ...movsx, modes: 'only64' }),
  row('86 /r',            'xchg',      'Eb,Gb',   xchg),
  row('87 /r',            'xchg',      'Ev,Gv',   xchg),
  row('88 /r',            'mov',       'Eb,Gb',   mov),
  row('89 /r',            'mov',       'Ev,Gv',   mov),
  row('8A /r',            'mov',       'Gb,Eb',   mov),
  row('8B /r',            'mov',       'Gv,Ev',   mov),
  row('8D /r',            'lea',       'Gv,M',    lea),
  row('90+r',             'xchg',      'Zv,rAX',  xchg),
  row('A0',               'mov',       'AL,Ob',   mov),
  row('A1',               'mov',       'rAX,Ov',  mov),
  row('A2',               'mov',       'Ob,AL',   mov),
  row('A3',               'mov',       'Ov,rAX',  mov),
  row('B0+r',             'mov',       'Zb,Ib',   mov),
  row('B8+r',             'mov',       'Zv,Iv',   mov),
  row('C6 /0',            'mov',       'Eb,Ib',   mov),
  row('C7 /0',            'mov',       'Ev,Iz',   mov),
  row('D7',               'xlat',      '',        xlat),
  ...conditional('0F 40+cc /r', 'cmovCC', 'Gv,Ev', cmov),
  ...conditional('0F 90+cc /r', 'setCC', 'Eb',    set),
  row('0F B6 /r',         'movzx',     'Gv,Eb',   movzx),
  row('0F B7 /r',         'movzx',     'Gv,Ew',   movzx),
  row('0F BE /r',         'movsx',     'Gv,Eb',   movsx),
  row('0F BF /r',         'movsx',     'Gv,Ew',   movsx),
  row('NP 0F C3 /r',      'movnti',    'My,Gy',   { cpuid: 'SSE2' }),
  row('0F C8+r',          'bswap',     'Zv',      bswap),
  row('NFx 0F 38 F0 /r',  'movbe',     'Gv,Mv',   movbe),
  row('NFx 0F 38 F1 /r',  'movbe',     'Mv,Gv',   movbe),
  row('66 0F 38 F8 /r',   'movdir64b', 'Gam,M',   direct64),
  row('NP 0F 38 F9 /r',   'movdiri',   'My,Gy',   direct),
];
