// Signing in by a provider of OpenID Connect, as people do it.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Browser } from "playwright-core";
import { Provider, Server } from "../server.ts";
import { openBrowser, Viewer } from "../viewer.ts";

let browser: Browser;
let provider: Provider;

before(async () => {
  [browser, provider] = await Promise.all([openBrowser(), Provider.start()]);
});
after(async () => {
  await browser.close();
  await provider.stop();
});

const secret = "a good password";
const groups = "[{group: lookers, role: viewer}, {group: chiefs, role: admin}]";
const ada = { sub: "7", preferred_username: "ada@example.com", groups: ["lookers"] };
const button = { name: "Sign in with Example Login" };

/** open opens a browser that may go to the provider. */
async function open(server: Server): Promise<Viewer> {
  const viewer = await Viewer.open(browser, server);
  viewer.mayTell(new RegExp(`^request to ${provider.issuer}/authorize`));
  return viewer;
}

test("people sign in by the provider, come back to where they were, and an admin ends it", async () => {
  const server = await Server.start({ oidc: provider.section(groups) });
  try {
    server.user(["add", "root", "--role", "admin"], secret);
    await provider.next(ada);
    const viewer = await open(server);
    const { page } = viewer;
    await page.goto(`${server.url}/#/users`);
    await page.getByRole("link", button).waitFor();
    await viewer.accessible("sign-in with a provider");
    await page.getByLabel("Name").focus();
    await page.keyboard.press("Shift+Tab");
    await page.keyboard.press("Enter"); // on the link before the fields
    await viewer.heading("Sessions").waitFor();
    await page.getByText("You are signed in as oidc:ada@example.com. Your role: viewer for all projects.").waitFor();
    assert.equal(await page.getByText("To choose another password").count(), 0);
    assert.equal(new URL(page.url()).pathname + new URL(page.url()).hash, "/#/users");
    await page.getByRole("row", { name: /^oidc:ada@example\.com this one .* 127\.0\.0\.1/ }).waitFor();
    await viewer.accessible("sessions of an account");

    const root = await (await Viewer.open(browser, server)).signedInAs("root", secret, "#/users");
    await root.page.getByText("A name that begins with oidc: is that of an account").waitFor();
    await root.accessible("users, with an account");
    await root.page.getByRole("button", { name: /^End the session of oidc:ada/ }).click();
    await root.page.getByRole("row", { name: /^oidc:ada/ }).waitFor({ state: "detached" });
    await root.close();
    await page.reload();
    await page.getByRole("link", button).waitFor();
    await viewer.close();
  } finally {
    await server.stop();
  }
});

/** at320 opens the form in a narrow window. */
async function at320(server: Server): Promise<Viewer> {
  const viewer = await open(server);
  await viewer.page.setViewportSize({ width: 320, height: 640 });
  await viewer.page.goto(server.url);
  return viewer;
}

async function refused(viewer: Viewer, why: string): Promise<void> {
  await viewer.page.getByRole("link", button).click();
  await viewer.page.getByRole("alert").getByText(why).waitFor();
  await viewer.accessible(`refused: ${why}`);
  assert.ok((await viewer.page.evaluate(() => document.documentElement.scrollWidth)) <= 320, "it scrolls sideways");
}

test("while the provider is down, the form says so, and other ways work", async () => {
  const server = await Server.start({ oidc: provider.section(groups) });
  try {
    server.user(["add", "root", "--role", "admin"], secret);
    const viewer = await at320(server);
    await provider.down(true);
    await refused(viewer, "Example Login does not answer at the moment.");
    await viewer.signedInAs("root", secret);
    await viewer.close();
  } finally {
    await provider.down(false);
    await server.stop();
  }
});

test("an account without a group reads that it has no access, once", async () => {
  const server = await Server.start({ oidc: provider.section(groups) });
  try {
    const viewer = await at320(server);
    await provider.next({ ...ada, preferred_username: "<b>eve</b>", groups: ["others"] });
    await refused(viewer, "The account oidc:<b>eve</b> may not use this server: none of its groups has a role here.");
    await viewer.page.reload();
    await viewer.page.getByRole("link", button).waitFor();
    assert.equal(await viewer.page.getByRole("alert").count(), 0);
    await viewer.close();
  } finally {
    await server.stop();
  }
});

test("with the provider as the only way, there is no form", async () => {
  const server = await Server.start({ oidc: provider.section(groups), onlyOidc: true });
  try {
    await provider.next({ ...ada, groups: ["chiefs"] });
    const viewer = await open(server);
    const { page } = viewer;
    await page.goto(server.url);
    await page.getByLabel("Password").waitFor({ state: "detached" });
    await page.getByRole("link", button).waitFor();
    await viewer.accessible("sign-in by the provider alone");
    await page.keyboard.press("Enter"); // the link has the focus
    await page.getByRole("navigation", { name: "Pages", exact: true }).waitFor();
    await viewer.go("#/users");
    await page.getByRole("button", { name: "Add a user" }).waitFor();
    await viewer.close();
  } finally {
    await server.stop();
  }
});
