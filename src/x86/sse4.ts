// Rows of SSE4.1, SSE4.2 and SSE4a.

import { row, type RowOptions } from './row.ts';

const sse4a: RowOptions = { cpuid: 'SSE4A' };
const sse4aUpdate: RowOptions = { access: 'rw', cpuid: 'SSE4A' };
const sse41Update: RowOptions = { access: 'rw', cpuid: 'SSE4_1' };
const sse41ReadFlags: RowOptions = { access: 'r', written: 'oszapc', cpuid: 'SSE4_1' };
const sse41: RowOptions = { cpuid: 'SSE4_1' };
const sse42Update: RowOptions = { access: 'rw', cpuid: 'SSE4_2' };
const sse42ReadFlags: RowOptions = { access: 'r', written: 'oszapc', cpuid: 'SSE4_2' };
/** The lengths are in EAX and EDX or, by W, in RAX and RDX. */
const sse42Lengths: RowOptions = { ...sse42ReadFlags, size: 'y' };

// prettier-ignore
export const SSE4 = [
  row('F3 0F 2B /r',          'movntss',      'Md,Vdq',         sse4a),
  row('F2 0F 2B /r',          'movntsd',      'Mq,Vdq',         sse4a),
  row('66 0F 78 /0',          'extrq',        'Udq,Ib,Ib',      sse4aUpdate),
  row('F2 0F 78 /r',          'insertq',      'Vdq,Udq,Ib,Ib',  sse4a),
  row('66 0F 79 /r',          'extrq',        'Vdq,Udq',        sse4aUpdate),
  row('F2 0F 79 /r',          'insertq',      'Vdq,Udq',        sse4aUpdate),
  row('66 0F 38 10 /r',       'pblendvb',     'Vdq,Wdq,XMM0',   sse41Update),
  row('66 0F 38 14 /r',       'blendvps',     'Vps,Wps,XMM0',   sse41Update),
  row('66 0F 38 15 /r',       'blendvpd',     'Vpd,Wpd,XMM0',   sse41Update),
  row('66 0F 38 17 /r',       'ptest',        'Vdq,Wdq',        sse41ReadFlags),
  row('66 0F 38 20 /r',       'pmovsxbw',     'Vdq,Wq',         sse41),
  row('66 0F 38 21 /r',       'pmovsxbd',     'Vdq,Wd',         sse41),
  row('66 0F 38 22 /r',       'pmovsxbq',     'Vdq,Ww',         sse41),
  row('66 0F 38 23 /r',       'pmovsxwd',     'Vdq,Wq',         sse41),
  row('66 0F 38 24 /r',       'pmovsxwq',     'Vdq,Wd',         sse41),
  row('66 0F 38 25 /r',       'pmovsxdq',     'Vdq,Wq',         sse41),
  row('66 0F 38 28 /r',       'pmuldq',       'Vdq,Wdq',        sse41Update),
  row('66 0F 38 29 /r',       'pcmpeqq',      'Vdq,Wdq',        sse41Update),
  row('66 0F 38 2A /r',       'movntdqa',     'Vdq,Mdq',        sse41),
  row('66 0F 38 2B /r',       'packusdw',     'Vdq,Wdq',        sse41Update),
  row('66 0F 38 30 /r',       'pmovzxbw',     'Vdq,Wq',         sse41),
  row('66 0F 38 31 /r',       'pmovzxbd',     'Vdq,Wd',         sse41),
  row('66 0F 38 32 /r',       'pmovzxbq',     'Vdq,Ww',         sse41),
  row('66 0F 38 33 /r',       'pmovzxwd',     'Vdq,Wq',         sse41),
  row('66 0F 38 34 /r',       'pmovzxwq',     'Vdq,Wd',         sse41),
  row('66 0F 38 35 /r',       'pmovzxdq',     'Vdq,Wq',         sse41),
  row('66 0F 38 37 /r',       'pcmpgtq',      'Vdq,Wdq',        sse42Update),
  row('66 0F 38 38 /r',       'pminsb',       'Vdq,Wdq',        sse41Update),
  row('66 0F 38 39 /r',       'pminsd',       'Vdq,Wdq',        sse41Update),
  row('66 0F 38 3A /r',       'pminuw',       'Vdq,Wdq',        sse41Update),
  row('66 0F 38 3B /r',       'pminud',       'Vdq,Wdq',        sse41Update),
  row('66 0F 38 3C /r',       'pmaxsb',       'Vdq,Wdq',        sse41Update),
  row('66 0F 38 3D /r',       'pmaxsd',       'Vdq,Wdq',        sse41Update),
  row('66 0F 38 3E /r',       'pmaxuw',       'Vdq,Wdq',        sse41Update),
  row('66 0F 38 3F /r',       'pmaxud',       'Vdq,Wdq',        sse41Update),
  row('66 0F 38 40 /r',       'pmulld',       'Vdq,Wdq',        sse41Update),
  row('66 0F 38 41 /r',       'phminposuw',   'Vdq,Wdq',        sse41),
  row('66 0F 3A 08 /r',       'roundps',      'Vps,Wps,Ib',     sse41),
  row('66 0F 3A 09 /r',       'roundpd',      'Vpd,Wpd,Ib',     sse41),
  row('66 0F 3A 0A /r',       'roundss',      'Vss,Wss,Ib',     sse41Update),
  row('66 0F 3A 0B /r',       'roundsd',      'Vsd,Wsd,Ib',     sse41Update),
  row('66 0F 3A 0C /r',       'blendps',      'Vps,Wps,Ib',     sse41Update),
  row('66 0F 3A 0D /r',       'blendpd',      'Vpd,Wpd,Ib',     sse41Update),
  row('66 0F 3A 0E /r',       'pblendw',      'Vdq,Wdq,Ib',     sse41Update),
  row('66 0F 3A 14 /r',       'pextrb',       'Ry/Mb,Vdq,Ib',   sse41),
  row('66 0F 3A 15 /r',       'pextrw',       'Ry/Mw,Vdq,Ib',   sse41),
  row('66 0F 3A 16 /r',       'pextrd',       'Ed,Vdq,Ib',      sse41),
  row('66 REX.W 0F 3A 16 /r', 'pextrq',       'Eq,Vdq,Ib',      sse41),
  row('66 0F 3A 17 /r',       'extractps',    'Ry/Md,Vdq,Ib',   sse41),
  row('66 0F 3A 20 /r',       'pinsrb',       'Vdq,Ry/Mb,Ib',   sse41Update),
  row('66 0F 3A 21 /r',       'insertps',     'Vss,Wss,Ib',     sse41Update),
  row('66 0F 3A 22 /r',       'pinsrd',       'Vdq,Ed,Ib',      sse41Update),
  row('66 REX.W 0F 3A 22 /r', 'pinsrq',       'Vdq,Eq,Ib',      sse41Update),
  row('66 0F 3A 40 /r',       'dpps',         'Vps,Wps,Ib',     sse41Update),
  row('66 0F 3A 41 /r',       'dppd',         'Vpd,Wpd,Ib',     sse41Update),
  row('66 0F 3A 42 /r',       'mpsadbw',      'Vdq,Wdq,Ib',     sse41Update),
  row('66 0F 3A 60 /r',       'pcmpestrm',    'Vdq,Wdq,Ib',     sse42Lengths),
  row('66 0F 3A 61 /r',       'pcmpestri',    'Vdq,Wdq,Ib',     sse42Lengths),
  row('66 0F 3A 62 /r',       'pcmpistrm',    'Vdq,Wdq,Ib',     sse42ReadFlags),
  row('66 0F 3A 63 /r',       'pcmpistri',    'Vdq,Wdq,Ib',     sse42ReadFlags),
];
