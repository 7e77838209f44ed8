import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Browser } from "playwright-core";
import { event, password, project, Server, update } from "../server.ts";
import { type Look, openBrowser, Viewer } from "../viewer.ts";

let browser: Browser;
let server: Server;

before(async () => {
  [browser, server] = await Promise.all([openBrowser(), Server.start()]);
});
after(async () => {
  await browser.close();
  await server.stop();
});

test("an empty server says what to do next", async () => {
  const viewer = await (await Viewer.open(browser, server)).signedIn();
  const { page } = viewer;
  await page.getByText("Send the first event").waitFor();
  for (const [place, title] of [["live", "No events yet"], ["customers", "No customers yet"]] as const) {
    await viewer.go(`#/${place}`);
    await page.getByRole("heading", { name: title }).waitFor();
    const line = await page.getByLabel("Command").textContent();
    assert.match(line ?? "", new RegExp(`^curl ${server.url}/track/v2/projects/${project}/customers/events`));
    await viewer.accessible(`${place}, empty`);
  }
  await viewer.go("#/limits");
  await page.getByText("Nobody was refused.").waitFor();
  await viewer.go("#/overview");
  await page.getByText("Send the first event").waitFor();
  await server.track(event("page_visit", "jane@example.com"));
  await page.getByRole("row", { name: "page_visit 1 1" }).waitFor(); // without a click
  await viewer.close();
});

test("a server that has customers is no empty one, and is not asked again and again for a first event", async () => {
  const other = await Server.start();
  try {
    await other.track(update({ registered: "jane@example.com" }, { plan: "gold" }));
    const viewer = await (await Viewer.open(browser, other)).signedIn();
    const { page } = viewer;
    await page.getByRole("region", { name: "Traffic" }).waitFor();
    assert.equal(await page.getByText("Send the first event").count(), 0);
    await viewer.close();
  } finally {
    await other.stop();
  }
});

test("pages that are older than their server say so", async () => {
  const viewer = await (await Viewer.open(browser, server)).signedIn();
  viewer.mayTell(/ERR_INTERNET_DISCONNECTED/);
  const { page, context } = viewer;
  await page.route("**/grid/start", async (route) => {
    const response = await route.fetch({ headers: { ...route.request().headers(), "if-none-match": "" } });
    const json = (await response.json()) as { server: { version: string } };
    json.server.version = "v99";
    await route.fulfill({ response, json });
  });
  const later = Date.now() + 1100; // an answer that has just been read is not read again
  await page.waitForFunction((time) => Date.now() > time, later);
  await context.setOffline(true);
  await page.getByText("No connection to ts1.test.").waitFor();
  await context.setOffline(false);
  await page.getByText("The server was updated to Trackway v99.").waitFor();
  await viewer.accessible("updated");
  await page.getByRole("button", { name: "Reload" }).click();
  await viewer.heading("Overview").waitFor();
  await page.getByText("The server was updated").waitFor({ state: "detached" });
  await viewer.close();
});

test("a wrong password is told, and the right one leads to the page that was asked for", async () => {
  const viewer = await Viewer.open(browser, server);
  viewer.mayTell(/status of 403/);
  const { page } = viewer;
  await page.goto(`${server.url}/#/limits`);
  await page.getByLabel("Password").fill("wrong");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("alert").getByText("Wrong password.").waitFor();
  await viewer.accessible("signing in, refused");
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Sign in" }).click();
  await viewer.heading("Limits").waitFor();
  await viewer.close();
});

test("signing out and an expired session lead to the form, and back to the same page", async () => {
  const viewer = await (await Viewer.open(browser, server)).signedIn("#/customers");
  const { page, context } = viewer;
  await viewer.heading("Customers").waitFor();
  await context.clearCookies();
  await viewer.go("#/limits"); // the page may have noticed already, and then has no links
  await page.getByText("Your session has ended.").waitFor();
  await page.getByLabel("Password").fill(password);
  await page.keyboard.press("Enter");
  await viewer.heading("Limits").waitFor();
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByLabel("Password").waitFor();
  assert.equal(await page.getByText("Your session has ended.").count(), 0, "who signed out knows");
  await page.reload();
  await page.getByLabel("Password").waitFor();
  await viewer.close();
});

test("every page is accessible, in light and dark and on a phone", async (t) => {
  await server.track(
    update({ registered: "jane@example.com", cookie: "c-1" }, { first_name: "Jane", email: "jane@example.com", plan: "gold", address: { city: "Utrecht" } }),
    update({ cookie: "c-2" }, { plan: "free" }),
    event("page_visit", "jane@example.com", { page: "/", items: [1, 2] }),
    event("purchase", "jane@example.com", { total_price: 7.99 }),
    update({ registered: "jane@example.com", cookie: "c-2" }),
    { name: "customers/events", data: { customer_ids: { registered: "jane@example.com" } } },
  );
  for (const look of ["light", "dark", "phone"] satisfies Look[]) {
    await t.test(look, async () => {
      const viewer = await Viewer.open(browser, server, look);
      await viewer.page.goto(server.url);
      await viewer.page.getByLabel("Password").waitFor();
      await viewer.accessible("signing in");
      await viewer.signedIn();
      await lookAround(viewer);
      await viewer.close();
    });
  }
});

/**
 * lookAround goes through all pages, and opens everything that can be opened.
 */
async function lookAround(viewer: Viewer): Promise<void> {
  const { page } = viewer;
  await page.getByText("page_visit").waitFor();
  for (const figures of await page.getByText("Figures", { exact: true }).all()) await figures.click();
  await page.getByRole("table", { name: /Commands accepted in the last hour, by/ }).waitFor();
  await viewer.accessible("overview");

  await viewer.go("#/live");
  await page.getByRole("row", { name: /purchase/ }).click();
  await page.getByLabel("The event as JSON").waitFor();
  await viewer.accessible("live");
  await page.keyboard.press("Escape");
  // On a phone, closing is a step back in the history, and takes a moment.
  await page.getByRole("complementary", { name: "Details" }).waitFor({ state: "detached" });

  await viewer.go("#/customers");
  await page.getByRole("link", { name: "jane@example.com" }).click();
  await viewer.heading("jane@example.com").waitFor();
  await page.getByText("They belonged to two customers before, so these were merged.").waitFor();
  await page.locator(".events summary").filter({ hasText: "purchase" }).click();
  await page.getByLabel("Properties of purchase").waitFor();
  await viewer.accessible("customer");

  await viewer.go("#/limits");
  await page.getByRole("heading", { name: "track", exact: true }).waitFor();
  await viewer.accessible("limits");
  await page.getByRole("button", { name: "Help" }).click();
  await page.getByRole("dialog", { name: "Keys" }).waitFor();
  await viewer.accessible("help");
}

test("keys lead through the pages", async () => {
  const viewer = await (await Viewer.open(browser, server)).signedIn();
  const { page } = viewer;
  await viewer.heading("Overview").waitFor();
  await page.keyboard.press("3");
  await viewer.heading("Customers").waitFor();
  await page.waitForFunction(() => document.activeElement?.id === "main"); // the focus follows the page
  await page.getByRole("link", { name: "jane@example.com" }).waitFor();
  await page.keyboard.press("j");
  await page.keyboard.press("Enter");
  await viewer.heading("jane@example.com").waitFor();
  await page.goBack();
  await viewer.heading("Customers").waitFor();
  await page.keyboard.press("/");
  await page.keyboard.type("nobody?");
  await page.getByRole("heading", { name: "Nobody found" }).waitFor();
  await page.keyboard.press("Tab");
  await page.keyboard.press("Tab"); // out of the fields, in which keys are text
  await page.keyboard.press("?");
  const help = page.getByRole("dialog", { name: "Keys" });
  await help.waitFor();
  await page.keyboard.press("Escape");
  await help.waitFor({ state: "detached" });
  await page.goto(`${server.url}/#/overview`);
  await page.keyboard.press("Tab");
  await page.getByRole("link", { name: "Skip to the content" }).press("Enter");
  await page.waitForFunction(() => document.activeElement?.id === "main");
  await viewer.close();
});

test("the choice of colours is kept", async () => {
  const viewer = await (await Viewer.open(browser, server)).signedIn();
  const { page } = viewer;
  const background = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
  const light = await background();
  await page.getByRole("button", { name: "Colours: as the system" }).click();
  await page.getByRole("button", { name: "Colours: light" }).click();
  await page.getByRole("button", { name: "Colours: dark" }).waitFor();
  assert.notEqual(await background(), light);
  await page.reload();
  await page.getByRole("button", { name: "Colours: dark" }).waitFor();
  assert.notEqual(await background(), light);
  await viewer.close();
});
