// What the authors of the lazy TSC deadline published: netperf's TCP_RR over loopback, counted without the feature (Close)
// and with it (Open), both for the same time. Wang Jianchao and Li Shujin, RFC "KVM: x86: add lazy tscdeadline", 2023.

export interface PublishedRow {
  /** As `LazyRun` names it. */
  readonly name: string;
  readonly close: number;
  readonly open: number;
}
export interface PublishedTable {
  readonly series: 'V2' | 'V3';
  readonly source: string;
  readonly rows: readonly PublishedRow[];
}

const row = (name: string, close: number, open: number): PublishedRow => ({ name, close, open });

/* prettier-ignore */
export const PUBLISHED: readonly PublishedTable[] = [
  {
    series: 'V2',
    source: 'V1 and V2, 7 and 10 Jul 2023, Linux 6.4',
    rows: [
      row('sum',              12_617_503, 5_815_737),
      row('intr',                 37_023,    33_002),
      row('cpuid',                     1,         0),
      row('halt',              2_503_932, 2_780_683),
      row('msr-write',        10_046_340, 2_966_824),
      row('pause',                    90,        84),
      row('ept-violation',           584,       336),
      row('ept-misconfig',             0,         2),
      row('preemption-timer',     29_518,    34_800),
      row('msr sum',          10_046_455, 2_966_864),
      row('apic-icr',          2_533_498, 2_781_235),
      row('tsc-deadline',      7_512_945,   185_629),
    ],
  },
  {
    series: 'V3',
    source: 'V3, 17 Jul 2023, Linux 6.5-rc1',
    rows: [
      row('sum',              10_485_133, 6_177_331),
      row('halt',              2_082_894, 2_958_096),
      row('msr-write',         8_323_993, 3_140_474),
      row('preemption-timer',     36_036,    42_064),
      row('msr sum',           8_324_075, 3_140_518),
      row('apic-icr',          2_115_802, 2_969_154),
      row('tsc-deadline',      6_208_273,   171_364),
      row('vector 236',           44_003,    55_059),
      row('vector 251',        2_081_941, 2_943_361),
    ],
  },
];
