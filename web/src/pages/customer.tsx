// One customer: its identifiers, the reasons for merges, and its events.

import { useSignal } from "@preact/signals";
import type { Customer, Json, Merge, Project } from "../api.ts";
import { Refusal, Unreachable, download } from "../net/client.ts";
import { useAnswer } from "../net/answer.ts";
import { href, route } from "../route.ts";
import { may, projectOf } from "../state.ts";
import { Down, Erase, Join, Left } from "../ui/icons.tsx";
import { clock, IdText, Loading, Num, Panel, preview, Time, Trouble, useFirst } from "../ui/parts.tsx";
import { Anonymize } from "./anonymize.tsx";
import { Timeline } from "./timeline.tsx";

export function CustomerPage() {
  const { query } = route.value;
  const project = query.get("project") ?? "";
  const customer = query.get("customer") ?? "";
  const { answer, again } = useAnswer<Customer>(`/grid/customer?${new URLSearchParams({ project, customer })}`, 30);
  const erasing = useSignal(false);
  const done = useSignal(false);
  const { data, error, status } = answer.value;
  const name = data ? nameOf(data) : "Customer";
  return (
    <>
      <p class="crumb">
        <a href={href("customers", { project })}>
          <Left />
          Customers
        </a>
      </p>
      <div class="title">
        <h1>{name}</h1>
        {data && (
          <p class="mark">
            <span>
              {!data.complete && "at least "}
              <Num n={data.events_total} /> {data.events_total === 1 ? "event" : "events"} since <Time at={data.created} as="day" />
            </span>
          </p>
        )}
        {data && <Actions project={project} customer={customer} erase={() => (erasing.value = true)} />}
      </div>
      {done.value && (
        <p class="note good" role="status">
          Anonymized: identifiers and personal properties are gone. The events stay, without personal properties.
        </p>
      )}
      {error !== null && (status === 404 ? <Gone project={project} /> : <Trouble text={error} again={again} />)}
      {!data && error === null && <Loading />}
      {data && status !== 404 && (
        <div class="columns two">
          <Timeline key={String(done.value)} project={project} customer={customer} types={data.types} total={data.events_total} />
          <div class="stack">
            {may("analyst", project) && <Identifiers data={data} />}
            <Properties data={data} project={projectOf(project)} />
            {may("analyst", project) && <Merges data={data} />}
          </div>
        </div>
      )}
      {data && erasing.value && (
        <Anonymize
          project={project}
          customer={data}
          close={(erased) => {
            erasing.value = false;
            done.value ||= erased;
            if (erased) again();
          }}
        />
      )}
    </>
  );
}

/**
 * nameOf returns the name of a customer: its first identifier, which is a hard
 * one if it has any.
 */
export function nameOf(customer: Customer): string {
  return customer.ids[0]?.value ?? `Customer ${customer.customer}`;
}

function Gone({ project }: { project: string }) {
  return (
    <div class="empty">
      <h2>There is no such customer</h2>
      <p>It may have been merged into another customer since the link was made.</p>
      <a class="button" href={href("customers", { project })}>
        Search customers
      </a>
    </div>
  );
}

function Actions({ project, customer, erase }: { project: string; customer: string; erase: () => void }) {
  const busy = useSignal(false);
  const failed = useSignal("");
  const save = async () => {
    busy.value = true;
    failed.value = "";
    try {
      await download(`/grid/export?${new URLSearchParams({ project, customer })}`, `customer-${customer}.json`);
    } catch (reason) {
      failed.value = reason instanceof Refusal || reason instanceof Unreachable ? reason.message : "The file could not be read to its end.";
    }
    busy.value = false;
  };
  return (
    <div class="actions">
      {may("analyst", project) && (
        <button type="button" onClick={save} aria-busy={busy.value} disabled={busy.value}>
          <Down />
          {busy.value ? "Exporting…" : "Export"}
        </button>
      )}
      {may("operator", project) && (
        <button type="button" class="danger" onClick={erase}>
          <Erase />
          Anonymize…
        </button>
      )}
      {failed.value && <Trouble text={failed.value} />}
    </div>
  );
}

function Identifiers({ data }: { data: Customer }) {
  const [shown, rest] = useFirst(data.ids, 12);
  return (
    <Panel title="Identifiers" id="ids">
      {data.ids.length === 0 ? (
        <p class="faint">None: this record no longer identifies anybody.</p>
      ) : (
        <>
          <ul class="plain tight">
            {shown.map((id) => (
              <li key={id.name + id.value}>
                <span class={`badge ${id.hard ? "hard" : ""}`} title={id.hard ? "Hard: names one person" : "Soft: names a device or browser"}>
                  {id.name}
                </span>
                <span class="value">{id.value}</span>
              </li>
            ))}
          </ul>
          {rest}
        </>
      )}
    </Panel>
  );
}

function Properties({ data, project }: { data: Customer; project: Project | undefined }) {
  const [shown, rest] = useFirst(data.properties, 20);
  if (data.properties.length === 0) {
    return (
      <Panel title="Properties" id="properties">
        <p class="faint">None so far. The command <code>customers</code> sets them.</p>
      </Panel>
    );
  }
  return (
    <Panel title="Properties" id="properties">
      <table class="pairs">
        <thead class="out">
          <tr>
            <th scope="col">Name</th>
            <th scope="col">Value</th>
            <th scope="col">Set</th>
          </tr>
        </thead>
        <tbody>
          {shown.map((property) => (
            <tr key={property.name}>
              <th scope="row">
                {property.name}
                {project?.personal.includes(property.name) && <span class="faint small"> personal</span>}
              </th>
              <td>
                <Value value={property.value} />
              </td>
              <td class="faint small">
                <Time at={property.updated} as="ago" />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {rest}
    </Panel>
  );
}

const short = 200;

/** Value shows a property's value, and all of it on request. */
function Value({ value }: { value: Json }) {
  const all = useSignal(false);
  if (value === "" || value === null) return <span class="faint">{value === null ? "null" : "empty text"}</span>;
  const whole = preview(value, Infinity);
  const cut = !all.value && whole.length > short;
  return (
    <>
      <span class="kept">{cut ? preview(value, short) : whole}</span>
      {cut && (
        <button type="button" class="rest" onClick={() => (all.value = true)}>
          Show all
        </button>
      )}
    </>
  );
}

function Merges({ data }: { data: Customer }) {
  return (
    <Panel title="Why are these one customer?" id="merges">
      {data.merges.length === 0 ? (
        <p class="faint">
          {data.ids.length > 1
            ? "No merge was needed: each identifier was new when a command named it together with one of this customer's."
            : "It was known under one identifier only."}
        </p>
      ) : (
        <ol class="plain merges">
          {data.merges.map((merge, index) => (
            <MergeItem key={index} merge={merge} />
          ))}
          {data.merges.length === mergesSent && <li class="faint">Earlier merges are among the events, with the type “merge”.</li>}
        </ol>
      )}
    </Panel>
  );
}

/** How many merges the server sends, the last ones. */
const mergesSent = 50;

function MergeItem({ merge }: { merge: Merge }) {
  return (
    <li>
      <Join />
      <div>
        <p>
          On {clock.day(merge.time)} at <Time at={merge.time} as="time" /> a command named <Named ids={merge.cause} /> together. They belonged to two
          customers before, so these were merged.
        </p>
        <p class="faint small">
          The older, <IdText ids={merge.survivor} most={3} />, stayed; <IdText ids={merge.absorbed} most={3} /> went into it, events and all.
        </p>
      </div>
    </li>
  );
}

function Named({ ids }: { ids: Merge["cause"] }) {
  const all = Object.entries(ids).flatMap(([name, value]) => [value].flat().map((one) => `${name}=${one}`));
  return (
    <>
      {all.map((text, index) => (
        <span key={text}>
          {index > 0 && (index === all.length - 1 ? " and " : ", ")}
          <code>{text}</code>
        </span>
      ))}
    </>
  );
}
