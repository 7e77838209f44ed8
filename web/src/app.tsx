// The frame of all pages: the menu, the present place, and the state of the
// server.

import { useSignal } from "@preact/signals";
import { useEffect, useErrorBoundary, useLayoutEffect, useRef } from "preact/hooks";
import { helpOpen } from "./keys.ts";
import { tryNow } from "./net/link.ts";
import { Alarms } from "./pages/alarms.tsx";
import { Audit } from "./pages/audit.tsx";
import { Catalogue } from "./pages/catalogue.tsx";
import { CustomerPage } from "./pages/customer.tsx";
import { Customers } from "./pages/customers.tsx";
import { Destinations } from "./pages/destinations.tsx";
import { Help } from "./pages/help.tsx";
import { Limits } from "./pages/limits.tsx";
import { Live } from "./pages/live.tsx";
import { Overview } from "./pages/overview.tsx";
import { SignIn } from "./pages/signin.tsx";
import { Users } from "./pages/users.tsx";
import { href, type Page, route, scrolled } from "./route.ts";
import { load, loadedAt, signOut } from "./session.ts";
import { announcement, link, may, session, start, trouble, updated, visible, waitingUntil } from "./state.ts";
import { Bell, Book, Gauge, Leave, List, Logo, People, Person, Pulse, Question, Send, Shield, Warning } from "./ui/icons.tsx";
import { Loading, Trouble, Waiting } from "./ui/parts.tsx";
import { ThemeSwitch } from "./ui/theme.tsx";

const places: [Page, string, typeof Gauge][] = [
  ["overview", "Overview", Gauge],
  ["live", "Live", Pulse],
  ["customers", "Customers", People],
  ["limits", "Limits", Shield],
  ["destinations", "Destinations", Send],
  ["catalogue", "Catalogue", List],
];

const views: { [page in Page]: () => preact.JSX.Element } = {
  overview: Overview,
  live: Live,
  customers: Customers,
  customer: CustomerPage,
  limits: Limits,
  destinations: Destinations,
  users: Users,
  catalogue: Catalogue,
  alarms: Alarms,
  audit: Audit,
};

/** shown are the places that the user may go to. */
function shown(): typeof places {
  return places.filter(([page]) => (page !== "limits" && page !== "destinations") || may("viewer"));
}

export function App() {
  useStartAnew();
  if (session.value === "out") return <SignIn />;
  return (
    <>
      <a class="skip" href="#main" onClick={skip}>
        Skip to the content
      </a>
      <Header />
      <Banner />
      <Main />
      <p class="out" role="status">
        {announcement}
      </p>
      {helpOpen.value && <Help close={() => (helpOpen.value = false)} />}
    </>
  );
}

/**
 * useStartAnew reads again now and then what all pages need: projects and event
 * types come and go.
 */
function useStartAnew(): void {
  const inUse = visible.value && link.value.up && session.value === "in";
  useEffect(() => {
    if (!inUse) return;
    if (Date.now() - loadedAt > 1000) void load("poll").catch(() => undefined); // the server may be another one by now
    const timer = setInterval(() => void load("poll").catch(() => undefined), 300_000);
    return () => clearInterval(timer);
  }, [inUse]);
}

function skip(event: Event): void {
  event.preventDefault();
  document.getElementById("main")?.focus();
}

function Header() {
  const here = route.value.page === "customer" ? "customers" : route.value.page;
  const server = start.value?.server;
  return (
    <header class="top">
      <a class="brand" href={href("overview")} title={server && `${server.name}${server.region && `, ${server.region}`}: Trackway ${server.version}`}>
        <Logo />
        <span>{server?.name ?? "Trackway"}</span>
      </a>
      <nav class="places" aria-label="Pages">
        {shown().map(([page, name, Icon]) => (
          <a key={page} href={href(page)} aria-current={here === page ? "page" : undefined}>
            <Icon />
            <span>{name}</span>
          </a>
        ))}
      </nav>
      <div class="tools">
        {may("viewer") && (
          <a class="tool" href={href("alarms")} aria-current={here === "alarms" ? "page" : undefined} title="What is wrong, and what was">
            <Bell />
            <span>Alarms</span>
          </a>
        )}
        <a class="tool" href="/about/api" title="The guide: every route and limit of this server">
          <Book />
          <span>Guide</span>
        </a>
        <ThemeSwitch />
        <button type="button" class="tool" title="Keys and help (?)" onClick={() => (helpOpen.value = true)}>
          <Question />
          <span class="out">Help</span>
        </button>
        {session.value === "in" && (
          <a class="tool" href={href("users")} title={who()} aria-current={here === "users" ? "page" : here === "audit" ? "true" : undefined}>
            <Person />
            <span class="out">{usersTitle()}</span>
          </a>
        )}
        {session.value === "in" && (
          <button type="button" class="tool" title="Sign out" onClick={() => void signOut().catch(() => undefined)}>
            <Leave />
            <span class="out">Sign out</span>
          </button>
        )}
      </div>
    </header>
  );
}

/** Banner says what keeps the page from reaching the server. */
function Banner() {
  const seconds = useCountdown(link.value.up ? waitingUntil.value : link.value.retryAt);
  if (!link.value.up) {
    return (
      <div class="banner bad" role="alert">
        <Warning />
        <p>
          <strong>No connection to {start.value?.server.name ?? "the server"}.</strong> What you see is what was known last.
          <span aria-hidden="true"> Trying again {seconds > 0 ? `in ${seconds} s` : "now"}.</span>
        </p>
        <button type="button" onClick={tryNow}>
          Try now
        </button>
      </div>
    );
  }
  if (updated.value) {
    return (
      <div class="banner" role="status">
        <p>The server was updated to Trackway {start.value?.server.version}. These are the pages of before.</p>
        <button type="button" onClick={() => location.reload()}>
          Reload
        </button>
      </div>
    );
  }
  if (waitingUntil.value === 0 || seconds === 0) return null;
  return (
    <div class="toast" role="status">
      <p>
        One moment. The server limits requests of this dashboard, so that tracking comes first.
        <span aria-hidden="true"> Going on in {seconds} s.</span>
      </p>
    </div>
  );
}

/**
 * useCountdown returns the whole seconds until a time, and keeps them current.
 */
function useCountdown(until: number): number {
  const left = () => Math.max(0, Math.ceil((until - Date.now()) / 1000));
  const seconds = useSignal(left());
  useEffect(() => {
    const look = () => (seconds.value = left());
    look();
    if (until === 0) return;
    const timer = setInterval(look, 250);
    return () => clearInterval(timer);
  }, [until]);
  return seconds.value;
}

/**
 * Main shows the page. When the page changes, it gets the focus, so that screen
 * readers announce it.
 */
function Main() {
  const main = useRef<HTMLElement>(null);
  const { page, query } = route.value;
  const place = page === "customer" ? page + query.get("customer") : page;
  const first = useRef(true);
  // Together with the page, not later: somebody who types at once must not lose
  // the focus again.
  useLayoutEffect(() => {
    document.title = `${titleOf(page)} · ${start.value?.server.name ?? "Trackway"}`;
    if (!first.current) {
      scrollTo(0, scrolled);
      main.current?.focus({ preventScroll: true });
    }
    first.current = false;
  }, [place, start.value?.server.name]);
  return (
    <main id="main" ref={main} tabIndex={-1} class={page}>
      {session.value === "in" ? <Shown key={place} page={page} /> : trouble.value ? <Trouble text={trouble.value} /> : <Loading />}
    </main>
  );
}

/**
 * Shown is a page. If the page cannot be drawn because of a bug, it is advice
 * on what to do.
 */
function Shown({ page }: { page: Page }) {
  const View = views[page];
  const [error, again] = useErrorBoundary((reason) => console.error(reason));
  if (error === undefined) return <View />;
  return <Waiting title={titleOf(page)} error={`This page cannot be shown because of a bug in Trackway. Please report it: ${String(error)}`} again={again} />;
}

function who(): string {
  const name = start.value?.user.name;
  return name ? `${usersTitle()}: you are ${name}` : usersTitle();
}

/** usersTitle names the page of users, which for most people has only their own sessions. */
function usersTitle(): string {
  return may("admin") ? "Users" : "Sessions";
}

function titleOf(page: Page): string {
  if (page === "users") return usersTitle();
  if (page === "audit") return "Audit";
  return page === "alarms" ? "Alarms" : (places.find(([name]) => name === page)?.[1] ?? "Customer");
}
