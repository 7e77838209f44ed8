// The format of numbers and times. All functions are pure: the zone and the
// language are the viewer's.

const language = typeof navigator === "undefined" ? "en" : navigator.language;

/** exact formats all digits of a number, grouped: 1,234,567. */
export function exact(n: number): string {
  return exactly.format(n);
}
const exactly = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });

/**
 * short formats a number for reading at a glance: 1,234 as it is, 12.3 k, 1.2
 * M. exact formats what it leaves out.
 */
export function short(n: number): string {
  const size = Math.abs(n);
  if (size < 10_000) return exactly.format(Math.round(n * 10) / 10);
  for (const [unit, name] of units) {
    // Rounded first: 999,500 is 1 M, not 1000 k.
    if (size >= unit * 0.9995) return `${three(n / unit)} ${name}`;
  }
  return exact(n);
}
const units: [number, string][] = [
  [1e12, "T"],
  [1e9, "G"],
  [1e6, "M"],
  [1e3, "k"],
];

function three(n: number): string {
  return Number(n.toPrecision(3)).toString();
}

/** bytes formats an amount of memory in powers of 1024. */
export function bytes(n: number): string {
  let size = n;
  for (const unit of ["B", "KiB", "MiB", "GiB", "TiB"]) {
    if (size < 1023.5) return `${size < 10 && unit !== "B" ? size.toFixed(1) : Math.round(size)} ${unit}`;
    size /= 1024;
  }
  return `${three(size)} PiB`;
}

/** percent formats a share. A share that is not zero never appears as 0. */
export function percent(part: number, whole: number): string {
  if (whole <= 0 || part <= 0) return "0 %";
  const share = (part / whole) * 100;
  if (share < 0.1) return "< 0.1 %";
  if (share > 99.9 && part < whole) return "> 99.9 %";
  return `${share < 10 ? Number(share.toFixed(1)) : Math.round(share)} %`;
}

/** span formats a duration by its two largest units: 3 d 4 h. */
export function span(seconds: number): string {
  const parts: string[] = [];
  let rest = Math.max(0, Math.round(seconds));
  for (const [unit, name] of spans) {
    const count = Math.floor(rest / unit);
    rest -= count * unit;
    if (count > 0) parts.push(`${count} ${name}`);
    else if (parts.length > 0) break;
    if (parts.length === 2) break;
  }
  return parts.join(" ") || "0 s";
}
const spans: [number, string][] = [
  [86_400, "d"],
  [3600, "h"],
  [60, "min"],
  [1, "s"],
];

/** count formats a number with its noun: 1 event, 2 events. */
export function count(n: number, one: string, many = `${one}s`): string {
  return `${short(n)} ${n === 1 ? one : many}`;
}

/** Clock formats times in a zone: the viewer's, unless a test names one. */
export class Clock {
  private readonly dayAndYear: Intl.DateTimeFormat;
  private readonly dayOfYear: Intl.DateTimeFormat;
  private readonly year: Intl.DateTimeFormat;
  private readonly hours: Intl.DateTimeFormat;
  private readonly minutes: Intl.DateTimeFormat;
  private readonly long: Intl.DateTimeFormat;

  constructor(zone?: string, lang: string = language) {
    const options = zone === undefined ? {} : { timeZone: zone };
    this.dayAndYear = new Intl.DateTimeFormat(lang, { ...options, day: "numeric", month: "short", year: "numeric" });
    this.year = new Intl.DateTimeFormat("en", { ...options, year: "numeric" });
    this.dayOfYear = new Intl.DateTimeFormat(lang, { ...options, day: "numeric", month: "short" });
    this.long = new Intl.DateTimeFormat(lang, { ...options, weekday: "long", day: "numeric", month: "long", year: "numeric" });
    this.hours = new Intl.DateTimeFormat("en-GB", { ...options, hour: "2-digit", minute: "2-digit", second: "2-digit" });
    this.minutes = new Intl.DateTimeFormat("en-GB", { ...options, hour: "2-digit", minute: "2-digit" });
  }

  /** day: 22 Nov 2026. */
  day(seconds: number): string {
    return this.dayAndYear.format(seconds * 1000);
  }

  /** date: 22 Nov. */
  date(seconds: number): string {
    return this.dayOfYear.format(seconds * 1000);
  }

  /** weekday: Sunday, 22 November 2026. */
  weekday(seconds: number): string {
    return this.long.format(seconds * 1000);
  }

  /** minute: 14:05. */
  minute(seconds: number): string {
    return this.minutes.format(seconds * 1000);
  }

  /** time: 14:05:09. */
  time(seconds: number): string {
    return this.hours.format(seconds * 1000);
  }

  /** milli: 14:05:09.123. */
  milli(seconds: number): string {
    const ms = Math.floor(seconds * 1000 + 1e-4);
    return `${this.hours.format(ms)}.${String(((ms % 1000) + 1000) % 1000).padStart(3, "0")}`;
  }

  /**
   * recent: 14:05:09 for today, 22 Nov, 14:05 for earlier days, and the date
   * for another year.
   */
  recent(seconds: number, now: number): string {
    return this.earlier(seconds, now) ?? this.time(seconds);
  }

  /** moment is recent with milliseconds: 14:05:09.123. */
  moment(seconds: number, now: number): string {
    return this.earlier(seconds, now) ?? this.milli(seconds);
  }

  /** earlier returns null for today, when the time says enough. */
  private earlier(seconds: number, now: number): string | null {
    const day = this.day(seconds);
    if (day === this.day(now)) return null;
    const year = (of: number) => this.year.format(of * 1000);
    return year(seconds) === year(now) ? `${this.dayOfYear.format(seconds * 1000)}, ${this.minute(seconds)}` : day;
  }

  /** full: 22 Nov 2026, 14:05:09.123. */
  full(seconds: number): string {
    return `${this.day(seconds)}, ${this.milli(seconds)}`;
  }

  /** both: 22 Nov 2026, 14:05. */
  both(seconds: number): string {
    return `${this.day(seconds)}, ${this.minute(seconds)}`;
  }
}

/**
 * iso formats Unix seconds as 2026-11-22T14:05:09.123Z. It returns an empty
 * text if they are not a time.
 */
export function iso(seconds: number): string {
  const date = new Date(Math.round(seconds * 1000));
  return Number.isNaN(date.getTime()) ? "" : date.toISOString();
}

/** utc formats the tooltip of a time: 2026-11-22 14:05:09.123 UTC. */
export function utc(seconds: number): string {
  return iso(seconds).replace("T", " ").replace("Z", " UTC");
}

/** ago says in words how long before now a time was. */
export function ago(seconds: number, now: number): string {
  const past = now - seconds;
  return past < 1 ? "just now" : `${span(past).split(" ").slice(0, 2).join(" ")} ago`;
}
