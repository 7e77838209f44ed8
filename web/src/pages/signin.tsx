import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import type { Ways } from "../api.ts";
import { Refusal } from "../net/client.ts";
import { leave, signIn, ways } from "../session.ts";
import { closed, start } from "../state.ts";
import { Logo } from "../ui/icons.tsx";
import { Trouble } from "../ui/parts.tsx";
import { ThemeSwitch } from "../ui/theme.tsx";

/** SignIn replaces the requested page, which comes back afterwards. */
export function SignIn() {
  const field = useRef<HTMLInputElement>(null);
  const name = useRef<HTMLInputElement>(null);
  const next = useRef<HTMLInputElement>(null);
  const away = useRef<HTMLAnchorElement>(null);
  const busy = useSignal(false);
  const error = useSignal("");
  const changing = useSignal(false);
  const known = useSignal<Ways>({ users: false, password: true });
  useEffect(() => {
    document.title = "Sign in · Trackway";
    field.current?.focus();
    void ways().then((found) => {
      const untouched = document.activeElement === field.current && field.current?.value === "";
      known.value = found;
      if (untouched && (found.users || !found.password)) queueMicrotask(() => (name.current ?? field.current ?? away.current)?.focus());
    });
  }, []);
  const { users, password: alone, provider, refused } = known.value;
  const words = users || alone || !provider; // whether any password signs in
  const submit = async (event: Event) => {
    event.preventDefault();
    const password = field.current?.value ?? "";
    if (busy.value || password === "") return;
    const chosen = changing.value ? next.current?.value : undefined;
    busy.value = true;
    error.value = "";
    try {
      await signIn(name.current?.value.trim() ?? "", password, chosen);
    } catch (reason) {
      error.value = told(reason);
      busy.value = false;
      field.current?.select();
    }
  };
  return (
    <main id="main" class="signin">
      <form onSubmit={submit}>
        <div class="brand">
          <Logo />
          <span>Trackway</span>
        </div>
        <h1>Sign in</h1>
        {start.value && <p>Your session has ended. Sign in again to continue where you were.</p>}
        {refused && <Trouble text={refused} />}
        {provider && (
          <a ref={away} class="button main" href="/grid/oidc" onClick={leave}>
            Sign in with {provider}
          </a>
        )}
        {provider && words && <p class="or">or</p>}
        {closed.value ? (
          <Trouble text={closed.value} again={() => location.reload()} />
        ) : (
          !users && alone && <p class="faint">
            The password is the one that <code>trackway serve</code> printed when it started first; the configuration holds its SHA-256 under{" "}
            <code>dashboard</code>.
          </p>
        )}
        {users && (
          <>
            <label for="name">Name</label>
            <input
              ref={name}
              id="name"
              name="username"
              autocomplete="username"
              autocapitalize="off"
              spellcheck={false}
              required={!alone}
              aria-describedby={alone ? "alone" : undefined}
            />
            {alone && (
              <p id="alone" class="faint small">
                Without a name, the password is that of the configuration.
              </p>
            )}
          </>
        )}
        {words && (
          <>
            <label for="password">Password</label>
            <input ref={field} id="password" type="password" name="password" autocomplete="current-password" required aria-describedby={error.value ? "wrong" : undefined} />
            {users && (
              <>
                <label class="check">
                  <input type="checkbox" checked={changing.value} onChange={(event) => (changing.value = event.currentTarget.checked)} />
                  Choose a new password
                </label>
                {changing.value && (
                  <>
                    <label for="next">New password</label>
                    <input ref={next} id="next" type="password" name="new-password" autocomplete="new-password" required minLength={10} maxLength={256} />
                  </>
                )}
              </>
            )}
            <div id="wrong">{error.value && <Trouble text={error.value} />}</div>
            <button type="submit" class="main" aria-busy={busy.value}>
              {busy.value ? "Signing in…" : "Sign in"}
            </button>
          </>
        )}
      </form>
      <p class="below">
        <a href="/about/api">Guide to this server</a>
        <ThemeSwitch />
      </p>
    </main>
  );
}

function told(reason: unknown): string {
  return reason instanceof Refusal ? reason.message : "The server does not answer. Is it running?";
}
