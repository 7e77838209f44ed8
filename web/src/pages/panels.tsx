// The panels at the bottom of the overview: event types, usage, rejected
// commands, and the servers.

import type { Overview as Body, Rejected } from "../api.ts";
import { exact, percent, span } from "../format.ts";
import { href } from "../route.ts";
import { projectOf, projects } from "../state.ts";
import { Check, EventIcon, Warning } from "../ui/icons.tsx";
import { now } from "../ui/now.ts";
import { Bytes, Num, Panel, useFirst } from "../ui/parts.tsx";
import { RejectedLine } from "./rejected.tsx";

export function Types({ data }: { data: Body }) {
  const several = projects.value.length > 1;
  const most = Math.max(1, ...data.types.map((row) => row.day));
  const [shown, rest] = useFirst(data.types, 12);
  return (
    <Panel title="Events by type" id="types">
      {data.types.length === 0 ? (
        <p class="faint">Event types are listed here once there are some.</p>
      ) : (
        <div class="wide" tabIndex={0} role="group" aria-label="Events by type">
          <table class="types">
            <thead>
              <tr>
                <th scope="col">Type</th>
                <th scope="col" class="n">
                  Day
                </th>
                <th scope="col" class="n">
                  Month
                </th>
              </tr>
            </thead>
            <tbody>
              {shown.map((row) => (
                <tr key={row.project + row.type}>
                  <th scope="row">
                    <div>
                      <a class="type" href={href("live", { project: row.project, type: row.type })}>
                        <EventIcon type={row.type} />
                        <span>{row.type}</span>
                      </a>
                      {several && (
                        <span class="of faint small" title={projectOf(row.project)?.name}>
                          {projectOf(row.project)?.name}
                        </span>
                      )}
                    </div>
                    <span class="bar" aria-hidden="true" style={{ width: `${(row.day / most) * 100}%` }} />
                  </th>
                  <td class="n">
                    <Num n={row.day} />
                  </td>
                  <td class="n">
                    <Num n={row.month} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
          {rest}
          {!rest && data.types.length === typesSent && <p class="faint small">These are the most frequent types. Live finds all by name.</p>}
        </div>
      )}
    </Panel>
  );
}

/** How many types the server sends, the most frequent ones. */
const typesSent = 50;

export function Usage({ data }: { data: Body }) {
  return (
    <Panel title="Usage this month" id="usage">
      {data.usage.length === 0 ? (
        <p class="faint">Nothing was processed this month.</p>
      ) : (
        data.usage.map((row) => (
          <div key={row.project} class="usage">
            <h3>
              {projectOf(row.project)?.name ?? row.project} <span class="faint">{row.month}</span>
            </h3>
            <p>
              <Num n={row.processed} class="large" /> events processed
            </p>
            <Split parts={[["stored", "accepted", row.stored], ["duplicate", "plain", row.duplicate], ["refused", "refused", row.refused]]} />
          </div>
        ))
      )}
    </Panel>
  );
}

/** Split shows the parts of a whole, as a drawing and as text. */
function Split({ parts }: { parts: readonly (readonly [string, string, number])[] }) {
  const whole = parts.reduce((sum, [, , n]) => sum + n, 0);
  return (
    <>
      <div class="split" aria-hidden="true">
        {parts.map(([name, color, n]) => n > 0 && <span key={name} class={color} style={{ flexGrow: n / whole }} />)}
      </div>
      <dl class="facts inline">
        {parts.map(([name, color, n]) => (
          <div key={name}>
            <dt>
              <span class={`spot ${color}`} />
              {name}
            </dt>
            <dd title={`${exact(n)}: ${percent(n, whole)}`}>
              <Num n={n} />
            </dd>
          </div>
        ))}
      </dl>
    </>
  );
}

const kindsShown = 6;

/** Recent shows the last rejected commands. Similar ones are shown together. */
export function Recent({ rejected, open }: { rejected: readonly Rejected[]; open: boolean }) {
  const kinds = new Map<string, { one: Rejected; times: number }>();
  for (const one of rejected) {
    const key = [one.project, one.command, one.type, one.error].join(" ");
    const kind = kinds.get(key);
    if (kind) kind.times++;
    else kinds.set(key, { one, times: 1 });
  }
  const all = <a href={href("live", { rejected: "only" })}>All</a>;
  return (
    <Panel title="Rejected last" id="rejected" aside={all}>
      {kinds.size === 0 ? (
        <p class="faint">
          {open && <Check class="good" />} {open ? "Nothing was rejected since this server started." : "Not known yet"}
        </p>
      ) : (
        <ul class="plain">
          {[...kinds].slice(0, kindsShown).map(([key, { one, times }]) => (
            <li key={key}>
              <RejectedLine one={one} times={times} />
            </li>
          ))}
        </ul>
      )}
    </Panel>
  );
}

export function Health({ data: { health, rates } }: { data: Body }) {
  return (
    <Panel title="This server" id="health">
      <p class={`state ${health.ready ? "good" : "bad"}`}>
        {health.ready ? <Check /> : <Warning />}
        {health.ready ? "Ready" : "Not ready: load balancers send no requests here"}
      </p>
      {!health.ready && <p>{health.reason}</p>}
      {health.damaged > 0 && (
        <p class="state bad">
          <Warning />
          <span>
            <Num n={health.damaged} /> {health.damaged === 1 ? "place" : "places"} of the store cannot be read
          </span>
        </p>
      )}
      {health.damaged > 0 && (
        <p>
          <code>trackway doctor</code> and the server's log say which.
        </p>
      )}
      <dl class="facts">
        <div>
          <dt>Runs for</dt>
          <dd>{span(now.value - rates.since)}</dd>
        </div>
        <div>
          <dt>Data</dt>
          <dd>
            <Bytes n={health.store_bytes} />
          </dd>
        </div>
        <div class={health.disk_free < 2 ** 30 ? "bad" : ""}>
          <dt>Disk left</dt>
          <dd>
            <Bytes n={health.disk_free} />
          </dd>
        </div>
        <div>
          <dt>Memory</dt>
          <dd>
            <Bytes n={health.memory} />
          </dd>
        </div>
        <div>
          <dt>Goroutines</dt>
          <dd>
            <Num n={health.goroutines} />
          </dd>
        </div>
      </dl>
    </Panel>
  );
}

const states: { [state: string]: string } = { up: "up", service: "in service", down: "does not answer" };

export function Servers({ data }: { data: Body }) {
  return (
    <Panel title="All servers" id="servers">
      <ul class="plain servers">
        {data.servers.map((server) => (
          <li key={server.name}>
            <span class={`lamp ${server.state === "up" ? "on" : server.state}`} />
            <span>
              <a href={server.url}>{server.name}</a> {server.region && <span class="faint">{server.region}</span>}
              {server.self && <span class="faint"> this one</span>}
            </span>
            <span class={server.state === "up" ? "faint" : "warn"}>{states[server.state] ?? server.state}</span>
          </li>
        ))}
      </ul>
    </Panel>
  );
}
