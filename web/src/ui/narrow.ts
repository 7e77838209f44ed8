import { signal } from "@preact/signals";

const phone = matchMedia("(max-width: 40rem)");

/** Whether the page is as narrow as a phone, where rows take two lines. The style sheet asks for the same width. */
export const narrow = signal(phone.matches);
phone.addEventListener("change", () => (narrow.value = phone.matches));
