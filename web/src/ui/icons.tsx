// Icons, drawn on a grid of 20 by 20. Screen readers ignore them: the text
// beside them says the same.

import type { ComponentChildren } from "preact";

function icon(shape: ComponentChildren) {
  return function Icon({ class: name = "" }: { class?: string }) {
    return (
      <svg class={`icon ${name}`} viewBox="0 0 20 20" aria-hidden="true" focusable="false">
        {shape}
      </svg>
    );
  };
}

export const Logo = icon(
  <>
    <path d="M5 16c0-6 10-6 10-12" />
    <circle cx="5" cy="5" r="2" />
    <circle cx="15" cy="15" r="2" />
  </>,
);
export const Gauge = icon(<path d="M3 17V9m4.7 8V5m4.6 12v-6M17 17V3" />);
export const Pulse = icon(<path d="M2 10h4l2.5-6 3.5 12 2.5-6H18" />);
export const People = icon(
  <>
    <circle cx="7.5" cy="7" r="3" />
    <path d="M2 16.500c.5-3 2.7-4.5 5.5-4.500s5 1.5 5.5 4.500M13 4.300a3 3 0 0 1 0 5.400m2 2.800c1.7.6 2.7 2 3 4" />
  </>,
);
export const Shield = icon(<path d="M10 2.5 4 5v4.500c0 3.7 2.5 6.5 6 8 3.5-1.5 6-4.3 6-8V5z" />);
export const Book = icon(<path d="M10 5.500C8 4 5.5 3.7 3 4v11.500c2.5-.3 5 0 7 1.5 2-1.5 4.5-1.8 7-1.500V4c-2.5-.3-5 0-7 1.500zm0 0V17" />);
export const Bell = icon(<path d="M4 14.500h12c-1.300-1.300-1.500-2.500-1.500-5.500 0-3-1.900-5-4.500-5S5.500 6 5.500 9c0 3-.2 4.200-1.500 5.500zM8.500 17h3" />);
export const Sun = icon(
  <>
    <circle cx="10" cy="10" r="3.5" />
    <path d="M10 2v1.500M10 16.500V18M2 10h1.500M16.5 10H18M4.3 4.300l1 1M14.7 14.700l1 1M4.3 15.700l1-1M14.7 5.300l1-1" />
  </>,
);
export const Moon = icon(<path d="M16.5 12A7 7 0 0 1 8 3.5 7 7 0 1 0 16.5 12z" />);
export const Halves = icon(
  <>
    <circle cx="10" cy="10" r="7" />
    <path d="M10 3v14a7 7 0 0 0 0-14z" class="solid" />
  </>,
);
export const Question = icon(
  <>
    <circle cx="10" cy="10" r="7.5" />
    <path d="M7.8 8c0-1.3 1-2.2 2.3-2.200s2.2.9 2.2 2c0 1.7-2.2 1.9-2.2 3.600M10 14v.2" />
  </>,
);
export const Leave = icon(<path d="M8 3H4v14h4m4-10.500L15.5 10 12 13.500M15 10H7.5" />);
export const Search = icon(
  <>
    <circle cx="9" cy="9" r="5" />
    <path d="m13 13 4 4" />
  </>,
);
export const Pause = icon(<path d="M7 4.500v11m6-11v11" class="thick" />);
export const Play = icon(<path d="M6.5 4v12l9-6z" class="solid" />);
export const Close = icon(<path d="m5 5 10 10M15 5 5 15" />);
export const Copy = icon(<path d="M7 7V3.500h9.500V13H13M3.5 7H13v9.500H3.500z" />);
export const Check = icon(<path d="m4 10.5 4 4 8-9" />);
export const Down = icon(<path d="M10 3v10m-4.5-4L10 13.5 14.5 9M4 17h12" />);
export const Left = icon(<path d="M12 4.5 6.5 10l5.5 5.5" />);
export const Right = icon(<path d="M8 4.5 13.5 10 8 15.5" />);
export const Up = icon(<path d="M10 16V4M5 9l5-5 5 5" />);
export const Warning = icon(<path d="M10 3 2.5 16.500h15zM10 8v4m0 2.300v.2" />);
export const Erase = icon(<path d="M4 6h12M8 6V3.500h4V6m-6.5 0 .8 11h7.400l.8-11M8.5 9v5m3-5v5" />);
export const Join = icon(<path d="M4 4c0 4 6 3 6 7m6-7c0 4-6 3-6 7m0 0v6m-2.5-2.500L10 17l2.5-2.5" />);
export const List = icon(<path d="M3.5 4.500h.2M7 4.500h9.500M3.5 10h.2M7 10h9.500M3.5 15.500h.2M7 15.500h9.500" />);
export const Send = icon(<path d="M3 10h11m-4.5-5 5 5-5 5M17 3.500v13" />);
export const Server = icon(<path d="M3.5 3.500h13v5.500h-13zM3.5 11h13v5.500h-13zM6.5 6.200v.1m0 7.400v.1" />);

const Eye = icon(
  <>
    <path d="M2 10c2-3.7 4.7-5.5 8-5.500s6 1.8 8 5.500c-2 3.7-4.7 5.5-8 5.500S4 13.7 2 10z" />
    <circle cx="10" cy="10" r="2.3" />
  </>,
);
const Cart = icon(
  <>
    <path d="M2 3.500h2.500L6.3 13h8.400l1.8-6.500H5.2" />
    <path d="M7.5 16.500v.1m6-.1v.1" class="thick" />
  </>,
);
const Coin = icon(
  <>
    <circle cx="10" cy="10" r="7.2" />
    <path d="M12.3 7.500c-.5-.8-1.3-1.1-2.3-1.1-1.3 0-2.3.6-2.3 1.7 0 2.5 4.7 1.2 4.7 3.8 0 1.1-1.1 1.8-2.4 1.8-1.1 0-2-.4-2.5-1.300M10 5v10" />
  </>,
);
const Mail = icon(<path d="M2.5 5h15v10.500h-15zm0 .5L10 11l7.5-5.5" />);
export const Person = icon(
  <>
    <circle cx="10" cy="6.5" r="3" />
    <path d="M4 17c.6-3.7 3-5.5 6-5.500s5.4 1.8 6 5.5" />
  </>,
);
const Door = icon(<path d="M5 17V3h10v14M3 17h14M12 10v.1" />);
const Click = icon(<path d="m8 8 2.8 9 1.7-3.7 3.9-1.700zM6.5 2.5 7 5M2.5 6.5 5 7m5.5-3.500L9 5.500M3.5 10.500l2-1.5" />);
const Tag = icon(<path d="M3 3h7l7 7-7 7-7-7zm3.5 3.500v.1" />);
const Dot = icon(<circle cx="10" cy="10" r="3" />);

/**
 * Kinds of event, found by words in their types. The first match counts. The
 * tint is one of the style sheet's.
 */
const kinds: [RegExp, ReturnType<typeof icon>, string][] = [
  [/^merge$/, Join, "violet"],
  [/purchase|order|payment|checkout|transaction|refund|invoice/i, Coin, "green"],
  [/cart|basket|wishlist/i, Cart, "green"],
  [/campaign|e?mail|newsletter|sms|push|message|notification/i, Mail, "amber"],
  [/consent|privacy|gdpr/i, Shield, "violet"],
  [/search|query|filter/i, Search, "blue"],
  [/register|registration|sign_?up|log_?in|sign_?in|profile|account|user/i, Person, "violet"],
  [/session|start|open|launch|install|visit_?start/i, Door, "blue"],
  [/click|tap|press|banner/i, Click, "amber"],
  [/item|product|category|catalog/i, Tag, "blue"],
  [/visit|view|page|screen|impression/i, Eye, "blue"],
];

/**
 * EventIcon helps to tell events apart at a glance. The type itself is beside
 * it.
 */
export function EventIcon({ type }: { type: string }) {
  const [, Shape, tint] = kinds.find(([pattern]) => pattern.test(type)) ?? [null, Dot, "plain"];
  return (
    <span class={`kind ${tint}`}>
      <Shape />
    </span>
  );
}
