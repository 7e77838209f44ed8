// What is limited, how near callers come, whom it hits, and what changed.

import { useSignal } from "@preact/signals";
import type { Caller, Change, Limits as Body, Policy, Properties } from "../api.ts";
import { Chart } from "../charts/chart.tsx";
import { total } from "../charts/series.ts";
import { count, exact, percent, short, span } from "../format.ts";
import { useAnswer } from "../net/answer.ts";
import { Check } from "../ui/icons.tsx";
import { Choice, Loading, Num, Panel, Time, Trouble } from "../ui/parts.tsx";
import { LiveMark } from "./overview.tsx";

const every = 15;

export function Limits() {
  const { answer, again } = useAnswer<Body>("/grid/limits", every);
  const { data, error } = answer.value;
  if (!data) return error === null ? <Loading /> : <Trouble text={error} again={again} />;
  return (
    <>
      <div class="title">
        <h1>Limits</h1>
        <LiveMark open={false} at={answer.value.at} />
        <a class="aside" href="/about/api#limits">
          As callers read them in the guide
        </a>
      </div>
      {error !== null && <Trouble text={error} again={again} />}
      <Policies data={data} />
      <Refusals data={data} />
      <Callers data={data} />
      <Changes changes={data.changes} />
    </>
  );
}

function Policies({ data }: { data: Body }) {
  if (data.policies.length === 0) {
    return (
      <div class="empty">
        <h2>No limits are in force</h2>
        <p>
          Policies stand under <code>limits</code> in the configuration file. <code>trackway limits suggest</code> proposes some from what was seen.
        </p>
      </div>
    );
  }
  return (
    <div class="policies">
      {data.policies.map((policy) => (
        <PolicyCard key={policy.name} policy={policy} />
      ))}
    </div>
  );
}

const per: { [name: string]: string } = { ip: "address", "ip+path": "address and route", key: "key", project: "project" };
const modes: { [mode: string]: string } = { enforce: "In force", report: "Counts only, refuses nothing", off: "Off" };

function PolicyCard({ policy }: { policy: Policy }) {
  const { refused, calls } = policy;
  return (
    <section class="panel policy" aria-labelledby={`policy-${policy.name}`}>
      <header>
        <h2 id={`policy-${policy.name}`}>{policy.name}</h2>
        <span class={`badge ${policy.mode === "enforce" ? "hard" : ""}`}>{modes[policy.mode] ?? policy.mode}</span>
      </header>
      <p>
        <span class="large">
          <Num n={policy.limit} />
        </span>{" "}
        calls in {span(policy.window)} for each {per[policy.per] ?? policy.per}
      </p>
      <p class="small faint paths">
        {policy.paths.map((path) => (
          <code key={path}>{path}</code>
        ))}{" "}
        since <Time at={policy.since} />
      </p>
      <Nearness policy={policy} />
      <dl class="facts inline">
        <div>
          <dt>Calls</dt>
          <dd>
            <Num n={calls} />
          </dd>
        </div>
        <div class={refused > 0 ? "warn" : ""}>
          <dt>Refused</dt>
          <dd>
            <Num n={refused} /> {refused > 0 && <span class="small">({percent(refused, calls)})</span>}
          </dd>
        </div>
        <div>
          <dt>Callers now</dt>
          <dd>
            <Num n={policy.callers} />
          </dd>
        </div>
        {policy.would_refuse > 0 && (
          <div class="warn">
            <dt>Would be refused</dt>
            <dd>
              <Num n={policy.would_refuse} />
            </dd>
          </div>
        )}
        {policy.candidate !== null && (
          <div title="A second limit that is counted beside the one in force, and refuses nothing">
            <dt>
              Candidate <Num n={policy.candidate} />
            </dt>
            <dd>
              would refuse <Num n={policy.candidate_refused} />
            </dd>
          </div>
        )}
      </dl>
    </section>
  );
}

/** Nearness draws, on a scale that ends at the limit, how many calls callers make in a window. */
function Nearness({ policy: { limit, distribution, callers } }: { policy: Policy }) {
  if (callers === 0) return <p class="nearness faint small">Nobody called in the windows that run now.</p>;
  const all: [string, number, string][] = [
    ["half of the callers", distribution.p50, "p50"],
    ["95 %", distribution.p95, "p95"],
    ["99 %", distribution.p99, "p99"],
    ["all", distribution.max, "max"],
  ];
  const points: typeof all = callers === 1 ? [["the only caller", distribution.max, "p50"]] : all;
  const at = (n: number) => `${limit > 0 ? Math.min(100, (n / limit) * 100) : 100}%`;
  return (
    <div class="nearness">
      <p class="small">How near callers come to it</p>
      <div class="scale" role="img" aria-label={points.map(([who, n]) => `${who} made at most ${exact(n)} of ${exact(limit)} calls`).join("; ")}>
        {[...points].reverse().map(([who, n, name]) => (
          <span key={name} class={`${name} ${n >= limit ? "full" : ""}`} style={{ width: at(n) }} title={`${who}: at most ${exact(n)} of ${exact(limit)}`} />
        ))}
      </div>
      <p class="legend small" aria-hidden="true">
        {points.map(([who, n, name]) => (
          <span key={name} class="entry">
            <span class={`spot ${name} ${n >= limit ? "full" : ""}`} />
            {who}{callers === 1 ? ":" : " ≤"} {short(n)}
          </span>
        ))}
      </p>
    </div>
  );
}

const dashes = [[], [6, 3], [2, 3], [8, 3, 2, 3]];
const colors = ["limited", "refused", "accepted", "failed"];

function Refusals({ data: { refusals } }: { data: Body }) {
  const names = Object.keys(refusals.series).filter((name) => (total(refusals.series[name] ?? []) ?? 0) > 0);
  return (
    <Panel title="Refusals in the last hour" id="refusals">
      {names.length === 0 ? (
        <p class="faint">
          <Check class="good" /> Nobody was refused.
        </p>
      ) : (
        <Chart
          label="Calls refused in the last hour, by policy"
          start={refusals.start}
          step={refusals.step}
          height={140}
          lines={names.map((name, index) => ({
            name,
            color: colors[index % colors.length]!,
            values: refusals.series[name] ?? [],
            dash: dashes[index % dashes.length]!,
          }))}
        />
      )}
    </Panel>
  );
}

function Callers({ data }: { data: Body }) {
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
            <caption class="out">Those who call most or are refused most, in the last half hour to hour, with what they send</caption>
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
  const about = row.error > 0 ? `give or take ${exact(row.error)}, since only a sample is looked at` : undefined;
  return (
    <tr>
      <th scope="row">
        <code>{row.address}</code>
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

function Changes({ changes }: { changes: readonly Change[] }) {
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
                <strong>{change.policy}</strong>
                {change.for !== undefined && <> for {change.for}</>} <Difference change={change} />
              </div>
            </li>
          ))}
        </ol>
      )}
    </Panel>
  );
}

/** Difference says what is new, field by field. */
function Difference({ change: { old, new: now, what } }: { change: Change }) {
  const noun = what === "override" ? "an override" : "the policy";
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
  if (of["window"] === undefined) return `limit ${written(of["limit"])}`;
  return `${written(of["limit"])} calls in ${span(Number(of["window"]))} for each ${per[String(of["per"])] ?? String(of["per"])}`;
}

function written(value: Properties[string] | undefined): string {
  if (value === undefined || value === null) return "none";
  if (typeof value === "number") return exact(value);
  return Array.isArray(value) ? value.join(", ") : typeof value === "object" ? JSON.stringify(value) : String(value);
}
