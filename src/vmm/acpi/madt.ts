// The multiple APIC description table: processors, IOAPIC, and which lines of the ISA bus arrive elsewhere than at the pin of
// their number (ACPI 6.5, 5.2.12).

import { SCI } from './fadt.ts';
import { fields, table, type Field } from './table.ts';

const REVISION = 3;
const LOCAL_APIC_ADDRESS = 0xfee00000;
const IO_APIC_ADDRESS = 0xfec00000;
/** There is a pair of 8259s too. */
const PCAT_COMPATIBLE = 1;
const TYPE = { LOCAL_APIC: 0, IO_APIC: 1, OVERRIDE: 2, LOCAL_APIC_NMI: 4, LOCAL_X2APIC: 9 } as const;
const ENABLED = 1;
/** IDs from here on need an entry that has room for them. */
const FIRST_X2APIC_ID = 255;
const ISA_BUS = 0;
const AS_THE_BUS = 0;
/** Active high, level triggered. */
const LEVEL_HIGH = 0x0d;
/** The timer's line arrives where a second 8259 has no line: at pin 2. */
const TIMER_PIN = 2;
const ALL_PROCESSORS = 0xff;

const entry = (type: number, ...body: readonly Field[]): Uint8Array => {
  const bytes = fields(...body);
  return fields([type, 1], [bytes.length + 2, 1], bytes);
};

const processor = (apicId: number, uid: number): Uint8Array =>
  apicId < FIRST_X2APIC_ID
    ? entry(TYPE.LOCAL_APIC, [uid, 1], [apicId, 1], [ENABLED, 4])
    : entry(TYPE.LOCAL_X2APIC, [0, 2], [apicId, 4], [ENABLED, 4], [uid, 4]);

const override = (irq: number, gsi: number, flags: number): Uint8Array =>
  entry(TYPE.OVERRIDE, [ISA_BUS, 1], [irq, 1], [gsi, 4], [flags, 2]);

/** `apicIds` in the order of vCPUs. */
export const madt = (apicIds: readonly number[]): Uint8Array =>
  table(
    'APIC',
    REVISION,
    fields(
      [LOCAL_APIC_ADDRESS, 4],
      [PCAT_COMPATIBLE, 4],
      ...apicIds.map(processor),
      entry(TYPE.IO_APIC, [0, 1], [0, 1], [IO_APIC_ADDRESS, 4], [0, 4]),
      override(0, TIMER_PIN, AS_THE_BUS),
      override(SCI, SCI, LEVEL_HIGH),
      entry(TYPE.LOCAL_APIC_NMI, [ALL_PROCESSORS, 1], [AS_THE_BUS, 2], [1, 1]),
    ),
  );
