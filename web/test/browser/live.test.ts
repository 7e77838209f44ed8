import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Browser } from "playwright-core";
import { event, freePorts, Server, shop } from "../server.ts";
import { openBrowser, Viewer } from "../viewer.ts";

let browser: Browser;
let server: Server;

before(async () => {
  const [port] = await freePorts(1);
  [browser, server] = await Promise.all([openBrowser(), Server.start({}, port)]);
});
after(async () => {
  await browser.close();
  await server.stop();
});

/** types returns the types of the listed events, newest first. */
function types(viewer: Viewer): Promise<string[]> {
  return viewer.page.locator(".virtual .row .type").allInnerTexts();
}

test("events come in the order of their acknowledgements, and rejected commands with the reason", async (t) => {
  const viewer = await (await Viewer.open(browser, server)).signedIn("#/live");
  const { page } = viewer;
  await page.getByText("a second").waitFor();
  for (const type of ["first", "second", "third"]) {
    await server.track(event(type, "jane@example.com", { n: 1 }));
    const acknowledged = performance.now();
    await page.getByRole("row", { name: type }).waitFor();
    t.diagnostic(`${type} was in sight ${Math.round(performance.now() - acknowledged)} ms after it was acknowledged`);
  }
  await server.track({ name: "customers/events", data: { customer_ids: { registered: "jane@example.com" } } });
  const rejected = page.getByRole("row", { name: /Rejected: .*event_type/ });
  await rejected.waitFor();
  assert.deepEqual((await types(viewer)).slice(1), ["third", "second", "first"]);

  await rejected.click();
  const detail = page.getByRole("complementary", { name: "Details" });
  await detail.getByText("Nothing of this command was stored").waitFor();
  await page.keyboard.press("j");
  await page.keyboard.press("Enter");
  await detail.getByRole("heading", { name: "third" }).waitFor();
  assert.match((await page.getByLabel("The event as JSON").textContent()) ?? "", /"event_type": "third"/);
  await page.keyboard.press("Escape");
  await detail.waitFor({ state: "detached" });
  await viewer.close();
});

test("identifiers that were left out are told with their sender, and counted on", async (t) => {
  const own = await Server.start({ shop: true });
  t.after(() => own.stop());
  const send = (ids: object) => own.track({ name: "customers/events", data: { customer_ids: ids, event_type: "page_visit" } });
  await send({ registered: "undefined", cookie: "c" });
  const viewer = await (await Viewer.open(browser, own)).signedIn("#/live");
  const note = viewer.page.locator(".note.leftout");
  await note.getByText('registered "undefined", once since').waitFor();
  await note.getByText("page_visit from 127.0.0.1").waitFor();
  await send({ registered: "Undefined", cookie: "" });
  await send({ registered: "-", cookie: "c" });
  await note.getByText('registered "undefined", twice').waitFor();
  await note.getByText("cookie, empty, once").waitFor();
  await note.getByText("registered, without a letter or digit, once").waitFor();
  await viewer.page.goto(`${own.url}/#/live?project=${shop}`);
  await note.waitFor({ state: "detached" });
  await viewer.close();
});

test("on a phone Back closes what covers the list", async () => {
  const viewer = await (await Viewer.open(browser, server, "phone")).signedIn();
  const { page } = viewer;
  await page.getByRole("link", { name: "Live" }).click();
  const detail = page.getByRole("complementary", { name: "Details" });
  await page.getByRole("row", { name: "second" }).click();
  await detail.waitFor();
  await page.goBack();
  await detail.waitFor({ state: "detached" });
  await viewer.heading("Live").waitFor();
  await page.getByRole("row", { name: "second" }).click();
  await detail.getByRole("button", { name: "Close" }).click();
  await detail.waitFor({ state: "detached" });
  await page.goBack();
  await viewer.heading("Overview").waitFor();
  await viewer.close();
});

test("a paused list stands still, and tells what waits", async () => {
  const viewer = await (await Viewer.open(browser, server)).signedIn("#/live");
  const { page } = viewer;
  await page.getByRole("row", { name: "third" }).waitFor();
  await page.getByRole("row", { name: /Rejected: .*event_type/ }).waitFor(); // what was rejected comes apart from the events
  const before = await types(viewer);
  await page.getByRole("button", { name: "Pause" }).click();
  await server.track(event("fourth", "jane@example.com"));
  await page.getByRole("button", { name: "1 new" }).waitFor();
  assert.deepEqual(await types(viewer), before);
  await page.getByRole("button", { name: "Go on" }).click();
  await page.getByRole("row", { name: "fourth" }).waitFor();
  assert.deepEqual(await types(viewer), ["fourth", ...before]);
  await viewer.close();
});

test("filters let through what they name", async () => {
  const viewer = await (await Viewer.open(browser, server)).signedIn("#/live");
  const { page } = viewer;
  await page.getByRole("row", { name: "third" }).waitFor();
  await page.getByLabel("Event type").fill("second");
  await page.keyboard.press("Enter");
  await page.getByRole("row", { name: "third" }).waitFor({ state: "detached" });
  await server.track(event("noise", "joe@example.com"), event("second", "joe@example.com"));
  await page.getByRole("row", { name: "joe@example.com" }).waitFor();
  assert.deepEqual(await types(viewer), ["second", "second"]);

  await page.getByLabel("Event type").fill("never sent");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Nothing matches the filter yet" }).waitFor();
  await page.getByRole("link", { name: "Show everything" }).click();

  await page.getByRole("row", { name: "noise" }).waitFor();
  await page.getByLabel("Show").selectOption("Rejected only");
  await page.getByRole("row", { name: "noise" }).waitFor({ state: "detached" }); // now the filter is in force
  await server.track(event("noise", "joe@example.com"), { name: "customers", data: { properties: {} } });
  await page.getByRole("row", { name: /Rejected: At least one id/ }).waitFor();
  assert.equal(await page.getByRole("row", { name: "noise" }).count(), 0);

  await viewer.go("#/live");
  await page.getByRole("row", { name: "third" }).waitFor();
  await page.getByLabel("Customer").fill("joe@");
  await page.keyboard.press("Enter");
  await page.getByRole("row", { name: "third" }).waitFor({ state: "detached" });
  await page.getByRole("row", { name: "noise" }).first().waitFor();
  await server.track(event("last", "jane@example.com"), event("last", "joe@example.com"));
  await page.getByRole("row", { name: "last" }).waitFor();
  assert.deepEqual(await types(viewer), ["last", "noise", "second", "noise"]);
  await viewer.close();
});

test("what is being typed stays while events come", async () => {
  const viewer = await (await Viewer.open(browser, server)).signedIn("#/live?type=typing");
  const { page } = viewer;
  await page.getByText("a second").waitFor();
  const fields = [page.getByLabel("Event type"), page.getByLabel("Customer")];
  assert.equal(await fields[0]!.inputValue(), "typing");
  for (const [n, field] of fields.entries()) {
    await field.focus();
    await page.keyboard.type("half a w");
    await server.track(event("typing", `p${n}@example.com`));
    await page.getByRole("row", { name: `p${n}@example.com` }).waitFor(); // the page was drawn again
    assert.match(await field.inputValue(), /half a w$/);
    await field.fill(n === 0 ? "typing" : "");
  }
  await viewer.go("#/live");
  await page.getByRole("row", { name: "third" }).waitFor();
  assert.equal(await fields[0]!.inputValue(), "", "the fields show the filter");
  await viewer.close();
});

test("a customer is looked for in all projects, unless one is chosen", async () => {
  const two = await Server.start({ shop: true });
  try {
    await two.track(event("elsewhere", "joe@example.com"));
    await two.trackText(JSON.stringify({ commands: [event("bought", "jane@example.com")] }), shop);
    const viewer = await (await Viewer.open(browser, two)).signedIn("#/live");
    const { page } = viewer;
    await page.getByRole("row", { name: "elsewhere" }).waitFor();
    const field = page.getByLabel("Customer");
    await field.fill("jane@example.com");
    await page.keyboard.press("Enter");
    await page.getByRole("row", { name: "elsewhere" }).waitFor({ state: "detached" });
    await page.getByRole("row", { name: "bought" }).waitFor();
    assert.equal(await page.getByLabel("Project").inputValue(), shop);
    await field.fill("joe@example.com");
    await page.keyboard.press("Enter");
    await page.getByText("Nobody is known by that in shop yet.").waitFor();
    await viewer.close();
  } finally {
    await two.stop();
  }
});

test("while many come, few rows are in the document and what is not shown is told", async () => {
  const viewer = await (await Viewer.open(browser, server)).signedIn("#/live");
  const { page } = viewer;
  await page.getByRole("row", { name: "fourth" }).waitFor();
  await page.keyboard.press("p");
  for (let batch = 0; batch < 130; batch++) {
    await server.track(...Array.from({ length: 50 }, (_, n) => event("flood", `p${n}@example.com`, { n: batch * 50 + n })));
  }
  await page.getByText("were too many to keep").or(page.getByText("left out by the server")).first().waitFor();
  await page.getByRole("button", { name: /^[\d,]+ new$/ }).click();
  await page.getByRole("row", { name: "flood" }).first().waitFor();
  assert.ok((await page.locator(".virtual .row").count()) < 60);
  const rows = Number(await page.getByRole("grid").getAttribute("aria-rowcount"));
  assert.ok(rows <= 5001, `${rows} rows are kept`);
  await viewer.close();
});

test("after the server was away the list goes on where it was", async () => {
  const viewer = await (await Viewer.open(browser, server)).signedIn("#/live?type=away");
  viewer.mayTell(/ERR_|status of 503/); // it may be asked while it ends
  const { page } = viewer;
  await page.getByText("a second").waitFor();
  await server.track(event("away", "one@example.com"));
  await page.getByRole("row", { name: "one@example.com" }).waitFor();
  await server.end();
  await page.getByText(/No connection to/).waitFor();
  await server.again();
  await server.track(event("away", "two@example.com"));
  const again = page.getByRole("button", { name: "Try now" });
  if (await again.isVisible()) await again.click({ timeout: 2000 }).catch(() => undefined); // unless it has continued by itself
  const password = page.getByLabel("Password"); // a server may forget sessions
  await page.getByRole("row", { name: "two@example.com" }).or(password).waitFor();
  if (await password.isVisible()) await viewer.signedIn("#/live?type=away");
  await page.getByRole("row", { name: "two@example.com" }).waitFor();
  assert.equal(await page.getByRole("row", { name: "one@example.com" }).count(), 1);
  await viewer.close();
});
