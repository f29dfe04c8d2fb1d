// Rows of cryptography: AES, key locker, carry-less products, GFNI, SHA, SM3, SM4; with and without VEX.

import { row, type RowOptions } from './row.ts';

const shaUpdate: RowOptions = { access: 'rw', cpuid: 'SHA' };
const gfniUpdate: RowOptions = { access: 'rw', cpuid: 'GFNI' };
const wideKlFlags: RowOptions = { written: 'oszapc', cpuid: 'WIDE_KL' };
const aes: RowOptions = { cpuid: 'AES' };
const aesUpdate: RowOptions = { access: 'rw', cpuid: 'AES' };
const klReadFlags: RowOptions = { access: 'r', written: 'oszapc', cpuid: 'KL' };
const aeskleUpdateFlags: RowOptions = { access: 'rw', written: 'oszapc', cpuid: 'AESKLE' };
const aeskleFlags: RowOptions = { written: 'oszapc', cpuid: 'AESKLE' };
const pclmulqdqUpdate: RowOptions = { access: 'rw', cpuid: 'PCLMULQDQ' };
const sha512Update: RowOptions = { access: 'rw', cpuid: 'SHA512' };
const gfni: RowOptions = { cpuid: 'GFNI' };
const sm3Update: RowOptions = { access: 'rw', cpuid: 'SM3' };
const sm4: RowOptions = { cpuid: 'SM4' };
const aesOrVaes: RowOptions = { cpuid: 'AES', cpuid256: 'VAES' };
const pclmulqdqOrVpclmulqdq: RowOptions = { cpuid: 'PCLMULQDQ', cpuid256: 'VPCLMULQDQ' };

// prettier-ignore
export const CRYPTO = [
  row('NP 0F 38 C8 /r',           'sha1nexte',          'Vdq,Wdq',         shaUpdate),
  row('NP 0F 38 C9 /r',           'sha1msg1',           'Vdq,Wdq',         shaUpdate),
  row('NP 0F 38 CA /r',           'sha1msg2',           'Vdq,Wdq',         shaUpdate),
  row('NP 0F 38 CB /r',           'sha256rnds2',        'Vdq,Wdq,XMM0',    shaUpdate),
  row('NP 0F 38 CC /r',           'sha256msg1',         'Vdq,Wdq',         shaUpdate),
  row('NP 0F 38 CD /r',           'sha256msg2',         'Vdq,Wdq',         shaUpdate),
  row('66 0F 38 CF /r',           'gf2p8mulb',          'Vdq,Wdq',         gfniUpdate),
  row('F3 0F 38 D8 /0',           'aesencwide128kl',    'M',               wideKlFlags),
  row('F3 0F 38 D8 /1',           'aesdecwide128kl',    'M',               wideKlFlags),
  row('F3 0F 38 D8 /2',           'aesencwide256kl',    'M',               wideKlFlags),
  row('F3 0F 38 D8 /3',           'aesdecwide256kl',    'M',               wideKlFlags),
  row('66 0F 38 DB /r',           'aesimc',             'Vdq,Wdq',         aes),
  row('66 0F 38 DC /r',           'aesenc',             'Vdq,Wdq',         aesUpdate),
  row('F3 0F 38 DC /r',           'loadiwkey',          'Vdq,Udq',         klReadFlags),
  row('F3 0F 38 DC /r',           'aesenc128kl',        'Vdq,M',           aeskleUpdateFlags),
  row('66 0F 38 DD /r',           'aesenclast',         'Vdq,Wdq',         aesUpdate),
  row('F3 0F 38 DD /r',           'aesdec128kl',        'Vdq,M',           aeskleUpdateFlags),
  row('66 0F 38 DE /r',           'aesdec',             'Vdq,Wdq',         aesUpdate),
  row('F3 0F 38 DE /r',           'aesenc256kl',        'Vdq,M',           aeskleUpdateFlags),
  row('66 0F 38 DF /r',           'aesdeclast',         'Vdq,Wdq',         aesUpdate),
  row('F3 0F 38 DF /r',           'aesdec256kl',        'Vdq,M',           aeskleUpdateFlags),
  row('F3 0F 38 FA /r',           'encodekey128',       'Gd,Rd',           aeskleFlags),
  row('F3 0F 38 FB /r',           'encodekey256',       'Gd,Rd',           aeskleFlags),
  row('66 0F 3A 44 /r',           'pclmulqdq',          'Vdq,Wdq,Ib',      pclmulqdqUpdate),
  row('NP 0F 3A CC /r',           'sha1rnds4',          'Vdq,Wdq,Ib',      shaUpdate),
  row('66 0F 3A CE /r',           'gf2p8affineqb',      'Vdq,Wdq,Ib',      gfniUpdate),
  row('66 0F 3A CF /r',           'gf2p8affineinvqb',   'Vdq,Wdq,Ib',      gfniUpdate),
  row('66 0F 3A DF /r',           'aeskeygenassist',    'Vdq,Wdq,Ib',      aes),
  row('VEX.256.F2.0F38.W0 CB /r', 'vsha512rnds2',       'Vqq,Hqq,Udq',     sha512Update),
  row('VEX.256.F2.0F38.W0 CC /r', 'vsha512msg1',        'Vqq,Udq',         sha512Update),
  row('VEX.256.F2.0F38.W0 CD /r', 'vsha512msg2',        'Vqq,Uqq',         sha512Update),
  row('VEX.66.0F38.W0 CF /r',     'vgf2p8mulb',         'Vx,Hx,Wx',        gfni),
  row('VEX.128.NP.0F38.W0 DA /r', 'vsm3msg1',           'Vdq,Hdq,Wdq',     sm3Update),
  row('VEX.128.66.0F38.W0 DA /r', 'vsm3msg2',           'Vdq,Hdq,Wdq',     sm3Update),
  row('VEX.F3.0F38.W0 DA /r',     'vsm4key4',           'Vx,Hx,Wx',        sm4),
  row('VEX.F2.0F38.W0 DA /r',     'vsm4rnds4',          'Vx,Hx,Wx',        sm4),
  row('VEX.128.66.0F38 DB /r',    'vaesimc',            'Vdq,Wdq',         aes),
  row('VEX.66.0F38 DC /r',        'vaesenc',            'Vx,Hx,Wx',        aesOrVaes),
  row('VEX.66.0F38 DD /r',        'vaesenclast',        'Vx,Hx,Wx',        aesOrVaes),
  row('VEX.66.0F38 DE /r',        'vaesdec',            'Vx,Hx,Wx',        aesOrVaes),
  row('VEX.66.0F38 DF /r',        'vaesdeclast',        'Vx,Hx,Wx',        aesOrVaes),
  row('VEX.66.0F3A 44 /r',        'vpclmulqdq',         'Vx,Hx,Wx,Ib',     pclmulqdqOrVpclmulqdq),
  row('VEX.66.0F3A.W1 CE /r',     'vgf2p8affineqb',     'Vx,Hx,Wx,Ib',     gfni),
  row('VEX.66.0F3A.W1 CF /r',     'vgf2p8affineinvqb',  'Vx,Hx,Wx,Ib',     gfni),
  row('VEX.128.66.0F3A.W0 DE /r', 'vsm3rnds2',          'Vdq,Hdq,Wdq,Ib',  sm3Update),
  row('VEX.128.66.0F3A DF /r',    'vaeskeygenassist',   'Vdq,Wdq,Ib',      aes),
];
