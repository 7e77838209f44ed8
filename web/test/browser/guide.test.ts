import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Browser } from "playwright-core";
import { Server } from "../server.ts";
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

test("everybody can read the guide, in light and dark and on a phone", async (t) => {
  for (const look of ["light", "dark", "phone"] satisfies Look[]) {
    await t.test(look, async () => {
      const viewer = await Viewer.open(browser, server, look);
      const { page } = viewer;
      await page.goto(`${server.url}/about/api`);
      await page.getByRole("cell", { name: /^\/track\/ .*policy track$/ }).waitFor();
      await viewer.accessible("the guide");
      await page.keyboard.press("Tab");
      await page.getByRole("link", { name: "Skip to the text" }).press("Enter");
      await page.waitForFunction(() => location.hash === "#start");
      await page.getByRole("link", { name: "ts1.test" }).click();
      await page.getByLabel("Password").waitFor();
      await page.getByRole("link", { name: "Guide to this server" }).click();
      await page.getByRole("heading", { level: 1 }).waitFor();
      await viewer.close();
    });
  }
});

test("the guide is printed in black on white, whole", async () => {
  const viewer = await Viewer.open(browser, server, "dark");
  const { page } = viewer;
  await page.goto(`${server.url}/about/api`);
  await page.setViewportSize({ width: 640, height: 900 }); // about the width of A4
  await page.emulateMedia({ media: "print", colorScheme: "dark" });
  const [back, text] = await page.evaluate(() => {
    const { backgroundColor, color } = getComputedStyle(document.body);
    return [backgroundColor, color];
  });
  assert.deepEqual([back, text], ["rgb(255, 255, 255)", "rgb(0, 0, 0)"]);
  const cut = await page.evaluate(() => [...document.querySelectorAll("pre, .wide")].filter((box) => box.scrollWidth > box.clientWidth).length);
  assert.equal(cut, 0, "nothing is cut at the edge");
  await viewer.close();
});
