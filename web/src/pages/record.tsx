// The record of calls: a switch, what it costs, and what it holds.

import { useSignal } from "@preact/signals";
import type { Holding } from "../api.ts";
import { bytes, span } from "../format.ts";
import { seconds } from "../limits/model.ts";
import { forget, post, Refusal } from "../net/client.ts";
import { announcement, may } from "../state.ts";
import { Bytes, Num, Panel, Time, Trouble } from "../ui/parts.tsx";

interface Props {
  holding: Holding;
  /** Called after the record was switched on or off. */
  switched: () => void;
}

export function RecordPanel({ holding, switched }: Props) {
  const busy = useSignal(false);
  const failed = useSignal("");
  const choose = async () => {
    if (busy.value) return;
    busy.value = true;
    failed.value = "";
    try {
      await post("/grid/record", { record: !holding.recording });
      forget();
      announcement.value = holding.recording ? "Calls are no longer recorded." : "Calls are recorded.";
      switched();
    } catch (reason) {
      failed.value = reason instanceof Refusal ? reason.message : "The server did not answer.";
    }
    busy.value = false;
  };
  const button = (
    <button type="button" class="switch" role="switch" aria-checked={holding.recording} aria-busy={busy.value} aria-describedby="record-about" onClick={choose}>
      <span class="knob" aria-hidden="true" />
      Record calls
    </button>
  );
  return (
    <Panel title="Record of calls" id="record" aside={may("operator") ? button : undefined}>
      {failed.value && <Trouble text={failed.value} />}
      {holding.failing && <Trouble text="The record cannot be written. The server's log says why." />}
      <Facts holding={holding} />
      <p id="record-about" class="small faint">
        <Origin holding={holding} /> The record holds addresses, which are personal data; no token, no customer and no body. What is older than {span(holding.keep)} is
        removed, even after recording ends, and the oldest part goes first if all together exceed {bytes(holding.max_bytes)}. A call costs a tenth of a microsecond more.
      </p>
    </Panel>
  );
}

/** Origin says who decided, and for how long. */
function Origin({ holding: { recording, configured, switched } }: { holding: Holding }) {
  const says = configured ? "on" : "off";
  if (switched === undefined) return <>Recording is {recording ? "on" : "off"}, as in the configuration.</>;
  return (
    <>
      Recording was switched {recording ? "on" : "off"} on <Time at={seconds(switched)} />, and stays so after a restart; the configuration says {says}.
    </>
  );
}

function Facts({ holding }: { holding: Holding }) {
  const { from, to, recording } = holding;
  const growth = holding.bytes_per_minute;
  return (
    <dl class="facts inline">
      <div>
        <dt>Holds</dt>
        <dd>
          <Bytes n={holding.bytes} />
        </dd>
      </div>
      <div>
        <dt>From</dt>
        <dd>{from === undefined ? "–" : <Time at={seconds(from)} />}</dd>
      </div>
      <div>
        <dt>To</dt>
        <dd>{to === undefined ? "–" : <Time at={seconds(to)} />}</dd>
      </div>
      <div title="Measured over up to the last ten minutes">
        <dt>Grows by</dt>
        <dd>
          {!recording ? (
            "nothing"
          ) : growth === null ? (
            "known in a minute"
          ) : (
            <>
              <Bytes n={Math.round(growth)} /> a minute, <Bytes n={Math.round(growth * 1440)} /> a day
            </>
          )}
        </dd>
      </div>
      <div>
        <dt>Kept</dt>
        <dd>{span(holding.keep)}</dd>
      </div>
      {holding.unrecorded > 0 && (
        <div class="warn" title="Too many callers came within a second">
          <dt>Not recorded</dt>
          <dd>
            <Num n={holding.unrecorded} /> calls
          </dd>
        </div>
      )}
    </dl>
  );
}
