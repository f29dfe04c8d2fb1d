// By which way the events of a Xen domain come to it (delivery.ts): what can be chosen, and how it is written.

/** What makes events: vCPUs that send, to others or by a loopback; their timers; devices whose interrupts are PIRQs. */
export const XEN_SOURCES = ['ipi', 'timer', 'pirq'] as const;
export type XenSource = (typeof XEN_SOURCES)[number];

export const XEN_ROUTES = ['hypervisor', 'eventfd', 'workqueue', 'userspace'] as const;
export type XenRoute = (typeof XEN_ROUTES)[number];

export type XenRouting = Readonly<Record<XenSource, XenRoute>>;

/** As QEMU has it. */
export const XEN_ROUTING: XenRouting = { ipi: 'hypervisor', timer: 'hypervisor', pirq: 'eventfd' };

/** Why a domain cannot have this routing; null: it can. */
export function problemOfRouting(routing: Readonly<Record<string, string>>): string | null {
  for (const [source, route] of Object.entries(routing)) {
    if (!XEN_SOURCES.includes(source as XenSource))
      return `events of Xen come from ${XEN_SOURCES.join(', ')}, not from '${source}'`;
    if (!XEN_ROUTES.includes(route as XenRoute))
      return `events of '${source}' come by ${XEN_ROUTES.join(', ')}, not by '${route}'`;
  }
  return null;
}

/** What is written as `ipi=userspace, timer=eventfd`. Throws a RangeError that says what is wrong with it. */
export function routingFromText(text: string): Partial<XenRouting> {
  const ways = text.split(/[\s,]+/).map((each): [string, string] => {
    const [source = '', ...route] = each.split('=');
    return [source, route.join('=')];
  });
  const routing = Object.fromEntries(ways);
  const twice = ways.find(([source], i) => ways.findIndex(([other]) => other === source) < i);
  const problem = twice === undefined ? problemOfRouting(routing) : `'${twice[0]}' is there twice`;
  if (problem !== null) throw new RangeError(`${problem}: write SOURCE=ROUTE, with commas between several`);
  return routing;
}
