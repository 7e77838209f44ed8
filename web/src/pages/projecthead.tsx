// The head of a page about one project.

import { go, href, route } from "../route.ts";
import type { Page } from "../route.ts";
import { projects } from "../state.ts";
import { LiveMark } from "./overview.tsx";
import { ProjectField } from "./projectfield.tsx";

/** The token of the project that the address names, or of the first one; "" if there is none. */
export const chosenProject = () => route.value.query.get("project") ?? projects.value[0]?.token ?? "";

/** ProjectHead has the title, the time of the answer (undefined: none yet), and the choice of a project. */
export function ProjectHead({ title, page, at }: { title: string; page: Page; at: number | undefined }) {
  return (
    <div class="title">
      <h1>{title}</h1>
      {at !== undefined && <LiveMark open={false} at={at} />}
      {projects.value.length > 1 && (
        <form class="filters" onSubmit={(event) => event.preventDefault()}>
          <ProjectField chosen={chosenProject()} choose={(token) => go(href(page, { project: token }))} />
        </form>
      )}
    </div>
  );
}
