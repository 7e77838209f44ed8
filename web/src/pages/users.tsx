// The users and who is signed in, for admins. Everybody else sees their own
// sessions.

import { useSignal } from "@preact/signals";
import { type Role, roles, type Session, type Sessions, type User, type Users as Body } from "../api.ts";
import { count } from "../format.ts";
import { useAnswer } from "../net/answer.ts";
import { forget, post, Refusal } from "../net/client.ts";
import { href } from "../route.ts";
import { announcement, may, projects, session, start } from "../state.ts";
import { Dialog, Num, Panel, Time, Trouble, Waiting } from "../ui/parts.tsx";

const every = 30;

export function Users() {
  return may("admin") ? <All /> : <Own />;
}

function All() {
  const { answer, again } = useAnswer<Body>("/grid/users", every);
  const sessions = useAnswer<Sessions>("/grid/sessions", every);
  const { data, error } = answer.value;
  if (!data) return <Waiting title="Users" error={error} again={again} />;
  const reread = () => {
    forget();
    again();
    sessions.again();
  };
  return (
    <>
      <div class="title">
        <h1>Users</h1>
        <a class="button quiet" href={href("audit")}>
          Audit log
        </a>
      </div>
      {error !== null && <Trouble text={error} again={again} />}
      <List data={data} changed={reread} />
      <Open title="Signed in" answer={sessions.answer.value.data} error={sessions.answer.value.error} ended={reread} />
      {!data.users_only && (
        <p class="small faint">
          The password of the configuration works too, and may do everything. When there is an admin here, <code>dashboard: {"{"}users_only: true{"}"}</code> in the
          configuration switches it off.
        </p>
      )}
    </>
  );
}

function Own() {
  const { answer, again } = useAnswer<Sessions>("/grid/sessions", every);
  const { data, error } = answer.value;
  if (!data) return <Waiting title="Sessions" error={error} again={again} />;
  const user = start.value?.user;
  return (
    <>
      <div class="title">
        <h1>Sessions</h1>
      </div>
      <p>
        You are signed in as <strong>{user?.name}</strong>. {rolesText()}
        {!vouched(user?.name) && " To choose another password, sign out, and sign in again with “Choose a new password”."}
      </p>
      <Open
        title="Your sessions"
        answer={data}
        error={error}
        ended={() => {
          forget();
          again();
        }}
      />
    </>
  );
}

/** vouched tells whether a name is that of an account of the provider. */
function vouched(name = ""): boolean {
  return name.startsWith("oidc:");
}

/** rolesText says what roles the user has. */
function rolesText(): string {
  const all = start.value?.user.role;
  const others = projects.value.filter((project) => project.role !== all).map((project) => `${project.role} in ${project.name}`);
  const list = [...(all ? [`${all} for all projects`] : []), ...others];
  return list.length > 0 ? `Your role: ${list.join(", ")}.` : "";
}

/** shownRole writes a role with the name of its project. */
function shownRole(text: string): string {
  const [role = "", token] = text.split(":");
  if (token === undefined) return role;
  return `${role} in ${projects.value.find((project) => project.token === token)?.name ?? token}`;
}

/** The dialog that is open. */
type Asked = { what: "add" } | { what: "roles" | "password" | "remove"; user: User };

function List({ data, changed }: { data: Body; changed: () => void }) {
  const asked = useSignal<Asked | null>(null);
  const close = (done: boolean) => {
    asked.value = null;
    if (done) changed();
  };
  const add = (
    <button type="button" onClick={() => (asked.value = { what: "add" })}>
      Add a user
    </button>
  );
  return (
    <Panel title="All users" id="all-users" aside={add}>
      {data.users.length === 0 ? (
        <p class="faint">There are none yet. Everybody who signs in uses the password of the configuration, or an account of a provider.</p>
      ) : (
        <div class="wide" tabIndex={0} role="group" aria-label="Users">
          <table class="cards">
            <caption class="out">The users with their roles</caption>
            <thead>
              <tr>
                <th scope="col">Name</th>
                <th scope="col">Roles</th>
                <th scope="col" class="n">
                  Sessions
                </th>
                <th scope="col">Change</th>
              </tr>
            </thead>
            <tbody>
              {data.users.map((user) => (
                <tr key={user.name}>
                  <th scope="row">{user.name}</th>
                  <td data-label="Roles">{user.roles.map(shownRole).join(", ")}</td>
                  <td data-label="Sessions" class="n">
                    <Num n={user.sessions} />
                  </td>
                  <td data-label="Change">
                    <span class="buttons">
                      <button type="button" class="quiet" aria-label={`Roles of ${user.name}`} onClick={() => (asked.value = { what: "roles", user })}>
                        Roles
                      </button>
                      <button type="button" class="quiet" aria-label={`Password of ${user.name}`} onClick={() => (asked.value = { what: "password", user })}>
                        Password
                      </button>
                      <button type="button" class="quiet" aria-label={`Remove ${user.name}`} onClick={() => (asked.value = { what: "remove", user })}>
                        Remove
                      </button>
                    </span>
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {asked.value !== null && <Change asked={asked.value} close={close} />}
    </Panel>
  );
}

const titles = { add: "Add a user", roles: "Roles of", password: "A new password for", remove: "Remove" };
const verbs = { add: "Add", roles: "Change the roles", password: "Change the password", remove: "Remove" };

/** Change asks for what a change needs, and makes it. */
function Change({ asked, close }: { asked: Asked; close: (done: boolean) => void }) {
  const busy = useSignal(false);
  const failed = useSignal("");
  const name = useSignal(asked.what === "add" ? "" : asked.user.name);
  const password = useSignal("");
  const chosen = useSignal<{ [token: string]: Role | "" }>(asked.what === "add" ? { "": "viewer" } : parse(asked.user.roles));
  const written = () => Object.entries(chosen.value).flatMap(([token, role]) => (role === "" ? [] : [token === "" ? role : `${role}:${token}`]));
  const send = () => {
    switch (asked.what) {
      case "add":
        return post("/grid/users", { name: name.value, password: password.value, roles: written() });
      case "roles":
        return post("/grid/users", { name: name.value, roles: written() }, "PUT");
      case "password":
        return post("/grid/users", { name: name.value, password: password.value }, "PUT");
      case "remove":
        return post(`/grid/users?${new URLSearchParams({ name: name.value })}`, null, "DELETE");
    }
  };
  const submit = async (event: Event) => {
    event.preventDefault();
    if (busy.value) return;
    busy.value = true;
    failed.value = "";
    try {
      await send();
      announcement.value = `Done: ${verbs[asked.what].toLowerCase()}, ${name.value}.`;
      close(true);
    } catch (reason) {
      failed.value = told(reason);
      busy.value = false;
    }
  };
  const own = asked.what !== "add" && asked.user.name === start.value?.user.name;
  return (
    <Dialog title={asked.what === "add" ? titles.add : `${titles[asked.what]} ${asked.user.name}${asked.what === "remove" ? "?" : ""}`} id="change-user" close={() => close(false)}>
      <form onSubmit={submit}>
        {asked.what === "add" && (
          <>
            <label for="user-name">Name</label>
            <input
              id="user-name"
              autocomplete="off"
              autocapitalize="off"
              spellcheck={false}
              required
              maxLength={64}
              pattern="[a-z0-9_.@+\-]+"
              title="Small letters, digits, and - _ . @ +"
              value={name.value}
              onInput={(event) => (name.value = event.currentTarget.value)}
            />
          </>
        )}
        {(asked.what === "add" || asked.what === "password") && (
          <>
            <label for="user-password">Password, of at least 10 characters</label>
            <input
              id="user-password"
              type="password"
              autocomplete="new-password"
              required
              minLength={10}
              maxLength={256}
              value={password.value}
              onInput={(event) => (password.value = event.currentTarget.value)}
            />
          </>
        )}
        {(asked.what === "add" || asked.what === "roles") && <RoleFields chosen={chosen.value} choose={(next) => (chosen.value = next)} />}
        {asked.what !== "add" && <p>{own ? "This is you: you will have to sign in again." : "The user's sessions end at once."}</p>}
        {failed.value && <Trouble text={failed.value} />}
        <div class="actions">
          <button type="button" onClick={() => close(false)}>
            Cancel
          </button>
          <button type="submit" class={asked.what === "remove" ? "danger main" : "main"} aria-busy={busy.value}>
            {verbs[asked.what]}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

/** parse returns the roles by the token of their project; "" is all projects. */
function parse(list: readonly string[]): { [token: string]: Role | "" } {
  return Object.fromEntries(list.map((text) => text.split(":")).map(([role = "", token = ""]) => [token, role as Role]));
}

function RoleFields({ chosen, choose }: { chosen: { [token: string]: Role | "" }; choose: (next: { [token: string]: Role | "" }) => void }) {
  const field = (token: string, label: string, offered: readonly Role[]) => (
    <div key={token} class="role">
      <label for={`role-${token}`}>{label}</label>
      <select id={`role-${token}`} value={chosen[token] ?? ""} onChange={(event) => choose({ ...chosen, [token]: event.currentTarget.value as Role | "" })}>
        <option value="">{token !== "" && chosen[""] ? "as for all projects" : "no role"}</option>
        {offered.map((role) => (
          <option key={role} value={role}>
            {role}
          </option>
        ))}
      </select>
    </div>
  );
  return (
    <fieldset class="roles">
      <legend>Roles</legend>
      {field("", "For all projects", roles)}
      {(projects.value.length > 1 || chosen[""] === "" || chosen[""] === undefined) && projects.value.map((project) => field(project.token, `In ${project.name}`, roles.slice(0, 3)))}
    </fieldset>
  );
}

/** Open lists sessions, and ends them. */
function Open({ title, answer, error, ended }: { title: string; answer: Sessions | null; error: string | null; ended: () => void }) {
  const failed = useSignal("");
  const end = async (one: Session) => {
    failed.value = "";
    try {
      await post(`/grid/sessions?${new URLSearchParams({ id: one.id })}`, null, "DELETE");
      announcement.value = `The session of ${one.user} has ended.`;
      if (one.own) session.value = "out";
    } catch (reason) {
      failed.value = told(reason);
    }
    ended();
  };
  const rows = answer?.sessions ?? [];
  return (
    <Panel title={title} id="open-sessions" aside={<span class="faint small">{count(rows.length, "session")}</span>}>
      {error !== null && <Trouble text={error} />}
      {failed.value && <Trouble text={failed.value} />}
      {rows.some((one) => vouched(one.user)) && (
        <p class="small faint">
          A name that begins with <code>oidc:</code> is that of an account of the provider.
        </p>
      )}
      {rows.length === 0 ? (
        <p class="faint">No user is signed in. Sessions of the password of the configuration are not listed.</p>
      ) : (
        <div class="wide" tabIndex={0} role="group" aria-label="Sessions">
          <table class="cards">
            <caption class="out">Who is signed in, since when, and from which address</caption>
            <thead>
              <tr>
                <th scope="col">User</th>
                <th scope="col">Since</th>
                <th scope="col">Last used</th>
                <th scope="col">From</th>
                <th scope="col">End</th>
              </tr>
            </thead>
            <tbody>
              {rows.map((one) => (
                <tr key={one.id}>
                  <th scope="row">
                    {one.user}
                    {one.own && <span class="faint"> this one</span>}
                  </th>
                  <td data-label="Since">
                    <Time at={one.since} />
                  </td>
                  <td data-label="Last used">
                    <Time at={one.seen} as="ago" />
                  </td>
                  <td data-label="From">
                    <code>{one.address || "unknown"}</code>
                  </td>
                  <td data-label="End">
                    <button type="button" class="quiet" aria-label={`End the session of ${one.user} from ${one.address}`} onClick={() => void end(one)}>
                      End
                    </button>
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

function told(reason: unknown): string {
  return reason instanceof Refusal ? reason.message : "The server did not answer. Check whether it was done before you try again.";
}
