// Texts about a rejected command.

import type { Rejected } from "../api.ts";
import { projectOf, projects } from "../state.ts";
import { IdText, Time } from "../ui/parts.tsx";

/**
 * This is a Map, not an object: anybody can send a command of any name,
 * including one that every object has.
 */
const commands = new Map([
  ["customers", "An update of a customer"],
  ["customers/events", "An event"],
  ["campaigns/clicks", "A click"],
  ["batch", "A batch"],
  ["", "A command without a name"],
]);

/** sentTo names the project that a command was sent to. */
export function sentTo(one: Rejected): string {
  return one.project === null ? "none that is configured" : (projectOf(one.project)?.name ?? one.project);
}

/** RejectedLine says who sent what, and why it was rejected. */
export function RejectedLine({ one, times }: { one: Rejected; times: number }) {
  return (
    <div class="rejected">
      <p>
        <strong>{one.error}</strong>
        {times > 1 && <span class="badge">{times === 100 ? "100 times or more" : `${times} times`}</span>}
      </p>
      <p class="faint small">
        {times > 1 && "Last: "}
        {commands.get(one.command) ?? <code>{one.command}</code>}
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
        {one.address && <>from {one.address}, </>}
        {projects.value.length > 1 && <>{one.project === null ? "to no configured project" : `project ${sentTo(one)}`}, </>}
        <Time at={one.received} as="recent" />
      </p>
    </div>
  );
}
