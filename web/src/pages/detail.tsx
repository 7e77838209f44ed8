// The details of one row in the live list.

import { useEffect, useMemo, useRef } from "preact/hooks";
import type { Json } from "../api.ts";
import type { LiveRow } from "../live/rows.ts";
import { href } from "../route.ts";
import { may, projectOf } from "../state.ts";
import { Close, Warning } from "../ui/icons.tsx";
import { JsonView } from "../ui/json.tsx";
import { IdText, Time } from "../ui/parts.tsx";
import { sentTo } from "./rejected.tsx";

/**
 * covering reports whether the detail covers the list. The style sheet uses the
 * same width.
 */
export function covering(): boolean {
  return matchMedia("(max-width: 60rem)").matches;
}

export function Detail({ row, close }: { row: LiveRow; close: () => void }) {
  const ref = useRef<HTMLElement>(null);
  useEffect(() => {
    // On a narrow screen, the detail covers the list and takes the focus.
    // Beside the list it does not, so j and k continue to work.
    if (covering()) ref.current?.focus();
  }, []);
  return (
    <aside ref={ref} class="detail" aria-label="Details" tabIndex={-1}>
      <header>
        <h2>{row.kind === "event" ? row.event.type : "Rejected command"}</h2>
        <button type="button" class="quiet" title="Close (Escape)" onClick={close}>
          <Close />
          <span class="out">Close</span>
        </button>
      </header>
      {row.kind === "event" && <EventDetail row={row} />}
      {row.kind === "rejected" && <RejectedDetail row={row} />}
    </aside>
  );
}

function EventDetail({ row: { event } }: { row: LiveRow & { kind: "event" } }) {
  const sent = useMemo(() => ({ customer_ids: event.ids, event_type: event.type, timestamp: event.time, properties: event.properties }), [event]);
  return (
    <>
      <dl class="facts">
        <div>
          <dt>Customer</dt>
          <dd>
            <a href={href("customer", { project: event.project, customer: event.customer })}>
              {may("analyst", event.project) ? <IdText ids={event.ids} /> : `Customer ${event.customer}`}
            </a>
          </dd>
        </div>
        <div>
          <dt>Happened</dt>
          <dd>
            <Time at={event.time} as="full" />
          </dd>
        </div>
        <div>
          <dt>Received</dt>
          <dd>
            <Time at={event.received} as="full" />
          </dd>
        </div>
        <div>
          <dt>Project</dt>
          <dd>{projectOf(event.project)?.name ?? event.project}</dd>
        </div>
        <div>
          <dt>Position in the log</dt>
          <dd>{event.seq}</dd>
        </div>
      </dl>
      <JsonView value={sent} label="The event as JSON" />
      <p class="small">
        <a href={href("live", { project: event.project, customer: event.customer, who: String(Object.values(event.ids).flat()[0] ?? "") })}>Watch only this customer</a>
      </p>
    </>
  );
}

function RejectedDetail({ row: { rejected } }: { row: LiveRow & { kind: "rejected" } }) {
  return (
    <>
      <p class="note bad">
        <Warning />
        <span>
          <strong>{rejected.error}</strong>
          <br />
          Nothing of this command was stored, and its sender was told the same. Correct it and send it again.
        </span>
      </p>
      <dl class="facts">
        <div>
          <dt>Command</dt>
          <dd>
            {rejected.command === "" ? <span class="faint">no name</span> : <code>{rejected.command}</code>}
          </dd>
        </div>
        {rejected.field !== null && (
          <div>
            <dt>Field</dt>
            <dd>
              <code>{rejected.field}</code>
            </dd>
          </div>
        )}
        <div>
          <dt>From</dt>
          <dd>{rejected.address || <span class="faint">not known</span>}</dd>
        </div>
        <div>
          <dt>Received</dt>
          <dd>
            <Time at={rejected.received} as="full" />
          </dd>
        </div>
        <div>
          <dt>Project</dt>
          <dd>{sentTo(rejected)}</dd>
        </div>
      </dl>
      <JsonView value={rejected as unknown as Json} label="The command as JSON, as far as known" />
      <p class="small">
        What each command needs stands in <a href="/about/api">the guide</a>.
      </p>
    </>
  );
}
