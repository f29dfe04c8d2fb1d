// The forms that the dispatcher inlines, hottest first: from a profile of guests/ (npm run profile), never of bench/.

import type { Environment } from '../segments/codeMode.ts';

// prettier-ignore
const LONG: readonly string[] = [
  'je.64.j', 'jne.64.j', 'dec.32.r', 'ret.64', 'jmp.64.j', 'mov.32.r.r', 'call.64.j', 'mov.32.r.i', 'push.64.r', 'movzx.32.r.mb',
  'pop.64.r', 'cmp.32.m.i', 'cmp.8.r.i', 'fallThrough', 'inc.64.r', 'cmp.32.r.i', 'add.64.r.i', 'jb.64.j', 'xor.32.r.r', 'mov.64.r.r',
  'jae.64.j', 'add.64.r.r', 'lea.64.r.m', 'mov.8.m.r', 'inc.32.r', 'test.8.r.r', 'lea.32.r.m', 'cmp.64.r.i', 'cmp.64.r.r', 'add.32.r.r',
  'mov.8.m.i', 'mov.64.r.m', 'mov.32.r.m', 'cmp.32.m.r', 'ja.64.j', 'cmp.32.r.r', 'imul.64.r.r', 'mov.64.m.r', 'jbe.64.j', 'sub.32.r.i',
  'shr.64.r.i', 'cmp.8.m.i', 'cmpxchg.32.m.r', 'mov.16.m.r', 'mov.16.m.i', 'inc.32.m', 'mov.32.m.i', 'test.64.r.r', 'mov.8.r.m',
  'lfence', 'test.32.r.r', 'call.64.r', 'setb.8.r', 'sbb.32.r.i', 'and.32.r.i', 'sub.64.r.i', 'mov.32.m.r', 'cmp.32.s.r', 'or.64.r.r',
  'shl.64.r.i', 'jns.64.j', 'shl.32.r.i', 'div.64.r', 'sub.64.r.r', 'mfence', 'shr.32.r.1', 'imul.32.r.r.i', 'inc.32.s', 'mov.64.s.r',
  'mov.64.r.s', 'push.64.s', 'call.64.m', 'movzx.32.r.rb', 'cmp.64.r.m', 'nop.32.m', 'cmp.64.m.i', 'sub.64.r.m', 'js.64.j', 'nop.16.m',
  'cmovns.64.r.r', 'add.64.m.i', 'cmp.32.r.m', 'inc.64.s', 'add.32.r.i', 'mov.64.r.i', 'cmovne.32.r.r', 'xor.32.r.i', 'setae.8.r',
  'and.32.r.r', 'jmp.64.m', 'push.64.i', 'jge.64.j', 'jmp.64.s', 'sub.32.r.r', 'mov.64.m.i', 'add.64.r.m', 'sete.8.r', 'jle.64.j', 'nop',
  'cdq.32', 'idiv.32.r', 'movsxd.64.r.r', 'cmovs.32.r.r', 'mov.8.r.i', 'jg.64.j', 'cmp.8.r.r', 'cmovns.32.r.r',
  'or.8.r.r', 'movsxd.64.r.m',
  // Kin of these that larger programs compiled by gcc -O2 execute all the time, and the guests do not.
  'movzx.32.r.mw', 'add.32.r.m', 'add.64.m.r', 'add.32.m.i', 'and.64.r.i', 'xor.64.r.r', 'or.32.r.r', 'dec.64.r', 'shr.32.r.i',
  'shl.32.r.1', 'imul.32.r.r', 'imul.64.r.r.i', 'jl.64.j',
  'endbr64', 'cdqe.64', 'cmove.32.r.r', 'leave.64', 'mov.32.r.s', 'mov.32.s.i', 'mov.8.r.s', 'xor.8.r.i',
  // What waiting is made of.
  'pause', 'rdtsc',
  // What exits that recur are made of, which generated code answers by itself (recurrence.ts).
  'cpuid', 'wbinvd', 'wrmsr', 'rdmsr',
];

/** The same as 32-bit code has them: no guest of ours is 32-bit code. Segmented code is short, and runs by call. */
// prettier-ignore
const FLAT: readonly string[] = [
  'je.32.j.flat', 'jne.32.j.flat', 'dec.32.r', 'ret.32.ss.flat', 'jmp.32.j.flat', 'mov.32.r.r', 'call.32.j.ss.flat',
  'mov.32.r.i', 'push.32.r.ss.flat', 'movzx.32.r.sb.flat', 'pop.32.r.ss.flat', 'cmp.32.s.i.flat', 'cmp.8.r.i',
  'fallThrough.flat', 'inc.32.r', 'cmp.32.r.i', 'add.32.r.i', 'jb.32.j.flat', 'xor.32.r.r', 'jae.32.j.flat', 'add.32.r.r',
  'lea.32.r.s.flat', 'mov.8.s.r.flat', 'test.8.r.r', 'cmp.32.r.r', 'mov.8.s.i.flat', 'mov.32.r.s.flat', 'cmp.32.s.r.flat',
  'ja.32.j.flat', 'imul.32.r.r', 'mov.32.s.r.flat', 'jbe.32.j.flat', 'sub.32.r.i', 'shr.32.r.i', 'cmp.8.s.i.flat',
  'cmpxchg.32.s.r.flat', 'mov.16.s.r.flat', 'mov.16.s.i.flat', 'inc.32.s.flat', 'mov.32.s.i.flat', 'test.32.r.r',
  'mov.8.r.s.flat', 'call.32.r.ss.flat', 'setb.8.r', 'sbb.32.r.i', 'and.32.r.i', 'or.32.r.r', 'shl.32.r.i', 'jns.32.j.flat',
  'div.32.r', 'sub.32.r.r', 'shr.32.r.1', 'imul.32.r.r.i', 'push.32.s.ss.flat', 'call.32.s.ss.flat', 'movzx.32.r.rb',
  'cmp.32.r.s.flat', 'nop.32.s.flat', 'sub.32.r.s.flat', 'js.32.j.flat', 'nop.16.s.flat', 'cmovns.32.r.r', 'add.32.s.i.flat',
  'cmovne.32.r.r', 'xor.32.r.i', 'setae.8.r', 'and.32.r.r', 'jmp.32.s.flat', 'push.32.i.ss.flat', 'jge.32.j.flat',
  'add.32.r.s.flat', 'sete.8.r', 'jle.32.j.flat', 'nop', 'cdq.32', 'idiv.32.r', 'cmovs.32.r.r', 'mov.8.r.i',
  'jg.32.j.flat', 'cmp.8.r.r', 'or.8.r.r', 'movzx.32.r.sw.flat', 'add.32.s.r.flat', 'shl.32.r.1',
  'jl.32.j.flat', 'pause', 'rdtsc',
];

export const HOT_FORMS: Readonly<Record<Environment, readonly string[]>> = { long: LONG, flat: FLAT, segmented: [] };
