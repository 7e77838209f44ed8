// Try a limit: the callers whose recorded calls another limit would have refused.

import { type Signal, useComputed, useSignal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import type { Advice, CallerOutcome, Effect, Holding, Policy, Tried, TriedLimit } from "../api.ts";
import { Chart } from "../charts/chart.tsx";
import { count, exact, percent, span } from "../format.ts";
import { Asker } from "../limits/asker.ts";
import { covered, limits, longestWindow, mostLimit, nearest, seconds, share, simulatePath, suggestPath, timeline, type Wanted, whole, windows } from "../limits/model.ts";
import { get } from "../net/client.ts";
import { link, session, visible } from "../state.ts";
import { Warning } from "../ui/icons.tsx";
import { Command, Num, Panel, Time, Trouble, useFirst } from "../ui/parts.tsx";
import { per } from "./changes.tsx";

interface Props {
  policies: readonly Policy[];
  holding: Holding;
  /** Called when somebody wants the record to be read again. */
  reread: () => void;
}

/** How long a choice has to last, in milliseconds, before the server is asked. */
const settle = 250;

const asker = <T,>() => new Asker<T>((path, abort) => get<T>(path, "person", abort), settle);

export function TryLimit({ policies, holding, reread }: Props) {
  const first = policies[0];
  if (!first) return null;
  if (!holding.recording && holding.bytes === 0) {
    return (
      <Panel title="Try a limit" id="try">
        <p>
          What another limit would have done is read from recorded calls, and nothing is recorded yet. Switch on <a href="#record" onClick={toRecord}>Record calls</a> below, or
          write <code>{"traffic: {record: true}"}</code> into the configuration and reload. Then come back after some traffic.
        </p>
      </Panel>
    );
  }
  return <Trial policies={policies} first={first} since={holding.from} reread={reread} />;
}

/** toRecord leads to the switch: the part after # names the page here. */
function toRecord(event: Event): void {
  event.preventDefault();
  document.querySelector<HTMLElement>("button.switch")?.focus();
}

function asInForce({ name, limit, window }: Policy): Wanted {
  return { policy: name, limit, window };
}

function Trial({ policies, first, since, reread }: { policies: readonly Policy[]; first: Policy; since: string | undefined; reread: () => void }) {
  const wanted = useSignal<Wanted>(asInForce(first));
  const percentage = useSignal(99.9);
  const tried = useMemo(() => asker<Tried>(), []);
  const advised = useMemo(() => asker<Advice>(), []);
  const inUse = useComputed(() => visible.value && link.value.up && session.value === "in");
  const { answer } = tried;
  const ready = useComputed(() => !answer.value.busy && answer.value.error === null && answer.value.data?.result != null);
  useEffect(() => tried.want(inUse.value ? simulatePath(wanted.value) : null), [inUse.value, wanted.value]);
  // One at a time: the server tries one limit at a time.
  useEffect(() => advised.want(inUse.value && ready.value ? suggestPath(wanted.value, percentage.value) : null), [inUse.value, ready.value, wanted.value, percentage.value]);
  useEffect(() => {
    if (!policies.some(({ name }) => name === wanted.value.policy)) wanted.value = asInForce(first); // it was removed
  }, [policies]);
  useEffect(() => tried.again(), [since === undefined]); // the first rows were written
  useEffect(() => () => [tried, advised].forEach((one) => one.want(null)), []);
  const { data, error, busy } = answer.value;
  const policy = policies.find(({ name }) => name === wanted.value.policy) ?? first;
  const readAgain = () => {
    reread();
    advised.again();
    tried.again();
  };
  const again = (
    <button type="button" class="quiet" onClick={readAgain}>
      Read the record again
    </button>
  );
  return (
    <Panel title="Try a limit" id="try" class="try" aside={again}>
      <div class="tried">
        <Controls policies={policies} policy={policy} wanted={wanted} />
        <Proposal asker={advised} policy={policy} wanted={wanted} percentage={percentage} />
      </div>
      {error !== null && <Trouble text={error} again={() => tried.again()} />}
      <div class="outcome" aria-busy={busy}>
        {data === null ? <p class="verdict" role="status">{error === null && "Reading the record…"}</p> : <Outcome data={data} policy={policy} />}
      </div>
    </Panel>
  );
}

function Controls({ policies, policy, wanted }: { policies: readonly Policy[]; policy: Policy; wanted: Signal<Wanted> }) {
  const set = (change: Partial<Wanted>) => (wanted.value = { ...wanted.value, ...change });
  const { limit, window } = wanted.value;
  const changed = limit !== policy.limit || window !== policy.window;
  return (
    <fieldset class="dials">
      <legend class="out">The limit to try</legend>
      <label class="dial">
        <span>Policy</span>
        <select value={policy.name} onChange={(event) => {
          const chosen = policies.find(({ name }) => name === event.currentTarget.value);
          if (chosen) wanted.value = asInForce(chosen);
        }}>
          {policies.map(({ name, mode }) => (
            <option key={name} value={name}>
              {name}
              {mode === "enforce" ? "" : mode === "off" ? " (off)" : " (counts only)"}
            </option>
          ))}
        </select>
      </label>
      <Dial name="Limit" unit="calls" stops={limits} most={mostLimit} value={limit} set={(value) => set({ limit: value })} said={(n) => count(n, "call")} />
      <Dial name="Window" unit="seconds" stops={windows} most={longestWindow} value={window} set={(value) => set({ window: value })} said={span} />
      <p class="small faint">
        <Num n={limit} /> calls in {span(window)} for each {per[policy.per] ?? policy.per}; in force: <Num n={policy.limit} /> in {span(policy.window)}{" "}
        <button type="button" class="quiet" disabled={!changed} onClick={() => set(asInForce(policy))}>
          Back to it
        </button>
      </p>
    </fieldset>
  );
}

interface DialProps {
  name: string;
  unit: string;
  stops: readonly number[];
  most: number;
  value: number;
  set: (value: number) => void;
  /** What a screen reader says. */
  said: (value: number) => string;
}

/** Dial is a slider with round values, and a field for any other value. */
function Dial({ name, unit, stops, most, value, set, said }: DialProps) {
  const typed = useSignal<string | null>(null); // null: nobody is typing
  const text = typed.value ?? String(value);
  const wrong = whole(text, most) === null;
  const type = (entered: string) => {
    typed.value = entered;
    const n = whole(entered, most);
    if (n !== null) set(n);
  };
  return (
    <div class="dial">
      <span aria-hidden="true">{name}</span>
      <input
        type="range"
        aria-label={name}
        aria-valuetext={said(value)}
        min={0}
        max={stops.length - 1}
        step={1}
        value={nearest(stops, value)}
        onInput={(event) => {
          typed.value = null;
          set(stops[Number(event.currentTarget.value)]!);
        }}
      />
      <input
        type="text"
        inputMode="numeric"
        autocomplete="off"
        aria-label={`${name} in ${unit}`}
        aria-invalid={wrong}
        title={wrong ? `A whole number from 1 to ${exact(most)}` : undefined}
        value={text}
        onInput={(event) => type(event.currentTarget.value)}
        onBlur={() => (typed.value = null)}
      />
      <span class="small faint" aria-hidden="true">
        {unit}
      </span>
    </div>
  );
}

interface ProposalProps {
  asker: Asker<Advice>;
  policy: Policy;
  wanted: Signal<Wanted>;
  percentage: Signal<number>;
}

/** Proposal shows the limit that the record suggests for this window. */
function Proposal({ asker: { answer }, policy, wanted, percentage }: ProposalProps) {
  const typed = useSignal<string | null>(null);
  const { data, busy, error, path } = answer.value;
  const current = path === suggestPath(wanted.value, percentage.value);
  const result = data?.result;
  const text = typed.value ?? String(percentage.value);
  return (
    <div class="proposal" role="group" aria-labelledby="proposal" aria-busy={busy || !current}>
      <h3 id="proposal">Suggested</h3>
      <label class="small">
        The smallest limit that would never have refused{" "}
        <input
          type="text"
          inputMode="decimal"
          autocomplete="off"
          aria-label="Percentage of callers that must never be refused"
          aria-invalid={share(text) === null}
          value={text}
          onInput={(event) => {
            typed.value = event.currentTarget.value;
            percentage.value = share(event.currentTarget.value) ?? percentage.value;
          }}
          onBlur={() => (typed.value = null)}
        />{" "}
        % of the callers:
      </label>
      <div class="suggested" role="status">
        {error !== null ? (
          <p class="bad small">{error}</p>
        ) : !current || !result ? (
          <p class="faint small">{busy || !current ? "Looking for it…" : "None yet."}</p>
        ) : result.then === null ? (
          <p class="small">{sentence(result.note ?? "There is no suggestion.")}</p>
        ) : (
          <>
            <p>
              <span class="large">{exact(result.then.limit)}</span> calls in {span(result.then.window)}
            </p>
            <p class="small">{effects(result.then, result.callers)}</p>
            {result.note !== undefined && <p class="small faint">{sentence(result.note)}</p>}
          </>
        )}
      </div>
      <button type="button" disabled={!current || !result?.then} onClick={() => {
        if (result?.then) wanted.value = { policy: policy.name, limit: result.then.limit, window: result.then.window };
      }}>
        Use this limit
      </button>
    </div>
  );
}

function sentence(text: string): string {
  return `${text[0]?.toUpperCase() ?? ""}${text.slice(1)}${text.endsWith(".") ? "" : "."}`;
}

function effects({ callers_refused, refused }: Effect, callers: number): string {
  if (refused === 0) return `Refuses none of ${count(callers, "caller")}.`;
  return `Refuses ${count(refused, "call")} of ${exact(callers_refused)} of ${count(callers, "caller")}.`;
}

function Outcome({ data: { part, result }, policy }: { data: Tried; policy: Policy }) {
  if (!result) {
    return (
      <p class="verdict" role="status">
        Recording has begun, but no call is in the record yet. Read it again after some traffic.
      </p>
    );
  }
  return (
    <>
      <Verdict result={result} />
      <p class="small faint">
        From {covered(part)}: {part.from !== undefined && <Time at={seconds(part.from)} />} to {part.to !== undefined && <Time at={seconds(part.to)} />}.
        {part.cut && (
          <>
            {" "}
            The page reads no more at a time; <code>trackway limits simulate</code> reads the whole record.
          </>
        )}
      </p>
      <When result={result} />
      <h3>For the configuration, under limits</h3>
      <Command text={result.yaml} />
      <p class={`small problem ${result.problem === undefined ? "" : "bad"}`} role="status">
        {result.problem !== undefined && (
          <>
            <Warning /> The configuration would refuse this line. {sentence(result.problem)}
          </>
        )}
      </p>
      <Whom result={result} policy={policy} />
      {result.warnings.length > 0 && (
        <details class="small">
          <summary>Mind that ({result.warnings.length})</summary>
          <ul>
            {result.warnings.map((text) => (
              <li key={text}>{sentence(text)}</li>
            ))}
          </ul>
        </details>
      )}
    </>
  );
}

/** Verdict sums up whom the limit would have refused. */
function Verdict({ result: { policy } }: { result: TriedLimit }) {
  const { calls, callers, refused, was_refused } = policy;
  if (calls === 0) {
    return (
      <p class="verdict" role="status">
        The record has no call that {policy.name} counts, so far.
      </p>
    );
  }
  return (
    <p class="verdict" role="status">
      <strong>
        {refused === 0 ? "Nobody would have been refused" : `${count(policy.callers_refused, "caller")} would have been refused, ${count(refused, "time")}`}
      </strong>
      {refused > 0 && ` (${percent(refused, calls)} of the calls)`}: {exact(policy.limit)} calls in {span(policy.window)} for {count(calls, "call")} of {count(callers, "caller")}.{" "}
      {was_refused === 0 ? "Nobody was refused at the time." : `${count(policy.callers_was_refused, "caller")} ${policy.callers_was_refused === 1 ? "was" : "were"} refused ${count(was_refused, "time")} at the time.`}
    </p>
  );
}

/** When shows the refusals over time. */
function When({ result }: { result: TriedLimit }) {
  const line = useMemo(() => timeline(result), [result]);
  return (
    <Chart
      label="Refusals over time"
      start={line.start}
      step={line.step}
      height={150}
      lines={[
        { name: "would be refused", color: "refused", values: line.refused, fill: true },
        { name: "were refused", color: "limited", values: line.was, dash: [6, 3] },
      ]}
    />
  );
}

/** Whom lists the callers. Those who would be refused most come first. */
function Whom({ result: { callers, policy: outcome }, policy }: { result: TriedLimit; policy: Policy }) {
  const [shown, rest] = useFirst(callers, 12);
  return (
    <>
      <div class="wide" tabIndex={0} role="group" aria-label="Callers under the tried limit">
        <table class="cards">
          <caption class="out">The callers of {policy.name}, those who would have been refused most first</caption>
          <thead>
            <tr>
              <th scope="col">Caller</th>
              <th scope="col" class="n">
                Calls
              </th>
              <th scope="col" class="n">
                Would be refused
              </th>
              <th scope="col" class="n">
                Were refused
              </th>
              <th scope="col">First refused</th>
            </tr>
          </thead>
          <tbody>
            {shown.map((row) => (
              <CallerRow key={row.caller + (row.route ?? "")} row={row} />
            ))}
          </tbody>
        </table>
      </div>
      {rest}
      {!rest && outcome.callers > callers.length && <p class="faint small">and {exact(outcome.callers - callers.length)} more callers with fewer refusals or calls</p>}
    </>
  );
}

function CallerRow({ row }: { row: CallerOutcome }) {
  return (
    <tr>
      <th scope="row">
        <code>{row.caller}</code>
        {row.route !== undefined && <code class="faint route">{row.route}</code>}
      </th>
      <td data-label="Calls" class="n">
        <Num n={row.calls} />
      </td>
      <td data-label="Would be refused" class={`n ${row.refused > 0 ? "warn" : ""}`}>
        <span>
          <Num n={row.refused} /> {row.refused > 0 && <span class="small">({percent(row.refused, row.calls)})</span>}
        </span>
      </td>
      <td data-label="Were refused" class="n">
        <Num n={row.was_refused} />
      </td>
      <td data-label="First refused">{row.first === undefined ? <span class="faint">never</span> : <Time at={seconds(row.first)} as="moment" />}</td>
    </tr>
  );
}
