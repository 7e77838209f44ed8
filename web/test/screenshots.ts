// Takes pictures of every page, in light, in dark and on a phone, while a
// server receives data.

import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import type { BrowserContextOptions, Page } from "playwright-core";
import { type Command, event, password, project, Server, update } from "./server.ts";
import { openBrowser } from "./viewer.ts";

const folder = join(import.meta.dirname, "..", "..", "screenshots");

const looks: { [look: string]: BrowserContextOptions } = {
  light: { viewport: { width: 1360, height: 900 }, colorScheme: "light" },
  dark: { viewport: { width: 1360, height: 900 }, colorScheme: "dark" },
  phone: { viewport: { width: 390, height: 844 }, colorScheme: "light", deviceScaleFactor: 2, isMobile: true, hasTouch: true },
};

const people = ["jane", "noor", "piotr", "amelie", "kofi", "yuki", "olga", "mateo", "ines", "hugo"];
const visits = ["/", "/shop", "/shop/boots-42", "/about", "/checkout"];

/**
 * pick returns one of the values for n. The choice has no visible pattern, but
 * is the same in each run.
 */
function pick<T>(values: readonly T[], n: number): T {
  return values[Math.floor(Math.abs(Math.sin(n * 12.9898) * 43_758.5453) % values.length)]!;
}

/** happening returns the nth command. */
function happening(n: number): Command {
  const who = `${pick(people, n)}@example.com`;
  const kind = pick(["page_visit", "page_visit", "page_visit", "view_item", "view_item", "cart_update", "search", "purchase", "campaign"], n + 0.5);
  const properties: { [name: string]: unknown } = { page: pick(visits, n + 0.3), device: pick(["desktop", "phone"], n) };
  if (kind === "purchase") Object.assign(properties, { total_price: Math.round(pick([799, 12_490, 3995], n)) / 100, currency: "EUR" });
  if (kind === "search") properties["query"] = pick(["boots", "rain coat", "gift card"], n);
  if (n % 97 === 0) return { name: "customers/events", data: { customer_ids: { registered: who }, properties } };
  return event(kind, who, properties);
}

async function feed(server: Server, from: number, to: number): Promise<void> {
  for (let n = from; n < to; n += 50) await server.track(...Array.from({ length: Math.min(50, to - n) }, (_, i) => happening(n + i)));
}

async function meet(server: Server): Promise<void> {
  const plans = ["free", "gold", "team"];
  await server.track(
    ...people.map((name, n) =>
      update(
        { registered: `${name}@example.com`, cookie: `c-${1000 + n}` },
        { first_name: name[0]!.toUpperCase() + name.slice(1), plan: pick(plans, n), country: pick(["NL", "PL", "FR", "GH"], n), orders: n },
      ),
    ),
    update({ cookie: "c-2000" }, { plan: "free" }),
    event("session_start", "jane@example.com", { device: "phone" }),
    update({ registered: "jane@example.com", cookie: "c-2000" }, { address: { street: "Oudegracht 1", city: "Utrecht" } }),
  );
}

/**
 * traffic sends events for some seconds, in waves, so that the charts show
 * something.
 */
async function traffic(server: Server, seconds: number): Promise<void> {
  const start = performance.now();
  for (let n = 5000; ; ) {
    const passed = (performance.now() - start) / 1000;
    if (passed > seconds) return;
    const many = Math.round(12 + 9 * Math.sin(passed / 9) + 4 * Math.sin(passed / 2.3));
    await feed(server, n, n + many).catch(() => undefined); // some of them exceed the limit
    n += many;
    await setTimeout(120);
  }
}

async function signIn(page: Page, server: Server, look: string): Promise<void> {
  await page.goto(server.url);
  await page.getByLabel("Password").waitFor();
  await page.screenshot({ path: join(folder, `signin-${look}.png`) });
  await page.getByLabel("Password").fill(password);
  await page.keyboard.press("Enter");
  await page.getByRole("navigation", { name: "Pages", exact: true }).waitFor();
}

/**
 * picture takes a screenshot of the window or of the whole page. For the whole
 * page it makes the window high enough, so that parts that are fixed at the
 * bottom stay there.
 */
async function picture(page: Page, name: string, whole: boolean): Promise<void> {
  const size = page.viewportSize();
  if (whole && size) {
    const height = await page.evaluate(() => document.documentElement.scrollHeight);
    await page.setViewportSize({ ...size, height });
  }
  await page.screenshot({ path: join(folder, `${name}.png`) });
  if (size) await page.setViewportSize(size);
}

async function take(page: Page, server: Server, look: string): Promise<void> {
  const go = async (place: string, sight: string) => {
    await page.goto(`${server.url}/#/${place}`);
    await page.locator(sight).first().waitFor();
  };
  const shoot = (name: string, whole = true) => picture(page, `${name}-${look}`, whole);
  await go("overview", ".chart canvas");
  await page.getByText(" now").first().waitFor(); // the stream is open
  await shoot("overview");
  await go("live", ".virtual .row");
  if (look !== "phone") await page.locator(".virtual .row").filter({ hasText: "purchase" }).first().click();
  await shoot("live", false);
  await go("live?rejected=only", ".virtual .row");
  await page.locator(".virtual .row").first().click();
  await shoot("rejected", false);
  await go("customers", "tbody tr");
  await shoot("customers");
  await page.getByRole("link", { name: "jane@example.com" }).click();
  await page.locator(".events li").first().waitFor();
  await shoot("customer");
  await page.getByRole("button", { name: "Anonymize…" }).click();
  await shoot("anonymize", false);
  await page.keyboard.press("Escape");
  await go(`customers?project=${project}&q=nobody`, ".empty");
  await shoot("nobody");
  await go("limits", ".policy");
  await shoot("limits");
}

async function main(): Promise<void> {
  await mkdir(folder, { recursive: true });
  const [browser, server, empty] = await Promise.all([openBrowser(), Server.start({ track: 400 }), Server.start()]);
  try {
    await meet(server);
    await feed(server, 0, 3000);
    await traffic(server, 100);
    server.reload({ track: 9000 });
    for (const [look, options] of Object.entries(looks)) {
      const [full, bare] = await Promise.all([browser.newContext(options), browser.newContext(options)]);
      const [page, other] = await Promise.all([full.newPage(), bare.newPage()]);
      await signIn(page, server, look);
      await take(page, server, look);
      await signIn(other, empty, look);
      await other.getByText("Send the first event").waitFor();
      await other.getByText("Nothing was rejected").waitFor();
      await picture(other, `empty-${look}`, true);
      await Promise.all([full.close(), bare.close()]);
    }
  } finally {
    await browser.close();
    await Promise.all([server.stop(), empty.stop()]);
  }
  console.log(`pictures are in ${folder}`);
}

await main();
