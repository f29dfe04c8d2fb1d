// Rows that change or move single flags. STI, CLI, PUSHF and POPF are elsewhere (system.ts, stack.ts).

import { row, type RowOptions } from './row.ts';

const clc: RowOptions = { written: 'c' };
const stc: RowOptions = { written: 'c' };
const cmc: RowOptions = { written: 'c', read: 'c' };
const cld: RowOptions = { written: 'd' };
const std: RowOptions = { written: 'd' };
const sahf: RowOptions = { written: 'szapc' };
const lahf: RowOptions = { read: 'szapc' };
const salc: RowOptions = { read: 'c', modes: 'no64' };

// prettier-ignore
export const FLAGOPS = [
  row('9E', 'sahf', '', sahf),
  row('9F', 'lahf', '', lahf),
  row('D6', 'salc', '', salc),
  row('F5', 'cmc',  '', cmc),
  row('F8', 'clc',  '', clc),
  row('F9', 'stc',  '', stc),
  row('FC', 'cld',  '', cld),
  row('FD', 'std',  '', std),
];
