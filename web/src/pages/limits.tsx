// The limits, how close callers come to them, whom they refuse, and how they
// have changed.

import type { Holding, Limits as Body, Policy } from "../api.ts";
import { Chart } from "../charts/chart.tsx";
import { total } from "../charts/series.ts";
import { exact, percent, short, span } from "../format.ts";
import { useAnswer } from "../net/answer.ts";
import { may } from "../state.ts";
import { Check } from "../ui/icons.tsx";
import { Num, Panel, Time, Trouble, Waiting } from "../ui/parts.tsx";
import { Callers } from "./callers.tsx";
import { Changes, per } from "./changes.tsx";
import { LiveMark } from "./overview.tsx";
import { RecordPanel } from "./record.tsx";
import { TryLimit } from "./trylimit.tsx";

const every = 15;
/** What the record holds changes slowly. */
const recordEvery = 60;

export function Limits() {
  const { answer, again } = useAnswer<Body>("/grid/limits", every);
  const { data, error } = answer.value;
  if (!data) return <Waiting title="Limits" error={error} again={again} />;
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
      {may("analyst") && <Trying data={data} />}
      <Refusals data={data} />
      {may("analyst") && <Callers data={data} />}
      <Changes changes={data.changes} />
    </>
  );
}

/** Trying shows what other limits would have done, and the record that says so. */
function Trying({ data }: { data: Body }) {
  const { answer, again } = useAnswer<Holding>("/grid/record", recordEvery);
  const { data: holding, error } = answer.value;
  if (!holding) return error === null ? <div class="panel later" aria-busy="true" /> : <Trouble text={error} again={again} />;
  return (
    <>
      <TryLimit policies={data.policies} holding={holding} reread={again} />
      <RecordPanel holding={holding} switched={again} />
    </>
  );
}

function Policies({ data }: { data: Body }) {
  if (data.policies.length === 0) {
    return (
      <div class="empty">
        <h2>No limits are in force</h2>
        <p>
          Policies are listed under <code>limits</code> in the configuration file. <code>trackway limits suggest</code> suggests some from the recorded calls.
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
          <div title="A second limit that is counted in parallel and refuses nothing">
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

/**
 * Nearness draws how many calls callers make in a window, on a scale that ends
 * at the limit.
 */
function Nearness({ policy: { limit, distribution, callers } }: { policy: Policy }) {
  if (callers === 0) return <p class="nearness faint small">There were no calls in the current windows.</p>;
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
      <p class="small">How close callers come to it</p>
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
