import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { Refusal } from "../net/client.ts";
import { signIn } from "../session.ts";
import { closed, start } from "../state.ts";
import { Logo } from "../ui/icons.tsx";
import { Trouble } from "../ui/parts.tsx";
import { ThemeSwitch } from "../ui/theme.tsx";

/** SignIn replaces the requested page, which comes back afterwards. */
export function SignIn() {
  const field = useRef<HTMLInputElement>(null);
  const busy = useSignal(false);
  const error = useSignal("");
  useEffect(() => {
    document.title = "Sign in · Trackway";
    field.current?.focus();
  }, []);
  const submit = async (event: Event) => {
    event.preventDefault();
    const password = field.current?.value ?? "";
    if (busy.value || password === "") return;
    busy.value = true;
    error.value = "";
    try {
      await signIn(password);
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
        {closed.value ? (
          <Trouble text={closed.value} again={() => location.reload()} />
        ) : (
          <p class="faint">
            The password is the one that <code>trackway serve</code> printed when it started first; the configuration holds its SHA-256 under{" "}
            <code>dashboard</code>.
          </p>
        )}
        <label for="password">Password</label>
        <input ref={field} id="password" type="password" name="password" autocomplete="current-password" required aria-describedby={error.value ? "wrong" : undefined} />
        <div id="wrong">{error.value && <Trouble text={error.value} />}</div>
        <button type="submit" class="main" aria-busy={busy.value}>
          {busy.value ? "Signing in…" : "Sign in"}
        </button>
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
