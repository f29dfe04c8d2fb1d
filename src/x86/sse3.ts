// Rows of SSE3 and SSSE3.

import { row, type RowOptions } from './row.ts';

const sse3: RowOptions = { cpuid: 'SSE3' };
const sse3Update: RowOptions = { access: 'rw', cpuid: 'SSE3' };
const ssse3Update: RowOptions = { access: 'rw', cpuid: 'SSSE3' };
const ssse3: RowOptions = { cpuid: 'SSSE3' };

// prettier-ignore
export const SSE3 = [
  row('F3 0F 12 /r',    'movsldup',   'Vps,Wps',     sse3),
  row('F2 0F 12 /r',    'movddup',    'Vsd,Wsd',     sse3),
  row('F3 0F 16 /r',    'movshdup',   'Vps,Wps',     sse3),
  row('66 0F 7C /r',    'haddpd',     'Vpd,Wpd',     sse3Update),
  row('F2 0F 7C /r',    'haddps',     'Vps,Wps',     sse3Update),
  row('66 0F 7D /r',    'hsubpd',     'Vpd,Wpd',     sse3Update),
  row('F2 0F 7D /r',    'hsubps',     'Vps,Wps',     sse3Update),
  row('66 0F D0 /r',    'addsubpd',   'Vpd,Wpd',     sse3Update),
  row('F2 0F D0 /r',    'addsubps',   'Vps,Wps',     sse3Update),
  row('F2 0F F0 /r',    'lddqu',      'Vdq,Mdq',     sse3),
  row('66 0F 38 00 /r', 'pshufb',     'Vdq,Wdq',     ssse3Update),
  row('66 0F 38 01 /r', 'phaddw',     'Vdq,Wdq',     ssse3Update),
  row('66 0F 38 02 /r', 'phaddd',     'Vdq,Wdq',     ssse3Update),
  row('66 0F 38 03 /r', 'phaddsw',    'Vdq,Wdq',     ssse3Update),
  row('66 0F 38 04 /r', 'pmaddubsw',  'Vdq,Wdq',     ssse3Update),
  row('66 0F 38 05 /r', 'phsubw',     'Vdq,Wdq',     ssse3Update),
  row('66 0F 38 06 /r', 'phsubd',     'Vdq,Wdq',     ssse3Update),
  row('66 0F 38 07 /r', 'phsubsw',    'Vdq,Wdq',     ssse3Update),
  row('66 0F 38 08 /r', 'psignb',     'Vdq,Wdq',     ssse3Update),
  row('66 0F 38 09 /r', 'psignw',     'Vdq,Wdq',     ssse3Update),
  row('66 0F 38 0A /r', 'psignd',     'Vdq,Wdq',     ssse3Update),
  row('66 0F 38 0B /r', 'pmulhrsw',   'Vdq,Wdq',     ssse3Update),
  row('66 0F 38 1C /r', 'pabsb',      'Vdq,Wdq',     ssse3),
  row('66 0F 38 1D /r', 'pabsw',      'Vdq,Wdq',     ssse3),
  row('66 0F 38 1E /r', 'pabsd',      'Vdq,Wdq',     ssse3),
  row('66 0F 3A 0F /r', 'palignr',    'Vdq,Wdq,Ib',  ssse3Update),
];
