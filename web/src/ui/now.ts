import { signal } from "@preact/signals";
import { visible } from "../state.ts";

/**
 * The time in Unix seconds, for texts such as "2 min ago". It changes every ten
 * seconds while the page is visible.
 */
export const now = signal(Date.now() / 1000);

/** tick keeps it current. */
export function tick(): void {
  const move = () => {
    if (visible.value) now.value = Date.now() / 1000;
  };
  setInterval(move, 10_000);
  visible.subscribe(move);
}
