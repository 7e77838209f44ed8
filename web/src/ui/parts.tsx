// Small components that all pages use.

import { type Signal, useSignal } from "@preact/signals";
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import type { Ids, Json } from "../api.ts";
import { ago, bytes, Clock, exact, iso, short, utc } from "../format.ts";
import { now } from "./now.ts";
import { Check, Copy as CopyIcon, Warning } from "./icons.tsx";

export const clock = new Clock();

/** Num shows a number in short form. Its tooltip has all digits. */
export function Num({ n, class: name }: { n: number; class?: string }) {
  const text = short(n);
  const all = exact(n);
  return (
    <data class={`num ${name ?? ""}`} value={n} title={text === all ? undefined : all}>
      {text}
    </data>
  );
}

export function Bytes({ n }: { n: number }) {
  return (
    <data class="num" value={n} title={`${exact(n)} bytes`}>
      {bytes(n)}
    </data>
  );
}

/** Time shows a time in the viewer's zone. Its tooltip has UTC. */
export function Time({ at, as = "both" }: { at: number; as?: "both" | "full" | "day" | "minute" | "time" | "recent" | "moment" | "ago" }) {
  const text = as === "ago" ? ago(at, now.value) : as === "recent" || as === "moment" ? clock[as](at, now.value) : clock[as](at);
  return (
    <time dateTime={iso(at)} title={as === "ago" ? `${clock.both(at)} (${utc(at)})` : utc(at)}>
      {text}
    </time>
  );
}

/**
 * IdText shows identifiers in the server's order, hard ones first:
 * jane@example.com, +2.
 */
export function IdText({ ids, most = 2 }: { ids: Ids; most?: number }) {
  const all = Object.entries(ids).flatMap(([name, value]) => [value].flat().map((one) => ({ name, value: one })));
  if (all.length === 0) return <span class="faint">no identifiers</span>;
  return (
    <span class="ids">
      {all.slice(0, most).map(({ name, value }) => (
        <span key={name + value} title={`${name}=${value}`}>
          {value === "" ? <i class="faint">empty {name}</i> : value}
        </span>
      ))}
      {all.length > most && <span class="faint">+{all.length - most}</span>}
    </span>
  );
}

/**
 * preview shows a value in one line. It cuts a long one, but never within a
 * character.
 */
export function preview(value: Json, most = 60): string {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return text.length > most ? `${text.slice(0, most - 1).replace(/[\uD800-\uDBFF]$/, "")}…` : text;
}

/**
 * useFirst returns the first few rows of a long list, and a button that shows
 * the others.
 */
export function useFirst<T>(all: readonly T[], most: number): [readonly T[], JSX.Element | null] {
  const open = useSignal(false);
  if (open.value || all.length <= most * 1.5) return [all, null];
  const button = (
    <button key="rest" type="button" class="rest" onClick={() => (open.value = true)}>
      Show all {exact(all.length)}
    </button>
  );
  return [all.slice(0, most), button];
}

export function Copy({ text, label = "Copy" }: { text: string; label?: string }) {
  const done = useSignal(false);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      if (!copyOld(text)) return;
    }
    done.value = true;
    setTimeout(() => (done.value = false), 2000);
  };
  return (
    <button type="button" class="quiet copy" onClick={copy}>
      {done.value ? <Check /> : <CopyIcon />}
      <span aria-live="polite">{done.value ? "Copied" : label}</span>
    </button>
  );
}

/**
 * copyOld copies text in pages without TLS, in which the browser does not offer
 * the clipboard.
 */
function copyOld(text: string): boolean {
  const area = Object.assign(document.createElement("textarea"), { value: text });
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done;
}

/** Command is a line to type into a shell. */
export function Command({ text, label }: { text: string; label?: string }) {
  return (
    <div class="command">
      <pre tabIndex={0} aria-label="Command">
        <code>{text}</code>
      </pre>
      <Copy text={text} label={label ?? "Copy"} />
    </div>
  );
}

/** Panel is a part of a page with its own heading. */
export function Panel(props: { title: string; id: string; aside?: ComponentChildren; class?: string; children: ComponentChildren }) {
  return (
    <section class={`panel ${props.class ?? ""}`} aria-labelledby={props.id}>
      <header>
        <h2 id={props.id}>{props.title}</h2>
        {props.aside}
      </header>
      {props.children}
    </section>
  );
}

/** Choice is a small set of options, one of which is selected. */
export function Choice<T extends string>(props: { label: string; name: string; value: Signal<T>; options: readonly (readonly [T, string])[] }) {
  return (
    <fieldset class="choice">
      <legend class="out">{props.label}</legend>
      {props.options.map(([value, text]) => (
        <label key={value}>
          <input type="radio" name={props.name} checked={props.value.value === value} onChange={() => (props.value.value = value)} />
          <span>{text}</span>
        </label>
      ))}
    </fieldset>
  );
}

/**
 * SearchField is a field whose text counts once it is complete. Drawing the page
 * again takes nothing away from somebody who is typing.
 */
export function SearchField({ value, search, ...rest }: { value: string; search: (text: string) => void; placeholder: string; list?: string; "data-search"?: boolean }) {
  const field = useRef<HTMLInputElement>(null);
  const drawn = useRef<string | undefined>(undefined);
  useLayoutEffect(() => {
    const input = field.current;
    if (input && (drawn.current !== value || input !== document.activeElement)) input.value = value;
    drawn.current = value;
  });
  return (
    <input
      ref={field}
      type="search"
      autocapitalize="off"
      autocomplete="off"
      spellcheck={false}
      {...rest}
      onChange={(event) => search(event.currentTarget.value.trim())}
    />
  );
}

/** Trouble reports a refusal, and offers to try again. */
export function Trouble({ text, again }: { text: string; again?: () => void }) {
  return (
    <div class="note bad" role="alert">
      <Warning />
      <p>{text}</p>
      {again && (
        <button type="button" onClick={again}>
          Try again
        </button>
      )}
    </div>
  );
}

export function Loading() {
  return (
    <p class="loading" role="status">
      <span class="out">Loading</span>
    </p>
  );
}

/** Waiting replaces a page until its first answer arrives. */
export function Waiting({ title, error, again }: { title: string; error: string | null; again: () => void }) {
  return (
    <>
      <div class="title">
        <h1>{title}</h1>
      </div>
      {error === null ? <Loading /> : <Trouble text={error} again={again} />}
    </>
  );
}

/**
 * Dialog is modal: it keeps the focus, Escape closes it, and then the focus
 * returns to where it was.
 */
export function Dialog(props: { title: string; id: string; close: () => void; class?: string; children: ComponentChildren }) {
  const ref = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const opener = document.activeElement;
    ref.current?.showModal();
    return () => opener instanceof HTMLElement && opener.focus();
  }, []);
  const outside = (event: MouseEvent) => event.target === ref.current && props.close();
  return (
    <dialog ref={ref} class={props.class} aria-labelledby={props.id} onClose={props.close} onClick={outside}>
      <div class="inside">
        <h2 id={props.id}>{props.title}</h2>
        {props.children}
      </div>
    </dialog>
  );
}
