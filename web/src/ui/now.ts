import { signal } from "@preact/signals";
import { visible } from "../state.ts";

/** The time in Unix seconds, for what is written as "2 min ago". It moves every ten seconds, while somebody looks. */
export const now = signal(Date.now() / 1000);

/** tick keeps it moving. */
export function tick(): void {
  const move = () => {
    if (visible.value) now.value = Date.now() / 1000;
  };
  setInterval(move, 10_000);
  visible.subscribe(move);
}
