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
  row('NP 0F 38 FC /r',        'aadd',        'My,Gy',     raoIntUpdate),
  row('66 0F 38 FC /r',        'aand',        'My,Gy',     raoIntUpdate),
  row('F3 0F 38 FC /r',        'axor',        'My,Gy',     raoIntUpdate),
  row('F2 0F 38 FC /r',        'aor',         'My,Gy',     raoIntUpdate),
  row('F3 0F 3A F0 /C0',       'hreset',      'Ib',        hreset),
  row('VEX.128.66.0F38 E0 /r', 'cmpoxadd',    'My,Gy,By',  cmpccxaddExchangeFlagsIn64),
  row('VEX.128.66.0F38 E1 /r', 'cmpnoxadd',   'My,Gy,By',  cmpccxaddExchangeFlagsIn64),
  row('VEX.128.66.0F38 E2 /r', 'cmpbxadd',    'My,Gy,By',  cmpccxaddExchangeFlagsIn64),
  row('VEX.128.66.0F38 E3 /r', 'cmpnbxadd',   'My,Gy,By',  cmpccxaddExchangeFlagsIn64),
  row('VEX.128.66.0F38 E4 /r', 'cmpzxadd',    'My,Gy,By',  cmpccxaddExchangeFlagsIn64),
  row('VEX.128.66.0F38 E5 /r', 'cmpnzxadd',   'My,Gy,By',  cmpccxaddExchangeFlagsIn64),
  row('VEX.128.66.0F38 E6 /r', 'cmpbexadd',   'My,Gy,By',  cmpccxaddExchangeFlagsIn64),
  row('VEX.128.66.0F38 E7 /r', 'cmpnbexadd',  'My,Gy,By',  cmpccxaddExchangeFlagsIn64),
  row('VEX.128.66.0F38 E8 /r', 'cmpsxadd',    'My,Gy,By',  cmpccxaddExchangeFlagsIn64),
  row('VEX.128.66.0F38 E9 /r', 'cmpnsxadd',   'My,Gy,By',  cmpccxaddExchangeFlagsIn64),
  row('VEX.128.66.0F38 EA /r', 'cmppxadd',    'My,Gy,By',  cmpccxaddExchangeFlagsIn64),
  row('VEX.128.66.0F38 EB /r', 'cmpnpxadd',   'My,Gy,By',  cmpccxaddExchangeFlagsIn64),
  row('VEX.128.66.0F38 EC /r', 'cmplxadd',    'My,Gy,By',  cmpccxaddExchangeFlagsIn64),
  row('VEX.128.66.0F38 ED /r', 'cmpnlxadd',   'My,Gy,By',  cmpccxaddExchangeFlagsIn64),
  row('VEX.128.66.0F38 EE /r', 'cmplexadd',   'My,Gy,By',  cmpccxaddExchangeFlagsIn64),
  row('VEX.128.66.0F38 EF /r', 'cmpnlexadd',  'My,Gy,By',  cmpccxaddExchangeFlagsIn64),
];
