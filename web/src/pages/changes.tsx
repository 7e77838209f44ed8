// The history of the limits.

import type { Change, Properties } from "../api.ts";
import { exact, span } from "../format.ts";
import { Panel, Time } from "../ui/parts.tsx";

/** The words for what a policy counts by. */
export const per: { [name: string]: string } = { ip: "address", "ip+path": "address and route", key: "key", project: "project" };

export function Changes({ changes }: { changes: readonly Change[] }) {
  return (
    <Panel title="What changed" id="changes">
      {changes.length === 0 ? (
        <p class="faint">Nothing since the server was set up. Changes of limits are recorded here with the old and the new value.</p>
      ) : (
        <ol class="plain changes">
          {changes.slice(0, 50).map((change, index) => (
            <li key={`${change.at}-${index}`}>
              <Time at={Date.parse(change.at) / 1000} />
              <div>
                <strong>{change.policy || about[change.what]}</strong>
                {change.for !== undefined && <> {change.policy !== "" && "for "}{change.for}</>} <Difference change={change} />
              </div>
            </li>
          ))}
        </ol>
      )}
    </Panel>
  );
}

/** The subjects of changes that do not concern a policy. */
const about: { [what: string]: string } = { proxies: "Proxies", key: "Key" };

const nouns: { [what: string]: string } = { policy: "the policy", override: "an override", proxies: "the list", key: "the key" };

/** Difference shows what is new, field by field. */
function Difference({ change: { old, new: now, what } }: { change: Change }) {
  const noun = nouns[what] ?? what;
  if (!old && now) return <>{noun} was added: {facts(now)}</>;
  if (old && !now) return <>{noun} was removed; it was {facts(old)}</>;
  const names = Object.keys({ ...old, ...now }).filter((name) => JSON.stringify(old?.[name]) !== JSON.stringify(now?.[name]));
  return (
    <>
      {names.map((name, index) => (
        <span key={name}>
          {index > 0 && ", "}
          {name} <del>{written(old?.[name])}</del> <span class="faint">→</span> <ins>{written(now?.[name])}</ins>
        </span>
      ))}
    </>
  );
}

function facts(of: Properties): string {
  if (of["unlimited"] === true) return "no limit";
  if (of["limit"] === undefined) return Object.entries(of).map(([name, value]) => `${name} ${written(value)}`).join(", ");
  if (of["window"] === undefined) return `limit ${written(of["limit"])}`;
  return `${written(of["limit"])} calls in ${span(Number(of["window"]))} for each ${per[String(of["per"])] ?? String(of["per"])}`;
}

function written(value: Properties[string] | undefined): string {
  if (value === undefined || value === null) return "none";
  if (typeof value === "number") return exact(value);
  return Array.isArray(value) ? value.join(", ") : typeof value === "object" ? JSON.stringify(value) : String(value);
}
