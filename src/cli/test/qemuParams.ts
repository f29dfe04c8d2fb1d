// QEMU's options as kvm-unit-tests' configuration gives them: what of them a machine here can be told, and what it cannot.

/** What the options ask for; `notes` names what has no meaning here. */
export interface QemuParams {
  readonly vcpus?: number;
  /** Bytes. */
  readonly memory?: number;
  readonly cpu?: string;
  readonly commandLine?: string;
  readonly hltInGuest?: boolean;
  readonly notes: readonly string[];
}

type Asked = { -readonly [K in keyof QemuParams]: QemuParams[K] } & { notes: string[] };

const UNITS: Readonly<Record<string, number>> = { '': 2 ** 20, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30 };

function memory(text: string): number | null {
  const [, digits, unit] = /^(?:size=)?(\d+)([kmg]?)$/i.exec(text) ?? [];
  return digits === undefined ? null : Number(digits) * UNITS[unit!.toLowerCase()]!;
}

/** What each option does; false: its value means nothing here. */
const OPTIONS: Readonly<Record<string, (asked: Asked, value: string) => boolean>> = {
  '-cpu': (asked, value) => {
    asked.cpu = value;
    return true;
  },
  '-m': (asked, value) => {
    const bytes = memory(value);
    if (bytes !== null) asked.memory = bytes;
    return bytes !== null;
  },
  '-smp': (asked, value) => {
    if (!/^\d+$/.test(value)) return false;
    asked.vcpus = Number(value);
    return true;
  },
  '-append': (asked, value) => {
    asked.commandLine = value;
    return true;
  },
  '-overcommit': (asked, value) => {
    if (value !== 'cpu-pm=on') return false;
    asked.hltInGuest = true;
    return true;
  },
};
/** Options that say what is so anyway. */
const GRANTED: ReadonlySet<string> = new Set(['-enable-kvm', '-no-reboot', '-nodefaults', '-nographic']);

/** Reads the words of a command line. */
export function parseQemuParams(words: readonly string[]): QemuParams {
  const asked: Asked = { notes: [] };
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    const name = word.replace(/^--/, '-');
    if (GRANTED.has(name)) continue;
    const value = words[i + 1];
    const hasValue = value !== undefined && !/^-[a-z]/.test(value);
    const read = Object.hasOwn(OPTIONS, name) ? OPTIONS[name] : undefined;
    if (!(hasValue && read?.(asked, value))) asked.notes.push(hasValue ? `${word} ${value}` : word);
    if (hasValue) i++;
  }
  return asked;
}
