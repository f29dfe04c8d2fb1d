// Every mistake of a user gets one clear message that says what to try, the right exit status, and no stack trace.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ROOT, Trapline, type Outcome } from './trapline.ts';

const trapline = new Trapline();
afterAll(() => trapline.remove());

/** No message shows where in trapline it came from. */
function calm({ err }: Outcome): void {
  expect(err).not.toMatch(/^\s+at .*:\d+:\d+/m);
  expect(err).not.toContain('node:internal');
}

describe('usage: status 2', () => {
  const hello = 'guests/hello.s';
  it.each<[string[], string]>([
    [['frobnicate'], "there is no command 'frobnicate'; trapline knows run, trace"],
    [['run'], 'trapline run wants a file: trapline run FILE [options]'],
    [['run', hello, 'guests/tick.s'], 'trapline run takes one file, not also guests/tick.s'],
    [['run', hello, '--nonsense'], "Unknown option '--nonsense'. trapline run takes --vcpus N, --memory SIZE"],
    [['run', hello, '--vcpus'], "'--vcpus <value>' argument missing"],
    [['run', hello, '--vcpus', 'many'], "--vcpus takes a whole number from 1 to 64, not 'many'"],
    [['run', hello, '--vcpus', '0'], '--vcpus takes a whole number from 1 to 64'],
    [['run', hello, '--vcpus', '65'], '--vcpus takes a whole number from 1 to 64'],
    [['run', hello, '--vcpus', '1.5'], '--vcpus takes a whole number from 1 to 64'],
    [['run', hello, '--memory', 'lots'], "--memory takes a size such as 64M or 1G, not 'lots'"],
    [['run', hello, '--memory', '1M'], 'MiB or more'],
    [['run', hello, '--memory', '0'], 'memory is a number of whole pages'],
    [['run', hello, '--memory', '5000'], 'memory is a number of whole pages of 4096 bytes, not 5000 bytes'],
    [['run', hello, '--memory', '8G'], 'does not fit one 32-bit WebAssembly memory'],
    [['run', hello, '--memory', '99999999G'], '--memory'],
    [['costs', 'z80'], "trapline costs takes one preset of skylake-2020, unit, not 'z80'"],
    [
      ['run', hello, '--cpu', 'pentium'],
      "there is no processor model 'pentium'; --cpu knows max, skylake, qemu64, minimal",
    ],
    [
      ['run', hello, '--fastpath', 'warp'],
      "--fastpath knows off, v1, fake-reason, irqoff, all-icr, reenter, not 'warp'",
    ],
    [
      ['run', hello, '--param', 'ple_gap=0'],
      "--param takes NAME=VALUE, as halt_poll_ns=0 or lapic_timer_advance=N, not 'ple_gap=0'",
    ],
    [['run', hello, '--param', 'halt_poll_ns'], "not 'halt_poll_ns'"],
    [['run', hello, '--param', 'lapic_timer_advance=maybe'], "not 'lapic_timer_advance=maybe'"],
    [['run', hello, '--module', 'kvm_arm'], "--module knows kvm_intel and kvm_amd, not 'kvm_arm'"],
    [['run', hello, '--module', 'kvm_amd', '--timer', 'hv'], 'kvm_amd has none'],
    [['run', hello, '--pin', '0-'], "--pin takes a host CPU or a range for each vCPU, such as 0,0,1-3, not '0-'"],
    [['run', hello, '--pin', '1'], 'vCPU 0 is pinned to CPU 1, but the host has only CPU 0'],
    [['run', hello, '--host-cpus', '0'], '--host-cpus takes a whole number from 1 to 256'],
    [
      ['run', hello, '--module', 'kvm_amd', '--apicv', 'on'],
      "apicv is VMX's: what kvm_amd has instead, AVIC, is not implemented; leave it out",
    ],
    [['run', hello, '--hlt-exits', '1'], "--hlt-exits knows on and off, not '1'"],
    [['run', hello, '--housekeeping', '1'], 'CPU 1 cannot keep house for a host that has 1: add one, or name another'],
    [['run', hello, '--apicv', 'maybe'], "--apicv knows on and off, not 'maybe'"],
    [
      ['run', hello, '--timer', 'sand'],
      "--timer knows hv, sw, entry-exit, entry-exit-nvhe, load-put, load-put-nvhe, not 'sand'",
    ],
    [['run', hello, '--timer', 'load-put', '--apicv', 'on'], 'it needs apicv off'],
    [['lazy', hello, '--kick', '0'], '--kick wants a position too'],
    [['lazy', hello, '--after', '5'], '--after says how long after --kick VCPU'],
    [['lazy', hello, '--at', '5', '--kick', '7'], "--kick takes a whole number from 0 to 0, not '7'"],
    [['run', hello, '--lazy', 'v4'], "--lazy knows v2, v3, fixed, not 'v4'"],
    [['run', hello, '--feature', 'warp'], "there is no feature 'warp'; --feature knows kvmclock, kvmclock-stable-bit"],
    [['run', hello, '--device', 'frob'], "there is no device 'frob'; --device knows msix-test"],
    [['run', hello, '--device', 'msix-test', '--device', 'msix-test'], "one device 'msix-test' at most: name it once"],
    [['run', hello, '--xen', '--xen-route', 'ipi'], "--xen-route: events of 'ipi' come by hypervisor, "],
    [['run', hello, '--xen', '--xen-route', 'ipi=eventfd=x'], "not by 'eventfd=x'"],
    [['run', hello, '--xen', '--xen-route', 'ipi=eventfd,ipi=userspace'], "--xen-route: 'ipi' is there twice"],
    [['run', hello, '--xen-route', 'ipi=eventfd'], "it needs xen: 'domain'"],
    [['run', hello, '--costs', 'free'], "--costs knows skylake-2020, unit, not 'free'"],
    [['run', hello, '--max-cycles', '0'], '--max-cycles takes a whole number from 1'],
    [['run', hello, '--max-cycles', '-1'], '--max-cycles'],
    [['run', hello, '--seed', 'x'], '--seed takes a whole number from 0'],
    [['trace', hello, '--limit', '0'], '--limit takes a whole number from 1'],
    [['trace', hello, '--format', 'dmesg'], "--format knows ftrace, trace-cmd, perf, not 'dmesg'"],
    [
      ['trace', hello, '--format', 'perf', '--event', 'kvm_nmi'],
      "there is no tracepoint 'kvm_nmi'; --event knows kvm_entry, ",
    ],
    [['trace', hello, '--event', 'kvm_exit'], '--event chooses tracepoints: give --format too'],
    [['trace', hello, '--format', 'perf', '--json'], '--json prints explained exits: leave out --format'],
    [['trace', hello, '--vcpu', '1'], 'there is no vCPU 1: the machine has 1, counted from 0'],
    [['lab'], 'trapline lab takes the name of an experiment:\n  lazy-tscdeadline'],
    [['lab', 'eager'], "there is no experiment 'eager', only:\n  lazy-tscdeadline"],
    [['lab', 'ipi-fastpath', '--costs', 'i486'], "--costs knows skylake-2020, unit, not 'i486'"],
    [['lab', 'ipi-fastpath', '--json', '--csv'], '--json and --csv are two forms of the same'],
    [['tour', 'de-france'], 'trapline tour takes no arguments'],
    [['isa', 'no.such.form'], 'no form is called no.such.form'],
    [['isa', 'add', '--wat'], 'name one, such as add.32.m.r'],
  ])('trapline %j', async (args, message) => {
    const outcome = await trapline.run(...args);
    expect(outcome.err).toMatch(/^trapline: /);
    expect(outcome.err).toContain(message);
    expect(outcome.status).toBe(2);
    expect(outcome.out).toBe('');
    calm(outcome);
  });

  it('without a command, the overview', async () => {
    const outcome = await trapline.run();
    expect(outcome.status).toBe(2);
    expect(outcome.err).toContain('Usage: trapline COMMAND');
  });
});

describe('files that are no guests: status 4', () => {
  const cases: [string, string, string | Uint8Array | null, string][] = [
    ['a missing file', 'missing.s', null, 'there is no such file'],
    ['an empty file', 'empty.s', '', 'is empty'],
    ['blanks only', 'blank.s', '\n \n', 'is empty'],
    ['a picture', 'picture.png', Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10), 'is a PNG picture'],
    ['C source', 'main.c', 'int main(void) { return 0; }\n', 'is C source'],
    ['NASM source', 'boot.s', 'BITS 64\nsection .text\nmov eax, 1\n', 'NASM'],
    ['an ELF file that is cut off', 'cut.elf', Uint8Array.of(0x7f, 0x45, 0x4c, 0x46, 2, 1, 1), 'cut off'],
    ['a wrong directive', 'wish.s', '# vcpu: 2\n nop\n', "wish.s:1: there is no directive 'vcpu'"],
    ['a source without statements', 'comment.s', '# Nothing.\n', 'nothing to assemble'],
  ];
  it.each(cases)('%s', async (_, name, contents, message) => {
    const path = contents === null ? `${trapline.folder}/${name}` : trapline.file(name, contents);
    const outcome = await trapline.run('run', path);
    expect(outcome.err).toMatch(/^trapline: /);
    expect(outcome.err).toContain(message);
    expect(outcome.status).toBe(4);
    calm(outcome);
  });

  it('a folder', async () => {
    const outcome = await trapline.run('run', ROOT);
    expect(outcome.err).toContain('that is a folder');
    expect(outcome.err).toContain('Try: ');
    expect(outcome.status).toBe(4);
  });

  it('assembler errors name file, line and text, all of them', async () => {
    const file = trapline.file('wrong.s', 'nop\nmovl $1, %eaxx\njmp nowhere\n');
    const outcome = await trapline.run('run', file);
    expect(outcome.status).toBe(4);
    expect(outcome.err).toMatch(/wrong\.s:2: /);
    expect(outcome.err).toContain('movl $1, %eaxx');
    calm(outcome);
    expect((await trapline.run('asm', file)).status).toBe(4);
  });
});

describe('asm', () => {
  const SOURCE = 'helper: ret\n_start: hlt\n';

  it('of a program says what shows it', async () => {
    const outcome = await trapline.run('asm', trapline.file('program.bin', Uint8Array.of(0xf4, 0x90, 0)));
    expect(outcome.err).toMatch(/program\.bin is a program already\nTry: trapline disasm/);
    expect(outcome.status).toBe(4);
  });

  it('that cannot write says why', async () => {
    const outcome = await trapline.run(
      'asm',
      trapline.file('a.s', SOURCE),
      '--output',
      `${trapline.folder}/no/such/folder`,
    );
    expect(outcome.err).toMatch(/^trapline: cannot write .*folder: ENOENT/);
    expect(outcome.status).toBe(2);
    calm(outcome);
  });

  it('warns when a flat binary would be entered elsewhere', async () => {
    const outcome = await trapline.run('asm', trapline.file('a.s', SOURCE), '--output', `${trapline.folder}/a.bin`);
    expect(outcome.err).toContain('_start is at 0x100001, but a flat binary is entered at its first byte, 0x100000');
    expect(outcome.status).toBe(0);
  });
});

describe('at run time', () => {
  const guest = (name: string, source: string): string => trapline.file(`${name}.s`, source);
  const POWER_OFF = 'movw $0x604, %dx\n movw $0x2000, %ax\n outw %ax, %dx\n';

  it('a triple fault: status 6, the exceptions that led to it, the instruction, the last exits', async () => {
    const outcome = await trapline.run('run', 'guests/fault.s');
    expect(outcome.status).toBe(6);
    expect(outcome.err).toMatch(/^trapline: triple fault on vCPU 0 at work \(0x[\da-f]+\): push %rdi$/m);
    expect(outcome.err).toMatch(
      /first #PF\(0x2\), a write by the kernel of a page that is not present; CR2 0x7ffefffffff8/,
    );
    expect(outcome.err).toContain('then  #GP(0x43), for IDT entry 8 (#DF), by delivering #DF');
    expect(outcome.err).toContain('trapline: the last exits');
    calm(outcome);
  });

  it('nothing can ever happen any more: status 8, with each vCPU', async () => {
    const outcome = await trapline.run('run', guest('halt', '_start: hlt\n'), '--vcpus', '2');
    expect(outcome.status).toBe(8);
    expect(outcome.err).toContain('vCPU 1 is halted with interrupts disabled');
    expect(outcome.err).toContain('Try: ');
    calm(outcome);
  });

  it('an endless loop and --max-cycles: status 10, and where it stands', async () => {
    const outcome = await trapline.run('run', guest('loop', '_start: jmp _start\n'), '--max-cycles', '2M');
    expect(outcome.status).toBe(10);
    expect(outcome.err).toMatch(/the budget of 2000000 cycles is used up/);
    expect(outcome.err).toMatch(/at _start \(0x100000\): jmp/);
    calm(outcome);
  });

  it('something that is not implemented: status 12, by name', async () => {
    const outcome = await trapline.run('run', guest('x87', '_start: fld1\n'));
    expect(outcome.status).toBe(12);
    expect(outcome.err).toMatch(/fld1.*on vCPU 0 at _start/i);
    expect(outcome.err).toContain('Try: ');
    calm(outcome);
  });

  it('an instruction that CPUID does not offer: a #UD of the guest, which is told why', async () => {
    const outcome = await trapline.run('run', guest('aes', '_start: .byte 0x66, 0x0f, 0x38, 0xdc, 0xc1\n'));
    expect(outcome.status).toBe(6);
    expect(outcome.err).toContain('at _start (0x100000): aesenc %xmm1,%xmm0');
    expect(outcome.err).toContain('first #UD');
    expect(outcome.err).toContain('Try: do without this instruction: CPUID does not offer AES');
  });

  it('an unknown MSR and an unknown port are named', async () => {
    const tries =
      'movw $0x160, %dx\n inb %dx, %al\n incw %dx\n inb %dx, %al\n movw $0x3f2, %dx\n outb %al, %dx\n incw %dx\n inw %dx, %ax\n';
    const port = await trapline.run('run', guest('port', `${tries} ${POWER_OFF}`), '--quiet');
    expect(port.status).toBe(0);
    expect(port.err).toMatch(
      /ports 0x160-0x161 were read, where no device is \(2 times, first by vCPU 0 at .*\): answered with all ones/,
    );
    expect(port.err).toMatch(
      /there is no floppy controller here: ports 0x3f2-0x3f3 were read once and written once \(first by vCPU 0 at .*\)/,
    );
    const msr = await trapline.run('run', guest('msr', '_start: movl $0x12345, %ecx\n rdmsr\n'));
    expect(msr.err).toMatch(/unknown MSR 0x12345 was read .*answered with #GP\(0\)/);
    expect(msr.status).toBe(6);
  });
});

describe('people and pipes', () => {
  beforeAll(() => trapline.build());

  it('Ctrl-C ends an endless guest and says where it stood', async () => {
    const source = "_start: movb $'!', %al\n outb %al, $0xe9\nforever: jmp forever\n";
    const child = trapline.start('run', trapline.file('forever.s', source), '--quiet');
    let err = '';
    child.stderr.on('data', (data: Buffer) => (err += data.toString()));
    const ended = new Promise<number | null>((done) => child.on('exit', done));
    child.stdout.once('data', () => child.kill('SIGINT')); // it runs
    expect(await ended).toBe(130);
    expect(err).toContain('trapline: interrupted');
    expect(err).toMatch(/vCPU 0 is runnable.*at forever/);
  });

  it('a reader that has seen enough is no error', async () => {
    const outcome = trapline.shell('trapline trace guests/ipi.s 2>/dev/null | head -3');
    expect(outcome.out.trimEnd().split('\n')).toHaveLength(3);
    expect(outcome.err).toBe('');
    expect(outcome.status).toBe(0);
  });
});
