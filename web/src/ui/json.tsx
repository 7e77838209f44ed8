// JSON for people.

import type { ComponentChildren } from "preact";
import { useSignal } from "@preact/signals";
import { useMemo } from "preact/hooks";
import type { Json } from "../api.ts";
import { Copy } from "./parts.tsx";

/** How much is shown at first: an event may have 800 KB. */
const most = 20_000;

export function JsonView({ value, label }: { value: Json; label: string }) {
  const all = useSignal(false);
  const text = useMemo(() => JSON.stringify(value, null, 2), [value]);
  const shown = all.value ? text : text.slice(0, most);
  const code = useMemo(() => (shown.length <= most ? coloured(shown) : shown), [shown]);
  return (
    <div class="json">
      <Copy text={text} label="Copy JSON" />
      <pre tabIndex={0} aria-label={label}>
        <code>{code}</code>
      </pre>
      {shown.length < text.length && (
        <button type="button" onClick={() => (all.value = true)}>
          Show all {Math.ceil(text.length / 1024)} KiB
        </button>
      )}
    </div>
  );
}

const tokens = /("(?:[^"\\]|\\.)*")(\s*:)?|\b(true|false|null)\b|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

function coloured(text: string): ComponentChildren[] {
  const parts: ComponentChildren[] = [];
  let end = 0;
  for (const match of text.matchAll(tokens)) {
    const [whole, string, colon, word] = match;
    const kind = colon ? "name" : string ? "string" : word ? "word" : "number";
    const token = colon && string ? string : whole;
    parts.push(text.slice(end, match.index), <span class={kind}>{token}</span>);
    end = match.index + token.length;
  }
  parts.push(text.slice(end));
  return parts;
}
