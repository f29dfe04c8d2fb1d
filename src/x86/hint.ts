// Rows that change nothing a program can see: NOPs, prefetches, fences, cache-line hints, branch markers.
// Encodings that the manuals reserve as NOPs (0F 0D, 0F 18 to 0F 1F) are NOPs wherever nothing else claims them.

import { PROCESSOR_CONTROLS } from './names/registers.ts';
import { row, type RowOptions } from './row.ts';
import { dst, type Semantics } from './semantics.ts';

const nothing: Semantics = () => {};

const nop: RowOptions = { access: 'n', semantics: nothing };
const pause: RowOptions = {
  exits: 'PAUSE_INSTRUCTION',
  semantics: (op) => op.exitUnder(PROCESSOR_CONTROLS.PAUSE_EXITING),
  microcode: 'pause',
};
const prefetch: RowOptions = { access: 'n', cpuid: 'SSE', semantics: nothing };
const prefetchw: RowOptions = { ...prefetch, cpuid: 'PREFETCHW', without: 'nop' };
const fence: RowOptions = { cpuid: 'SSE2', semantics: nothing };
/** Checked as a read of one byte (SDM vol. 2, CLFLUSH). */
const cacheLine: RowOptions = { access: 'n', semantics: (op) => void op.readZext(dst) };

// prettier-ignore
export const HINT = [
  row('REX.B0 90',          'nop',         '',   { semantics: nothing }),
  row('F3 90',              'pause',       '',   pause),
  row('0F 0D /r',           'nop',         'Ev,Gv', { access: 'n n', semantics: nothing }),
  row('0F 0D /0',           'prefetch',    'Mb', prefetchw),
  row('0F 0D /1',           'prefetchw',   'Mb', prefetchw),
  row('0F 0D /2',           'prefetchwt1', 'Mb', prefetchw),
  row('0F 18 /0',           'prefetchnta', 'Mb', prefetch),
  row('0F 18 /1',           'prefetcht0',  'Mb', prefetch),
  row('0F 18 /2',           'prefetcht1',  'Mb', prefetch),
  row('0F 18 /3',           'prefetcht2',  'Mb', prefetch),
  row('0F 18 /r',           'nop',         'Ev', nop),
  row('0F 19 /r',           'nop',         'Ev', nop),
  row('0F 1A /r',           'nop',         'Ev', nop),
  row('0F 1B /r',           'nop',         'Ev', nop),
  row('0F 1C /r',           'nop',         'Ev', nop),
  row('NP 0F 1C /0',        'cldemote',    'Mb', { ...nop, cpuid: 'CLDEMOTE', without: 'nop' }),
  row('0F 1D /r',           'nop',         'Ev', nop),
  row('0F 1E /r',           'nop',         'Ev', nop),
  row('F3 0F 1E /FA',       'endbr64',     '',   { semantics: nothing }),
  row('F3 0F 1E /FB',       'endbr32',     '',   { semantics: nothing }),
  row('0F 1F /r',           'nop',         'Ev', nop),
  row('NP 0F AE /E8+i',     'lfence',      '',   fence),
  row('NP 0F AE /F0+i',     'mfence',      '',   fence),
  row('NP 0F AE /F8+i',     'sfence',      '',   { ...fence, cpuid: 'SSE' }),
  row('NP 0F AE /7',        'clflush',     'Mb', { ...cacheLine, cpuid: 'CLFLUSH' }),
  row('66 0F AE /6',        'clwb',        'Mb', { ...cacheLine, cpuid: 'CLWB' }),
  row('66 0F AE /7',        'clflushopt',  'Mb', { ...cacheLine, cpuid: 'CLFLUSHOPT' }),
];
