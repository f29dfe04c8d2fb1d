// Rows of locked or remote atomics without LOCK (RAO-INT, CMPccXADD) and history reset.

import { row, type RowOptions } from './row.ts';

const raoIntUpdate: RowOptions = { access: 'rw', cpuid: 'RAO_INT' };
const hreset: RowOptions = { cpuid: 'HRESET' };
const cmpccxaddExchangeFlagsIn64: RowOptions = {
  access: 'rw rw',
  written: 'oszapc',
  modes: 'only64',
  cpuid: 'CMPCCXADD',
};

// prettier-ignore
export const RARE = [
  row('NP 0F 38 FC /r',        'aadd',        'Md,Gy',     raoIntUpdate),
  row('66 0F 38 FC /r',        'aand',        'Md,Gy',     raoIntUpdate),
  row('F3 0F 38 FC /r',        'axor',        'Md,Gy',     raoIntUpdate),
  row('F2 0F 38 FC /r',        'aor',         'Md,Gy',     raoIntUpdate),
  row('F3 0F 3A F0 /C0',       'hreset',      'Ib',        hreset),
  row('VEX.128.66.0F38 E0 /r', 'cmpoxadd',    'Md,Gy,By',  cmpccxaddExchangeFlagsIn64),
  row('VEX.128.66.0F38 E1 /r', 'cmpnoxadd',   'Md,Gy,By',  cmpccxaddExchangeFlagsIn64),
  row('VEX.128.66.0F38 E2 /r', 'cmpbxadd',    'Md,Gy,By',  cmpccxaddExchangeFlagsIn64),
  row('VEX.128.66.0F38 E3 /r', 'cmpnbxadd',   'Md,Gy,By',  cmpccxaddExchangeFlagsIn64),
  row('VEX.128.66.0F38 E4 /r', 'cmpzxadd',    'Md,Gy,By',  cmpccxaddExchangeFlagsIn64),
  row('VEX.128.66.0F38 E5 /r', 'cmpnzxadd',   'Md,Gy,By',  cmpccxaddExchangeFlagsIn64),
  row('VEX.128.66.0F38 E6 /r', 'cmpbexadd',   'Md,Gy,By',  cmpccxaddExchangeFlagsIn64),
  row('VEX.128.66.0F38 E7 /r', 'cmpnbexadd',  'Md,Gy,By',  cmpccxaddExchangeFlagsIn64),
  row('VEX.128.66.0F38 E8 /r', 'cmpsxadd',    'Md,Gy,By',  cmpccxaddExchangeFlagsIn64),
  row('VEX.128.66.0F38 E9 /r', 'cmpnsxadd',   'Md,Gy,By',  cmpccxaddExchangeFlagsIn64),
  row('VEX.128.66.0F38 EA /r', 'cmppxadd',    'Md,Gy,By',  cmpccxaddExchangeFlagsIn64),
  row('VEX.128.66.0F38 EB /r', 'cmpnpxadd',   'Md,Gy,By',  cmpccxaddExchangeFlagsIn64),
  row('VEX.128.66.0F38 EC /r', 'cmplxadd',    'Md,Gy,By',  cmpccxaddExchangeFlagsIn64),
  row('VEX.128.66.0F38 ED /r', 'cmpnlxadd',   'Md,Gy,By',  cmpccxaddExchangeFlagsIn64),
  row('VEX.128.66.0F38 EE /r', 'cmplexadd',   'Md,Gy,By',  cmpccxaddExchangeFlagsIn64),
  row('VEX.128.66.0F38 EF /r', 'cmpnlexadd',  'Md,Gy,By',  cmpccxaddExchangeFlagsIn64),
];
