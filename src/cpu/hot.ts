// The forms that the dispatcher inlines, hottest first: from a profile of guests/ (npm run profile), never of bench/.

// prettier-ignore
export const HOT_FORMS: readonly string[] = [
  'mov.64.r.r', 'mov.32.r.r', 'mov.64.r.m', 'mov.32.r.m', 'mov.64.m.r', 'mov.32.m.r', 'mov.8.m.r', 'mov.8.r.m', 'mov.32.r.i', 'mov.64.r.i',
  'mov.64.m.i', 'mov.32.m.i', 'mov.8.m.i', 'movzx.32.r.rb', 'movzx.32.r.mb', 'movzx.32.r.mw', 'movsxd.64.r.m', 'movsxd.64.r.r', 'lea.64.r.m', 'lea.32.r.m',
  'add.64.r.r', 'add.32.r.r', 'add.64.r.i', 'add.32.r.i', 'add.64.r.m', 'add.32.r.m', 'add.64.m.r', 'add.32.m.i', 'sub.64.r.r', 'sub.32.r.r',
  'sub.64.r.i', 'sub.32.r.i', 'cmp.64.r.r', 'cmp.32.r.r', 'cmp.64.r.i', 'cmp.32.r.i', 'cmp.8.r.i', 'cmp.8.m.i', 'cmp.64.r.m', 'cmp.32.m.i',
  'test.32.r.r', 'test.64.r.r', 'test.8.r.r', 'and.32.r.i', 'and.64.r.i', 'and.32.r.r', 'xor.32.r.r', 'xor.64.r.r', 'or.32.r.r', 'or.64.r.r',
  'inc.32.r', 'dec.32.r', 'inc.64.r', 'dec.64.r', 'shl.64.r.i', 'shl.32.r.i', 'shr.64.r.i', 'shr.32.r.i', 'shl.32.r.1', 'shr.32.r.1',
  'imul.32.r.r', 'imul.64.r.r', 'imul.64.r.r.i', 'push.64.r', 'pop.64.r', 'call.64.j', 'ret.64', 'jmp.64.j',
  'je.64.j', 'jne.64.j', 'jb.64.j', 'jae.64.j', 'jbe.64.j', 'ja.64.j', 'jl.64.j', 'jge.64.j', 'jle.64.j', 'jg.64.j', 'js.64.j', 'jns.64.j',
  'fallThrough',
];
