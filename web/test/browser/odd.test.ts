// Tests data that nobody would expect: the pages show it as it is, and do not
// break.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Browser } from "playwright-core";
import { event, project, Server, update } from "../server.ts";
import { openBrowser, Viewer } from "../viewer.ts";

let browser: Browser;
let server: Server;

const markup = `<img src=x onerror="document.title='run'"><script>document.title='run'</script>`;
const long = (letter: string) => letter.repeat(256);

before(async () => {
  [browser, server] = await Promise.all([openBrowser(), Server.start()]);
});
after(async () => {
  await browser.close();
  await server.stop();
});

test("names that every object of JavaScript has are names like others", async () => {
  await server.track(
    update({ registered: "ann@example.com" }, { constructor: "a builder", toString: "words" }),
    update({ registered: "bob@example.com" }, {}),
    { name: "customers", data: { customer_ids: { registered: "ann@example.com" }, properties: { constructor: "a builder" } } },
  );
  const viewer = await (await Viewer.open(browser, server)).signedIn("#/customers");
  const { page } = viewer;
  await page.getByRole("cell", { name: "a builder" }).waitFor();
  await page.getByRole("link", { name: "bob@example.com" }).waitFor();
  await viewer.go("#/overview");
  await viewer.heading("Overview").waitFor();
  await server.track({ name: "constructor" as "customers", data: {} });
  await page.getByRole("region", { name: "Rejected last" }).getByText(/^constructor from 127\.0\.0\.1/).waitFor();
  await viewer.close();
});

test("numbers that JavaScript would round keep their digits", async () => {
  const digits = "12345678901234567891";
  const order = JSON.parse(`{"order":1}`, () => 1) as number; // stands for the digits, which no number can hold
  await server.trackText(JSON.stringify({ commands: [event("ordered", "ann@example.com", { order })] }).replace(`"order":1`, `"order":${digits}`));
  const viewer = await (await Viewer.open(browser, server)).signedIn("#/live");
  const { page } = viewer;
  await page.getByRole("row", { name: digits }).click();
  assert.match((await page.getByLabel("The event as JSON").textContent()) ?? "", new RegExp(`"order": ${digits}\n`));
  await page.getByRole("complementary", { name: "Details" }).getByRole("link", { name: "ann@example.com" }).click();
  await page.locator(".events").getByText(digits).waitFor();
  await viewer.close();
});

test("markup is shown, and long names break nothing", async (t) => {
  await server.track(
    update({ registered: markup }, { [markup]: markup, plan: long("v") }),
    event(markup, markup, { [markup]: markup }),
    update({ registered: long("x") }, { [long("p")]: long("v").repeat(20) }),
    ...Array.from({ length: 40 }, (_, n) => event(n === 0 ? long("t") : `kind_${n}`, long("x"), { [long("n")]: 1 })),
    event(`${long("t")}t`, long("x")),
  );
  for (const look of ["light", "dark", "phone"] as const) {
    await t.test(look, async () => {
      const viewer = await (await Viewer.open(browser, server, look)).signedIn();
      const { page } = viewer;
      const types = page.getByRole("region", { name: "Events by type" });
      await types.getByText("kind_1", { exact: true }).waitFor();
      await types.getByRole("button", { name: /^Show all/ }).click();
      await types.getByText(long("t")).waitFor();
      await viewer.accessible("overview");
      const table = types.getByRole("group");
      assert.equal(await table.evaluate((box) => box.scrollWidth > box.clientWidth), false, "the counts are in sight");
      await viewer.go("#/live");
      await page.locator(".virtual .row").nth(2).click();
      await page.getByRole("complementary", { name: "Details" }).waitFor();
      await viewer.accessible("live");
      await page.keyboard.press("Escape");
      // On a phone, closing is a step back in the history, and takes a moment.
      await page.getByRole("complementary", { name: "Details" }).waitFor({ state: "hidden" });
      for (const who of [markup, long("x")]) {
        await viewer.go(`#/customers?${new URLSearchParams({ project, q: who })}`);
        await page.locator("tbody a").filter({ hasText: who }).click();
        await viewer.heading(who).waitFor();
        await viewer.accessible("customer");
        await page.getByRole("button", { name: "Anonymize…" }).click();
        await viewer.accessible("anonymize");
        await page.keyboard.press("Escape");
      }
      assert.equal(await page.title(), "Customer · ts1.test");
      await viewer.close();
    });
  }
});

test("each of many types can be chosen on a timeline, and the choice is kept in the address", async () => {
  const viewer = await (await Viewer.open(browser, server)).signedIn(`#/customers?${new URLSearchParams({ project, q: long("x") })}`);
  const { page } = viewer;
  await page.locator("tbody a").first().click();
  await page.locator(".events li").first().waitFor();
  const chip = page.getByRole("button", { name: "kind_39 1" });
  await page.getByRole("button", { name: /more types/ }).click();
  await chip.click();
  await page.locator(".events").getByText("kind_9", { exact: true }).waitFor({ state: "detached" });
  await page.reload();
  await page.locator(".events").getByText("kind_39", { exact: true }).waitFor();
  assert.equal(await chip.getAttribute("aria-pressed"), "true");
  assert.equal(await page.locator(".events li").count(), 1);
  await viewer.close();
});

test("a customer whose identifier has odd spaces can be anonymized", async () => {
  const who = "two  spaces\tand\u00a0more";
  await server.track(update({ registered: who }, { email: "x" }));
  const viewer = await (await Viewer.open(browser, server)).signedIn(`#/customers?${new URLSearchParams({ project, q: "two" })}`);
  const { page } = viewer;
  await page.locator("tbody a").first().click();
  await page.getByRole("button", { name: "Anonymize…" }).click();
  const dialog = page.getByRole("dialog", { name: "Anonymize this customer?" });
  await dialog.getByRole("textbox").fill("two spaces and more");
  await dialog.getByRole("button", { name: "Anonymize" }).click();
  await page.getByText("Anonymized: identifiers and personal properties are gone.").waitFor();
  await viewer.close();
});

test("a link to what is not there is told, not waited for", async () => {
  const viewer = await (await Viewer.open(browser, server)).signedIn("#/live?project=99999999-1234-1234-1234-123456789abc");
  viewer.mayTell(/status of 40[04]/);
  const { page } = viewer;
  await page.getByRole("alert").getByText("There is no such project.").waitFor();
  await viewer.accessible("live, refused");
  await viewer.go("#/live?customer=5");
  await page.getByRole("alert").getByText("expected the project of the customer").waitFor();
  await viewer.go("#/live");
  await page.getByRole("row", { name: "kind_39" }).first().waitFor();
  assert.equal(await page.getByRole("alert").count(), 0);
  await viewer.close();
});

test("a page that cannot be drawn says so, and leads on", async () => {
  const viewer = await Viewer.open(browser, server);
  viewer.mayTell(/TypeError/);
  const { page } = viewer;
  await page.route("**/grid/limits", (route) => route.fulfill({ json: { policies: null } }));
  await viewer.signedIn("#/limits");
  await page.getByRole("alert").getByText("This page cannot be shown").waitFor();
  await viewer.accessible("a page that cannot be drawn");
  await page.getByRole("link", { name: "Live" }).click();
  await viewer.heading("Live").waitFor();
  await viewer.close();
});
