// What is wrong with the server now, what was, and who is told.

import type { Alarm, AlarmReceiver, Alarms as Body } from "../api.ts";
import { useAnswer } from "../net/answer.ts";
import { Bell, Check } from "../ui/icons.tsx";
import { Command, Num, Panel, Time, Trouble, Waiting } from "../ui/parts.tsx";
import { LiveMark } from "./overview.tsx";

const every = 10;

export function Alarms() {
  const { answer, again } = useAnswer<Body>("/grid/alarms", every);
  const { data, error } = answer.value;
  if (!data) return <Waiting title="Alarms" error={error} again={again} />;
  return (
    <>
      <div class="title">
        <h1>Alarms</h1>
        <LiveMark open={false} at={answer.value.at} />
      </div>
      {error !== null && <Trouble text={error} again={again} />}
      <Panel title="Ringing" id="alarms-ringing" aside={<span class={`badge ${data.ringing.length > 0 ? "alarm" : "good"}`}>{data.ringing.length > 0 ? data.ringing.length : "Nothing"}</span>}>
        {data.ringing.length === 0 ? (
          <p class="faint">
            <Check /> Nothing is wrong, as far as the rules below can tell.
          </p>
        ) : (
          <List alarms={data.ringing} />
        )}
      </Panel>
      {data.waiting.length > 0 && (
        <Panel title="Not for long enough to ring" id="alarms-waiting">
          <List alarms={data.waiting} />
        </Panel>
      )}
      <Panel title="Receivers" id="alarms-receivers">
        {data.receivers.length === 0 ? <Nobody /> : <dl class="told">{data.receivers.map((one) => <Receiver key={one.name} receiver={one} />)}</dl>}
        {!data.leads && <p class="small faint">The leader of the cluster tells them about silence and refusals; this server tells them about itself.</p>}
      </Panel>
      <Panel title="Ended" id="alarms-past">
        {data.past.length === 0 ? <p class="faint">None yet.</p> : <List alarms={data.past} />}
      </Panel>
      <Panel title="Rules" id="alarms-rules">
        <dl class="told">
          {data.rules.map((rule, i) => (
            <div key={i}>
              <dt>
                {rule.kind.replaceAll("_", " ")}, {rule.watches}
              </dt>
              <dd>{rule.rings}</dd>
            </div>
          ))}
        </dl>
        <p class="small faint">
          {data.zone === "" ? "No time zone is configured, so silence is also compared with the hours before and after." : `Silence is compared by the hours of ${data.zone}.`}{" "}
          <code>trackway alarms simulate</code> shows when it would have rung.
        </p>
        {data.gaps.length > 0 && (
          <p class="small faint">
            The server did not run {data.gaps.length === 20 ? "20 times or more" : data.gaps.length === 1 ? "once" : `${data.gaps.length} times`}, the last time until{" "}
            <Time at={seconds(data.gaps[0]!.to)} />. Silence is not judged for such hours.
          </p>
        )}
      </Panel>
    </>
  );
}

function seconds(text: string): number {
  return Date.parse(text) / 1000;
}

function List({ alarms }: { alarms: Alarm[] }) {
  return (
    <dl class="told">
      {alarms.map((one) => (
        <div key={one.kind + one.subject + one.since}>
          <dt>{one.headline}</dt>
          <dd>
            {one.text}{" "}
            <span class="small faint">
              {one.ended === null ? "Since " : "From "}
              <Time at={seconds(one.since)} />
              {one.ended !== null && (
                <>
                  {" "}
                  to <Time at={seconds(one.ended)} />
                </>
              )}
            </span>
          </dd>
        </div>
      ))}
    </dl>
  );
}

function Receiver({ receiver: one }: { receiver: AlarmReceiver }) {
  return (
    <div>
      <dt>
        {one.name} ({one.kind}) {one.error && <span class="badge bad">Failing</span>}
      </dt>
      <dd>
        {one.last_success === null ? "Told nothing since the start" : <>Told <Time at={seconds(one.last_success)} as="ago" /></>}
        {one.pending > 0 && (
          <>
            ; <Num n={one.pending} /> {one.pending === 1 ? "message waits" : "messages wait"}
          </>
        )}
        {one.error && <span class="small">. The last attempt failed: {one.error}</span>}
      </dd>
    </div>
  );
}

const example = `alarms:
  receivers:
    - {name: ops, kind: slack, url_file: /etc/trackway/slack-url}   # or webhook, teams, mail`;

function Nobody() {
  return (
    <>
      <p>
        <Bell /> Nobody is told. Add somebody to the configuration file, and reload the server:
      </p>
      <Command text={example} label="Copy the lines" />
      <p class="faint">
        <code>trackway alarms test</code> then tells whether it works.
      </p>
    </>
  );
}
