// Makes one call and prints, as JSON, what libraries read from the fields of
// the answer.
//
// ratelimit-header-parser implements RateLimit as of version 7 of its draft,
// and prefers it to all other fields, so it only gets the others. The two
// fields of the draft are parsed as what they are since version 8, structured
// fields (RFC 9651).
import { parseRateLimit } from 'ratelimit-header-parser';
import { parseList } from 'structured-headers';

const { status, headers } = await fetch(process.argv[2]);
const list = (name) => parseList(headers.get(name)).map(([value, parameters]) => ({ value, ...Object.fromEntries(parameters) }));
const [state, policy] = [list('RateLimit'), list('RateLimit-Policy')];
const others = new Headers(headers);
others.delete('RateLimit');
const { limit, used, remaining, reset } = parseRateLimit(others);
console.log(JSON.stringify({ status, x: { limit, used, remaining, reset: reset.getTime() / 1000 }, state, policy }));
