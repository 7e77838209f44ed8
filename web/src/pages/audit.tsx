// Who did what to the server, the newest first.

import type { Audit as Body, AuditEntry } from "../api.ts";
import { count } from "../format.ts";
import { useAnswer } from "../net/answer.ts";
import { go, href, route } from "../route.ts";
import { may } from "../state.ts";
import { Left, Right } from "../ui/icons.tsx";
import { Loading, Panel, SearchField, Time, Trouble, Waiting } from "../ui/parts.tsx";

const every = 30;

/** What the page was asked for. The dates are the user's own, and both are included. */
interface Asked {
  action: string;
  actor: string;
  from: string;
  to: string;
  before: string;
}

/** The groups of actions with their actions. */
const groups: { [group: string]: readonly string[] } = {
  session: ["sign-in", "refused", "sign-out", "end"],
  user: ["add", "change", "password", "remove", "reload"],
  key: ["add", "rotate", "revoke"],
  config: ["reload"],
  data: ["export", "import", "anonymize"],
  record: ["switch"],
  destination: ["pause", "resume", "rewind", "mend"],
  alarm: ["test"],
  backup: ["make", "restore", "salvage"],
  cluster: ["init", "join", "remove", "transfer", "recover"],
  server: ["start", "stop"],
  audit: ["trim", "repair", "missed"],
};

function asked(query: URLSearchParams): Asked {
  const of = (name: string) => query.get(name) ?? "";
  const day = (name: string) => (/^\d{4}-\d\d-\d\d$/.test(of(name)) ? of(name) : "");
  return { action: of("action"), actor: of("actor"), from: day("from"), to: day("to"), before: of("before") };
}

/** path returns the question to the server. Days are those of the browser's time zone. */
function path({ action, actor, from, to, before }: Asked): string {
  const query = new URLSearchParams(Object.entries({ action, actor, before }).filter(([, value]) => value !== ""));
  if (from) query.set("since", midnight(from, 0));
  if (to) query.set("until", midnight(to, 1));
  const text = query.toString();
  return `/grid/audit${text && "?"}${text}`;
}

function midnight(day: string, after: number): string {
  const [year = 0, month = 1, date = 1] = day.split("-").map(Number);
  return new Date(year, month - 1, date + after).toISOString();
}

export function Audit() {
  const now = asked(route.value.query);
  const { answer, again } = useAnswer<Body>(may("admin") ? path(now) : null, now.before ? 0 : every);
  const { data, error } = answer.value;
  if (!may("admin")) return <Waiting title="Audit" error="This needs the role admin." again={again} />;
  return (
    <>
      <div class="title">
        <h1>Audit</h1>
      </div>
      <Filter now={now} />
      {error !== null && <Trouble text={error} again={again} />}
      {!data ? error === null && <Loading /> : <Entries data={data} now={now} />}
    </>
  );
}

function Filter({ now }: { now: Asked }) {
  const set = (change: Partial<Asked>) => go(href("audit", { ...now, before: "", ...change }), true);
  return (
    <form class="filters" role="search" aria-label="Filter" onSubmit={(event) => event.preventDefault()}>
      <label>
        Action
        <select value={now.action} onChange={(event) => set({ action: event.currentTarget.value })}>
          <option value="">All</option>
          {Object.entries(groups).map(([group, actions]) => (
            <optgroup key={group} label={group}>
              {actions.length > 1 && <option value={group}>{group}: all</option>}
              {actions.map((action) => (
                <option key={action} value={`${group}.${action}`}>
                  {group}.{action}
                </option>
              ))}
            </optgroup>
          ))}
        </select>
      </label>
      <label>
        Who
        <SearchField data-search placeholder="Everybody" value={now.actor} search={(actor) => set({ actor })} />
      </label>
      <label class="date">
        From
        <input type="date" value={now.from} max={now.to || undefined} onChange={(event) => set({ from: event.currentTarget.value })} />
      </label>
      <label class="date">
        To
        <input type="date" value={now.to} min={now.from || undefined} onChange={(event) => set({ to: event.currentTarget.value })} />
      </label>
    </form>
  );
}

function Entries({ data, now }: { data: Body; now: Asked }) {
  return (
    <Panel title="Entries" id="audit-entries">
      {data.unreadable > 0 && <Trouble text={`${count(data.unreadable, "damaged line")} left out. See: trackway audit verify`} />}
      {data.entries.length === 0 ? (
        <p class="faint">{data.next === null ? "There are no such entries." : "None so far. Older ones were not looked at yet."}</p>
      ) : (
        <div class="wide" tabIndex={0} role="group" aria-label="Entries">
          <table class="cards">
            <caption class="out">Who did what, when, and from where, the newest first</caption>
            <thead>
              <tr>
                <th scope="col">Action</th>
                <th scope="col">When</th>
                <th scope="col">Who</th>
                <th scope="col">From</th>
                <th scope="col">Outcome</th>
                <th scope="col">What</th>
              </tr>
            </thead>
            <tbody>
              {data.entries.map((entry) => (
                <tr key={entry.n} data-row tabIndex={-1}>
                  <th scope="row">{entry.action}</th>
                  <td data-label="When">
                    <Time at={Date.parse(entry.at) / 1000} />
                  </td>
                  <td data-label="Who">
                    <span>
                      {who(entry)} <span class="faint">{ways[entry.via] ?? entry.via}</span>
                    </span>
                  </td>
                  <td data-label="From">{entry.address ? <code>{entry.address}</code> : <span class="faint">–</span>}</td>
                  <td data-label="Outcome">
                    <span class={`badge ${tones[entry.outcome] ?? ""}`}>{entry.outcome}</span>
                  </td>
                  <td data-label="What">{what(entry) || <span class="faint">–</span>}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      <nav class="pages" aria-label="Pages of entries">
        {now.before !== "" && (
          <a class="button" href={href("audit", { ...now, before: "" })}>
            <Left />
            Newest
          </a>
        )}
        {data.next !== null && (
          <a class="button" href={href("audit", { ...now, before: String(data.next) })} rel="next">
            Older
            <Right />
          </a>
        )}
      </nav>
    </Panel>
  );
}

/** The words for how somebody asked. */
const ways: { [via: string]: string } = { page: "", command: "by command", api: "by API", signal: "by SIGHUP", ops: "at ops_listen", server: "" };

const tones: { [outcome: string]: string } = { refused: "warn", failed: "bad" };

function who({ actor, via, action }: AuditEntry): string {
  if (actor) return actor;
  if (action === "session.refused") return "strangers";
  return via === "page" ? "the one password" : via === "server" ? "the server" : "";
}

function what({ target, project, count: times, detail }: AuditEntry): string {
  return [target, project && `in ${project}`, times !== undefined && count(times, "time"), detail].filter(Boolean).join(", ");
}
