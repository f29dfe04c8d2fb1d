// Why generated code returned to TypeScript: `state.status`.

export const STATUS = {
  /** The budget is used up; RIP is stored. */
  BUDGET: 1,
  /** Control goes to the stored RIP, whose block is not at hand; `lastRecord` is the branch. */
  JUMP: 2,
  /** The record observes time and stands past the horizon. */
  AHEAD: 3,
  /** Microcode has set everything. */
  MICROCODE: 4,
  /** The record's block is no longer valid, or something waits to be done before it: look the block up again. */
  RESYNC: 5,
  /** The record's microcode exits: the exit fields are filled. */
  EXIT: 6,
  /** What the record, or a call of it, raised is kept in the CPU: an exception, an exit or a stop. */
  RAISED: 7,
  /** The record's microcode is done, and then exits: the exit fields are filled. */
  TRAP: 8,
  /** The record's exit was served in place, and guest mode ends: everything is set. */
  SERVED: 9,
  /** The record is done, and what the CPU runs under has changed: look again. */
  END: 10,
} as const;
