// Tests what the overview says of a cluster, with three real servers.

import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import type { Browser } from "playwright-core";
import { event, Server } from "../server.ts";
import { openBrowser, Viewer } from "../viewer.ts";

let browser: Browser;

before(async () => {
  browser = await openBrowser();
});
after(() => browser.close());

/**
 * freePorts returns ports that nobody listens on. They lie below those that
 * systems give to connections, so that none of those takes one meanwhile.
 */
async function freePorts(n: number): Promise<number[]> {
  const ports = new Set<number>();
  while (ports.size < n) {
    const port = 10_000 + Math.floor(Math.random() * 20_000);
    const server = createServer().listen(port, "127.0.0.1");
    try {
      await once(server, "listening");
      ports.add(port);
    } catch {
      continue; // it is taken
    }
    await once(server.close(), "close");
  }
  return [...ports];
}

test("the overview shows the members of the cluster, and says what follows when they fail", async () => {
  const addresses = (await freePorts(3)).map((port) => `127.0.0.1:${port}`);
  const folder = mkdtempSync(join(tmpdir(), "trackway-web-out-"));
  const destinations = `[{name: out, kind: file, path: "${folder}/out", batch: {every: 10ms}}]`;
  const members = addresses.map((listen) => Server.member({ destinations, cluster: `{name: pages, listen: "${listen}", peers: ["${addresses[0]}"], heartbeat: 2s}` }));
  const servers = members.map(({ server }) => server);
  const [first, second, third] = servers as [Server, Server, Server];
  try {
    await first.command("cluster", "init");
    await Promise.all([second.command("cluster", "join"), third.command("cluster", "join")]);
    await Promise.all(members.map(({ ready }) => ready));
    for (let tries = 0; ; tries++) {
      try {
        await second.track(event("page_visit", "jane@example.com"));
        break;
      } catch (error) {
        if (tries === 100 || !String(error).includes("503")) throw error;
        await setTimeout(100); // on a busy machine, another server may begin to lead
      }
    }
    const viewer = await (await Viewer.open(browser, first)).signedIn();
    const other = await (await Viewer.open(browser, second)).signedIn("#/destinations");
    const card = other.page.getByRole("region", { name: "out", exact: true });
    await card.getByText("Up to date").waitFor(); // as the first server says, which leads
    await other.accessible("destinations, at a server that does not lead");
    await other.close();
    const phone = await (await Viewer.open(browser, first, "phone")).signedIn();
    const { page } = viewer;
    const panel = page.getByRole("region", { name: "Cluster pages" });
    await panel.getByText("3 servers, and all answer").waitFor();
    await panel.getByRole("listitem").filter({ hasText: addresses[0]! }).filter({ hasText: /leads this one/ }).waitFor();
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
    const panel = viewer.page.getByRole("region", { name: "Cluster parts" });
    await panel.getByText("3 servers, and all answer").waitFor();
    await panel.getByText("3 partitions").waitFor();
    await panel.getByRole("listitem").filter({ hasText: addresses[0]! }).getByText("leads p00, p01, p02 this one").waitFor();
    await first.command("cluster", "rebalance");
    for (const address of addresses) await panel.getByRole("listitem").filter({ hasText: address }).getByText(/leads p0\d($| this one)/).waitFor();
    await viewer.accessible("a cluster with several partitions");
    await viewer.close();
    const phone = await (await Viewer.open(browser, first, "phone")).signedIn();
    await phone.page.getByText("3 partitions").waitFor();
    await phone.accessible("a cluster with several partitions, on a phone");
    await phone.close();
  } finally {
    for (const server of servers) await server.kill();
    for (const server of servers) await server.stop();
  }
});
