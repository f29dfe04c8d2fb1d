// Rows of AVX2 instructions that have no SSE ancestor, F16C, and the later extensions of VEX: VNNI, IFMA, NE-CONVERT.

import { row, type RowOptions } from './row.ts';

const f16c: RowOptions = { cpuid: 'F16C' };
const avx2: RowOptions = { cpuid: 'AVX2' };
const avxVnniUpdate: RowOptions = { access: 'rw', cpuid: 'AVX_VNNI' };
const avxVnniInt8Update: RowOptions = { access: 'rw', cpuid: 'AVX_VNNI_INT8' };
const avxNeConvert: RowOptions = { cpuid: 'AVX_NE_CONVERT' };
const avx2Access: RowOptions = { access: 'rw r rw', cpuid: 'AVX2' };
const avxIfmaUpdate: RowOptions = { access: 'rw', cpuid: 'AVX_IFMA' };
const avxVnniInt16Update: RowOptions = { access: 'rw', cpuid: 'AVX_VNNI_INT16' };

// prettier-ignore
export const AVX2 = [
  row('VEX.66.0F38.W0 13 /r',     'vcvtph2ps',       'Vx,Wh',           f16c),
  row('VEX.256.66.0F38.W0 16 /r', 'vpermps',         'Vqq,Hqq,Wqq',     avx2),
  row('VEX.66.0F38.W0 18 /r',     'vbroadcastss',    'Vx,Udq',          avx2),
  row('VEX.256.66.0F38.W0 19 /r', 'vbroadcastsd',    'Vqq,Udq',         avx2),
  row('VEX.256.66.0F38.W0 36 /r', 'vpermd',          'Vqq,Hqq,Wqq',     avx2),
  row('VEX.66.0F38.W0 45 /r',     'vpsrlvd',         'Vx,Hx,Wx',        avx2),
  row('VEX.66.0F38.W1 45 /r',     'vpsrlvq',         'Vx,Hx,Wx',        avx2),
  row('VEX.66.0F38.W0 46 /r',     'vpsravd',         'Vx,Hx,Wx',        avx2),
  row('VEX.66.0F38.W0 47 /r',     'vpsllvd',         'Vx,Hx,Wx',        avx2),
  row('VEX.66.0F38.W1 47 /r',     'vpsllvq',         'Vx,Hx,Wx',        avx2),
  row('VEX.66.0F38.W0 50 /r',     'vpdpbusd',        'Vx,Hx,Wx',        avxVnniUpdate),
  row('VEX.NP.0F38.W0 50 /r',     'vpdpbuud',        'Vx,Hx,Wx',        avxVnniInt8Update),
  row('VEX.F3.0F38.W0 50 /r',     'vpdpbsud',        'Vx,Hx,Wx',        avxVnniInt8Update),
  row('VEX.F2.0F38.W0 50 /r',     'vpdpbssd',        'Vx,Hx,Wx',        avxVnniInt8Update),
  row('VEX.66.0F38.W0 51 /r',     'vpdpbusds',       'Vx,Hx,Wx',        avxVnniUpdate),
  row('VEX.NP.0F38.W0 51 /r',     'vpdpbuuds',       'Vx,Hx,Wx',        avxVnniInt8Update),
  row('VEX.F3.0F38.W0 51 /r',     'vpdpbsuds',       'Vx,Hx,Wx',        avxVnniInt8Update),
  row('VEX.F2.0F38.W0 51 /r',     'vpdpbssds',       'Vx,Hx,Wx',        avxVnniInt8Update),
  row('VEX.66.0F38.W0 52 /r',     'vpdpwssd',        'Vx,Hx,Wx',        avxVnniUpdate),
  row('VEX.66.0F38.W0 53 /r',     'vpdpwssds',       'Vx,Hx,Wx',        avxVnniUpdate),
  row('VEX.66.0F38.W0 58 /r',     'vpbroadcastd',    'Vx,Wd',           avx2),
  row('VEX.66.0F38.W0 59 /r',     'vpbroadcastq',    'Vx,Wq',           avx2),
  row('VEX.256.66.0F38.W0 5A /r', 'vbroadcasti128',  'Vqq,Mdq',         avx2),
  row('VEX.F3.0F38.W0 72 /r',     'vcvtneps2bf16',   'Vdq,Wx',          avxNeConvert),
  row('VEX.66.0F38.W0 78 /r',     'vpbroadcastb',    'Vx,Wb',           avx2),
  row('VEX.66.0F38.W0 79 /r',     'vpbroadcastw',    'Vx,Ww',           avx2),
  row('VEX.66.0F38.W0 8C /r',     'vpmaskmovd',      'Vx,Hx,Mx',        avx2),
  row('VEX.66.0F38.W1 8C /r',     'vpmaskmovq',      'Vx,Hx,Mx',        avx2),
  row('VEX.66.0F38.W0 8E /r',     'vpmaskmovd',      'Mx,Hx,Vx',        avx2),
  row('VEX.66.0F38.W1 8E /r',     'vpmaskmovq',      'Mx,Hx,Vx',        avx2),
  row('VEX.66.0F38.W0 90 /r',     'vpgatherdd',      'Vx,VMd,Hx',       avx2Access),
  row('VEX.66.0F38.W1 90 /r',     'vpgatherdq',      'Vx,VMq,Hx',       avx2Access),
  row('VEX.66.0F38.W0 91 /r',     'vpgatherqd',      'Vdq,VMd,Hdq',     avx2Access),
  row('VEX.66.0F38.W1 91 /r',     'vpgatherqq',      'Vx,VMq,Hx',       avx2Access),
  row('VEX.66.0F38.W0 92 /r',     'vgatherdps',      'Vx,VMd,Hx',       avx2Access),
  row('VEX.66.0F38.W1 92 /r',     'vgatherdpd',      'Vx,VMq,Hx',       avx2Access),
  row('VEX.66.0F38.W0 93 /r',     'vgatherqps',      'Vdq,VMd,Hdq',     avx2Access),
  row('VEX.66.0F38.W1 93 /r',     'vgatherqpd',      'Vx,VMq,Hx',       avx2Access),
  row('VEX.NP.0F38.W0 B0 /r',     'vcvtneoph2ps',    'Vx,Mx',           avxNeConvert),
  row('VEX.66.0F38.W0 B0 /r',     'vcvtneeph2ps',    'Vx,Mx',           avxNeConvert),
  row('VEX.F3.0F38.W0 B0 /r',     'vcvtneebf162ps',  'Vx,Mx',           avxNeConvert),
  row('VEX.F2.0F38.W0 B0 /r',     'vcvtneobf162ps',  'Vx,Mx',           avxNeConvert),
  row('VEX.66.0F38.W0 B1 /r',     'vbcstnesh2ps',    'Vx,Mw',           avxNeConvert),
  row('VEX.F3.0F38.W0 B1 /r',     'vbcstnebf162ps',  'Vx,Mw',           avxNeConvert),
  row('VEX.66.0F38.W1 B4 /r',     'vpmadd52luq',     'Vx,Hx,Wx',        avxIfmaUpdate),
  row('VEX.66.0F38.W1 B5 /r',     'vpmadd52huq',     'Vx,Hx,Wx',        avxIfmaUpdate),
  row('VEX.NP.0F38.W0 D2 /r',     'vpdpwuud',        'Vx,Hx,Wx',        avxVnniInt16Update),
  row('VEX.66.0F38.W0 D2 /r',     'vpdpwusd',        'Vx,Hx,Wx',        avxVnniInt16Update),
  row('VEX.F3.0F38.W0 D2 /r',     'vpdpwsud',        'Vx,Hx,Wx',        avxVnniInt16Update),
  row('VEX.NP.0F38.W0 D3 /r',     'vpdpwuuds',       'Vx,Hx,Wx',        avxVnniInt16Update),
  row('VEX.66.0F38.W0 D3 /r',     'vpdpwusds',       'Vx,Hx,Wx',        avxVnniInt16Update),
  row('VEX.F3.0F38.W0 D3 /r',     'vpdpwsuds',       'Vx,Hx,Wx',        avxVnniInt16Update),
  row('VEX.256.66.0F3A.W1 00 /r', 'vpermq',          'Vqq,Wqq,Ib',      avx2),
  row('VEX.256.66.0F3A.W1 01 /r', 'vpermpd',         'Vqq,Wqq,Ib',      avx2),
  row('VEX.66.0F3A.W0 02 /r',     'vpblendd',        'Vx,Hx,Wx,Ib',     avx2),
  row('VEX.66.0F3A.W0 1D /r',     'vcvtps2ph',       'Wh,Vx,Ib',        f16c),
  row('VEX.256.66.0F3A.W0 38 /r', 'vinserti128',     'Vqq,Hqq,Wdq,Ib',  avx2),
  row('VEX.256.66.0F3A.W0 39 /r', 'vextracti128',    'Wdq,Vqq,Ib',      avx2),
  row('VEX.256.66.0F3A.W0 46 /r', 'vperm2i128',      'Vqq,Hqq,Wqq,Ib',  avx2),
];
