// Rows of AVX-512 mask registers: the VEX-encoded part of AVX-512, named so that it stops by name.

import { row, type RowOptions } from './row.ts';

const avx512f: RowOptions = { cpuid: 'AVX512F' };
const avx512bw: RowOptions = { cpuid: 'AVX512BW' };
const avx512dq: RowOptions = { cpuid: 'AVX512DQ' };
const avx512bwIn64: RowOptions = { modes: 'only64', cpuid: 'AVX512BW' };
const avx512fReadFlags: RowOptions = { access: 'r', written: 'oszapc', cpuid: 'AVX512F' };
const avx512bwReadFlags: RowOptions = { access: 'r', written: 'oszapc', cpuid: 'AVX512BW' };
const avx512dqReadFlags: RowOptions = { access: 'r', written: 'oszapc', cpuid: 'AVX512DQ' };
/** Outside 64-bit mode W is ignored: there is no 64-bit register to move. */
const avx512bwOutside64: RowOptions = { modes: 'no64', cpuid: 'AVX512BW' };

// prettier-ignore
export const MASK = [
  row('VEX.256.NP.0F.W0 41 /r',   'kandw',     'Kw,KHw,KNw',  avx512f),
  row('VEX.256.NP.0F.W1 41 /r',   'kandq',     'Kq,KHq,KNq',  avx512bw),
  row('VEX.256.66.0F.W0 41 /r',   'kandb',     'Kb,KHb,KNb',  avx512dq),
  row('VEX.256.66.0F.W1 41 /r',   'kandd',     'Kd,KHd,KNd',  avx512bw),
  row('VEX.256.NP.0F.W0 42 /r',   'kandnw',    'Kw,KHw,KNw',  avx512f),
  row('VEX.256.NP.0F.W1 42 /r',   'kandnq',    'Kq,KHq,KNq',  avx512bw),
  row('VEX.256.66.0F.W0 42 /r',   'kandnb',    'Kb,KHb,KNb',  avx512dq),
  row('VEX.256.66.0F.W1 42 /r',   'kandnd',    'Kd,KHd,KNd',  avx512bw),
  row('VEX.128.NP.0F.W0 44 /r',   'knotw',     'Kw,KNw',      avx512f),
  row('VEX.128.NP.0F.W1 44 /r',   'knotq',     'Kq,KNq',      avx512bw),
  row('VEX.128.66.0F.W0 44 /r',   'knotb',     'Kb,KNb',      avx512dq),
  row('VEX.128.66.0F.W1 44 /r',   'knotd',     'Kd,KNd',      avx512bw),
  row('VEX.256.NP.0F.W0 45 /r',   'korw',      'Kw,KHw,KNw',  avx512f),
  row('VEX.256.NP.0F.W1 45 /r',   'korq',      'Kq,KHq,KNq',  avx512bw),
  row('VEX.256.66.0F.W0 45 /r',   'korb',      'Kb,KHb,KNb',  avx512dq),
  row('VEX.256.66.0F.W1 45 /r',   'kord',      'Kd,KHd,KNd',  avx512bw),
  row('VEX.256.NP.0F.W0 46 /r',   'kxnorw',    'Kw,KHw,KNw',  avx512f),
  row('VEX.256.NP.0F.W1 46 /r',   'kxnorq',    'Kq,KHq,KNq',  avx512bw),
  row('VEX.256.66.0F.W0 46 /r',   'kxnorb',    'Kb,KHb,KNb',  avx512dq),
  row('VEX.256.66.0F.W1 46 /r',   'kxnord',    'Kd,KHd,KNd',  avx512bw),
  row('VEX.256.NP.0F.W0 47 /r',   'kxorw',     'Kw,KHw,KNw',  avx512f),
  row('VEX.256.NP.0F.W1 47 /r',   'kxorq',     'Kq,KHq,KNq',  avx512bw),
  row('VEX.256.66.0F.W0 47 /r',   'kxorb',     'Kb,KHb,KNb',  avx512dq),
  row('VEX.256.66.0F.W1 47 /r',   'kxord',     'Kd,KHd,KNd',  avx512bw),
  row('VEX.256.NP.0F.W0 4A /r',   'kaddw',     'Kw,KHw,KNw',  avx512dq),
  row('VEX.256.NP.0F.W1 4A /r',   'kaddq',     'Kq,KHq,KNq',  avx512bw),
  row('VEX.256.66.0F.W0 4A /r',   'kaddb',     'Kb,KHb,KNb',  avx512dq),
  row('VEX.256.66.0F.W1 4A /r',   'kaddd',     'Kd,KHd,KNd',  avx512bw),
  row('VEX.256.NP.0F.W0 4B /r',   'kunpckwd',  'Kd,KHd,KNd',  avx512bw),
  row('VEX.256.NP.0F.W1 4B /r',   'kunpckdq',  'Kq,KHq,KNq',  avx512bw),
  row('VEX.256.66.0F.W0 4B /r',   'kunpckbw',  'Kw,KHw,KNw',  avx512f),
  row('VEX.128.NP.0F.W0 90 /r',   'kmovw',     'Kw,KQw',      avx512f),
  row('VEX.128.NP.0F.W1 90 /r',   'kmovq',     'Kq,KQq',      avx512bw),
  row('VEX.128.66.0F.W0 90 /r',   'kmovb',     'Kb,KQb',      avx512dq),
  row('VEX.128.66.0F.W1 90 /r',   'kmovd',     'Kd,KQd',      avx512bw),
  row('VEX.128.NP.0F.W0 91 /r',   'kmovw',     'Mw,Kw',       avx512f),
  row('VEX.128.NP.0F.W1 91 /r',   'kmovq',     'Mq,Kq',       avx512bw),
  row('VEX.128.66.0F.W0 91 /r',   'kmovb',     'Mb,Kb',       avx512dq),
  row('VEX.128.66.0F.W1 91 /r',   'kmovd',     'Md,Kd',       avx512bw),
  row('VEX.128.NP.0F.W0 92 /r',   'kmovw',     'Kw,Rd',       avx512f),
  row('VEX.128.66.0F.W0 92 /r',   'kmovb',     'Kb,Rd',       avx512dq),
  row('VEX.128.F2.0F.W0 92 /r',   'kmovd',     'Kd,Rd',       avx512bw),
  row('VEX.128.F2.0F.W1 92 /r',   'kmovq',     'Kq,Rq',       avx512bwIn64),
  row('VEX.128.F2.0F.W1 92 /r',   'kmovd',     'Kd,Rd',       avx512bwOutside64),
  row('VEX.128.NP.0F.W0 93 /r',   'kmovw',     'Gd,KNw',      avx512f),
  row('VEX.128.66.0F.W0 93 /r',   'kmovb',     'Gd,KNb',      avx512dq),
  row('VEX.128.F2.0F.W0 93 /r',   'kmovd',     'Gd,KNd',      avx512bw),
  row('VEX.128.F2.0F.W1 93 /r',   'kmovq',     'Gq,KNq',      avx512bwIn64),
  row('VEX.128.F2.0F.W1 93 /r',   'kmovd',     'Gd,KNd',      avx512bwOutside64),
  row('VEX.128.NP.0F.W0 98 /r',   'kortestw',  'Kw,KNw',      avx512fReadFlags),
  row('VEX.128.NP.0F.W1 98 /r',   'kortestq',  'Kq,KNq',      avx512bwReadFlags),
  row('VEX.128.66.0F.W0 98 /r',   'kortestb',  'Kb,KNb',      avx512dqReadFlags),
  row('VEX.128.66.0F.W1 98 /r',   'kortestd',  'Kd,KNd',      avx512bwReadFlags),
  row('VEX.128.NP.0F.W0 99 /r',   'ktestw',    'Kw,KNw',      avx512dqReadFlags),
  row('VEX.128.NP.0F.W1 99 /r',   'ktestq',    'Kq,KNq',      avx512bwReadFlags),
  row('VEX.128.66.0F.W0 99 /r',   'ktestb',    'Kb,KNb',      avx512dqReadFlags),
  row('VEX.128.66.0F.W1 99 /r',   'ktestd',    'Kd,KNd',      avx512bwReadFlags),
  row('VEX.128.66.0F3A.W0 30 /r', 'kshiftrb',  'Kb,KNb,Ib',   avx512dq),
  row('VEX.128.66.0F3A.W1 30 /r', 'kshiftrw',  'Kw,KNw,Ib',   avx512f),
  row('VEX.128.66.0F3A.W0 31 /r', 'kshiftrd',  'Kd,KNd,Ib',   avx512bw),
  row('VEX.128.66.0F3A.W1 31 /r', 'kshiftrq',  'Kq,KNq,Ib',   avx512bw),
  row('VEX.128.66.0F3A.W0 32 /r', 'kshiftlb',  'Kb,KNb,Ib',   avx512dq),
  row('VEX.128.66.0F3A.W1 32 /r', 'kshiftlw',  'Kw,KNw,Ib',   avx512f),
  row('VEX.128.66.0F3A.W0 33 /r', 'kshiftld',  'Kd,KNd,Ib',   avx512bw),
  row('VEX.128.66.0F3A.W1 33 /r', 'kshiftlq',  'Kq,KNq,Ib',   avx512bw),
];
