// The callers with the most calls or refusals, and what they send.

import { useSignal } from "@preact/signals";
import type { Caller, Limits } from "../api.ts";
import { count, exact, percent } from "../format.ts";
import { Choice, Num, Panel, Time } from "../ui/parts.tsx";

export function Callers({ data }: { data: Limits }) {
  const which = useSignal<"refused" | "callers">(data.refused.length > 0 ? "refused" : "callers");
  const rows = data[which.value];
  const choice = <Choice label="Order of callers" name="callers" value={which} options={[["callers", "Most calls"], ["refused", "Most refused"]]} />;
  return (
    <Panel title="Callers" id="callers" aside={choice}>
      {rows.length === 0 ? (
        <p class="faint">{which.value === "refused" ? "Nobody was refused in the last half hour." : "Nobody called in the last half hour."}</p>
      ) : (
        <div class="wide" tabIndex={0} role="group" aria-label="Callers">
          <table class="cards">
            <caption class="out">The callers with the most calls or refusals in the last half hour to hour, with what they send</caption>
            <thead>
              <tr>
                <th scope="col">Caller</th>
                <th scope="col">Policy</th>
                <th scope="col" class="n">
                  Calls
                </th>
                <th scope="col" class="n">
                  Refused
                </th>
                <th scope="col">Sends</th>
                <th scope="col">Last</th>
              </tr>
            </thead>
            <tbody>
              {rows.map((row) => (
                <CallerRow key={row.policy + row.address} row={row} />
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Panel>
  );
}

function CallerRow({ row }: { row: Caller }) {
  const about = row.error > 0 ? `give or take ${exact(row.error)}, since only a sample is counted` : undefined;
  return (
    <tr>
      <th scope="row">
        <code title={row.address_from}>{row.address}</code>
      </th>
      <td data-label="Policy">{row.policy}</td>
      <td data-label="Calls" class="n" title={about}>
        <Num n={row.calls} />
      </td>
      <td data-label="Refused" class={`n ${row.refused > 0 ? "warn" : ""}`}>
        <span>
          <Num n={row.refused} /> {row.refused > 0 && <span class="small">({percent(row.refused, row.calls)})</span>}
        </span>
      </td>
      <td data-label="Sends" class="sends">
        <Sends row={row} />
      </td>
      <td data-label="Last">
        <Time at={Date.parse(row.last) / 1000} as="ago" />
      </td>
    </tr>
  );
}

function Sends({ row }: { row: Caller }) {
  const facts: [string, readonly string[]][] = [
    ["routes", row.routes],
    ["events", row.event_types],
    ["with", row.user_agents],
    ["to", row.projects],
  ];
  return (
    <>
      {facts.map(
        ([name, values]) =>
          values.length > 0 && (
            <p key={name}>
              <span class="faint">{name}</span> {values.slice(0, 3).map((value) => <code key={value}>{value}</code>)}
              {values.length > 3 && <span class="faint" title={values.slice(3).join("\n")}> and {count(values.length - 3, "other")}</span>}
            </p>
          ),
      )}
      {row.repeats >= 0.1 && (
        <p class="warn">
          {percent(row.repeats, 1)} of the bodies that were looked at repeat one before: is there a loop?
        </p>
      )}
    </>
  );
}
