// `trapline/testing`: boot guests from vitest and say what is expected of them. Importing it installs the matchers.

import { expect } from 'vitest';
import { matchers, type TraplineMatchers } from './matchers.ts';

export { bootGuest, runGuest, type GuestOptions } from './bootGuest.ts';
export {
  bootCase,
  brokenPromises,
  casesOfFile,
  guestCases,
  imageOfFile,
  runCase,
  type GuestCase,
} from './guestCases.ts';
export { parseDirectives, DirectiveError, type Directives, type GuestDirectives } from './directives.ts';
export { TestMmioDevice, type MmioAccess } from './mmioDevice.ts';
export { namesOf, recordEvents, type RecordedEvents, type RecordOptions } from './recordEvents.ts';
export type { Times, TraplineMatchers } from './matchers.ts';

expect.extend(matchers);

declare module 'vitest' {
  // eslint-disable-next-line @typescript-eslint/no-empty-object-type -- declaration merging is how vitest is extended
  interface Matchers<T> extends TraplineMatchers<T> {}
}
