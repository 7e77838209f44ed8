// How the server does: figures, charts that move, what comes in, and who else serves.

import { useSignal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import type { Outcome, Overview as Body, Rejected, Series, Stats } from "../api.ts";
import { Chart } from "../charts/chart.tsx";
import { extend, finished } from "../charts/series.ts";
import { exact, percent, span } from "../format.ts";
import { useAnswer } from "../net/answer.ts";
import { useStream } from "../net/stream.ts";
import { href } from "../route.ts";
import { announcement, projectOf, projects } from "../state.ts";
import { Check, EventIcon, Warning } from "../ui/icons.tsx";
import { now } from "../ui/now.ts";
import { Bytes, Choice, Loading, Num, Panel, Time, Trouble } from "../ui/parts.tsx";
import { FirstEvent } from "./empty.tsx";
import { RejectedLine } from "./rejected.tsx";

/** Seconds between two readings; between them the stream keeps the charts moving. */
const every = 30;
/** As many rejected commands are kept; those that are alike are shown together. */
const recently = 100;
const kindsShown = 6;

export function Overview() {
  const { answer, again } = useAnswer<Body>("/grid/overview", every);
  const latest = useSignal<Stats | null>(null);
  const hour = useSignal<Series | null>(null);
  const rejected = useSignal<Rejected[]>([]);
  const { data, error } = answer.value;
  useEffect(() => {
    if (data) hour.value = data.rates.hour;
  }, [data]);
  const open = useStream("/grid/live?rejected=only", {
    stats: (stats) => {
      latest.value = stats;
      if (hour.value) hour.value = extend(hour.value, stats, data?.now ?? 0);
      announce(stats);
      if (data?.totals.events === 0 && stats.accepted > 0) again(); // the first event, awaited
    },
    rejected: (one) => (rejected.value = [one, ...rejected.value].slice(0, recently)),
  });
  if (!data) return error === null ? <Loading /> : <Trouble text={error} again={again} />;
  const fresh = data.totals.events === 0;
  return (
    <>
      <div class="title">
        <h1>Overview</h1>
        <LiveMark open={open.value} at={answer.value.at} />
      </div>
      {error !== null && <Trouble text={error} again={again} />}
      <Tiles data={data} latest={latest.value} />
      {fresh ? (
        <div class="panel">
          <FirstEvent project={projects.value[0]} title="Send the first event" />
        </div>
      ) : (
        <Traffic data={data} hour={hour.value ?? data.rates.hour} moment={Math.max(data.now, latest.value?.now ?? 0)} />
      )}
      <div class="columns">
        {!fresh && <Types data={data} />}
        <div class="stack">
          {!fresh && <Usage data={data} />}
          <Recent rejected={rejected.value} />
        </div>
        <div class="stack">
          <Health data={data} />
          <Servers data={data} />
        </div>
      </div>
    </>
  );
}

/** LiveMark says whether what is shown is of this moment. */
export function LiveMark({ open, at }: { open: boolean; at: number }) {
  return (
    <p class="mark">
      <span class={`lamp ${open ? "on" : ""}`} />
      {open ? "Live" : at > 0 ? <span>As of <Time at={at / 1000} as="time" /></span> : "Connecting"}
    </p>
  );
}

let announcedAt = 0;
let troubled = false;

/** announce tells the rates in words: every minute at most, and at once when commands begin to be turned away. */
function announce(stats: Stats): void {
  const turnedAway = stats.refused + stats.limited + stats.failed;
  const soon = turnedAway > 0 && !troubled;
  troubled = turnedAway > 0;
  if (Date.now() - announcedAt < (soon ? 10_000 : 60_000)) return;
  announcedAt = Date.now();
  announcement.value = `${stats.accepted} accepted and ${turnedAway} turned away in the last second`;
}

const meanings: { [outcome in Outcome]: [string, string] } = {
  accepted: ["Accepted", "Commands that are stored"],
  refused: ["Refused", "Commands with something wrong in them: the sender was told what"],
  limited: ["Limited", "Requests over a rate limit, answered 429"],
  failed: ["Failed", "Commands that the server could not store: its own fault"],
};

function Tiles({ data, latest }: { data: Body; latest: Stats | null }) {
  const { minute } = data.rates;
  return (
    <dl class="tiles">
      {(Object.keys(meanings) as Outcome[]).map((outcome) => (
        <div key={outcome} class={`tile ${outcome} ${minute[outcome] > 0 ? "some" : ""}`} title={meanings[outcome][1]}>
          <dt>{meanings[outcome][0]}</dt>
          <dd>
            <Num n={minute[outcome]} class="big" />
            <span class="faint">
              in a minute
              {latest && (
                <>
                  , <Num n={latest[outcome]} /> now
                </>
              )}
            </span>
          </dd>
        </div>
      ))}
      <div class="tile">
        <dt>Customers</dt>
        <dd>
          <Num n={data.totals.customers} class="big" />
          <a href={href("customers")}>Search</a>
        </dd>
      </div>
      <div class="tile">
        <dt>Events</dt>
        <dd>
          <Num n={data.totals.events} class="big" />
          <a href={href("live")}>Watch</a>
        </dd>
      </div>
    </dl>
  );
}

function Traffic({ data, hour, moment }: { data: Body; hour: Series; moment: number }) {
  const range = useSignal<"hour" | "day">("hour");
  const shown = range.value === "hour" ? hour : data.rates.day;
  const end = Math.floor((moment - shown.start) / shown.step);
  const series = useMemo(() => finished(shown, moment), [shown, end]);
  const common = { start: series.start, step: series.step, group: "traffic" };
  const ofWhat = range.value === "hour" ? "the last hour" : "the last day";
  const choice = (
    <Choice label="Time shown" name="range" value={range} options={[["hour", "Hour"], ["day", "Day"]]} />
  );
  return (
    <Panel title="Traffic" id="traffic" aside={choice} class="traffic">
      <Chart
        {...common}
        label={`Commands accepted in ${ofWhat}`}
        height={190}
        lines={[{ name: "Accepted", color: "accepted", values: series.accepted, fill: true }]}
      />
      <Chart
        {...common}
        label={`Turned away in ${ofWhat}`}
        height={120}
        lines={[
          { name: "Refused", color: "refused", values: series.refused },
          { name: "Limited", color: "limited", values: series.limited, dash: [6, 3] },
          { name: "Failed", color: "failed", values: series.failed, dash: [2, 3] },
        ]}
      />
      <p class="faint small">
        Counts in steps of {span(series.step)}. This server runs since <Time at={data.rates.since} />; before that it knows nothing.
      </p>
    </Panel>
  );
}

function Types({ data }: { data: Body }) {
  const several = projects.value.length > 1;
  const most = Math.max(1, ...data.types.map((row) => row.day));
  return (
    <Panel title="Events by type" id="types">
      {data.types.length === 0 ? (
        <p class="faint">The types of events are listed here once there are some.</p>
      ) : (
        <div class="wide" tabIndex={0} role="group" aria-label="Events by type">
          <table>
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
              {data.types.slice(0, 20).map((row) => (
                <tr key={row.project + row.type}>
                  <th scope="row">
                    <a class="type" href={href("live", { project: row.project, type: row.type })}>
                      <EventIcon type={row.type} />
                      <span>{row.type}</span>
                    </a>
                    {several && <span class="faint small"> {projectOf(row.project)?.name}</span>}
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
        </div>
      )}
    </Panel>
  );
}

function Usage({ data }: { data: Body }) {
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

/** Split draws what a whole is made of, and says it. */
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

function Recent({ rejected }: { rejected: readonly Rejected[] }) {
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
          <Check class="good" /> Nothing was rejected lately.
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

function Health({ data: { health, rates } }: { data: Body }) {
  return (
    <Panel title="This server" id="health">
      <p class={`state ${health.ready ? "good" : "bad"}`}>
        {health.ready ? <Check /> : <Warning />}
        {health.ready ? "Ready" : "Not ready: balancers send nobody here"}
      </p>
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

function Servers({ data }: { data: Body }) {
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
