// Parsing JSON without losing digits. Programs send ids and amounts that
// JavaScript's numbers cannot hold.

/**
 * A reviver that receives the source text of a value, and a value with its own
 * source text (ECMAScript 2026, JSON.rawJSON).
 */
interface Exact {
  rawJSON?: (source: string) => unknown;
  parse(text: string, reviver: (name: string, value: unknown, context?: { source?: string }) => unknown): unknown;
}

/**
 * Only texts with such a long number are parsed value by value, which takes
 * several times as long.
 */
const long = /\d{16}|[eE]\+?\d{3}/;

/**
 * parse parses JSON. A number that would be rounded becomes an object that
 * JSON.stringify writes with all its digits. Browsers without such objects
 * round it.
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
