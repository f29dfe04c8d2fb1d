// Accesses of one exit and the entry behind it before seed 003, counted in the kernel's source (Linux 4.14).
export const ENTRY_EXIT_ROUND_TRIP = { vhe: { reads: 2, writes: 5 }, nvhe: { reads: 4, writes: 7 } } as const;
