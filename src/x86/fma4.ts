// Rows of AMD's VEX-encoded fused multiply-add with four operands, and VPERMIL2.

import { row, type RowOptions } from './row.ts';

const xop: RowOptions = { cpuid: 'XOP' };
const fma4: RowOptions = { cpuid: 'FMA4' };

// prettier-ignore
export const FMA4 = [
  row('VEX.66.0F3A.W0 48 /r',     'vpermil2ps',   'Vx,Hx,Wx,Lx',      xop),
  row('VEX.66.0F3A.W1 48 /r',     'vpermil2ps',   'Vx,Hx,Lx,Wx',      xop),
  row('VEX.66.0F3A.W0 49 /r',     'vpermil2pd',   'Vx,Hx,Wx,Lx',      xop),
  row('VEX.66.0F3A.W1 49 /r',     'vpermil2pd',   'Vx,Hx,Lx,Wx',      xop),
  row('VEX.66.0F3A.W0 5C /r',     'vfmaddsubps',  'Vx,Hx,Wx,Lx',      fma4),
  row('VEX.66.0F3A.W1 5C /r',     'vfmaddsubps',  'Vx,Hx,Lx,Wx',      fma4),
  row('VEX.66.0F3A.W0 5D /r',     'vfmaddsubpd',  'Vx,Hx,Wx,Lx',      fma4),
  row('VEX.66.0F3A.W1 5D /r',     'vfmaddsubpd',  'Vx,Hx,Lx,Wx',      fma4),
  row('VEX.66.0F3A.W0 5E /r',     'vfmsubaddps',  'Vx,Hx,Wx,Lx',      fma4),
  row('VEX.66.0F3A.W1 5E /r',     'vfmsubaddps',  'Vx,Hx,Lx,Wx',      fma4),
  row('VEX.66.0F3A.W0 5F /r',     'vfmsubaddpd',  'Vx,Hx,Wx,Lx',      fma4),
  row('VEX.66.0F3A.W1 5F /r',     'vfmsubaddpd',  'Vx,Hx,Lx,Wx',      fma4),
  row('VEX.66.0F3A.W0 68 /r',     'vfmaddps',     'Vx,Hx,Wx,Lx',      fma4),
  row('VEX.66.0F3A.W1 68 /r',     'vfmaddps',     'Vx,Hx,Lx,Wx',      fma4),
  row('VEX.66.0F3A.W0 69 /r',     'vfmaddpd',     'Vx,Hx,Wx,Lx',      fma4),
  row('VEX.66.0F3A.W1 69 /r',     'vfmaddpd',     'Vx,Hx,Lx,Wx',      fma4),
  row('VEX.LIG.66.0F3A.W0 6A /r', 'vfmaddss',     'Vdq,Hdq,Wss,Ldq',  fma4),
  row('VEX.LIG.66.0F3A.W1 6A /r', 'vfmaddss',     'Vdq,Hdq,Ldq,Wss',  fma4),
  row('VEX.LIG.66.0F3A.W0 6B /r', 'vfmaddsd',     'Vdq,Hdq,Wsd,Ldq',  fma4),
  row('VEX.LIG.66.0F3A.W1 6B /r', 'vfmaddsd',     'Vdq,Hdq,Ldq,Wsd',  fma4),
  row('VEX.66.0F3A.W0 6C /r',     'vfmsubps',     'Vx,Hx,Wx,Lx',      fma4),
  row('VEX.66.0F3A.W1 6C /r',     'vfmsubps',     'Vx,Hx,Lx,Wx',      fma4),
  row('VEX.66.0F3A.W0 6D /r',     'vfmsubpd',     'Vx,Hx,Wx,Lx',      fma4),
  row('VEX.66.0F3A.W1 6D /r',     'vfmsubpd',     'Vx,Hx,Lx,Wx',      fma4),
  row('VEX.LIG.66.0F3A.W0 6E /r', 'vfmsubss',     'Vdq,Hdq,Wss,Ldq',  fma4),
  row('VEX.LIG.66.0F3A.W1 6E /r', 'vfmsubss',     'Vdq,Hdq,Ldq,Wss',  fma4),
  row('VEX.LIG.66.0F3A.W0 6F /r', 'vfmsubsd',     'Vdq,Hdq,Wsd,Ldq',  fma4),
  row('VEX.LIG.66.0F3A.W1 6F /r', 'vfmsubsd',     'Vdq,Hdq,Ldq,Wsd',  fma4),
  row('VEX.66.0F3A.W0 78 /r',     'vfnmaddps',    'Vx,Hx,Wx,Lx',      fma4),
  row('VEX.66.0F3A.W1 78 /r',     'vfnmaddps',    'Vx,Hx,Lx,Wx',      fma4),
  row('VEX.66.0F3A.W0 79 /r',     'vfnmaddpd',    'Vx,Hx,Wx,Lx',      fma4),
  row('VEX.66.0F3A.W1 79 /r',     'vfnmaddpd',    'Vx,Hx,Lx,Wx',      fma4),
  row('VEX.LIG.66.0F3A.W0 7A /r', 'vfnmaddss',    'Vdq,Hdq,Wss,Ldq',  fma4),
  row('VEX.LIG.66.0F3A.W1 7A /r', 'vfnmaddss',    'Vdq,Hdq,Ldq,Wss',  fma4),
  row('VEX.LIG.66.0F3A.W0 7B /r', 'vfnmaddsd',    'Vdq,Hdq,Wsd,Ldq',  fma4),
  row('VEX.LIG.66.0F3A.W1 7B /r', 'vfnmaddsd',    'Vdq,Hdq,Ldq,Wsd',  fma4),
  row('VEX.66.0F3A.W0 7C /r',     'vfnmsubps',    'Vx,Hx,Wx,Lx',      fma4),
  row('VEX.66.0F3A.W1 7C /r',     'vfnmsubps',    'Vx,Hx,Lx,Wx',      fma4),
  row('VEX.66.0F3A.W0 7D /r',     'vfnmsubpd',    'Vx,Hx,Wx,Lx',      fma4),
  row('VEX.66.0F3A.W1 7D /r',     'vfnmsubpd',    'Vx,Hx,Lx,Wx',      fma4),
  row('VEX.LIG.66.0F3A.W0 7E /r', 'vfnmsubss',    'Vdq,Hdq,Wss,Ldq',  fma4),
  row('VEX.LIG.66.0F3A.W1 7E /r', 'vfnmsubss',    'Vdq,Hdq,Ldq,Wss',  fma4),
  row('VEX.LIG.66.0F3A.W0 7F /r', 'vfnmsubsd',    'Vdq,Hdq,Wsd,Ldq',  fma4),
  row('VEX.LIG.66.0F3A.W1 7F /r', 'vfnmsubsd',    'Vdq,Hdq,Ldq,Wsd',  fma4),
];
