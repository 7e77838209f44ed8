import { keys } from "../keys.ts";
import { shortcuts, start } from "../state.ts";
import { Dialog, Time } from "../ui/parts.tsx";

export function Help({ close }: { close: () => void }) {
  const server = start.value?.server;
  const on = shortcuts.value === "on";
  return (
    <Dialog title="Keys" id="help" close={close}>
      <dl class="keys">
        {keys.map(([key, does]) => (
          <div key={key}>
            <dt>
              {key.split(" ").map((one) => (one === "or" ? " or " : <kbd key={one}>{one}</kbd>))}
            </dt>
            <dd>{does}</dd>
          </div>
        ))}
      </dl>
      <label class="check">
        <input type="checkbox" checked={on} onChange={() => (shortcuts.value = on ? "off" : "on")} />
        Use these single keys
      </label>
      <p>
        Every route and limit of this server is explained in <a href="/about/api">the guide</a>.
        {server && (
          <span class="faint">
            {" "}
            {server.name} runs Trackway {server.version} since <Time at={server.started} />.
          </span>
        )}
      </p>
      <div class="actions">
        <button type="button" class="main" onClick={close}>
          Close
        </button>
      </div>
    </Dialog>
  );
}
