// A command that was rejected, in words.

import type { Rejected } from "../api.ts";
import { projectOf, projects } from "../state.ts";
import { IdText, Time } from "../ui/parts.tsx";

const commands: { [command: string]: string } = {
  customers: "An update of a customer",
  "customers/events": "An event",
  "campaigns/clicks": "A click",
  batch: "A batch",
};

/** RejectedLine tells who sent what, and why it was not taken. */
export function RejectedLine({ one, times }: { one: Rejected; times: number }) {
  return (
    <div class="rejected">
      <p>
        <strong>{one.error}</strong>
        {times > 1 && <span class="badge">{times === 100 ? "100 times or more" : `${times} times`}</span>}
      </p>
      <p class="faint small">
        {times > 1 && "Last: "}
        {commands[one.command] ?? one.command}
        {one.type !== null && (
          <>
            {" "}
            <code>{one.type}</code>
          </>
        )}
        {one.ids && (
          <>
            {" "}
            of <IdText ids={one.ids} />
          </>
        )}{" "}
        from {one.address}
        {projects.value.length > 1 && <>, project {projectOf(one.project)?.name}</>}, <Time at={one.received} as="time" />
      </p>
    </div>
  );
}
