import { signal } from "@preact/signals";

const phone = matchMedia("(max-width: 40rem)");

/**
 * Whether the page is as narrow as a phone, so that rows take two lines. The
 * style sheet uses the same width.
 */
export const narrow = signal(phone.matches);
phone.addEventListener("change", () => (narrow.value = phone.matches));
