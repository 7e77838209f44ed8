// The filter of the live page.

import { useSignal } from "@preact/signals";
import { type CustomerPage, customersPath, type Project } from "../api.ts";
import { get } from "../net/client.ts";
import { go, href } from "../route.ts";
import { may, projectOf, projects, start } from "../state.ts";
import { IdText, SearchField } from "../ui/parts.tsx";
import { ProjectField } from "./projectfield.tsx";

export interface Filters {
  project: string;
  type: string;
  /** The number of a customer. The server needs its project too. */
  customer: string;
  /** The search that found the customer, for display. */
  who: string;
  rejected: string;
}

export function filtersOf(query: URLSearchParams): Filters {
  const of = (name: string) => query.get(name) ?? "";
  const customer = of("customer");
  return { project: of("project"), type: of("type"), customer, who: of("who") || customer, rejected: of("rejected") || "1" };
}

/** asked returns the query of the stream for this filter. */
export function asked({ who: _, ...filters }: Filters): string {
  return new URLSearchParams(Object.entries(filters).filter(([, value]) => value !== "")).toString();
}

export function FilterBar({ chosen }: { chosen: Filters }) {
  const known = Object.entries(start.value?.types ?? {});
  const types = [...new Set(known.flatMap(([token, of]) => (!chosen.project || token === chosen.project ? of : [])))];
  const more = useSignal(chosen.project + chosen.customer !== "" || chosen.rejected !== "1");
  const set = (change: Partial<Filters>) => {
    const next = { ...chosen, ...change };
    go(href("live", { ...next, rejected: next.rejected === "1" ? "" : next.rejected }), true);
  };
  return (
    <form class={`filters ${more.value ? "more" : ""}`} role="search" aria-label="Filter" onSubmit={(event) => event.preventDefault()}>
      <ProjectField class="extra" all chosen={chosen.project} choose={(project) => set({ project, customer: "", who: "" })} />
      <label>
        Event type
        <SearchField data-search list="event-types" placeholder="All" value={chosen.type} search={(type) => set({ type })} />
      </label>
      <datalist id="event-types">
        {types.map((type) => (
          <option key={type} value={type} />
        ))}
      </datalist>
      {searchable(chosen.project).length > 0 && <CustomerField chosen={chosen} set={set} />}
      <label class="extra">
        Show
        <select value={chosen.rejected} onChange={(event) => set({ rejected: event.currentTarget.value })}>
          <option value="1">Everything</option>
          <option value="0">Events only</option>
          <option value="only">Rejected only</option>
        </select>
      </label>
      <button type="button" class="unfold" aria-expanded={more.value} onClick={() => (more.value = !more.value)}>
        {more.value ? "Fewer filters" : "More filters"}
      </button>
    </form>
  );
}

/** searchable returns the projects in which the user may look for customers by identifiers. */
function searchable(token: string): Project[] {
  return projects.value.filter((project) => (token === "" || project.token === token) && may("analyst", project.token));
}

interface Found {
  project: Project | undefined;
  rows: CustomerPage["rows"];
}

/** Each look-up costs a call. */
const mostProjects = 6;

/**
 * find looks for a customer in one project after the other, and returns the
 * first match, or null.
 */
async function find(q: string, among: readonly Project[]): Promise<(Found & { project: Project }) | null> {
  for (const project of among) {
    const { rows } = await get<CustomerPage>(customersPath(project.token, { q }, { rows: "5" }), "person", new AbortController().signal);
    if (rows.length > 0) return { project, rows };
  }
  return null;
}

/** CustomerField takes an identifier, and finds its customer. */
function CustomerField({ chosen, set }: { chosen: Filters; set: (change: Partial<Filters>) => void }) {
  const found = useSignal<Found | null>(null);
  const failed = useSignal("");
  const named = projectOf(chosen.project);
  const look = async (text: string) => {
    found.value = null;
    failed.value = "";
    if (text === "") return set({ customer: "", who: "" });
    try {
      const of = await find(text, searchable(chosen.project).slice(0, mostProjects));
      if (of?.rows.length === 1) return set({ project: of.project.token, customer: of.rows[0]!.customer, who: text });
      found.value = of ?? { project: named, rows: [] };
    } catch (reason) {
      failed.value = reason instanceof Error ? reason.message : String(reason);
    }
  };
  return (
    <div class="extra with-answer">
      <label>
        Customer
        <SearchField placeholder="jane@example.com" value={chosen.who} search={(text) => void look(text)} />
      </label>
      <div class="answer" role="status">
        {failed.value}
        {found.value?.rows.length === 0 && <>Nobody is known by that{named && <> in {named.name}</>} yet.</>}
        {found.value && found.value.rows.length > 1 && (
          <ul class="plain" aria-label="Which one?">
            {found.value.rows.map((row) => (
              <li key={row.customer}>
                <button type="button" class="quiet" onClick={() => {
                  const project = found.value?.project?.token ?? "";
                  found.value = null;
                  set({ project, customer: row.customer, who: String(Object.values(row.ids).flat()[0] ?? row.customer) });
                }}>
                  <IdText ids={row.ids} />
                </button>
              </li>
            ))}
          </ul>
        )}
      </div>
    </div>
  );
}
