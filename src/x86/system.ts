// Rows of system instructions: control, debug and model-specific registers, descriptor tables, system calls, processor and
// cache control, virtualisation, time. Nearly all are microcode.

import { i32, i64, select } from '../wasm/expr.ts';
import { MSR } from './names/msrs.ts';
import { CR4, DR7, PROCESSOR_CONTROLS, RFLAGS } from './names/registers.ts';
import { row, type Answer, type InstructionExit, type RowOptions } from './row.ts';
import { dst, src, RAX, RBX, RCX, RDX, type Semantics } from './semantics.ts';

/** Privileged microcode that ends its block. */
const ring0 = (microcode: string, exits?: InstructionExit): RowOptions => ({
  cpl0: true,
  endsBlock: true,
  microcode,
  ...(exits && { exits }),
});
const RDMSR_ANSWER: Answer = { from: [RCX], to: [RAX, RDX] };
const WRMSR_ANSWER: Answer = { from: [RCX, RAX, RDX], to: [] };
const NO_ANSWER: Answer = { from: [], to: [] };
const CPUID_ANSWER: Answer = { from: [RAX, RCX], to: [RAX, RBX, RCX, RDX] };
/** Outside 64-bit mode the operand size tells how many bits of the base are loaded. */
const table = (microcode: string): RowOptions => ({
  access: 'r',
  size: 'v',
  f64: true,
  cpl0: true,
  endsBlock: true,
  microcode,
  exits: 'GDTR_IDTR',
});
const vmx: RowOptions = { cpl0: true, endsBlock: true, cpuid: 'VMX', exits: 'VMX_INSTRUCTION', microcode: 'vmx' };
const svm: RowOptions = { cpl0: true, endsBlock: true, cpuid: 'SVM', microcode: 'svm' };
const time: RowOptions = { observesTime: true };
const invalid: RowOptions = { endsBlock: true, semantics: (op) => op.faultIf(i32(1), 'ud') };
const wait: RowOptions = { endsBlock: true, access: 'r', written: 'oszapc', cpuid: 'WAITPKG' };
const base: RowOptions = { modes: 'only64', cpuid: 'FSGSBASE' };
const shadow: RowOptions = { cpuid: 'CET_SS' };
const only64 = { modes: 'only64' } as const;

/** EDX:EAX = TSC. */
const readTsc: Semantics = (op) => {
  op.faultIf(op.isUserUnder(CR4.TSD), 'gp');
  op.exitUnder(PROCESSOR_CONTROLS.RDTSC_EXITING);
  const tsc = op.tsc();
  op.setReg(RAX, op.low(tsc));
  op.setReg(RDX, op.low(tsc.shrU(i64(32))));
};
const readTscAndAux: Semantics = (op) => {
  readTsc(op);
  op.setReg(RCX, op.low(op.stateField('tscAux')));
};

const cli: RowOptions = {
  written: 'i',
  semantics: (op) => {
    op.microcodeIf(op.isInterruptFlagForbidden());
    op.setSystemFlags(op.systemFlags().and(i32(~RFLAGS.IF)));
  },
  microcode: 'refusedByIopl',
};
/** Interrupts stay blocked for one more instruction if they were. */
const sti: RowOptions = {
  written: 'i',
  semantics: (op) => {
    op.microcodeIf(op.isInterruptFlagForbidden());
    const flags = op.systemFlags();
    const enables = op.let(flags.and(i32(RFLAGS.IF)).eqz());
    op.setSystemFlags(flags.or(i32(RFLAGS.IF)));
    op.shadowIf(enables);
    op.attendIf(enables.and(op.isInterruptAwaited()).and(op.attendsLater().eqz()));
  },
  microcode: 'refusedByIopl',
};

/** Bits of a linear address. */
const LINEAR_BITS = 48;
const SWITCHED_BASES = [
  ['fsBase', MSR.FS_BASE],
  ['kernelGsBase', MSR.KERNEL_GS_BASE],
] as const;
/** WRMSR of the bases that an operating system sets at each switch of tasks; all others are microcode. */
const writeMsr: Semantics = (op) => {
  const index = op.narrow(RCX, 32);
  const value = op.let(
    op
      .narrow(RAX, 32)
      .zext()
      .or(op.narrow(RDX, 32).zext().shl(i64(32))),
  );
  const isIndex = SWITCHED_BASES.map(([, msr]) => op.let(index.eq(i32(msr | 0))));
  const unused = i64(64 - LINEAR_BITS);
  op.microcodeIf(isIndex[0]!.or(isIndex[1]!).eqz());
  op.microcodeIf(op.stateField('cpl').ne(i64(0)).or(value.shl(unused).shrS(unused).ne(value)));
  op.exitUnder(PROCESSOR_CONTROLS.BASE_WRITES_EXITING);
  for (const [i, [field]] of SWITCHED_BASES.entries())
    op.setStateField(field, select(isIndex[i]!, value, op.stateField(field)));
};
const wrmsr: RowOptions = { ...ring0('wrmsr', 'MSR_WRITE'), semantics: writeMsr, answer: WRMSR_ANSWER };

const NUMBER_OF_DR7 = 7;
/** Guests without breakpoints write DR7 at each switch of tasks and each #DB: what it holds already. All else is microcode. */
const writeDr: Semantics = (op) => {
  const held = op.stateField('dr7');
  op.microcodeIf(op.number(dst).ne(i32(NUMBER_OF_DR7)).or(op.stateField('cpl').wrap()));
  op.microcodeIf(
    op
      .read(src)
      .zext()
      .ne(held)
      .or(held.and(i64(DR7.GD)).ne(i64(0))),
  );
  op.exitUnder(PROCESSOR_CONTROLS.MOV_DR_EXITING);
};

const swapgs: RowOptions = {
  ...only64,
  cpl0: true,
  semantics: (op) => {
    op.faultIf(op.stateField('cpl').ne(i64(0)), 'gp');
    const base = op.stateField('gsBase');
    op.setStateField('gsBase', op.stateField('kernelGsBase'));
    op.setStateField('kernelGsBase', base);
  },
};

/** A signed index, and memory with its lower and its upper limit, both inclusive. */
const bound: RowOptions = {
  access: 'r',
  modes: 'no64',
  semantics: (op) => {
    const index = op.signed(op.read(dst));
    const limits = op.address();
    const lower = op.signed(op.loadAt(limits));
    const upper = op.signed(op.loadAt(limits.add(i64(op.width / 8))));
    op.faultIf(index.ltS(lower).or(upper.ltS(index)), 'br');
  },
};

// prettier-ignore
export const SYSTEM = [
  row('62 /r',           'bound',     'Gz,Ma',  bound),
  row('9B',              'fwait',     '',       { cpuid: 'FPU', microcode: 'fwait' }),
  row('F4',              'hlt',       '',       ring0('hlt', 'HLT')),
  row('FA',              'cli',       '',       cli),
  row('FB',              'sti',       '',       sti),
  row('0F 00 /0',        'sldt',      'Rv/Mw',  { access: 'w', microcode: 'sldt', exits: 'LDTR_TR' }),
  row('0F 00 /1',        'str',       'Rv/Mw',  { access: 'w', microcode: 'str', exits: 'LDTR_TR' }),
  row('0F 00 /2',        'lldt',      'Ew',     ring0('lldt', 'LDTR_TR')),
  row('0F 00 /3',        'ltr',       'Ew',     ring0('ltr', 'LDTR_TR')),
  row('0F 00 /4',        'verr',      'Ew',     { written: 'z', microcode: 'verr' }),
  row('0F 00 /5',        'verw',      'Ew',     { written: 'z', microcode: 'verw' }),
  row('F2 0F 00 /6',     'lkgs',      'Ew',     { ...only64, ...ring0('lkgs'), cpuid: 'LKGS' }),
  row('0F 01 /0',        'sgdt',      'Ms',     { access: 'w', microcode: 'sgdt', exits: 'GDTR_IDTR' }),
  row('0F 01 /1',        'sidt',      'Ms',     { access: 'w', microcode: 'sidt', exits: 'GDTR_IDTR' }),
  row('0F 01 /2',        'lgdt',      'Ms',     table('lgdt')),
  row('0F 01 /3',        'lidt',      'Ms',     table('lidt')),
  row('0F 01 /4',        'smsw',      'Rv/Mw',  { access: 'w', microcode: 'smsw' }),
  row('0F 01 /6',        'lmsw',      'Ew',     ring0('lmsw', 'CR_ACCESS')),
  row('0F 01 /7',        'invlpg',    'Mb',     { ...ring0('invlpg', 'INVLPG'), access: 'n' }),
  row('NP 0F 01 /C0',    'enclv',     '',       { ...ring0('sgx'), cpuid: 'SGX' }),
  row('NP 0F 01 /C1',    'vmcall',    '',       { endsBlock: true, exits: 'VMCALL', microcode: 'vmcall' }),
  row('NP 0F 01 /C2',    'vmlaunch',  '',       vmx),
  row('NP 0F 01 /C3',    'vmresume',  '',       vmx),
  row('NP 0F 01 /C4',    'vmxoff',    '',       vmx),
  row('NP 0F 01 /C5',    'pconfig',   '',       { ...ring0('pconfig'), cpuid: 'PCONFIG' }),
  row('NP 0F 01 /C6',    'wrmsrns',   '',       { ...wrmsr, cpuid: 'WRMSRNS' }),
  row('F3 0F 01 /C6',    'wrmsrlist', '',       { ...only64, ...ring0('wrmsrlist', 'MSR_WRITE'), cpuid: 'MSRLIST' }),
  row('F2 0F 01 /C6',    'rdmsrlist', '',       { ...only64, ...ring0('rdmsrlist', 'MSR_READ'), cpuid: 'MSRLIST' }),
  row('NP 0F 01 /C8',    'monitor',   '',       { ...ring0('monitor', 'MONITOR_INSTRUCTION'), addressed: 'memory', cpuid: 'MONITOR' }),
  row('NP 0F 01 /C9',    'mwait',     '',       { ...ring0('mwait', 'MWAIT_INSTRUCTION'), cpuid: 'MONITOR' }),
  row('NP 0F 01 /CA',    'clac',      '',       { ...ring0('clac'), written: 'v', cpuid: 'SMAP' }),
  row('NP 0F 01 /CB',    'stac',      '',       { ...ring0('stac'), written: 'v', cpuid: 'SMAP' }),
  row('F2 0F 01 /CA',    'erets',     '',       { ...only64, ...ring0('erets'), cpuid: 'FRED' }),
  row('F3 0F 01 /CA',    'eretu',     '',       { ...only64, ...ring0('eretu'), cpuid: 'FRED' }),
  row('NP 0F 01 /CF',    'encls',     '',       { ...ring0('sgx'), cpuid: 'SGX' }),
  row('NP 0F 01 /D0',    'xgetbv',    '',       { cpuid: 'XSAVE', microcode: 'xgetbv' }),
  row('NP 0F 01 /D1',    'xsetbv',    '',       { ...ring0('xsetbv', 'XSETBV'), cpuid: 'XSAVE' }),
  row('NP 0F 01 /D4',    'vmfunc',    '',       { ...vmx, cpl0: false }),
  row('NP 0F 01 /D5',    'xend',      '',       { cpuid: 'RTM' }),
  row('NP 0F 01 /D6',    'xtest',     '',       { cpuid: 'RTM', written: 'oszapc' }),
  row('NP 0F 01 /D7',    'enclu',     '',       { cpuid: 'SGX' }),
  row('0F 01 /D8',       'vmrun',     '',       { ...svm, addressed: 'memory' }),
  row('0F 01 /D9',       'vmmcall',   '',       { endsBlock: true, exits: 'VMCALL', microcode: 'vmmcall' }),
  row('0F 01 /DA',       'vmload',    '',       { ...svm, addressed: 'memory' }),
  row('0F 01 /DB',       'vmsave',    '',       { ...svm, addressed: 'memory' }),
  row('0F 01 /DC',       'stgi',      '',       svm),
  row('0F 01 /DD',       'clgi',      '',       svm),
  row('0F 01 /DE',       'skinit',    '',       { ...svm, cpuid: 'SKINIT' }),
  row('0F 01 /DF',       'invlpga',   '',       { ...svm, addressed: 'memory' }),
  row('NP 0F 01 /E8',    'serialize', '',       { endsBlock: true, cpuid: 'SERIALIZE', semantics: () => {} }),
  row('F2 0F 01 /E8',    'xsusldtrk', '',       { cpuid: 'TSXLDTRK' }),
  row('F2 0F 01 /E9',    'xresldtrk', '',       { cpuid: 'TSXLDTRK' }),
  row('NP 0F 01 /EE',    'rdpkru',    '',       { cpuid: 'OSPKE' }),
  row('NP 0F 01 /EF',    'wrpkru',    '',       { endsBlock: true, cpuid: 'OSPKE' }),
  row('F3 0F 01 /5',     'rstorssp',  'Mq',     { ...shadow, access: 'rw', written: 'oszapc' }),
  row('F3 0F 01 /E8',    'setssbsy',  '',       { ...shadow, cpl0: true }),
  row('F3 0F 01 /EA',    'saveprevssp', '',     shadow),
  row('F3 0F 01 /EC',    'uiret',     '',       { ...only64, endsBlock: true, cpuid: 'UINTR' }),
  row('F3 0F 01 /ED',    'testui',    '',       { ...only64, cpuid: 'UINTR' }),
  row('F3 0F 01 /EE',    'clui',      '',       { ...only64, cpuid: 'UINTR' }),
  row('F3 0F 01 /EF',    'stui',      '',       { ...only64, cpuid: 'UINTR' }),
  row('0F 01 /F8',       'swapgs',    '',       swapgs),
  row('0F 01 /F9',       'rdtscp',    '',       { ...time, cpuid: 'RDTSCP', exits: 'RDTSCP', semantics: readTscAndAux, microcode: 'rdtscp' }),
  row('NP 0F 01 /FA',    'monitorx',  '',       { addressed: 'memory', cpuid: 'MONITORX' }),
  row('F3 0F 01 /FA',    'mcommit',   '',       { cpuid: 'MCOMMIT', written: 'oszapc' }),
  row('NP 0F 01 /FB',    'mwaitx',    '',       { endsBlock: true, cpuid: 'MONITORX' }),
  row('0F 01 /FC',       'clzero',    '',       { addressed: 'memory', cpuid: 'CLZERO' }),
  row('NP 0F 01 /FD',    'rdpru',     '',       { ...time, cpuid: 'RDPRU' }),
  row('NP 0F 01 /FE',    'invlpgb',   '',       { ...ring0('invlpgb'), addressed: 'memory', cpuid: 'INVLPGB' }),
  row('NP 0F 01 /FF',    'tlbsync',   '',       { ...ring0('tlbsync'), cpuid: 'INVLPGB' }),
  row('0F 02 /r',        'lar',       'Gv,Rv/Mw', { access: 'rw', written: 'z', microcode: 'lar' }),
  row('0F 03 /r',        'lsl',       'Gv,Rv/Mw', { access: 'rw', written: 'z', microcode: 'lsl' }),
  row('0F 05',           'syscall',   '',       { endsBlock: true, cpuid: 'SYSCALL', written: 'oszapcditrvx', microcode: 'syscall' }),
  row('0F 06',           'clts',      '',       ring0('clts', 'CR_ACCESS')),
  row('0F 07',           'sysret',    '',       { ...ring0('sysret'), size: 'y', cpuid: 'SYSCALL', written: 'oszapcditrvx' }),
  row('0F 08',           'invd',      '',       { ...ring0('invd', 'INVD'), answer: NO_ANSWER }),
  row('0F 09',           'wbinvd',    '',       { ...ring0('wbinvd', 'WBINVD'), answer: NO_ANSWER }),
  row('F3 0F 09',        'wbnoinvd',  '',       { ...ring0('wbinvd', 'WBINVD'), cpuid: 'WBNOINVD', without: 'wbinvd' }),
  row('0F 0B',           'ud2',       '',       invalid),
  row('0F 20 /r',        'mov',       'Rn,Cn',  { ...ring0('movFromCr', 'CR_ACCESS'), ignoresMod: true, answer: { from: [], to: ['operand'] } }),
  row('0F 21 /r',        'mov',       'Rn,Dn',  { ...ring0('movFromDr', 'DR_ACCESS'), ignoresMod: true }),
  row('0F 22 /r',        'mov',       'Cn,Rn',  { ...ring0('movToCr', 'CR_ACCESS'), ignoresMod: true, answer: { from: ['operand'], to: [] } }),
  row('0F 23 /r',        'mov',       'Dn,Rn',  { ...ring0('movToDr', 'DR_ACCESS'), ignoresMod: true, semantics: writeDr }),
  row('0F 30',           'wrmsr',     '',       wrmsr),
  row('0F 31',           'rdtsc',     '',       { ...time, cpuid: 'TSC', exits: 'RDTSC', semantics: readTsc, microcode: 'rdtsc' }),
  row('0F 32',           'rdmsr',     '',       { ...ring0('rdmsr', 'MSR_READ'), observesTime: true, answer: RDMSR_ANSWER }),
  row('0F 33',           'rdpmc',     '',       { ...time, exits: 'RDPMC', microcode: 'rdpmc' }),
  row('0F 34',           'sysenter',  '',       { endsBlock: true, cpuid: 'SEP', written: 'ir', microcode: 'sysenter' }),
  row('0F 35',           'sysexit',   '',       { ...ring0('sysexit'), size: 'y', cpuid: 'SEP' }),
  row('NP 0F 37',        'getsec',    '',       { endsBlock: true, cpuid: 'SMX' }),
  row('NP 0F 78 /r',     'vmread',    'En,Gn',  { ...vmx, access: 'w' }),
  row('NP 0F 79 /r',     'vmwrite',   'Gn,En',  { ...vmx, access: 'r' }),
  row('0F A2',           'cpuid',     '',       { endsBlock: true, exits: 'CPUID', answer: CPUID_ANSWER, microcode: 'cpuid' }),
  row('0F AA',           'rsm',       '',       { endsBlock: true, exits: 'RSM', microcode: 'rsm' }),
  row('F3 0F AE /0',     'rdfsbase',  'Ry',     { ...base, access: 'w', microcode: 'rdfsbase' }),
  row('F3 0F AE /1',     'rdgsbase',  'Ry',     { ...base, access: 'w', microcode: 'rdgsbase' }),
  row('F3 0F AE /2',     'wrfsbase',  'Ry',     { ...base, endsBlock: true, microcode: 'wrfsbase' }),
  row('F3 0F AE /3',     'wrgsbase',  'Ry',     { ...base, endsBlock: true, microcode: 'wrgsbase' }),
  row('F3 0F AE /4',     'ptwrite',   'Ey',     { cpuid: 'PTWRITE' }),
  row('F3 0F AE /5',     '|incsspd|incsspq',   'Ry',     shadow),
  row('66 0F AE /6',     'tpause',    'Rd',     { ...wait, microcode: 'tpause' }),
  row('F3 0F AE /6',     'umonitor',  'Ram',    { addressed: 'memory', access: 'r', cpuid: 'WAITPKG', microcode: 'umonitor' }),
  row('F2 0F AE /6',     'umwait',    'Rd',     { ...wait, microcode: 'umwait' }),
  row('F3 0F AE /6',     'clrssbsy',  'Mq',     { ...shadow, access: 'rw', cpl0: true, written: 'oszapc' }),
  row('0F B9 /r',        'ud1',       'Gv,Ev',  { ...invalid, access: 'n n' }),
  row('NP 0F C7 /6',     'vmptrld',   'Mq',     vmx),
  row('66 0F C7 /6',     'vmclear',   'Mq',     vmx),
  row('F3 0F C7 /6',     'vmxon',     'Mq',     vmx),
  row('NP 0F C7 /7',     'vmptrst',   'Mq',     { ...vmx, access: 'w' }),
  row('NFx 0F C7 /6',    'rdrand',    'Rv',     { access: 'w', written: 'oszapc', cpuid: 'RDRAND', exits: 'RDRAND', microcode: 'rdrand' }),
  row('NFx 0F C7 /7',    'rdseed',    'Rv',     { access: 'w', written: 'oszapc', cpuid: 'RDSEED', exits: 'RDSEED', microcode: 'rdseed' }),
  row('F3 0F C7 /6',     'senduipi',  'Rq',     { ...only64, cpuid: 'UINTR' }),
  row('F3 0F C7 /7',     'rdpid',     'Rn',     { access: 'w', cpuid: 'RDPID', semantics: (op) => op.write(dst, op.low(op.stateField('tscAux'))) }),
  row('0F FF /r',        'ud0',       'Gv,Ev',  { ...invalid, access: 'n n' }),
  row('66 0F 38 80 /r',  'invept',    'Gn,Mdq', { ...vmx, access: 'r', exits: 'INVEPT' }),
  row('66 0F 38 81 /r',  'invvpid',   'Gn,Mdq', { ...vmx, access: 'r', exits: 'INVVPID' }),
  row('66 0F 38 82 /r',  'invpcid',   'Gn,Mdq', { ...ring0('invpcid', 'INVPCID'), access: 'r', cpuid: 'INVPCID' }),
  row('F3 0F 1E /1',     '|rdsspd|rdsspq',    'Ry',     { ...shadow, access: 'rw', without: 'nop' }),
  row('66 0F 38 F5 /r',  '|wrussd|wrussq',    'My,Gy',  { ...shadow, cpl0: true }),
  row('NP 0F 38 F6 /r',  '|wrssd|wrssq',     'My,Gy',  shadow),
  row('F2 0F 38 F8 /r',  'enqcmd',    'Gam,M',  { access: 'r', written: 'oszapc', cpuid: 'ENQCMD' }),
  row('F3 0F 38 F8 /r',  'enqcmds',   'Gam,M',  { access: 'r', cpl0: true, written: 'oszapc', cpuid: 'ENQCMD' }),
  row('C7 /F8',          'xbegin',    'Jz',     { size: 'v', endsBlock: true, cpuid: 'RTM' }),
  row('C6 /F8',          'xabort',    'Ib',     { cpuid: 'RTM' }),
];
