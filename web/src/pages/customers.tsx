// Finding customers: by identifier, by property, or by browsing.

import { useComputed } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { type CustomerPage, type CustomerRow, customersPath } from "../api.ts";
import { count, exact } from "../format.ts";
import { useAnswer } from "../net/answer.ts";
import { go, href, route } from "../route.ts";
import { may, projectOf, projects } from "../state.ts";
import { Left, Right, Search } from "../ui/icons.tsx";
import { IdText, Loading, Num, preview, Time, Trouble } from "../ui/parts.tsx";
import { FirstEvent } from "./empty.tsx";
import { ProjectField } from "./projectfield.tsx";

interface Asked {
  project: string;
  q: string;
  order: string;
  cursor: string;
}

/** How many milliseconds after the last keystroke the text is looked up. */
const typingTime = 450;

export function Customers() {
  const { query } = route.value;
  const asked: Asked = {
    project: query.get("project") ?? projects.value[0]?.token ?? "",
    q: query.get("q") ?? "",
    order: query.get("order") ?? "newest",
    cursor: query.get("cursor") ?? "",
  };
  const { project, q, order, cursor } = asked;
  const path = project && customersPath(project, { q, cursor }, { rows: "50", order });
  const { answer, again } = useAnswer<CustomerPage>(path || null, asked.q || asked.cursor ? 0 : 30);
  const { data, error, status } = answer.value;
  if (!asked.project) return <NoProject />;
  return (
    <>
      <div class="title">
        <h1>Customers</h1>
        <a class="small" href={href("bots", { project })}>
          Bots
        </a>
        {data?.total != null && <p class="mark"><span><Num n={data.total} /> {asked.q ? "found" : "in all"}</span></p>}
      </div>
      <SearchBar asked={asked} />
      {error !== null && <Trouble text={error} {...(status < 500 ? {} : { again })} />}
      {!data ? error === null && <Loading /> : <Found data={data} asked={asked} />}
    </>
  );
}

function NoProject() {
  return (
    <>
      <h1>Customers</h1>
      <FirstEvent project={undefined} title="No project" />
    </>
  );
}

function SearchBar({ asked }: { asked: Asked }) {
  const timer = useRef(0);
  const field = useRef<HTMLInputElement>(null);
  /**
   * The last search from here. Somebody who types on in the meantime must not
   * lose a letter.
   */
  const own = useRef(asked.q);
  const move = (change: Partial<Asked>, replace = true) => {
    clearTimeout(timer.current);
    const next = { ...asked, cursor: "", ...change };
    own.current = next.q;
    go(href("customers", { ...next, order: next.order === "newest" ? "" : next.order }), replace);
  };
  const type = (q: string) => {
    clearTimeout(timer.current);
    timer.current = window.setTimeout(() => move({ q: q.trim() }), typingTime);
  };
  useEffect(() => () => clearTimeout(timer.current), []);
  useEffect(() => {
    // Back and Forward change the search without a keystroke.
    if (field.current && own.current !== asked.q) field.current.value = asked.q;
    own.current = asked.q;
  }, [asked.q]);
  const submit = (event: Event) => {
    event.preventDefault();
    move({ q: field.current?.value.trim() ?? "" }, false);
  };
  return (
    <form class="filters" role="search" aria-label="Search customers" onSubmit={submit}>
      <ProjectField chosen={asked.project} choose={(project) => move({ project })} />
      <label class="wide-field">
        {may("analyst", asked.project) ? "Identifier, or property=value" : "Property=value"}
        <span class="field">
          <Search />
          <input
            ref={field}
            data-search
            type="search"
            placeholder={may("analyst", asked.project) ? "jane@… or plan=gold" : "plan=gold"}
            defaultValue={asked.q}
            autocapitalize="off"
            autocomplete="off"
            spellcheck={false}
            onInput={(event) => type(event.currentTarget.value)}
          />
        </span>
      </label>
      <label>
        Order
        <select value={asked.order} onChange={(event) => move({ order: event.currentTarget.value })}>
          <option value="newest">Newest first</option>
          <option value="oldest">Oldest first</option>
        </select>
      </label>
    </form>
  );
}

function Found({ data, asked }: { data: CustomerPage; asked: Asked }) {
  if (data.rows.length === 0 && data.complete && !asked.cursor) {
    return asked.q === "" ? <FirstEvent project={projectOf(asked.project)} title="No customers yet" /> : <Nobody data={data} asked={asked} />;
  }
  const names = data.rows.flatMap((row) => Object.keys(row.properties));
  return (
    <>
      {data.rows.length > 0 && <Table rows={data.rows} project={asked.project} columns={commonest(names, 4)} />}
      <Pages data={data} asked={asked} />
    </>
  );
}

/** commonest returns the names that occur most often. They become columns. */
function commonest(names: readonly string[], most: number): string[] {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1]).slice(0, most).map(([name]) => name);
}

function Table({ rows, project, columns }: { rows: readonly CustomerRow[]; project: string; columns: readonly string[] }) {
  return (
    <div class="wide panel flush" tabIndex={0} role="group" aria-label="Customers">
      <table class="cards compact">
        <caption class="out">Customers, with their identifiers and the properties that most of them have</caption>
        <thead>
          <tr>
            <th scope="col">Customer</th>
            {columns.map((name) => (
              <th key={name} scope="col">
                {name}
              </th>
            ))}
            <th scope="col" class="n">
              Properties
            </th>
            <th scope="col">Since</th>
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={row.customer}>
              <th scope="row">
                <a data-row href={href("customer", { project, customer: row.customer })}>
                  {may("analyst", project) ? <IdText ids={row.ids} /> : `Customer ${row.customer}`}
                </a>
              </th>
              {columns.map((name) => (
                <td key={name} data-label={name} class={Object.hasOwn(row.properties, name) ? "" : "missing"}>
                  {Object.hasOwn(row.properties, name) && <span title={preview(row.properties[name] ?? null, 400)}>{preview(row.properties[name] ?? null, 32)}</span>}
                </td>
              ))}
              <td data-label="Properties" class="n extra">
                <Num n={row.properties_total} />
              </td>
              <td data-label="Since">
                <Time at={row.created} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Pages({ data, asked }: { data: CustomerPage; asked: Asked }) {
  const order = asked.order === "newest" ? "" : asked.order;
  return (
    <nav class="pages" aria-label="Pages of customers">
      {asked.cursor !== "" && (
        <a class="button" href={href("customers", { ...asked, order, cursor: "" })}>
          <Left />
          First page
        </a>
      )}
      {!data.complete && <p class="faint">Looked at {count(data.searched, "customer")} so far, and not all yet.</p>}
      {data.next !== null && (
        <a class="button" href={href("customers", { ...asked, order, cursor: data.next })} rel="next">
          {data.complete ? "Next page" : "Continue the search"}
          <Right />
        </a>
      )}
    </nav>
  );
}

function Nobody({ data, asked }: { data: CustomerPage; asked: Asked }) {
  const project = useComputed(() => projectOf(asked.project)).value;
  const known = [...(project?.hard ?? []), ...(project?.soft ?? [])];
  return (
    <div class="empty">
      <Search />
      <h2>Nobody found</h2>
      <p>
        {data.searched > 0 && `Looked at ${exact(data.searched)} customers. `}A word finds identifiers that begin with it, case-sensitively;{" "}
        <code>{known[0] ?? "registered"}=jane@example.com</code> or <code>plan=gold</code> finds exactly that identifier or property.
      </p>
      <a class="button" href={href("customers", { project: asked.project })}>
        Show all customers
      </a>
    </div>
  );
}
