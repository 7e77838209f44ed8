import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import { event, Server } from "../server.ts";
import { openBrowser, Viewer } from "../viewer.ts";

let browser: Browser;

before(async () => {
  browser = await openBrowser();
});
after(() => browser.close());

test("limits are shown as they are in force, with their changes and who is refused", async () => {
  const server = await Server.start({ track: 3 });
  try {
    const viewer = await (await Viewer.open(browser, server)).signedIn("#/limits");
    const { page } = viewer;
    const track = page.getByRole("region", { name: "track" });
    await track.getByText("3 calls in 1 min for each address").waitFor();
    const refused = () => server.track(event("page_visit", "jane@example.com")).then(() => false, () => true);
    while (!(await refused()));
    await again(viewer);
    await page.getByRole("row", { name: /127\.0\.0\.1 track/ }).waitFor();
    await page.getByRole("img", { name: /Calls refused in the last hour/ }).waitFor();

    server.reload({ track: 9000 });
    const changed = page.getByText("limit 3 → 9,000");
    while (!(await changed.isVisible())) await again(viewer); // a signal has no answer: its effect shows here
    await track.getByText("9,000 calls in 1 min for each address").waitFor();
    await viewer.close();
  } finally {
    await server.stop();
  }
});

/** again reloads the page, so that it reads its data again. */
async function again(viewer: Viewer): Promise<void> {
  await viewer.page.reload();
  await viewer.page.getByRole("region", { name: "What changed" }).waitFor();
}

test("a person who clicks fast is not refused, and ends where the last click led", async () => {
  const server = await Server.start({ grid: 15 });
  try {
    const viewer = await (await Viewer.open(browser, server)).signedIn();
    const { page } = viewer;
    const places = ["Live", "Customers", "Limits", "Overview"];
    let waited = false;
    for (let n = 0; !waited || n % places.length !== 3; n++) {
      assert.ok(n < 2000, "nothing had to wait");
      await page.getByRole("navigation", { name: "Pages", exact: true }).getByRole("link", { name: places[n % places.length]! }).click();
      waited ||= await page.getByText("One moment.").isVisible();
    }
    await viewer.heading("Limits").waitFor();
    await page.getByRole("region", { name: "track" }).waitFor();
    assert.deepEqual(viewer.answers.filter(({ status }) => status === 429), []);
    await viewer.close();
  } finally {
    await server.stop();
  }
});

test("what did not change is not sent again", async () => {
  const server = await Server.start();
  try {
    await server.track(event("page_visit", "jane@example.com"));
    const viewer = await (await Viewer.open(browser, server)).signedIn("#/customers");
    const { page } = viewer;
    await page.getByRole("link", { name: "jane@example.com" }).waitFor();
    const stale = Date.now() + 2100; // a newer answer is not requested again
    await viewer.go("#/limits");
    await viewer.heading("Limits").waitFor();
    await page.waitForFunction((time) => Date.now() > time, stale);
    const answered = page.waitForResponse((response) => response.url().includes("/grid/customers"));
    await viewer.go("#/customers");
    await page.getByRole("link", { name: "jane@example.com" }).waitFor();
    assert.equal((await answered).status(), 304);
    await viewer.close();
  } finally {
    await server.stop();
  }
});

test("a server that is overloaded is left alone for as long as it says", async () => {
  const server = await Server.start();
  try {
    const viewer = await Viewer.open(browser, server);
    viewer.mayTell(/status of 503/);
    const { page } = viewer;
    const asked: number[] = [];
    let seen = () => {};
    const read = new Promise<void>((resolve) => (seen = resolve));
    await page.route("**/grid/limits", async (route) => {
      asked.push(performance.now());
      if (asked.length > 1) return read.then(() => route.continue());
      await route.fulfill({ status: 503, headers: { "Retry-After": "6" }, json: { success: false, errors: ["The server has no time."] } });
    });
    await viewer.signedIn("#/limits");
    await page.getByRole("alert").getByText("The server has no time.").waitFor();
    seen();
    await page.getByRole("region", { name: "track" }).waitFor();
    assert.ok(asked[1]! - asked[0]! >= 6000, `asked again after ${asked[1]! - asked[0]!} ms`);
    await viewer.close();
  } finally {
    await server.stop();
  }
});

test("without a connection the page stays, says so, and goes on", async () => {
  const server = await Server.start();
  try {
    const viewer = await (await Viewer.open(browser, server)).signedIn("#/limits");
    viewer.mayTell(/ERR_INTERNET_DISCONNECTED/);
    const { page, context } = viewer;
    const track = page.getByRole("region", { name: "track" });
    await track.waitFor();
    await context.setOffline(true);
    const banner = page.getByText("No connection to ts1.test.");
    await banner.waitFor();
    assert.equal(await track.isVisible(), true);
    await viewer.accessible("without a connection");
    await context.setOffline(false);
    await banner.waitFor({ state: "detached" });
    await viewer.go("#/customers");
    await page.getByRole("heading", { name: "No customers yet" }).waitFor();
    await viewer.close();
  } finally {
    await server.stop();
  }
});

test("a page that nobody sees asks for nothing, until it is seen again", async () => {
  const server = await Server.start();
  try {
    const viewer = await (await Viewer.open(browser, server)).signedIn("#/live");
    const { page } = viewer;
    await page.getByText("a second").waitFor();
    const closed = page.waitForEvent("requestfailed", (request) => request.url().includes("/grid/live"));
    await show(page, "hidden");
    await closed;
    await server.track(event("missed", "jane@example.com"));
    const opened = page.waitForRequest((request) => request.url().includes("/grid/live"));
    await show(page, "visible");
    await opened;
    await page.getByRole("row", { name: "missed" }).waitFor();
    await viewer.close();
  } finally {
    await server.stop();
  }
});

test("tabs that are opened in the background ask for nothing until somebody looks at them", async () => {
  const server = await Server.start({ grid: 15 });
  try {
    const viewer = await (await Viewer.open(browser, server)).signedIn();
    await viewer.context.addInitScript(() => Object.defineProperty(document, "visibilityState", { value: "hidden", configurable: true }));
    const tabs = await Promise.all(Array.from({ length: 12 }, () => viewer.context.newPage()));
    const asked: string[] = [];
    for (const tab of tabs) tab.on("request", (request) => request.url().includes("/grid/") && asked.push(request.url()));
    await Promise.all(tabs.map((tab) => tab.goto(`${server.url}/#/customers`, { waitUntil: "networkidle" })));
    assert.deepEqual(asked, []);
    await show(tabs[3]!, "visible");
    await tabs[3]!.getByRole("heading", { name: "No customers yet" }).waitFor();
    await viewer.close();
  } finally {
    await server.stop();
  }
});

/**
 * show makes the page believe that it is visible or hidden: a browser without
 * windows always shows its pages.
 */
async function show(page: Page, state: DocumentVisibilityState): Promise<void> {
  await page.evaluate((value) => {
    Object.defineProperty(document, "visibilityState", { value, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  }, state);
}
