import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import type { Browser } from "playwright-core";
import { event, Server, update } from "../server.ts";
import { openBrowser, Viewer } from "../viewer.ts";

let browser: Browser;
let server: Server;

before(async () => {
  [browser, server] = await Promise.all([openBrowser(), Server.start()]);
  const many = Array.from({ length: 60 }, (_, n) => update({ registered: `many-${n}@example.com` }, { n, plan: n % 2 ? "gold" : "free" }));
  await server.track(...many.slice(0, 30));
  await server.track(...many.slice(30));
  await server.track(
    update({ registered: "jane@example.com", cookie: "c-1" }, { first_name: "Jane", email: "jane@example.com", plan: "gold" }),
    event("page_visit", "jane@example.com"),
    event("purchase", "jane@example.com", { total_price: 7.99 }),
  );
});
after(async () => {
  await browser.close();
  await server.stop();
});

test("customers are found by identifier and property, and turned over page by page", async () => {
  const viewer = await (await Viewer.open(browser, server)).signedIn("#/customers");
  const { page } = viewer;
  const rows = page.locator("tbody tr");
  await rows.first().waitFor();
  assert.equal(await rows.count(), 50);
  await page.getByRole("link", { name: "many-20@example.com" }).click();
  await viewer.heading("many-20@example.com").waitFor();
  await page.goBack();
  await rows.first().waitFor();
  await page.waitForFunction(() => scrollY !== 0); // going back leads to where one was
  await page.getByRole("link", { name: "Next page" }).click();
  await page.getByRole("link", { name: "First page" }).waitFor();
  await page.getByRole("link", { name: "many-0@example.com" }).waitFor();
  assert.equal(await rows.count(), 11);

  const search = page.getByRole("searchbox");
  await search.fill("many-12");
  await page.getByRole("link", { name: "many-13@example.com" }).waitFor({ state: "detached" });
  await page.getByRole("link", { name: "many-12@example.com" }).waitFor();
  assert.equal(await rows.count(), 1);
  await search.fill("plan=gold");
  await page.getByRole("link", { name: "jane@example.com" }).waitFor();
  assert.equal(await rows.count(), 31);
  await page.getByLabel("Order").selectOption("oldest");
  await page.locator("tbody tr:first-child").getByText("many-1@example.com").waitFor();
  await viewer.close();
});

test("a customer's timeline can be filtered, and the customer exported", async () => {
  const viewer = await (await Viewer.open(browser, server)).signedIn("#/customers?q=jane");
  const { page } = viewer;
  await page.getByRole("link", { name: "jane@example.com" }).click();
  await page.locator(".events li").nth(1).waitFor();
  await page.getByRole("button", { name: /purchase/ }).click();
  await page.locator(".events").getByText("page_visit").waitFor({ state: "detached" });
  await page.locator(".events").getByText("purchase").waitFor();
  assert.equal(await page.locator(".events li").count(), 1);
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Export" }).click()]);
  const exported = await readFile(await download.path(), "utf8");
  assert.match(exported, /jane@example\.com/);
  assert.match(exported, /7\.99/);
  await viewer.close();
});

test("anonymizing asks for the identifier, and takes away what is personal", async () => {
  const viewer = await (await Viewer.open(browser, server)).signedIn("#/customers?q=jane");
  const { page } = viewer;
  await page.getByRole("link", { name: "jane@example.com" }).click();
  await page.getByRole("button", { name: "Anonymize…" }).click();
  const dialog = page.getByRole("dialog", { name: "Anonymize this customer?" });
  const confirm = dialog.getByRole("button", { name: "Anonymize" });
  await viewer.accessible("anonymize");
  await dialog.getByRole("textbox").fill("jane@example");
  assert.equal(await confirm.isDisabled(), true);
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });

  await page.getByRole("button", { name: "Anonymize…" }).click();
  await dialog.getByRole("textbox").fill("jane@example.com");
  await confirm.click();
  await page.getByText("Anonymized: identifiers and personal properties are gone.").waitFor();
  await viewer.heading("jane@example.com").waitFor({ state: "detached" });
  await page.locator(".events").getByText("purchase").waitFor();
  await page.getByRole("rowheader", { name: "plan" }).waitFor();
  assert.equal(await page.getByText("jane@example.com").count(), 0);
  await viewer.go("#/customers?q=jane");
  await page.getByRole("heading", { name: "Nobody found" }).waitFor();
  await viewer.close();
});
