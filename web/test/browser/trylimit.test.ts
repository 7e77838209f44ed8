import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import { freePorts, Server } from "../server.ts";
import { openBrowser, Viewer } from "../viewer.ts";

let browser: Browser;

before(async () => {
  browser = await openBrowser();
});
after(() => browser.close());

const busy = "203.0.113.7";
const calm = "203.0.113.8";

function panel(page: Page) {
  return page.getByRole("region", { name: "Try a limit" });
}

/**
 * recorded waits until the page has read all the calls, which are recorded in
 * parts.
 */
async function recorded(page: Page, calls: string): Promise<void> {
  const verdict = panel(page).locator(".verdict").getByText(` for ${calls}.`);
  while (!(await verdict.isVisible())) {
    await panel(page).getByRole("button", { name: "Read the record again" }).click();
    await panel(page).getByRole("status").first().waitFor();
    await page.waitForFunction(() => document.querySelector(".outcome")?.getAttribute("aria-busy") === "false");
  }
}

test("the record is switched on in the page, stays on after a restart, and shows whom another limit would refuse", async () => {
  const [port] = await freePorts(1);
  const server = await Server.start({}, port);
  try {
    const viewer = await (await Viewer.open(browser, server)).signedIn("#/limits");
    const { page } = viewer;
    const record = page.getByRole("region", { name: "Record of calls" });
    const on = record.getByRole("switch", { name: "Record calls" });
    await panel(page).getByText("nothing is recorded yet").waitFor();
    assert.equal(await on.getAttribute("aria-checked"), "false");
    await viewer.accessible("nothing recorded");
    await panel(page).getByRole("link", { name: "Record calls" }).click(); // leads to the switch
    await page.keyboard.press("Space");
    await record.getByText("Recording was switched on").waitFor();
    assert.equal(await on.getAttribute("aria-checked"), "true");

    await server.call("/api/status", busy, 30);
    await server.call("/api/status", calm, 5);
    await panel(page).getByLabel("Policy").selectOption("api");
    await recorded(page, "35 calls of 2 callers");
    const verdict = panel(page).locator(".verdict");
    await verdict.getByText("Nobody would have been refused").waitFor();

    const limit = panel(page).getByLabel("Limit in calls");
    const table = panel(page).getByRole("group", { name: "Callers under the tried limit" });
    const top = async () => (await table.boundingBox())!.y + (await page.evaluate(() => scrollY));
    const before = await top();
    await limit.fill("10");
    await verdict.getByText("1 caller would have been refused, 20 times (57 % of the calls)").waitFor();
    assert.equal(await top(), before, "the page moved");
    await table.getByRole("row", { name: new RegExp(`^${busy}.*30 20 \\(67 %\\) 0`) }).waitFor();
    await table.getByRole("row", { name: new RegExp(`^${calm}.*5 0 0 never`) }).waitFor();
    await panel(page).getByLabel("Command").getByText("limit: 10, window: 30s, per: ip+path").waitFor();
    await panel(page).getByRole("img", { name: /would be refused 20 in all/ }).waitFor();

    // An arrow key moves the slider by one stop.
    const slider = panel(page).getByRole("slider", { name: "Limit" });
    await slider.focus();
    await page.keyboard.press("ArrowRight");
    await verdict.getByText("refused, 18 times").waitFor();
    assert.deepEqual([await limit.inputValue(), await slider.getAttribute("aria-valuetext")], ["12", "12 calls"]);
    await page.keyboard.press("Home");
    await verdict.getByText("2 callers would have been refused, 33 times").waitFor();

    // A limit that cannot be is marked in the field, and not asked for.
    await limit.fill("0");
    assert.equal(await limit.getAttribute("aria-invalid"), "true");
    await limit.blur();
    assert.equal(await limit.inputValue(), "1");

    // The suggestion, taken over with one click.
    const percentage = panel(page).getByLabel("Percentage of callers that must never be refused");
    await percentage.fill("50");
    await panel(page).getByText("Refuses 25 calls of 1 of 2 callers.").waitFor();
    await panel(page).getByRole("button", { name: "Use this limit" }).click();
    assert.equal(await limit.inputValue(), "5");
    await verdict.getByText("1 caller would have been refused, 25 times").waitFor();
    await panel(page).getByRole("button", { name: "Back to it" }).click();
    await verdict.getByText("Nobody would have been refused").waitFor();

    // A limit that callers are promised not to get.
    await panel(page).getByLabel("Policy").selectOption("grid");
    await limit.fill("1000000");
    await verdict.getByText("1,000,000 calls in 30 s").waitFor();
    await viewer.accessible("a limit is tried");

    await server.end();
    await server.again();
    await page.reload();
    await recordedAs(page, "true");
    await panel(page).getByLabel("Policy").selectOption("api");
    await panel(page).getByRole("row", { name: busy }).waitFor(); // the record is still there
    await on.click();
    await record.getByText("Recording is off, as in the configuration.").waitFor();
    await recordedAs(page, "false");
    await panel(page).getByRole("row", { name: busy }).waitFor();
    viewer.mayTell(/ERR_CONNECTION|ERR_INCOMPLETE|ERR_EMPTY|status of 503/);
    await viewer.close();
  } finally {
    await server.stop();
  }
});

async function recordedAs(page: Page, checked: string): Promise<void> {
  await page.locator(`button.switch[aria-checked="${checked}"]`).waitFor();
}

test("what a newer choice supersedes is aborted, and the last choice is answered", async () => {
  const server = await Server.start();
  try {
    const viewer = await (await Viewer.open(browser, server)).signedIn("#/limits");
    const { page } = viewer;
    await page.getByRole("switch", { name: "Record calls" }).click();
    await recordedAs(page, "true");
    await server.call("/api/status", busy, 30);
    await panel(page).getByLabel("Policy").selectOption("api");
    await recorded(page, "30 calls of 1 caller");
    // The answer for 10 never comes, until it is aborted.
    await page.route("**/grid/simulate?*limit=10&*", () => undefined);
    const aborted = page.waitForEvent("requestfailed", (request) => request.url().includes("limit=10&"));
    const sent = page.waitForRequest((request) => request.url().includes("limit=10&"));
    const limit = panel(page).getByLabel("Limit in calls");
    await limit.fill("10");
    await sent;
    await limit.fill("20");
    await aborted;
    await panel(page).locator(".verdict").getByText("refused, 10 times").waitFor();
    await viewer.close();
  } finally {
    await server.stop();
  }
});

for (const look of ["dark", "phone"] as const) {
  test(`trying a limit fits and can be read, ${look}`, async () => {
    const server = await Server.start();
    try {
      const viewer = await (await Viewer.open(browser, server, look)).signedIn("#/limits");
      const { page } = viewer;
      await page.getByRole("switch", { name: "Record calls" }).click();
      await recordedAs(page, "true");
      await server.call("/api/status", busy, 30);
      await panel(page).getByLabel("Policy").selectOption("api");
      await recorded(page, "30 calls of 1 caller");
      await panel(page).getByLabel("Limit in calls").fill("10");
      await panel(page).locator(".verdict").getByText("refused, 20 times").waitFor();
      await viewer.accessible(look);
      await viewer.close();
    } finally {
      await server.stop();
    }
  });
}
