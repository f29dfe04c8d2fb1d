// Rows of AMX: tiles.

import { row, type RowOptions } from './row.ts';

const amxTileIn64: RowOptions = { modes: 'only64', cpuid: 'AMX_TILE' };
const amxTileStoreIn64: RowOptions = { access: 'w', modes: 'only64', cpuid: 'AMX_TILE' };
const amxBf16UpdateIn64: RowOptions = { access: 'rw', modes: 'only64', cpuid: 'AMX_BF16' };
const amxFp16UpdateIn64: RowOptions = { access: 'rw', modes: 'only64', cpuid: 'AMX_FP16' };
const amxInt8UpdateIn64: RowOptions = { access: 'rw', modes: 'only64', cpuid: 'AMX_INT8' };
const amxComplexUpdateIn64: RowOptions = { access: 'rw', modes: 'only64', cpuid: 'AMX_COMPLEX' };

// prettier-ignore
export const AMX = [
  row('VEX.128.NP.0F38.W0 49 /0',    'ldtilecfg',     'M',        amxTileIn64),
  row('VEX.128.NP.0F38.W0 49 /C0',   'tilerelease',   '',         amxTileIn64),
  row('VEX.128.66.0F38.W0 49 /0',    'sttilecfg',     'M',        amxTileStoreIn64),
  row('VEX.128.F2.0F38.W0 49 /C0+r', 'tilezero',      'T',        amxTileStoreIn64),
  row('VEX.128.66.0F38.W0 4B /r',    'tileloaddt1',   'T,Msib',   amxTileIn64),
  row('VEX.128.F3.0F38.W0 4B /r',    'tilestored',    'Msib,T',   amxTileIn64),
  row('VEX.128.F2.0F38.W0 4B /r',    'tileloadd',     'T,Msib',   amxTileIn64),
  row('VEX.128.F3.0F38.W0 5C /r',    'tdpbf16ps',     'T,TN,TH',  amxBf16UpdateIn64),
  row('VEX.128.F2.0F38.W0 5C /r',    'tdpfp16ps',     'T,TN,TH',  amxFp16UpdateIn64),
  row('VEX.128.NP.0F38.W0 5E /r',    'tdpbuud',       'T,TN,TH',  amxInt8UpdateIn64),
  row('VEX.128.66.0F38.W0 5E /r',    'tdpbusd',       'T,TN,TH',  amxInt8UpdateIn64),
  row('VEX.128.F3.0F38.W0 5E /r',    'tdpbsud',       'T,TN,TH',  amxInt8UpdateIn64),
  row('VEX.128.F2.0F38.W0 5E /r',    'tdpbssd',       'T,TN,TH',  amxInt8UpdateIn64),
  row('VEX.128.NP.0F38.W0 6C /r',    'tcmmrlfp16ps',  'T,TN,TH',  amxComplexUpdateIn64),
  row('VEX.128.66.0F38.W0 6C /r',    'tcmmimfp16ps',  'T,TN,TH',  amxComplexUpdateIn64),
];
