// The choice of a project, if there are several.

import { projects } from "../state.ts";

/**
 * ProjectField is left out if there is nothing to choose from. With `all`, ""
 * selects all projects at once.
 */
export function ProjectField(props: { chosen: string; choose: (token: string) => void; all?: boolean; class?: string }) {
  if (projects.value.length < 2) return null;
  return (
    <label class={props.class}>
      Project
      <select value={props.chosen} onChange={(event) => props.choose(event.currentTarget.value)}>
        {props.all && <option value="">All</option>}
        {projects.value.map((project) => (
          <option key={project.token} value={project.token}>
            {project.name}
          </option>
        ))}
      </select>
    </label>
  );
}
