import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Browser } from "playwright-core";
import { event, password as onePassword, project, Server, update } from "../server.ts";
import { type Look, openBrowser, Viewer } from "../viewer.ts";

let browser: Browser;

before(async () => {
  browser = await openBrowser();
});
after(() => browser.close());

const secret = "a good password";

test("the first admin is made with the one password, and manages the others", async () => {
  const server = await Server.start({ shop: true });
  try {
    const first = await (await Viewer.open(browser, server)).signedIn("#/users");
    await first.page.getByText("There are none yet.").waitFor();
    await first.accessible("users, none");
    await first.page.getByRole("button", { name: "Add a user" }).click();
    const dialog = first.page.getByRole("dialog");
    await dialog.getByLabel("Name").fill("ada");
    await dialog.getByLabel(/^Password/).fill("aaaaaaaaaaaa");
    await dialog.getByLabel("For all projects").selectOption("admin");
    await first.accessible("users, adding one");
    first.mayTell(/status of 403/);
    await dialog.getByRole("button", { name: "Add" }).click();
    await dialog.getByText("This password is too easy to guess").waitFor();
    await dialog.getByLabel(/^Password/).fill(secret);
    await dialog.getByRole("button", { name: "Add" }).click();
    await first.page.getByRole("row", { name: /^ada admin 0/ }).waitFor();
    await first.close();

    const ada = await (await Viewer.open(browser, server)).signedInAs("ada", secret, "#/users");
    const { page } = ada;
    await page.getByRole("row", { name: /^ada this one .* 127\.0\.0\.1/ }).waitFor();
    await page.getByRole("button", { name: "Add a user" }).click();
    await dialogOf(ada).getByLabel("Name").fill("vic");
    await dialogOf(ada).getByLabel(/^Password/).fill(secret);
    await dialogOf(ada).getByRole("button", { name: "Add" }).click();
    await page.getByRole("row", { name: /^vic viewer 0/ }).waitFor();

    const vic = await (await Viewer.open(browser, server)).signedInAs("vic", secret);
    await vic.go("#/users");
    await vic.heading("Sessions").waitFor();
    await vic.page.getByText("You are signed in as vic. Your role: viewer for all projects.").waitFor();
    await vic.accessible("sessions of a viewer");
    assert.equal(await vic.page.getByRole("button", { name: "Add a user" }).count(), 0);

    await page.getByRole("button", { name: "Roles of vic" }).click();
    await dialogOf(ada).getByLabel("For all projects").selectOption("");
    await dialogOf(ada).getByLabel("In shop").selectOption("operator");
    await dialogOf(ada).getByRole("button", { name: "Change the roles" }).click();
    await page.getByRole("row", { name: /^vic operator in shop 0/ }).waitFor();
    await ada.accessible("users");
    await vic.page.reload();
    await vic.page.getByLabel("Name").waitFor(); // the session has ended
    await vic.close();

    await page.getByRole("button", { name: "Password of vic" }).click();
    await dialogOf(ada).getByLabel(/^Password/).fill("another password");
    await dialogOf(ada).getByRole("button", { name: "Change the password" }).click();
    await dialogOf(ada).waitFor({ state: "detached" });
    const again = await (await Viewer.open(browser, server)).signedInAs("vic", "another password");
    await again.page.getByRole("link", { name: "Customers" }).waitFor();
    assert.equal(await again.page.getByRole("link", { name: "Limits" }).count(), 0, "limits are about the server");
    assert.equal(await again.page.getByRole("link", { name: "Destinations" }).count(), 0);
    await page.reload();
    await page.getByRole("button", { name: /^End the session of vic/ }).click();
    await page.getByRole("row", { name: /^vic .* 127/ }).waitFor({ state: "detached" });
    await again.page.reload();
    await again.page.getByLabel("Name").waitFor();
    await again.close();

    await page.getByRole("button", { name: "Remove vic" }).click();
    await dialogOf(ada).getByRole("button", { name: "Remove" }).click();
    await page.getByRole("row", { name: /^vic/ }).waitFor({ state: "detached" });
    await ada.close();
  } finally {
    await server.stop();
  }
});

function dialogOf(viewer: Viewer) {
  return viewer.page.getByRole("dialog");
}

test("a viewer sees the pages without what names anybody, and no button that the server would refuse", async () => {
  const server = await Server.start();
  try {
    server.user(["add", "vic", "--role", "viewer"], secret);
    server.user(["add", "ana", "--role", "analyst"], secret);
    await server.track(
      update({ registered: "jane@example.com" }, { email: "jane@example.com", plan: "gold" }),
      event("page_visit", "jane@example.com", { email: "jane@example.com", path: "/start" }),
    );
    const viewer = await (await Viewer.open(browser, server)).signedInAs("vic", secret);
    const { page } = viewer;
    const clean = async (what: string) => {
      await viewer.accessible(what);
      assert.ok(!(await page.content()).includes("jane@"), `${what} names somebody`);
    };
    await clean("overview of a viewer");
    await viewer.go("#/customers");
    await page.getByRole("link", { name: "Customer 1" }).waitFor();
    await clean("customers of a viewer");
    await page.getByRole("link", { name: "Customer 1" }).click();
    await viewer.heading("Customer 1").waitFor();
    await page.getByRole("cell", { name: "gold" }).or(page.getByText("gold")).first().waitFor();
    await clean("a customer of a viewer");
    for (const name of ["Export", "Anonymize…"]) assert.equal(await page.getByRole("button", { name }).count(), 0, name);
    await viewer.go("#/live");
    await page.getByText("Customer 1").first().waitFor();
    await clean("live page of a viewer");
    await viewer.go("#/limits");
    await page.getByRole("heading", { name: "Changes" }).or(page.getByRole("heading", { level: 2 })).first().waitFor();
    await clean("limits of a viewer");
    for (const name of ["Callers", "Record of calls"]) assert.equal(await page.getByRole("heading", { name }).count(), 0, name);
    assert.deepEqual(viewer.answers.filter(({ status }) => status === 403), [], "the page asked for what it may not have");
    await viewer.close();

    const analyst = await (await Viewer.open(browser, server)).signedInAs("ana", secret, `#/customer?project=${project}&customer=1`);
    await analyst.heading("jane@example.com").waitFor();
    await analyst.page.getByRole("button", { name: "Export" }).waitFor();
    assert.equal(await analyst.page.getByRole("button", { name: "Anonymize…" }).count(), 0);
    await analyst.go("#/limits");
    await analyst.page.getByRole("heading", { name: "Record of calls" }).waitFor();
    assert.equal(await analyst.page.getByRole("switch").count(), 0);
    await analyst.close();
  } finally {
    await server.stop();
  }
});

for (const look of ["light", "phone"] as Look[]) {
  test(`the form for signing in offers what works: ${look}`, async () => {
    const server = await Server.start();
    try {
      const viewer = await Viewer.open(browser, server, look);
      viewer.mayTell(/status of 403/);
      const { page } = viewer;
      await page.goto(server.url);
      await page.getByLabel("Password").waitFor();
      await page.getByText("dashboard").waitFor();
      assert.equal(await page.getByLabel("Name").count(), 0, "there are no users, so nobody has a name");

      server.user(["add", "ada", "--role", "admin"], secret);
      await page.reload();
      await page.getByText("Without a name, the password is that of the configuration.").waitFor();
      await viewer.accessible(`sign-in with users, ${look}`);
      await page.getByLabel("Name").fill("ada");
      await page.getByLabel("Password", { exact: true }).fill("wrong");
      await page.keyboard.press("Enter");
      await page.getByText("Wrong name or password.").waitFor();

      server.reload({ usersOnly: true });
      for (;;) {
        const ways = (await (await fetch(`${server.url}/grid/session`)).json()) as { password: boolean };
        if (!ways.password) break;
      }
      await page.reload();
      await page.getByLabel("Name").fill("ada");
      assert.equal(await page.getByText("Without a name").count(), 0);
      const refused = await fetch(`${server.url}/grid/session`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ password: onePassword }) });
      assert.equal(refused.status, 403);

      await page.getByLabel("Password", { exact: true }).fill(secret);
      await page.getByLabel("Choose a new password").check();
      await page.getByLabel("New password", { exact: true }).fill("the next password");
      await viewer.accessible(`sign-in with a new password, ${look}`);
      await page.keyboard.press("Enter");
      await page.getByRole("navigation", { name: "Pages", exact: true }).waitFor();
      await page.getByRole("link", { name: "Users" }).click();
      await viewer.heading("Users").waitFor();
      await viewer.accessible(`users, ${look}`);
      await page.getByRole("button", { name: "Remove ada" }).click();
      viewer.mayTell(/status of 403/);
      await dialogOf(viewer).getByRole("button", { name: "Remove" }).click();
      await dialogOf(viewer).getByText("one admin has to stay").waitFor();
      await viewer.accessible(`the last admin, ${look}`);
      await viewer.close();
    } finally {
      await server.stop();
    }
  });
}
