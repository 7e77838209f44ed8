import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Browser } from "playwright-core";
import { project, Server, update } from "../server.ts";
import { type Look, openBrowser, Viewer } from "../viewer.ts";

let browser: Browser;

before(async () => {
  browser = await openBrowser();
});
after(() => browser.close());

const secret = "a good password";

for (const look of ["light", "dark", "phone"] as Look[]) {
  test(`an admin sees who did what, and nobody else does: ${look}`, async () => {
    const server = await Server.start();
    try {
      server.user(["add", "ada", "--role", "admin"], secret);
      server.user(["add", "ana", "--role", "operator"], secret);
      await server.track(update({ registered: "jane@example.com" }, { plan: "gold" }));
      const ana = await (await Viewer.open(browser, server)).signedInAs("ana", secret, `#/customer?project=${project}&customer=1`);
      const file = ana.page.waitForEvent("download");
      await ana.page.getByRole("button", { name: "Export" }).click();
      await file;
      await ana.go("#/audit");
      await ana.page.getByText("This needs the role admin.").waitFor();
      assert.deepEqual(ana.answers.filter(({ path }) => path === "/grid/audit"), [], "the page asked for what it may not have");
      await ana.close();

      const ada = await Viewer.open(browser, server, look);
      ada.mayTell(/status of 403/);
      const { page } = ada;
      await page.goto(`${server.url}/#/users`);
      await page.getByLabel("Name").fill("ada");
      await page.getByLabel("Password", { exact: true }).fill("a wrong one");
      await page.keyboard.press("Enter");
      await page.getByText("Wrong name or password.").waitFor();
      await ada.signedInAs("ada", secret, "#/users");
      await page.getByRole("link", { name: "Audit log" }).click();
      await ada.heading("Audit").waitFor();
      const row = (...parts: (string | RegExp)[]) => parts.reduce((rows, hasText) => rows.filter({ hasText }), page.locator("tbody tr"));
      await row("session.sign-in", /ada\s*127\.0\.0\.1\s*allowed/).waitFor();
      await row("session.refused", "strangers", /127\.0\.0\.1\s*refused\s*ada, 1 time/).waitFor();
      await row("data.export", /ana\s*127\.0\.0\.1\s*allowed\s*customer 1, in demo/).waitFor();
      await row("user.add", /by command\s*–\s*allowed\s*ana, operator/).waitFor();
      await row("server.start", /the server\s*–\s*done/).waitFor();
      await ada.accessible(`audit, ${look}`);
      assert.ok(!(await page.content()).includes("jane"), "it names somebody");

      await page.getByLabel("Action").selectOption("data.export");
      await row("user.add").first().waitFor({ state: "detached" });
      await row("data.export").waitFor();
      await page.getByLabel("Action").selectOption("");
      await page.locator("body").press("/"); // the field is focused by its key
      await page.keyboard.type("ana");
      await page.keyboard.press("Enter");
      await row("user.add").first().waitFor({ state: "detached" });
      await row("session.sign-in", "ana").waitFor();
      await page.getByLabel("To", { exact: true }).fill("2020-01-01");
      await page.getByText("There are no such entries.").waitFor();
      await page.getByLabel("To", { exact: true }).fill("");
      await row("data.export", "ana").waitFor();
      await page.locator("body").focus();
      await page.evaluate(() => (document.activeElement as HTMLElement | null)?.blur());
      await page.keyboard.press("j");
      assert.match(await page.evaluate(() => document.activeElement?.textContent ?? ""), /^data\.export/);
      await ada.close();
    } finally {
      await server.stop();
    }
  });
}

test("older entries are on further pages", async () => {
  const server = await Server.start();
  try {
    const viewer = await Viewer.open(browser, server);
    await viewer.signedIn();
    for (let n = 0; n < 60; n++) {
      const status = await viewer.page.evaluate(
        async (on) => (await fetch("/grid/record", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ record: on }) })).status,
        n % 2 === 0,
      );
      assert.equal(status, 200);
    }
    await viewer.go("#/audit");
    const { page } = viewer;
    await page.getByRole("row", { name: /^record\.switch .* the one password .* off/ }).first().waitFor();
    assert.equal(await page.getByRole("row", { name: /^server\.start/ }).count(), 0);
    await page.getByRole("link", { name: "Older" }).click();
    await page.getByRole("row", { name: /^server\.start/ }).waitFor();
    assert.equal(await page.getByRole("link", { name: "Older" }).count(), 0);
    await viewer.accessible("audit, last page");
    await page.getByRole("link", { name: "Newest" }).click();
    await page.getByRole("row", { name: /^server\.start/ }).waitFor({ state: "detached" });
    await page.getByRole("link", { name: "Older" }).waitFor();
    await viewer.close();
  } finally {
    await server.stop();
  }
});
