// The tables of `trapline lab xen-evtchn`.

import type { EventCase, EventComparison, EventCost, Upcall } from '../lab/xenEvtchn.ts';
import type { XenSource } from '../vmm/xen/routing.ts';
import { wrapped } from './prose.ts';

const WAY = 12;
const CELL = 8;
/** Exits that come less often for an event than this are the guest's own affairs, and are counted together. */
const RARE = 0.1;

const SOURCES: Readonly<Record<XenSource, string>> = {
  ipi: 'IPI, from the EVTCHNOP_send of another vCPU',
  timer: 'Timer, from the time asked for',
  pirq: "Device's interrupt as a PIRQ, from its handler on a host CPU without vCPU",
};
const UPCALLS: Readonly<Record<Upcall, string>> = {
  callback: 'vCPUs interrupted by the callback vector',
  posted: 'vCPUs with a vector of their own, which is posted; timers on a CPU without vCPU',
};

/** One table for each source of events and each kind of upcall. */
export function drawXenEvtchn({ guests, costModel, cases, varied, differs }: EventComparison): string {
  const of = (source: XenSource, upcall: Upcall): EventCase[] =>
    cases.filter((each) => each.source === source && each.upcall === upcall);
  return wrapped([
    'Xen events: one guest for each source, by the way of its events',
    '',
    `Modelled nanoseconds until the guest's handler (${costModel}); then exits by kind, returns of KVM_RUN and switches of threads for each event`,
    ...(Object.keys(UPCALLS) as Upcall[]).flatMap((upcall) => [
      '',
      `${UPCALLS[upcall]}:`,
      ...(Object.keys(SOURCES) as XenSource[]).flatMap((source) => [
        '',
        `${SOURCES[source]} (${guests[source]})`,
        ...drawCases(of(source, upcall)),
      ]),
    ]),
    '',
    'hypervisor: raised where it arises. shadow: there too, but the vCPU itself sets evtchn_pending_sel and evtchn_upcall_pending (design of October 2021). eventfd: one is signalled, whose other end raises it. workqueue: a worker thread raises it. userspace: the VMM does.',
    'Exits are those of all vCPUs; other: kinds that come with fewer than one event in ten. returns: KVM_RUN returned to the VMM. switches: a CPU of the host switched to another thread.',
    '',
    `Varied: ${varied}.`,
    `Differs from KVM: ${differs}.`,
  ]);
}

function drawCases(cases: readonly EventCase[]): string[] {
  const all = cases.flatMap(({ running, halted }) => [running, halted]);
  const kinds = [...new Set(all.flatMap(({ exits }) => Object.keys(exits)))].sort();
  const shown = kinds.filter((kind) => all.some(({ exits }) => (exits[kind] ?? 0) >= RARE));
  const row = (name: string, cells: readonly string[]): string => {
    const widths = [
      CELL,
      CELL,
      CELL,
      ...shown.map((kind) => Math.max(kind.length + 2, CELL)),
      CELL,
      CELL + 1,
      CELL + 2,
    ];
    return `  ${name.padEnd(WAY)}${cells.map((cell, i) => cell.padStart(widths[i]!)).join('')}`;
  };
  const cost = (name: string, { latency, exits, userspace, switches }: EventCost): string => {
    const rare = kinds.filter((kind) => !shown.includes(kind)).reduce((sum, kind) => sum + (exits[kind] ?? 0), 0);
    const each = [...shown.map((kind) => exits[kind] ?? 0), rare, userspace, switches];
    return row(name, [...[latency.median, latency.p99, latency.max].map(String), ...each.map((n) => n.toFixed(2))]);
  };
  return [
    row('', ['median', 'p99', 'max', ...shown, 'other', 'returns', 'switches']),
    ...(['running', 'halted'] as const).flatMap((guest) => [
      `  ${guest} guest`,
      ...cases.map(({ way, [guest]: found }) => cost(`  ${way}`, found)),
    ]),
  ];
}
