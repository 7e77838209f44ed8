import { after, before, test } from "node:test";
import type { Browser } from "playwright-core";
import { event, Server } from "../server.ts";
import { openBrowser, Viewer } from "../viewer.ts";

let browser: Browser;

before(async () => {
  browser = await openBrowser();
});
after(() => browser.close());

test("destinations are shown with their lag and their errors; without any, the page says how to begin", async () => {
  const server = await Server.start();
  try {
    const viewer = await (await Viewer.open(browser, server)).signedIn("#/destinations");
    const { page } = viewer;
    await page.getByRole("heading", { name: "No destinations" }).waitFor();
    await page.getByLabel("Command").getByText("kind: file").waitFor();
    await viewer.accessible("destinations, empty");

    const three = `
  - {name: out, kind: file, path: ./out, batch: {every: 10ms}}
  - {name: hook, kind: webhook, url: "http://127.0.0.1:9/secret-path", secret: whsec_c2VjcmV0, batch: {every: 10ms}}
  - {name: later, kind: file, path: ./later, paused: true}`;
    server.reload({ destinations: three });
    await server.track(event("page_visit", "jane@example.com"));
    const card = (name: string) => page.getByRole("region", { name, exact: true });
    const shows = async (name: string, text: string | RegExp) => {
      while (!(await card(name).getByText(text).first().isVisible())) {
        await page.reload(); // so that the page reads its data now
        await viewer.heading("Destinations").waitFor();
      }
    };
    await shows("out", "Up to date");
    await shows("out", "nothing");
    await card("out").getByText("Every row fitted.").waitFor();
    await card("out").getByRole("img", { name: /Changes that out does not have yet/ }).waitFor();
    await shows("hook", "Failing, and trying again");
    await card("hook").getByText(/is not a public address/).first().waitFor();
    await shows("later", "Paused");
    await card("later").getByText("trackway destinations resume later").waitFor();
    if (await card("later").getByText("Every row fitted.").isVisible()) throw new Error("no row was written, so none fitted");
    server.reload({ destinations: `${three}\n  - {name: twin, kind: file, path: ./out}` }); // the folder is that of out
    await shows("twin", "Stopped: somebody has to act");
    await card("twin").getByText("trackway destinations resume twin").waitFor();
    await page.getByText("1 stopped, 1 retrying, 1 paused, 1 running").waitFor();
    await viewer.accessible("destinations");
    if ((await page.content()).includes("secret-path")) throw new Error("the page shows a URL");
    await viewer.close();
  } finally {
    await server.stop();
  }
});

test("on a narrow phone, the names of all pages can be read", async () => {
  const server = await Server.start();
  try {
    const viewer = await (await Viewer.open(browser, server, "phone")).signedIn("#/destinations");
    const edges = await viewer.page.locator(".places a span").evaluateAll((names) => names.flatMap((name) => [name.getBoundingClientRect().left, name.getBoundingClientRect().right]));
    const sorted = [0, ...edges, 320];
    if (edges.length !== 12 || sorted.some((edge, i) => i > 0 && edge < sorted[i - 1]!)) throw new Error(`names overlap or leave the window: ${edges.map(Math.round)}`);
    await viewer.close();
  } finally {
    await server.stop();
  }
});

test("a partition whose server does not answer is named, and the others are shown", async () => {
  const server = await Server.start();
  try {
    server.reload({ destinations: "[{name: out, kind: file, path: ./out}]" });
    const viewer = await (await Viewer.open(browser, server)).signedIn();
    const { page } = viewer;
    await page.route("**/grid/destinations", async (route) => {
      const response = await route.fetch();
      await route.fulfill({ response, json: { ...(await response.json()), unanswered: [{ partition: "p01", error: "no server leads it" }] } });
    });
    await page.route("**/grid/overview", async (route) => {
      const response = await route.fetch();
      if (response.status() !== 200) return route.fulfill({ response });
      await route.fulfill({ response, json: { ...(await response.json()), missing: ["there"] } });
    });
    await page.goto(`${server.url}/#/destinations`);
    await page.getByRole("alert").getByText("Nothing is known of the destinations of partition p01: no server leads it.").waitFor();
    await page.getByRole("region", { name: "out", exact: true }).waitFor();
    await viewer.accessible("destinations, one partition missing");
    await page.goto(`${server.url}/#/`);
    await page.getByRole("alert").getByText("The servers that hold there do not answer, so the figures are without it.").waitFor();
    await viewer.accessible("the overview, one project missing");
    await viewer.close();
  } finally {
    await server.stop();
  }
});
