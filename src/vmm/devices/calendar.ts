// Dates of the Gregorian calendar and seconds since 1970-01-01T00:00:00, without a clock and without time zones.
//
// Theory: a year that begins in March has its leap day last, so that the days before a month are a straight line, and 400
// such years have 146097 days (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms").

export interface CalendarDate {
  readonly year: number;
  /** 1 to 12. */
  readonly month: number;
  readonly day: number;
  readonly hour: number;
  readonly minute: number;
  readonly second: number;
  /** 1: Sunday, as real-time clocks have it. */
  readonly weekday: number;
}

const DAY = 86400;
const ERA_YEARS = 400;
const ERA_DAYS = 146097;
/** Days from 0000-03-01 to 1970-01-01, a Thursday. */
const EPOCH_DAYS = 719468;
const THURSDAY = 4;

export function secondsOf({ year, month, day, hour, minute, second }: Omit<CalendarDate, 'weekday'>): number {
  const shifted = month <= 2 ? year - 1 : year;
  const era = Math.floor(shifted / ERA_YEARS);
  const yearOfEra = shifted - era * ERA_YEARS;
  const dayOfYear = Math.floor((153 * ((month + 9) % 12) + 2) / 5) + day - 1;
  const dayOfEra = yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear;
  return (era * ERA_DAYS + dayOfEra - EPOCH_DAYS) * DAY + hour * 3600 + minute * 60 + second;
}

export function dateOf(seconds: number): CalendarDate {
  const days = Math.floor(seconds / DAY);
  const time = seconds - days * DAY;
  const shifted = days + EPOCH_DAYS;
  const era = Math.floor(shifted / ERA_DAYS);
  const dayOfEra = shifted - era * ERA_DAYS;
  const yearOfEra = Math.floor(
    (dayOfEra - Math.floor(dayOfEra / 1460) + Math.floor(dayOfEra / 36524) - Math.floor(dayOfEra / 146096)) / 365,
  );
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const fromMarch = Math.floor((5 * dayOfYear + 2) / 153);
  const month = fromMarch < 10 ? fromMarch + 3 : fromMarch - 9;
  return {
    year: yearOfEra + era * ERA_YEARS + (month <= 2 ? 1 : 0),
    month,
    day: dayOfYear - Math.floor((153 * fromMarch + 2) / 5) + 1,
    hour: Math.floor(time / 3600),
    minute: Math.floor(time / 60) % 60,
    second: time % 60,
    weekday: ((((days + THURSDAY) % 7) + 7) % 7) + 1,
  };
}

/** Seconds of `2006-06-17T16:01:21` or `2006-06-17`; null: no such date. */
export function parseDate(text: string): number | null {
  const found = /^(\d{4})-(\d\d)-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d))?Z?)?$/.exec(text);
  if (found === null) return null;
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = found
    .slice(1)
    .map((part) => Number(part ?? 0));
  const seconds = secondsOf({ year, month, day, hour, minute, second });
  const back = dateOf(seconds);
  const real = back.month === month && back.day === day && back.hour === hour && back.minute === minute;
  return real && back.second === second ? seconds : null;
}
