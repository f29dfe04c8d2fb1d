// Rows of SSE: packed and scalar single precision.

import { row, type RowOptions } from './row.ts';

const sse: RowOptions = { cpuid: 'SSE' };
const sseUpdate: RowOptions = { access: 'rw', cpuid: 'SSE' };
const sseReadFlags: RowOptions = { access: 'r', written: 'oszapc', cpuid: 'SSE' };

// prettier-ignore
export const SSE = [
  row('NP 0F 10 /r', 'movups',     'Vps,Wps',     sse),
  row('F3 0F 10 /r', 'movss',      'Vss,Wss',     sseUpdate),
  row('NP 0F 11 /r', 'movups',     'Wps,Vps',     sse),
  row('F3 0F 11 /r', 'movss',      'Wss,Vss',     sseUpdate),
  row('NP 0F 12 /r', 'movhlps',    'Vdq,Udq',     sseUpdate),
  row('NP 0F 12 /r', 'movlps',     'Vdq,Mq',      sseUpdate),
  row('NP 0F 13 /r', 'movlps',     'Mq,Vdq',      sse),
  row('NP 0F 14 /r', 'unpcklps',   'Vps,Wps',     sseUpdate),
  row('NP 0F 15 /r', 'unpckhps',   'Vps,Wps',     sseUpdate),
  row('NP 0F 16 /r', 'movlhps',    'Vdq,Udq',     sseUpdate),
  row('NP 0F 16 /r', 'movhps',     'Vdq,Mq',      sseUpdate),
  row('NP 0F 17 /r', 'movhps',     'Mq,Vdq',      sse),
  row('NP 0F 28 /r', 'movaps',     'Vps,Wps',     sse),
  row('NP 0F 29 /r', 'movaps',     'Wps,Vps',     sse),
  row('F3 0F 2A /r', 'cvtsi2ss',   'Vdq,Ey',      sseUpdate),
  row('NP 0F 2B /r', 'movntps',    'Mps,Vps',     sse),
  row('F3 0F 2C /r', 'cvttss2si',  'Gy,Wss',      sse),
  row('F3 0F 2D /r', 'cvtss2si',   'Gy,Wss',      sse),
  row('NP 0F 2E /r', 'ucomiss',    'Vss,Wss',     sseReadFlags),
  row('NP 0F 2F /r', 'comiss',     'Vss,Wss',     sseReadFlags),
  row('NP 0F 50 /r', 'movmskps',   'Gy,Udq',      sse),
  row('NP 0F 51 /r', 'sqrtps',     'Vps,Wps',     sse),
  row('F3 0F 51 /r', 'sqrtss',     'Vss,Wss',     sseUpdate),
  row('NP 0F 52 /r', 'rsqrtps',    'Vps,Wps',     sse),
  row('F3 0F 52 /r', 'rsqrtss',    'Vss,Wss',     sseUpdate),
  row('NP 0F 53 /r', 'rcpps',      'Vps,Wps',     sse),
  row('F3 0F 53 /r', 'rcpss',      'Vss,Wss',     sseUpdate),
  row('NP 0F 54 /r', 'andps',      'Vps,Wps',     sseUpdate),
  row('NP 0F 55 /r', 'andnps',     'Vps,Wps',     sseUpdate),
  row('NP 0F 56 /r', 'orps',       'Vps,Wps',     sseUpdate),
  row('NP 0F 57 /r', 'xorps',      'Vps,Wps',     sseUpdate),
  row('NP 0F 58 /r', 'addps',      'Vps,Wps',     sseUpdate),
  row('F3 0F 58 /r', 'addss',      'Vss,Wss',     sseUpdate),
  row('NP 0F 59 /r', 'mulps',      'Vps,Wps',     sseUpdate),
  row('F3 0F 59 /r', 'mulss',      'Vss,Wss',     sseUpdate),
  row('NP 0F 5C /r', 'subps',      'Vps,Wps',     sseUpdate),
  row('F3 0F 5C /r', 'subss',      'Vss,Wss',     sseUpdate),
  row('NP 0F 5D /r', 'minps',      'Vps,Wps',     sseUpdate),
  row('F3 0F 5D /r', 'minss',      'Vss,Wss',     sseUpdate),
  row('NP 0F 5E /r', 'divps',      'Vps,Wps',     sseUpdate),
  row('F3 0F 5E /r', 'divss',      'Vss,Wss',     sseUpdate),
  row('NP 0F 5F /r', 'maxps',      'Vps,Wps',     sseUpdate),
  row('F3 0F 5F /r', 'maxss',      'Vss,Wss',     sseUpdate),
  row('NP 0F C2 /r', 'cmpps',      'Vps,Wps,Ib',  sseUpdate),
  row('F3 0F C2 /r', 'cmpss',      'Vss,Wss,Ib',  sseUpdate),
  row('NP 0F C6 /r', 'shufps',     'Vps,Wps,Ib',  sseUpdate),
];
