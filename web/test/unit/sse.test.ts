import assert from "node:assert/strict";
import { test } from "node:test";
import { type ServerEvent, SseParser } from "../../src/net/sse.ts";

const stream =
  'retry: 2000\n\n: alive\n\nevent: event\nid: 9\ndata: {"a":1}\n\nevent: stats\ndata:{"b":\ndata: 2}\n\nid: 10\ndata\n\nevent: lost without data\n\ndata: cut off';
const want: ServerEvent[] = [
  { name: "event", data: '{"a":1}', id: "9" },
  { name: "stats", data: '{"b":\n2}', id: "9" },
  { name: "message", data: "", id: "10" },
];

function read(chunks: readonly string[]) {
  const parser = new SseParser();
  return { events: chunks.flatMap((chunk) => parser.push(chunk)), retry: parser.retry };
}

for (const [name, end] of [["\\n", "\n"], ["\\r\\n", "\r\n"], ["\\r", "\r"]] as const) {
  const text = stream.replaceAll("\n", end);
  test(`a stream with lines that end in ${name}, cut anywhere`, () => {
    assert.deepEqual(read([text]), { events: want, retry: 2000 });
    assert.deepEqual(read([...text]).events, want);
    for (let cut = 0; cut <= text.length; cut++) assert.deepEqual(read([text.slice(0, cut), text.slice(cut)]).events, want, `cut at ${cut}`);
  });
}
