// Anonymizing cannot be undone, so people confirm it by typing the identifier.

import { useSignal } from "@preact/signals";
import type { Customer } from "../api.ts";
import { forget, post, Refusal } from "../net/client.ts";
import { projectOf } from "../state.ts";
import { Dialog, Trouble } from "../ui/parts.tsx";

interface Props {
  project: string;
  customer: Customer;
  close: (erased: boolean) => void;
}

/**
 * written returns a text as people can see and type it. An identifier may also
 * contain tabs, double spaces, and invisible characters that set the direction
 * of writing.
 */
function written(text: string): string {
  return text.normalize().replace(/\p{Cf}/gu, "").replace(/[\s\p{Cc}]+/gu, " ").trim();
}

export function Anonymize({ project, customer, close }: Props) {
  const wanted = written(customer.ids[0]?.value ?? "") || customer.customer;
  const typed = useSignal("");
  const busy = useSignal(false);
  const failed = useSignal("");
  const personal = customer.properties.filter((property) => projectOf(project)?.personal.includes(property.name)).map((property) => property.name);
  const submit = async (event: Event) => {
    event.preventDefault();
    if (written(typed.value) !== wanted || busy.value) return;
    busy.value = true;
    failed.value = "";
    try {
      await post("/grid/anonymize", { project, customer: customer.customer });
      forget();
      close(true);
    } catch (reason) {
      failed.value = reason instanceof Refusal ? reason.message : "The server did not answer. Check whether it was done before you try again.";
      busy.value = false;
    }
  };
  return (
    <Dialog title="Anonymize this customer?" id="anonymize" class="anonymize" close={() => close(false)}>
      <form onSubmit={submit}>
        <ul>
          <li>
            {customer.ids.length === 1 ? "Its identifier is removed" : `Its ${customer.ids.length} identifiers are removed`}
            {personal.length > 0 && <>, as well as its personal properties: {personal.join(", ")}</>}.
          </li>
          <li>Its events stay, without personal properties.</li>
          <li>
            <strong>Nobody can undo this.</strong> If the same person returns, they are a new customer.
          </li>
        </ul>
        <label for="confirm">
          To confirm, type <code>{wanted}</code>
        </label>
        <input id="confirm" autocomplete="off" autocapitalize="off" spellcheck={false} value={typed} onInput={(event) => (typed.value = event.currentTarget.value)} />
        {failed.value && <Trouble text={failed.value} />}
        <div class="actions">
          <button type="button" onClick={() => close(false)}>
            Keep it
          </button>
          <button type="submit" class="danger main" disabled={written(typed.value) !== wanted} aria-busy={busy.value}>
            {busy.value ? "Anonymizing…" : "Anonymize"}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
