// Which customers behave like programs, and by which rules.

import type { Bots as Body, BotReason } from "../api.ts";
import { exact, percent } from "../format.ts";
import { useAnswer } from "../net/answer.ts";
import { href } from "../route.ts";
import { Loading, Num, Panel, Time, Trouble } from "../ui/parts.tsx";
import { chosenProject, ProjectHead } from "./projecthead.tsx";

const every = 30;

export function Bots() {
  const project = chosenProject();
  const { answer, again } = useAnswer<Body>(project ? `/grid/bots?project=${encodeURIComponent(project)}` : null, every);
  const { data, error, status } = answer.value;
  return (
    <>
      <ProjectHead title="Bots" page="bots" at={data ? answer.value.at : undefined} />
      {error !== null && <Trouble text={error} {...(status === 404 ? {} : { again })} />}
      {!data ? error === null && project && <Loading /> : data.property === "" ? <Off /> : <Found data={data} project={project} />}
    </>
  );
}

function Off() {
  return (
    <Panel title="Nobody is labeled" id="bots-off">
      <p>
        With <code>bots: {"{label: true}"}</code> in the project's configuration, customers who behave like programs get a property that says why. Nothing is refused.
      </p>
      <p>
        <code>trackway bots simulate</code> shows whom the rules would have labeled in the last days.
      </p>
    </Panel>
  );
}

function Found({ data, project }: { data: Body; project: string }) {
  const suspect = data.reasons.reduce((sum, one) => sum + one.events, 0);
  const aside = (
    <p class="small faint">
      {data.since === 0 ? (
        "No event has come with a public key since the server has started."
      ) : (
        <>
          <Num n={suspect} /> of <Num n={data.events} /> events with public keys in 24 hours, since <Time at={data.since} /> at the earliest
        </>
      )}
    </p>
  );
  return (
    <>
      <Panel title="Suspect customers" id="bots-reasons" aside={aside}>
        <div class="wide" tabIndex={0} role="group" aria-label="Reasons">
          <table class="cards">
            <caption class="out">Events and customers by reason</caption>
            <thead>
              <tr>
                <th scope="col">Reason</th>
                <th scope="col">Rule</th>
                <th scope="col" class="n">
                  Events
                </th>
                <th scope="col" class="n">
                  Share
                </th>
                <th scope="col" class="n">
                  Labeled
                </th>
              </tr>
            </thead>
            <tbody>
              {data.reasons.map((one) => (
                <tr key={one.reason}>
                  <th scope="row">
                    <a data-row href={href("customers", { project, q: `${data.property}=${one.reason}` })}>
                      {one.reason}
                    </a>
                  </th>
                  <td data-label="Rule">{rule(one.reason, data)}</td>
                  <td data-label="Events" class="n">
                    <Num n={one.events} />
                  </td>
                  <td data-label="Share" class="n">
                    {data.events === 0 ? "–" : percent(one.events / data.events, 1)}
                  </td>
                  <td data-label="Labeled" class="n">
                    <Num n={one.customers} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
        <p class="small faint">
          The property <code>{data.property}</code> of a customer has the reason. <code>trackway bots simulate</code> tries other rules on the last days.
        </p>
      </Panel>
      {data.agents.length > 0 && (
        <Panel title="Programs by name" id="bots-agents">
          <div class="wide" tabIndex={0} role="group" aria-label="Programs">
            <table>
              <caption class="out">User agents that say that they are programs</caption>
              <thead>
                <tr>
                  <th scope="col">User agent</th>
                  <th scope="col" class="n">
                    Events
                  </th>
                </tr>
              </thead>
              <tbody>
                {data.agents.map((one) => (
                  <tr key={one.name}>
                    <th scope="row">
                      <code>{one.name}</code>
                    </th>
                    <td class="n">
                      <Num n={one.events} />
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </Panel>
      )}
    </>
  );
}

function rule(reason: BotReason, { rules }: Body): string {
  const off = "no such rule";
  switch (reason) {
    case "agent":
      return "the user agent says that it is a program";
    case "pace":
      return rules.pace === 0 ? off : `${exact(rules.pace)} events in ten minutes`;
    case "repeats":
      return rules.repeats === 0 ? off : `${exact(rules.repeats)} equal events in a row`;
    case "regular":
      return rules.regular === 0 ? off : `equal intervals for ${exact(rules.regular / 3600)} hours`;
    case "one_hit":
      return rules.one_hit === 0 ? off : `${exact(rules.one_hit)} identifiers of one caller in an hour, nine in ten of them with one event`;
  }
}
