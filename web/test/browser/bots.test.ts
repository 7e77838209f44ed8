import { after, before, test } from "node:test";
import type { Browser } from "playwright-core";
import { event, Server } from "../server.ts";
import { openBrowser, Viewer } from "../viewer.ts";

let browser: Browser;

before(async () => {
  browser = await openBrowser();
});
after(() => browser.close());

test("the page Bots says who behaves like a program, and leads to these customers", async () => {
  const server = await Server.start({ project: "bots: {label: true, repeats: 5}" });
  try {
    const viewer = await (await Viewer.open(browser, server)).signedIn("#/customers");
    const { page } = viewer;
    for (let n = 0; n < 6; n++) await server.track(event("ping", "monitor@example.com", {}));
    await server.track(event("page_visit", "jane@example.com", {}));
    await page.getByRole("link", { name: "Bots" }).click();
    await viewer.heading("Bots").waitFor();
    const row = page.getByRole("row", { name: /^repeats/ });
    await row.getByText("5 equal events in a row").waitFor();
    await viewer.accessible("bots");
    await row.getByRole("link").click();
    await viewer.heading("Customers").waitFor();
    for (;;) {
      await page.locator("tbody tr").or(page.getByRole("heading", { name: "Nobody found" })).first().waitFor();
      if (await page.getByText("monitor@example.com").first().isVisible()) break;
      await page.reload(); // no call waits for a label
    }
    if (await page.getByText("jane@example.com").isVisible()) throw new Error("somebody else is suspect");
  } finally {
    await server.stop();
  }
});

test("the page Bots says how to switch labels on", async () => {
  const server = await Server.start();
  try {
    const viewer = await (await Viewer.open(browser, server)).signedIn("#/bots");
    await viewer.page.getByRole("heading", { name: "Nobody is labeled" }).waitFor();
    await viewer.accessible("bots, off");
  } finally {
    await server.stop();
  }
});
