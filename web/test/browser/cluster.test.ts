// Tests what the overview says of a cluster, with three real servers.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import type { Browser } from "playwright-core";
import { event, freePorts, patience, Server } from "../server.ts";
import { openBrowser, Viewer } from "../viewer.ts";

let browser: Browser;

before(async () => {
  browser = await openBrowser();
});
after(() => browser.close());

test("the overview shows the members of the cluster, and says what follows when they fail", async () => {
  const [port, ...ports] = await freePorts(4);
  const addresses = ports.map((port) => `127.0.0.1:${port}`);
  const folder = mkdtempSync(join(tmpdir(), "trackway-web-out-"));
  const destinations = `[{name: out, kind: file, path: "${folder}/out", batch: {every: 10ms}}]`;
  const members = addresses.map((listen) => Server.member({ destinations, cluster: `{name: pages, listen: "${listen}", peers: ["${addresses[0]}"], heartbeat: 2s}` }, listen === addresses[1] ? port : 0));
  const servers = members.map(({ server }) => server);
  const [first, second, third] = servers as [Server, Server, Server];
  try {
    await first.command("cluster", "init");
    await Promise.all([second.command("cluster", "join"), third.command("cluster", "join")]);
    await Promise.all(members.map(({ ready }) => ready));
    for (const end = Date.now() + patience; ; ) {
      try {
        await second.track(event("page_visit", "jane@example.com"));
        break;
      } catch (error) {
        if (Date.now() > end || !String(error).includes("503")) throw error;
        await setTimeout(100); // on a busy machine, another server may begin to lead
      }
    }
    const viewer = await (await Viewer.open(browser, first)).signedIn();
    viewer.mayTell(/status of 503/);
    const other = await (await Viewer.open(browser, second)).signedIn("#/destinations");
    other.mayTell(/status of 503/);
    const card = other.page.getByRole("region", { name: "out", exact: true });
    await card.getByText("Up to date").waitFor(); // as the server says that leads
    await other.accessible("destinations of a cluster");
    await other.close();
    const phone = await (await Viewer.open(browser, first, "phone")).signedIn();
    phone.mayTell(/status of 503/);
    const { page } = viewer;
    const panel = page.getByRole("region", { name: "Cluster pages" });
    await panel.getByText("3 servers, and all answer").waitFor();
    await panel.getByRole("listitem").filter({ hasText: addresses[0]! }).filter({ hasText: "this one" }).waitFor();
    await panel.getByRole("listitem").filter({ hasText: /leads/ }).first().waitFor(); // usually the first, unless it stood still
    for (const address of addresses) await panel.getByRole("listitem").filter({ hasText: address }).getByText("up to date").waitFor();
    await viewer.accessible("a cluster");
    await phone.accessible("a cluster, on a phone");

    await third.kill();
    const trouble = page.getByRole("status").getByText(`${addresses[2]} does not answer. Nothing is lost, and commands are stored. If one more server fails, commands are refused.`);
    await trouble.waitFor();
    await panel.getByText("2 of 3 servers answer").waitFor();
    await panel.getByRole("listitem").filter({ hasText: addresses[2]! }).getByText("silent since").waitFor();
    await viewer.accessible("one is silent");
    await phone.page.getByText(`${addresses[2]} does not answer`).first().waitFor();
    await phone.accessible("one is silent, on a phone");

    await second.kill();
    await page.getByRole("alert").getByText("2 of 3 servers do not answer: commands are refused with 503, and reads go on.").waitFor();
    await viewer.accessible("two are silent");
    await phone.page.getByRole("alert").getByText("2 of 3 servers do not answer").waitFor();
    await phone.accessible("two are silent, on a phone");

    await second.again();
    await page.getByRole("alert").waitFor({ state: "detached" });
    await Promise.all([viewer.close(), phone.close()]);
  } finally {
    for (const server of servers) await server.kill(); // without most others, a stop in order takes long
    for (const server of servers) await server.stop();
    rmSync(folder, { recursive: true, force: true });
  }
});

test("a server that stands alone shows no cluster", async () => {
  const server = await Server.start();
  try {
    const viewer = await (await Viewer.open(browser, server)).signedIn();
    await viewer.page.getByRole("region", { name: "This server" }).waitFor();
    assert.equal(await viewer.page.getByText("Cluster").count(), 0);
    await viewer.close();
  } finally {
    await server.stop();
  }
});

test("the overview shows who leads which partition", async () => {
  const addresses = (await freePorts(3)).map((port) => `127.0.0.1:${port}`);
  const members = addresses.map((listen) => Server.member({ partitions: 3, cluster: `{name: parts, listen: "${listen}", peers: ["${addresses[0]}"], heartbeat: 3s}` }));
  const servers = members.map(({ server }) => server);
  const [first, second, third] = servers as [Server, Server, Server];
  try {
    await first.command("cluster", "init");
    await second.command("cluster", "join");
    await third.command("cluster", "join");
    await Promise.all(members.map(({ ready }) => ready));
    const viewer = await (await Viewer.open(browser, first)).signedIn();
    viewer.mayTell(/status of 503/);
    const panel = viewer.page.getByRole("region", { name: "Cluster parts" });
    await panel.getByText("3 servers, and all answer").waitFor();
    await panel.getByText("3 partitions").waitFor();
    const items = panel.getByRole("listitem");
    for (const partition of ["p00", "p01", "p02"]) await items.filter({ hasText: new RegExp(`leads .*${partition}`) }).first().waitFor();
    const leadsOne = async (address: string) => items.filter({ hasText: address }).getByText(/leads p0\d($| this one)/).isVisible();
    const balanced = async () => (await Promise.all(addresses.map(leadsOne))).every(Boolean);
    for (const end = Date.now() + patience; !(await balanced()); ) {
      assert.ok(Date.now() < end, "each of them leads one");
      await first.command("cluster", "rebalance"); // a server that stood still has lost its lead again
      for (let n = 0; n < 100 && !(await balanced()); n++) await setTimeout(100);
    }
    await viewer.accessible("a cluster with several partitions");
    await viewer.close();
    const phone = await (await Viewer.open(browser, first, "phone")).signedIn();
    phone.mayTell(/status of 503/);
    await phone.page.getByText("3 partitions").waitFor();
    await phone.accessible("a cluster with several partitions, on a phone");
    await phone.close();
  } finally {
    for (const server of servers) await server.kill();
    for (const server of servers) await server.stop();
  }
});
