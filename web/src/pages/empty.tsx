// The advice on empty pages: a command that sends a first event, ready to paste
// into a shell.

import type { Project } from "../api.ts";
import { start } from "../state.ts";
import { Pulse } from "../ui/icons.tsx";
import { Command } from "../ui/parts.tsx";

/**
 * curl returns a command that sends an event to a project, and works as it is.
 */
export function curl(server: string, project: Project): string {
  const hard = project.hard[0];
  const ids = hard ? { [hard]: "jane@example.com" } : { [project.soft[0] ?? "cookie"]: "c-1" };
  const body = { customer_ids: ids, event_type: "page_visit", properties: { page: "/" } };
  return [
    `curl ${server}/track/v2/projects/${project.token}/customers/events \\`,
    `  -H 'Authorization: Token ${project.public_key ?? "YOUR-PUBLIC-KEY"}' \\`,
    `  -H 'Content-Type: application/json' \\`,
    `  -d '${JSON.stringify(body)}'`,
  ].join("\n");
}

export function FirstEvent({ project, title }: { project: Project | undefined; title: string }) {
  const known = start.value;
  return (
    <div class="empty">
      <Pulse />
      <h2>{title}</h2>
      {known && project ? (
        <>
          <p>Send an event from a shell; it appears here within a second.</p>
          <Command text={curl(known.server.url || location.origin, project)} label="Copy the line" />
          {project.public_key === null && (
            <p class="faint">
              The project has no public key yet: <code>trackway key add</code> makes one.
            </p>
          )}
        </>
      ) : (
        <p>No project is configured. Add one to the configuration file and reload the server.</p>
      )}
      <p class="faint">
        How programs send events stands in <a href="/about/api">the guide</a>.
      </p>
    </div>
  );
}
