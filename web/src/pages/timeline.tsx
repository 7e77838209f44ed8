// The events of a customer, newest first, by day.

import { useSignal } from "@preact/signals";
import type { Customer, EventPage, EventRow } from "../api.ts";
import { useAnswer } from "../net/answer.ts";
import { get } from "../net/client.ts";
import { exact } from "../format.ts";
import { go, href, route } from "../route.ts";
import { EventIcon } from "../ui/icons.tsx";
import { JsonView } from "../ui/json.tsx";
import { clock, Loading, Num, Panel, preview, Time, Trouble } from "../ui/parts.tsx";

interface Props {
  project: string;
  customer: string;
  types: Customer["types"];
  total: number;
}

const rows = "50";
/** The others are shown on request. */
const typesShown = 20;

export function Timeline({ project, customer, types, total }: Props) {
  const chosen = route.value.query.getAll("type");
  const query = new URLSearchParams({ project, customer, rows });
  for (const type of chosen) query.append("type", type);
  const toggle = (type: string) => {
    const next = chosen.includes(type) ? chosen.filter((one) => one !== type) : [...chosen, type];
    go(href("customer", { project, customer, type: next }), true);
  };
  const all = useSignal(false);
  const shown = all.value ? types : types.filter(({ type }, index) => index < typesShown || chosen.includes(type));
  return (
    <Panel title="Timeline" id="timeline" class="timeline">
      {types.length > 1 && (
        <div class="chips" role="group" aria-label="Show only these types">
          {shown.map(({ type, count }) => (
            <button key={type} type="button" class="chip" aria-pressed={chosen.includes(type)} onClick={() => toggle(type)}>
              <span>{type}</span> <Num n={count} class="faint" />
            </button>
          ))}
          {shown.length < types.length && (
            <button type="button" class="chip quiet" onClick={() => (all.value = true)}>
              {exact(types.length - shown.length)} more types
            </button>
          )}
        </div>
      )}
      <Events key={query.toString()} query={query.toString()} total={total} />
    </Panel>
  );
}

function Events({ query, total }: { query: string; total: number }) {
  const path = `/grid/events?${query}`;
  const { answer, again } = useAnswer<EventPage>(path, 30);
  const older = useSignal<EventPage[]>([]);
  const busy = useSignal(false);
  const failed = useSignal("");
  const { data, error } = answer.value;
  if (!data) return error === null ? <Loading /> : <Trouble text={error} again={again} />;
  const pages = [data, ...older.value];
  const next = pages.at(-1)?.next ?? null;
  const more = async () => {
    if (busy.value || next === null) return;
    busy.value = true;
    failed.value = "";
    try {
      const page = await get<EventPage>(`${path}&${new URLSearchParams({ cursor: next })}`, "person", new AbortController().signal);
      older.value = [...older.value, page];
    } catch (reason) {
      failed.value = reason instanceof Error ? reason.message : String(reason);
    }
    busy.value = false;
  };
  const events = unique(pages.flatMap((page) => page.rows));
  return (
    <>
      {events.length === 0 ? <p class="faint">No events. Updates of properties are not events: see Properties.</p> : <Days events={events} />}
      {failed.value && <Trouble text={failed.value} again={more} />}
      {next !== null && (
        <p class="more">
          <button type="button" onClick={more} aria-busy={busy.value}>
            {busy.value ? "Loading…" : "Show earlier ones"}
          </button>
          <span class="faint small">
            {exact(events.length)} of {exact(total)} shown
          </span>
        </p>
      )}
    </>
  );
}

/**
 * unique drops rows that came twice. This happens if the first page moves on
 * while older pages are open.
 */
function unique(events: readonly EventRow[]): EventRow[] {
  return [...new Map(events.map((event) => [event.seq, event])).values()];
}

function Days({ events }: { events: readonly EventRow[] }) {
  const days = new Map<string, EventRow[]>();
  for (const event of events) {
    const day = clock.weekday(event.time);
    const of = days.get(day);
    if (of) of.push(event);
    else days.set(day, [event]);
  }
  return (
    <>
      {[...days].map(([day, of]) => (
        <section key={day} class="day" aria-label={day}>
          <h3>{day}</h3>
          <ol class="plain events">
            {of.map((event) => (
              <Event key={event.seq} event={event} />
            ))}
          </ol>
        </section>
      ))}
    </>
  );
}

function Event({ event }: { event: EventRow }) {
  const open = useSignal(false);
  const properties = Object.entries(event.properties);
  return (
    <li>
      <EventIcon type={event.type} />
      <details open={open.value} onToggle={(toggle) => (open.value = toggle.currentTarget.open)}>
        <summary data-row>
          <span class="type">{event.type}</span>
          <Time at={event.time} as="time" />
          <span class="what">
            {properties.slice(0, 4).map(([name, value]) => (
              <span key={name}>
                <i>{name}</i> {preview(value, 40)}
              </span>
            ))}
          </span>
        </summary>
        {open.value && (
          <>
            <p class="faint small">
              Received <Time at={event.received} />, place {event.seq} in the log
            </p>
            <JsonView value={event.properties} label={`Properties of ${event.type}`} />
          </>
        )}
      </details>
    </li>
  );
}
