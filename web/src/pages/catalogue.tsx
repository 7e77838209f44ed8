// The types of events of a project, and the properties of one of them, as the
// server has learned them.

import { useEffect, useRef } from "preact/hooks";
import type { Catalogue as Body, Contract, Contracts, EventProperty, EventType } from "../api.ts";
import { count, exact, percent } from "../format.ts";
import { useAnswer } from "../net/answer.ts";
import { href, route } from "../route.ts";
import { projectOf } from "../state.ts";
import { EventIcon } from "../ui/icons.tsx";
import { Loading, Num, Panel, Time, Trouble } from "../ui/parts.tsx";
import { actions, ContractOf } from "./contract.tsx";
import { FirstEvent } from "./empty.tsx";
import { chosenProject, ProjectHead } from "./projecthead.tsx";

const every = 30;

export function Catalogue() {
  const project = chosenProject();
  const { answer, again } = useAnswer<Body>(project ? `/grid/catalogue?project=${encodeURIComponent(project)}` : null, every);
  const { data, error, status } = answer.value;
  return (
    <>
      <ProjectHead title="Catalogue" page="catalogue" at={data ? answer.value.at : undefined} />
      {error !== null && <Trouble text={error} {...(status === 404 ? {} : { again })} />}
      {!data ? error === null && project && <Loading /> : data.events > 0 && <Known data={data} project={project} />}
      {(!project || data?.events === 0) && (
        <div class="panel">
          <FirstEvent project={projectOf(project)} title={project ? "No events yet" : "No project"} />
        </div>
      )}
    </>
  );
}

function Known({ data, project }: { data: Body; project: string }) {
  const name = route.value.query.get("type");
  const chosen = data.types.find((one) => one.type === name);
  const { answer } = useAnswer<Contracts>(`/grid/contracts?project=${encodeURIComponent(project)}`, every);
  const contracts = answer.value.data?.contracts ?? [];
  return (
    <>
      {name !== null && !chosen && <Trouble text={`The catalogue has no type ${name}. It may be new: the server learns within seconds.`} />}
      {chosen && <Properties key={chosen.type} of={chosen} project={project} exactly={data.exact} />}
      {chosen && answer.value.data && <ContractOf key={`contract of ${chosen.type}`} type={chosen.type} project={project} contract={contracts.find((one) => one.type === chosen.type)} />}
      <Types data={data} project={project} chosen={chosen} contracts={contracts} />
    </>
  );
}

function Types({ data, project, chosen, contracts }: { data: Body; project: string; chosen: EventType | undefined; contracts: Contract[] }) {
  const aside = (
    <p class="small faint">
      {count(data.types.length, "type")}, <Num n={data.events} /> events
      {data.since !== null && (
        <>
          {" "}
          since <Time at={data.since} as="day" />
        </>
      )}
    </p>
  );
  return (
    <Panel title="Types of events" id="catalogue-types" aside={aside}>
      <div class="wide" tabIndex={0} role="group" aria-label="Types of events">
        <table class="cards">
          <caption class="out">Types of events with their numbers</caption>
          <thead>
            <tr>
              <th scope="col">Type</th>
              <th scope="col" class="n">
                24 hours
              </th>
              <th scope="col" class="n">
                Events
              </th>
              <th scope="col" class="n">
                Share
              </th>
              <th scope="col" class="n">
                Properties
              </th>
              <th scope="col">First seen</th>
              <th scope="col">Last seen</th>
              {contracts.length > 0 && <th scope="col">Broken, 24 hours</th>}
            </tr>
          </thead>
          <tbody>
            {data.types.map((one) => (
              <tr key={one.type} aria-current={one === chosen ? "true" : undefined}>
                <th scope="row">
                  <a class="type" data-row href={href("catalogue", { project, type: one.type })}>
                    <EventIcon type={one.type} />
                    <span>{one.type}</span>
                  </a>
                  {one.new && <span class="badge good">new</span>}
                </th>
                <td data-label="24 hours" class="n">
                  <Num n={one.events_24h} />
                </td>
                <td data-label="Events" class="n">
                  <Num n={one.events} />
                </td>
                <td data-label="Share" class="n">
                  {percent(one.share, 1)}
                </td>
                <td data-label="Properties" class="n">
                  {exact(one.properties.length)}
                </td>
                <td data-label="First seen">
                  <Time at={one.first_seen} as="day" />
                </td>
                <td data-label="Last seen">
                  <Time at={one.last_seen} as="ago" />
                </td>
                {contracts.length > 0 && <BrokenCell contract={contracts.find(({ type }) => type === one.type)} />}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {data.other_types > 0 && (
        <p class="small faint">
          <Num n={data.other_types} /> {data.other_types === 1 ? "event has a type" : "events have types"} without a place here: there are too many of them, or their
          names look like somebody's address or number.
        </p>
      )}
      {!data.exact && (
        <p class="small faint">
          The numbers are estimates: the server has looked at <Num n={data.looked_at} /> of the events.
        </p>
      )}
    </Panel>
  );
}

function BrokenCell({ contract: one }: { contract: Contract | undefined }) {
  if (!one) {
    return (
      <td data-label="Broken, 24 hours" class="missing">
        <span class="faint">no contract</span>
      </td>
    );
  }
  return (
    <td data-label="Broken, 24 hours">
      <span title={`${exact(one.broken_24h)} of ${exact(one.checked_24h)} events`}>
        {percent(one.share, 1)} {one.broken_24h > 0 && <span class="badge warn">{actions[one.action]}</span>}
      </span>
    </td>
  );
}

function Properties({ of, project, exactly }: { of: EventType; project: string; exactly: boolean }) {
  const ref = useRef<HTMLDivElement>(null);
  useEffect(() => ref.current?.scrollIntoView({ block: "nearest" }), []);
  const aside = (
    <a class="small" href={href("live", { project, type: of.type })}>
      Watch live
    </a>
  );
  return (
    <div ref={ref} style={{ scrollMarginTop: "8rem" }}>
      <Panel title={of.type} id="catalogue-type" aside={aside}>
        <p class="small faint">
          {exactly ? "" : "about "}
          <Num n={of.events} /> {of.events === 1 ? "event" : "events"}, first seen <Time at={of.first_seen} />, last seen <Time at={of.last_seen} as="ago" />
        </p>
        {of.properties.length === 0 ? (
          of.other_properties === 0 && <p class="faint">No event of this type has properties.</p>
        ) : (
          <div class="wide" tabIndex={0} role="group" aria-label={`Properties of ${of.type}`}>
            <table class="cards">
              <caption class="out">Properties of {of.type}</caption>
              <thead>
                <tr>
                  <th scope="col">Property</th>
                  <th scope="col" class="n">
                    In events
                  </th>
                  <th scope="col">Values</th>
                  <th scope="col">Examples</th>
                  <th scope="col">First seen</th>
                  <th scope="col">Last seen</th>
                </tr>
              </thead>
              <tbody>
                {of.properties.map((one) => (
                  <PropertyRow key={one.name} property={one} />
                ))}
              </tbody>
            </table>
          </div>
        )}
        {of.other_properties > 0 && (
          <p class="small faint">
            <Num n={of.other_properties} /> {of.other_properties === 1 ? "event has" : "events have"} {of.properties.length === 0 ? "properties" : "other properties"}, without a place here.
          </p>
        )}
      </Panel>
    </div>
  );
}

function PropertyRow({ property: one }: { property: EventProperty }) {
  return (
    <tr>
      <th scope="row">
        <span>
          <code>{one.name}</code> {one.new && <span class="badge good">new</span>} {one.mixed && <span class="badge warn">mixed types</span>}
        </span>
      </th>
      <td data-label="In events" class="n" title={`${exact(one.events)} events since it was first seen`}>
        {percent(one.share, 1)}
      </td>
      <td data-label="Values">
        <div>
          {one.values.map((some) => (
            <div key={some.type}>
              {one.values.length > 1 && <strong>{percent(some.share, 1)}</strong>} {some.shape}
            </div>
          ))}
        </div>
      </td>
      <td data-label="Examples" class={one.examples.length === 0 ? "missing" : ""}>
        <span>
          {one.examples.length === 0 && <span class="faint">none</span>}
          {one.examples.map((value) => (
            <span key={value}>
              <code>{String(value)}</code>{" "}
            </span>
          ))}
        </span>
      </td>
      <td data-label="First seen">
        <Time at={one.first_seen} as="day" />
      </td>
      <td data-label="Last seen">
        <Time at={one.last_seen} as="ago" />
      </td>
    </tr>
  );
}
