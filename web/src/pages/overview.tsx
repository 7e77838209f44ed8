// The state of the server: figures, moving charts, incoming events, and the
// other servers.

import { useSignal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import type { Cluster, Outcome, Overview as Body, Rejected, Series, Stats } from "../api.ts";
import { Chart } from "../charts/chart.tsx";
import { extend, finished, total } from "../charts/series.ts";
import { span } from "../format.ts";
import { useAnswer } from "../net/answer.ts";
import { useStream } from "../net/stream.ts";
import { href } from "../route.ts";
import { announcement, projects } from "../state.ts";
import { Choice, Num, Panel, Time, Trouble, Waiting } from "../ui/parts.tsx";
import { ClusterPanel, ClusterTrouble } from "./cluster.tsx";
import { FirstEvent } from "./empty.tsx";
import { Health, Recent, Servers, Types, Usage } from "./panels.tsx";

/**
 * Seconds between two readings. Between them, the stream keeps the charts
 * moving.
 */
const every = 30;
/** How many rejected commands are kept. Similar ones are shown together. */
const recently = 100;

export function Overview() {
  const { answer, again } = useAnswer<Body>("/grid/overview", every);
  const latest = useSignal<Stats | null>(null);
  const hour = useSignal<Series | null>(null);
  const rejected = useSignal<Rejected[]>([]);
  const cluster = useSignal<Cluster | null>(null);
  const { data, error } = answer.value;
  useEffect(() => {
    if (data) hour.value = data.rates.hour;
    if (data) cluster.value = data.cluster;
  }, [data]);
  const { open } = useStream("/grid/live?rejected=only", {
    stats: (stats) => {
      latest.value = stats;
      if (hour.value) hour.value = extend(hour.value, stats, data?.now ?? 0);
      announce(stats);
      if (data && awaited(data, stats)) again();
    },
    cluster: (now) => (cluster.value = now),
    rejected: (one) => (rejected.value = [one, ...rejected.value].slice(0, recently)),
  });
  const fresh = data !== null && data.totals.events + data.totals.customers === 0;
  useEffect(() => {
    if (open.value && fresh) again(); // for what came before the stream opened
  }, [open.value]);
  if (!data) return <Waiting title="Overview" error={error} again={again} />;
  return (
    <>
      <div class="title">
        <h1>Overview</h1>
        <LiveMark open={open.value} at={answer.value.at} />
      </div>
      {error !== null && <Trouble text={error} again={again} />}
      {cluster.value && <ClusterTrouble cluster={cluster.value} />}
      {data.missing.length > 0 && <Trouble text={`The servers that hold ${missing(data)} do not answer, so the figures are without ${data.missing.length === 1 ? "it" : "them"}.`} again={again} />}
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
          <Recent rejected={rejected.value} open={open.value} />
        </div>
        <div class="stack">
          {cluster.value && <ClusterPanel cluster={cluster.value} />}
          <Health data={data} />
          <Servers data={data} />
        </div>
      </div>
    </>
  );
}

/** missing names the projects that are left out. */
function missing({ missing: tokens }: Body): string {
  const names = tokens.map((token) => projects.value.find((p) => p.token === token)?.name ?? token);
  return names.length > 3 ? `${names.length} projects` : names.join(", ");
}

/**
 * awaited reports whether there is news worth an immediate request: the first
 * command, or the first step of a server that has just started.
 */
function awaited({ now, totals, rates: { hour } }: Body, stats: Stats): boolean {
  const first = totals.events + totals.customers === 0 && stats.accepted > 0;
  return first || (total(hour.accepted) === null && stats.now - now > hour.step);
}

/** LiveMark says whether the figures are current. */
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

/**
 * announce says the rates in words: at most every minute, and at once when
 * commands begin to be turned away.
 */
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
  refused: ["Refused", "Commands with mistakes: the sender was told which"],
  limited: ["Limited", "Requests over a rate limit, answered with 429"],
  failed: ["Failed", "Commands that the server could not store, through its own fault"],
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
        Counts in steps of {span(series.step)}. This server has been running since <Time at={data.rates.since} />, and knows nothing of the time before
        {total(series.accepted) === null && ". Its first step is not over yet"}.
      </p>
    </Panel>
  );
}
