// The contract of a type of events: what broke it, and a trial of another one
// on the stored events.

import { useSignal } from "@preact/signals";
import type { Contract, ContractReason, ContractTrial, ProposedContract } from "../api.ts";
import { count, exact, percent } from "../format.ts";
import { get, post, Refusal } from "../net/client.ts";
import { may } from "../state.ts";
import { Copy, Num, Panel, Time, Trouble } from "../ui/parts.tsx";

/** actions says what becomes of an event that breaks its contract. */
export const actions = { report: "reported", refuse: "refused", quarantine: "quarantined" } as const;

interface Props {
  type: string;
  project: string;
  contract: Contract | undefined;
}

export function ContractOf(props: Props) {
  return (
    <>
      {props.contract && <InForce contract={props.contract} />}
      {may("analyst", props.project) && <TryContract {...props} />}
    </>
  );
}

function InForce({ contract: one }: { contract: Contract }) {
  return (
    <Panel title="Contract" id="contract" aside={<p class="small faint">broken events are {actions[one.action]}</p>}>
      <p>
        <Num n={one.broken_24h} /> of <Num n={one.checked_24h} /> {one.checked_24h === 1 ? "event" : "events"} broke it in the last 24 hours
        {one.checked_24h > 0 && <> ({percent(one.share, 1)})</>}. <span class="small faint">This server counts since <Time at={one.since} as="ago" />.</span>
      </p>
      {one.broken.length > 0 && (
        <div class="wide" tabIndex={0} role="group" aria-label="What was broken">
          <table class="cards">
            <caption class="out">What was broken</caption>
            <thead>
              <tr>
                <th scope="col">Property</th>
                <th scope="col">Expected</th>
                <th scope="col">Got</th>
                <th scope="col" class="n">
                  24 hours
                </th>
                <th scope="col">Last</th>
              </tr>
            </thead>
            <tbody>
              {one.broken.map((reason) => (
                <tr key={`${reason.property} ${reason.keyword}`}>
                  <th scope="row">{where(reason.property)}</th>
                  <td data-label="Expected">{reason.expected}</td>
                  <td data-label="Got" class={reason.got === "" ? "missing" : ""}>
                    {reason.got || "nothing"}
                  </td>
                  <td data-label="24 hours" class="n">
                    <Num n={reason.events_24h} />
                  </td>
                  <td data-label="Last">
                    <Time at={reason.last} as="ago" />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Panel>
  );
}

function where(property: string) {
  return property === "" ? <span>the properties</span> : <code>{property}</code>;
}

function pretty(schema: unknown): string {
  return JSON.stringify(schema, null, 2);
}

function TryContract({ type, project, contract }: Props) {
  const text = useSignal(contract ? pretty(contract.schema) : pretty({ type: "object", required: [], properties: {} }));
  const busy = useSignal("");
  const said = useSignal("");
  const failed = useSignal("");
  const tried = useSignal<ContractTrial | null>(null);
  const run = async (what: string, act: () => Promise<void>) => {
    if (busy.value) return;
    busy.value = what;
    failed.value = said.value = "";
    try {
      await act();
    } catch (reason) {
      failed.value = reason instanceof Refusal ? reason.message : "The server did not answer.";
    }
    busy.value = "";
  };
  const attempt = async () => {
    tried.value = (await post("/grid/contract", { project, type, schema: text.value })) as ContractTrial;
  };
  const propose = async () => {
    const found = await get<ProposedContract>(`/grid/contract?${new URLSearchParams({ project, type })}`, "person", new AbortController().signal);
    if (found.schema === null) {
      said.value = `Nothing is proposed: ${found.why}.`;
      return;
    }
    text.value = pretty(found.schema);
    await attempt();
  };
  return (
    <Panel title="Try a contract" id="try-contract" class="contract">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void run("Trying it on the stored events…", attempt);
        }}
      >
        <label for="schema">JSON Schema for the properties of its events</label>
        <textarea id="schema" rows={10} spellcheck={false} autocomplete="off" value={text} onInput={(event) => (text.value = event.currentTarget.value)} />
        <p class="actions">
          <button type="submit" disabled={busy.value !== ""}>
            Try it
          </button>
          <button type="button" class="quiet" disabled={busy.value !== ""} onClick={() => void run("Reading the stored events…", propose)}>
            Propose one
          </button>
          <Copy text={text.value} label="Copy the schema" />
        </p>
      </form>
      {failed.value !== "" && <Trouble text={failed.value} />}
      <div aria-busy={busy.value !== ""}>
        <p role="status" class="verdict">
          {busy.value || said.value || (tried.value && verdict(tried.value))}
        </p>
        {busy.value === "" && tried.value?.result?.types.map((one) => one.reasons.length > 0 && <Reasons key={one.type} reasons={one.reasons} />)}
      </div>
    </Panel>
  );
}

function verdict({ result, problem }: ContractTrial): string {
  if (result === null) return `The schema is not valid: ${problem}`;
  const one = result.types[0];
  if (!one || one.checked === 0) return `None of the newest ${count(result.looked_at, "event")} has this type.`;
  return `${exact(one.broken)} of the newest ${count(one.checked, "event")} of this type would have broken it (${percent(one.share, 1)})${result.cut ? "; older ones were not looked at" : ""}.`;
}

function Reasons({ reasons }: { reasons: ContractReason[] }) {
  return (
    <div class="wide" tabIndex={0} role="group" aria-label="What would have been broken">
      <table class="cards">
        <caption class="out">What would have been broken</caption>
        <thead>
          <tr>
            <th scope="col">Property</th>
            <th scope="col">Expected</th>
            <th scope="col">Example, masked</th>
            <th scope="col" class="n">
              Events
            </th>
            <th scope="col">First</th>
            <th scope="col">Last</th>
          </tr>
        </thead>
        <tbody>
          {reasons.map((reason) => (
            <tr key={`${reason.property} ${reason.keyword}`}>
              <th scope="row">{where(reason.property)}</th>
              <td data-label="Expected">{reason.expected}</td>
              <td data-label="Example, masked" class={reason.example === "" ? "missing" : ""}>
                {reason.example === "" ? <span class="faint">none</span> : <code>{reason.example}</code>}
              </td>
              <td data-label="Events" class="n">
                <Num n={reason.events} />
              </td>
              <td data-label="First">
                <Time at={reason.first} as="day" />
              </td>
              <td data-label="Last">
                <Time at={reason.last} as="ago" />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
