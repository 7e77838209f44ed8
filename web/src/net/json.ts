// Reading JSON without losing digits: programs send ids and amounts that JavaScript's numbers do not hold.

/** A reviver that is told how a value was written, and a value that is written as it is told (ECMAScript 2026, JSON.rawJSON). */
interface Exact {
  rawJSON?: (source: string) => unknown;
  parse(text: string, reviver: (name: string, value: unknown, context?: { source?: string }) => unknown): unknown;
}

/** Only texts with so long a number are looked at value by value, which takes several times as long. */
const long = /\d{16}|[eE]\+?\d{3}/;

/**
 * parse reads JSON. A number that would be rounded becomes an object that JSON.stringify writes with all its digits; where a
 * browser has no such objects, it is rounded.
 */
export function parse(text: string): unknown {
  const { rawJSON, parse: parseWith } = JSON as unknown as Exact;
  if (!rawJSON || !long.test(text)) return JSON.parse(text);
  return parseWith(text, (_, value, context) => {
    const source = context?.source;
    return typeof value === "number" && source !== undefined && rounded(value, source) ? rawJSON(source) : value;
  });
}

function rounded(value: number, source: string): boolean {
  if (!Number.isFinite(value)) return true;
  return !Number.isSafeInteger(value) && /^-?\d{16,}$/.test(source) && BigInt(source) !== BigInt(value);
}
