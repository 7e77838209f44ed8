// Events as they become durable, and commands as they are rejected.

import { type Signal, useComputed, useSignal } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
import type { LeftOut, Stats } from "../api.ts";
import { exact } from "../format.ts";
import { plain, typing } from "../keys.ts";
import { howOften, most, recent, whatWasLeftOut } from "../live/leftout.ts";
import { type LiveRow, Rows } from "../live/rows.ts";
import { useStream } from "../net/stream.ts";
import { href, route } from "../route.ts";
import { announcement, may, projectOf, projects } from "../state.ts";
import { EventIcon, Pause, Play, Up, Warning } from "../ui/icons.tsx";
import { IdText, Num, preview, Time, Trouble } from "../ui/parts.tsx";
import { narrow } from "../ui/narrow.ts";
import { VirtualList } from "../ui/virtual.tsx";
import { covering, Detail } from "./detail.tsx";
import { asked, FilterBar, type Filters, filtersOf } from "./filters.tsx";
import { FirstEvent } from "./empty.tsx";

export function Live() {
  const chosen = filtersOf(route.value.query);
  const path = `/grid/live?${asked(chosen)}`;
  const rows = useMemo(() => new Rows(), []);
  const latest = useSignal<Stats | null>(null);
  const dropped = useSignal(0);
  const leftOut = useSignal<LeftOut[]>([]);
  const openRow = useSignal<LiveRow | null>(null);
  const { open, refused } = useStream(path, {
    event: (event, size) => rows.event(event, size),
    rejected: (rejected) => rows.rejected(rejected),
    leftOut: (all) => {
      leftOut.value = all;
    },
    stats: (stats) => {
      latest.value = stats;
      if (stats.dropped > 0) dropped.value += stats.dropped;
    },
  });
  useGaps(rows, open.value, path);
  useEffect(() => () => rows.close(), [rows]);
  useEffect(() => {
    rows.clear();
    rows.hold({ away: false });
    dropped.value = 0;
    leftOut.value = [];
    openRow.value = null;
  }, [path]);
  const { show, close } = useDetail(openRow);
  useLiveKeys(rows, close);

  const view = useComputed(() => (rows.version.value, rows.newest())).value;
  const quiet = view.length === 0 && open.value;
  return (
    <>
      <div class="title">
        <h1>Live</h1>
        <Figures open={open.value} refused={refused.value !== ""} latest={latest.value} />
        <PauseButton rows={rows} />
      </div>
      <FilterBar chosen={chosen} />
      {refused.value !== "" && <Trouble text={refused.value} />}
      <LeftOutNote all={leftOut.value} at={latest.value?.now ?? 0} />
      <Lost rows={rows} dropped={dropped.value} />
      <div class={`split-view ${openRow.value ? "opened" : ""}`}>
        <div class="list">
          <NewRows rows={rows} />
          <VirtualList
            label="Events, the newest first"
            columns={["Time", "Event", "Customer", "Properties"]}
            rows={view}
            rowHeight={narrow.value ? 64 : 40}
            keyOf={(row) => row.n}
            classOf={(row) => row.kind}
            cells={(row) => <Cells row={row} />}
            open={show}
            current={openRow.value?.n ?? null}
            moved={(away) => rows.hold({ away })}
          />
          {quiet && <Quiet chosen={chosen} />}
        </div>
        {openRow.value && <Detail key={openRow.value.n} row={openRow.value} close={close} />}
      </div>
    </>
  );
}

/**
 * useGaps marks where the stream was interrupted: part of that time may be
 * missing.
 */
function useGaps(rows: Rows, open: boolean, path: string): void {
  const opened = useRef("");
  useEffect(() => {
    if (open && opened.current === path) rows.gap();
    if (open) opened.current = path;
  }, [open]);
}

/**
 * useLiveKeys listens for the keys of this page. close reports whether there
 * was something to close.
 */
function useLiveKeys(rows: Rows, close: () => boolean): void {
  useEffect(() => {
    const listen = (event: KeyboardEvent) => {
      const closing = event.key === "Escape" && !typing(event) && !document.querySelector("dialog[open]");
      const pausing = event.key === "p" && plain(event);
      if (pausing) rows.hold({ paused: !rows.paused.value });
      if (pausing || (closing && close())) event.preventDefault();
    };
    addEventListener("keydown", listen);
    return () => removeEventListener("keydown", listen);
  }, [rows]);
}

/**
 * useDetail opens and closes a row. close reports whether there was something
 * to close. If the detail covers the list, as on a phone, it is a step in the
 * history, so that Back closes it.
 */
function useDetail(openRow: Signal<LiveRow | null>): { show: (row: LiveRow) => void; close: () => boolean } {
  const step = useRef(false);
  useEffect(() => {
    const back = () => {
      if (!step.current) return;
      step.current = false;
      backToList();
      openRow.value = null;
    };
    addEventListener("popstate", back);
    return () => removeEventListener("popstate", back);
  }, [openRow]);
  const show = (row: LiveRow) => {
    if (row.kind === "gap") return;
    if (openRow.value === null && covering()) {
      history.pushState(history.state, "");
      step.current = true;
    }
    openRow.value = row;
  };
  const close = () => {
    if (openRow.value === null) return false;
    if (step.current) {
      history.back();
      return true;
    }
    backToList();
    openRow.value = null;
    return true;
  };
  return { show, close };
}

/** backToList moves the focus to the row that was open. */
function backToList(): void {
  document.querySelector<HTMLElement>(".virtual [aria-selected=true]")?.focus({ preventScroll: true });
}

function Figures({ open, refused, latest }: { open: boolean; refused: boolean; latest: Stats | null }) {
  return (
    <p class="mark">
      <span class={`lamp ${open ? "on" : ""}`} />
      {refused ? (
        "Not connected"
      ) : !open ? (
        "Connecting"
      ) : !latest ? (
        "Live"
      ) : (
        <span>
          <Num n={latest.accepted} /> accepted a second{latest.refused > 0 && <>, <Num n={latest.refused} /> refused</>}
        </span>
      )}
    </p>
  );
}

function PauseButton({ rows }: { rows: Rows }) {
  const paused = rows.paused.value;
  const toggle = () => {
    rows.hold({ paused: !paused });
    announcement.value = paused ? "The list continues" : "The list is paused";
  };
  return (
    <button type="button" class={paused ? "main" : ""} title="p" onClick={toggle}>
      {paused ? <Play /> : <Pause />}
      {paused ? "Go on" : "Pause"}
    </button>
  );
}

/** NewRows says what came while the view was held, and leads to it. */
function NewRows({ rows }: { rows: Rows }) {
  void rows.version.value;
  const { waiting } = rows.feed;
  if (waiting.length === 0) return null;
  const show = () => {
    rows.hold({ paused: false, away: false });
    document.querySelector(".virtual .scroll")?.scrollTo(0, 0);
  };
  return (
    <button type="button" class="new" onClick={show}>
      <Up />
      {exact(waiting.length)} new
    </button>
  );
}

/** Lost says what is not shown, and why. */
function Lost({ rows, dropped }: { rows: Rows; dropped: number }) {
  void rows.version.value;
  const { lost } = rows.feed;
  if (lost + dropped === 0) return null;
  return (
    <p class="note" role="status">
      <Warning />
      <span>
        {dropped > 0 && <>{exact(dropped)} left out by the server, which sends a page only so many a second. </>}
        {lost > 0 && <>{exact(lost)} came while the list stood still, and were too many to keep. </>}
        All of them are stored; a filter shows fewer.
      </span>
    </p>
  );
}

/**
 * LeftOutNote says which identifiers came without a value that identifies
 * somebody, to reveal broken clients.
 */
function LeftOutNote({ all, at }: { all: LeftOut[]; at: number }) {
  const list = recent(all, at);
  if (list.length === 0) return null;
  const shown = narrow.value ? 1 : most;
  return (
    <div class="note leftout">
      <Warning />
      <span>
        Left out, because it identifies nobody:
        {list.slice(0, shown).map((one) => (
          <span key={`${one.project} ${whatWasLeftOut(one)}`} class="one">
            <strong>{whatWasLeftOut(one)}</strong>, {howOften(one.count, exact)} since <Time at={one.first} as="recent" />, last with{" "}
            {one.type === null ? "an update" : <code>{one.type}</code>}
            {one.address && <> from {one.address}</>}
            {projects.value.length > 1 && <> to {projectOf(one.project)?.name ?? one.project}</>}, <Time at={one.last} as="recent" />
          </span>
        ))}
        {list.length > shown && <span class="one">and {exact(list.length - shown)} more</span>}
      </span>
    </div>
  );
}

function Cells({ row }: { row: LiveRow }) {
  if (row.kind === "gap") {
    return (
      <span role="gridcell" aria-colspan={4} class="whole">
        Connected again at <Time at={row.at} as="time" />. Of the time between, at most the last 1,000 events are shown.
      </span>
    );
  }
  if (row.kind === "rejected") return <RejectedCells row={row} />;
  const { event } = row;
  return (
    <>
      <span role="gridcell" class="time">
        <Time at={event.received} as="moment" />
      </span>
      <span role="gridcell" class="type">
        <EventIcon type={event.type} />
        <span>{event.type}</span>
      </span>
      <span role="gridcell" class="who">
        <a href={href("customer", { project: event.project, customer: event.customer })} tabIndex={-1} onClick={(click) => click.stopPropagation()}>
          {may("analyst", event.project) ? <IdText ids={event.ids} most={1} /> : `Customer ${event.customer}`}
        </a>
        {projects.value.length > 1 && <span class="faint small"> {projectOf(event.project)?.name}</span>}
      </span>
      <span role="gridcell" class="what">
        {Object.entries(event.properties)
          .slice(0, 6)
          .map(([name, value]) => (
            <span key={name}>
              <i>{name}</i> {preview(value, 40)}
            </span>
          ))}
      </span>
    </>
  );
}

function RejectedCells({ row: { rejected } }: { row: LiveRow & { kind: "rejected" } }) {
  return (
    <>
      <span role="gridcell" class="time">
        <Time at={rejected.received} as="moment" />
      </span>
      <span role="gridcell" class="type">
        <span class="kind red">
          <Warning />
        </span>
        <span>{rejected.type ?? (rejected.command || <i class="faint">no name</i>)}</span>
      </span>
      <span role="gridcell" class="who">
        {rejected.ids ? <IdText ids={rejected.ids} most={1} /> : rejected.address}
      </span>
      <span role="gridcell" class="what">
        <strong>Rejected:</strong> {rejected.error}
      </span>
    </>
  );
}

function Quiet({ chosen }: { chosen: Filters }) {
  const filtered = chosen.type !== "" || chosen.customer !== "" || chosen.rejected === "only";
  if (filtered) {
    return (
      <div class="empty">
        <h2>Nothing matches the filter yet</h2>
        <p>New events appear at once.</p>
        <a class="button" href={href("live")}>
          Show everything
        </a>
      </div>
    );
  }
  return <FirstEvent project={projectOf(chosen.project) ?? projects.value[0]} title="No events yet" />;
}
