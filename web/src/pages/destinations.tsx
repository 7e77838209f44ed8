// Where the stored changes are sent, how far behind that is, and what went
// wrong.

import { useMemo } from "preact/hooks";
import type { Destination, Destinations as Body } from "../api.ts";
import { Chart } from "../charts/chart.tsx";
import { Lags } from "../charts/lag.ts";
import { count, exact, span } from "../format.ts";
import { useAnswer } from "../net/answer.ts";
import { Check, Send } from "../ui/icons.tsx";
import { Command, Num, Panel, Time, Trouble, Waiting } from "../ui/parts.tsx";
import { LiveMark } from "./overview.tsx";

const every = 10;

/** What has been seen of the lags. It outlives the page, until a reload. */
const lags = new Lags(every, 360);

export function Destinations() {
  const { answer, again } = useAnswer<Body>("/grid/destinations", every);
  const { data, error } = answer.value;
  useMemo(() => data && lags.note(data), [data]);
  if (!data) return <Waiting title="Destinations" error={error} again={again} />;
  return (
    <>
      <div class="title">
        <h1>Destinations</h1>
        <LiveMark open={false} at={answer.value.at} />
      </div>
      {error !== null && <Trouble text={error} again={again} />}
      {data.destinations.length > 1 && <p class="faint">{summary(data.destinations)}</p>}
      {data.unanswered.map((one) => (
        <Trouble key={one.partition} text={`Nothing is known of the destinations of partition ${one.partition}: ${one.error}.`} again={again} />
      ))}
      {data.destinations.length === 0 && data.unanswered.length === 0 ? <None /> : data.destinations.map((one) => <Card key={one.name} destination={one} now={data.now} />)}
    </>
  );
}

const example = `destinations:
  - name: out
    kind: file          # or postgres, clickhouse, kafka, s3, webhook, mirror
    path: ./out`;

function None() {
  return (
    <div class="empty">
      <Send />
      <h2>No destinations</h2>
      <p>
        Every event and every change of a customer can also go into a database, an object store, a queue or a folder. Nothing is lost while one of them is away. Add
        this to the configuration file, and reload the server:
      </p>
      <Command text={example} label="Copy the lines" />
      <p class="faint">
        <code>trackway destinations check</code> then tells whether it works.
      </p>
    </div>
  );
}

/** The words for states, and whether something is wrong; the worst first. */
const states: { [state in Destination["state"]]: [string, "good" | "warn" | "bad" | "alarm" | ""] } = {
  stopped: ["Stopped: somebody has to act", "alarm"],
  retrying: ["Failing, and trying again", "bad"],
  paused: ["Paused", "warn"],
  behind: ["Catching up", "warn"],
  checking: ["Being checked", ""],
  running: ["Up to date", "good"],
};

/** summary says how many destinations are in each state, such as "1 stopped, 2 running". */
function summary(all: Destination[]): string {
  const parts = Object.keys(states).map((state) => [all.filter((one) => one.state === state).length, state] as const);
  return parts.flatMap(([n, state]) => (n > 0 ? [`${n} ${state}`] : [])).join(", ");
}

function Card({ destination: one, now }: { destination: Destination; now: number }) {
  const [word, tone] = states[one.state] ?? [one.state, ""];
  const text = one.state === "running" && one.lag_events > 0 ? "Sending" : word;
  const failing = one.error !== undefined && one.error !== "";
  return (
    <Panel title={one.name} id={`destination-${one.name}`} class="destination" aside={<span class={`badge ${tone}`}>{text}</span>}>
      <p class="small faint">
        {one.kind}
        {one.state === "paused" && (
          <>
            {" "}
            · <code>trackway destinations resume {one.name}</code> lets it go on, unless the configuration says <code>paused: true</code>
          </>
        )}
        {one.state === "stopped" && (
          <>
            {" "}
            · do what the message says, then <code>trackway destinations resume {one.name}</code>
          </>
        )}
        {!one.deletes && " · erasures do not reach it"}
        {one.lets_go && " · events may expire before it has them"}
      </p>
      {failing && <Trouble text={one.error!} />}
      <dl class="facts inline">
        <Fact name="Behind by" warn={one.state === "behind" || failing}>
          {one.lag_events === 0 ? "nothing" : <><Num n={one.lag_events} /> {one.lag_events === 1 ? "change" : "changes"}</>}
          {one.lag_seconds >= 1 && <span class="small"> ({span(Math.round(one.lag_seconds))})</span>}
        </Fact>
        <Fact name="Rate">{one.rate >= 10 ? <Num n={Math.round(one.rate)} /> : exact(Math.round(one.rate * 10) / 10)} rows a second</Fact>
        <Fact name="Rows written">
          <Num n={one.rows} />
        </Fact>
        <Fact name="Last success">{one.last_success === null ? "none since the start" : <Time at={Date.parse(one.last_success) / 1000} as="ago" />}</Fact>
        {one.last_failure !== null && (
          <Fact name="Last failure">
            <Time at={Date.parse(one.last_failure) / 1000} as="ago" />
            {!failing && one.last_error !== undefined && <span class="small">: {one.last_error}</span>}
          </Fact>
        )}
        {one.missed > 0 && (
          <Fact name="Expired before they were sent" warn>
            <Num n={one.missed} />
          </Fact>
        )}
        {one.lost > 0 && (
          <Fact name="Could not be read" warn>
            <Num n={one.lost} />
          </Fact>
        )}
      </dl>
      <Lag name={one.name} now={now} />
      <Left destination={one} />
    </Panel>
  );
}

function Fact({ name, warn = false, children }: { name: string; warn?: boolean; children: preact.ComponentChildren }) {
  return (
    <div class={warn ? "warn" : ""}>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function Lag({ name, now }: { name: string; now: number }) {
  const { start, values } = lags.of(name, now);
  return (
    <Chart
      label={`Changes that ${name} does not have yet, since this page was opened`}
      start={start}
      step={every}
      height={90}
      gauge
      lines={[{ name: "behind by", color: "refused", values, fill: true }]}
    />
  );
}

/** Left lists what was left out: rows, and values of columns. */
function Left({ destination: { name, rows, rejected = {}, misfits = [] } }: { destination: Destination }) {
  const reasons = Object.entries(rejected).sort(([, a], [, b]) => b - a);
  if (reasons.length === 0 && misfits.length === 0) {
    return rows > 0 && (
      <p class="faint small">
        <Check class="good" /> Every row fitted.
      </p>
    );
  }
  return (
    <div class="wide" tabIndex={0} role="group" aria-label={`What ${name} does not have`}>
      <table>
        <caption class="out">What {name} does not have</caption>
        <thead>
          <tr>
            <th scope="col">Left out</th>
            <th scope="col">Why</th>
          </tr>
        </thead>
        <tbody>
          {reasons.map(([reason, rows]) => (
            <tr key={reason}>
              <td>{count(rows, "row")}</td>
              <td>{reason}</td>
            </tr>
          ))}
          {misfits.map(({ type, property, values }) => (
            <tr key={`${type} ${property}`}>
              <td>{count(values, "value")}</td>
              <td>
                <code>{property}</code> of <code>{type}</code> does not fit into its column, which is empty there; <code>properties</code> has the value
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {reasons.length > 0 && (
        <p class="small faint">
          <code>trackway destinations rejects {name}</code> lists the rows.
        </p>
      )}
    </div>
  );
}
