// Rows of saving and restoring processor state: FXSAVE, XSAVE and their kin, MXCSR.

import { row, type RowOptions } from './row.ts';

const fxsrStore: RowOptions = { access: 'w', cpuid: 'FXSR' };
const fxsr: RowOptions = { cpuid: 'FXSR' };
const sse: RowOptions = { cpuid: 'SSE' };
const sseStore: RowOptions = { access: 'w', cpuid: 'SSE' };
const xsaveUpdate: RowOptions = { access: 'rw', cpuid: 'XSAVE' };
const xsave: RowOptions = { cpuid: 'XSAVE' };
const xsaveoptUpdate: RowOptions = { access: 'rw', cpuid: 'XSAVEOPT' };
const xsaves: RowOptions = { cpuid: 'XSAVES' };
const xsavecStore: RowOptions = { access: 'w', cpuid: 'XSAVEC' };
const xsavesStore: RowOptions = { access: 'w', cpuid: 'XSAVES' };
const avx: RowOptions = { cpuid: 'AVX' };
const avxStore: RowOptions = { access: 'w', cpuid: 'AVX' };

// prettier-ignore
export const XSAVE = [
  row('NP 0F AE /0',         'fxsave',      'Mfx',     { ...fxsrStore, microcode: 'fxsave' }),
  row('NP REX.W 0F AE /0',   'fxsave64',    'Mfx',     { ...fxsrStore, microcode: 'fxsave64' }),
  row('NP 0F AE /1',         'fxrstor',     'Mfx',     { ...fxsr, microcode: 'fxrstor' }),
  row('NP REX.W 0F AE /1',   'fxrstor64',   'Mfx',     { ...fxsr, microcode: 'fxrstor64' }),
  row('NP 0F AE /2',         'ldmxcsr',     'Md',      { ...sse, microcode: 'ldmxcsr' }),
  row('NP 0F AE /3',         'stmxcsr',     'Md',      { ...sseStore, microcode: 'stmxcsr' }),
  row('NP 0F AE /4',         'xsave',       'Mxsave',  xsaveUpdate),
  row('NP REX.W 0F AE /4',   'xsave64',     'Mxsave',  xsaveUpdate),
  row('NP 0F AE /5',         'xrstor',      'Mxsave',  xsave),
  row('NP REX.W 0F AE /5',   'xrstor64',    'Mxsave',  xsave),
  row('NP 0F AE /6',         'xsaveopt',    'Mxsave',  xsaveoptUpdate),
  row('NP REX.W 0F AE /6',   'xsaveopt64',  'Mxsave',  xsaveoptUpdate),
  row('NP 0F C7 /3',         'xrstors',     'Mxsave',  xsaves),
  row('NP REX.W 0F C7 /3',   'xrstors64',   'Mxsave',  xsaves),
  row('NP 0F C7 /4',         'xsavec',      'Mxsave',  xsavecStore),
  row('NP REX.W 0F C7 /4',   'xsavec64',    'Mxsave',  xsavecStore),
  row('NP 0F C7 /5',         'xsaves',      'Mxsave',  xsavesStore),
  row('NP REX.W 0F C7 /5',   'xsaves64',    'Mxsave',  xsavesStore),
  row('VEX.128.NP.0F AE /2', 'vldmxcsr',    'Md',      avx),
  row('VEX.128.NP.0F AE /3', 'vstmxcsr',    'Md',      avxStore),
];
