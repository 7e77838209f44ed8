import { after, before, test } from "node:test";
import type { Browser } from "playwright-core";
import { Server } from "../server.ts";
import { openBrowser, Viewer } from "../viewer.ts";

let browser: Browser;

before(async () => {
  browser = await openBrowser();
});
after(() => browser.close());

const receiver = `{name: ops, kind: slack, url: "http://127.0.0.1:9/secret-path", allow: [127.0.0.1]}`;

test("what rings and what has ended is shown; without receivers, the page says how to name some", async () => {
  const server = await Server.start({ alarms: "{rules: [{kind: silence}]}" });
  try {
    const viewer = await (await Viewer.open(browser, server)).signedIn();
    const { page } = viewer;
    await page.getByRole("link", { name: "Alarms" }).press("Enter");
    await viewer.heading("Alarms").waitFor();
    const part = (name: string) => page.getByRole("region", { name, exact: true });
    await part("Ringing").getByText("Nothing is wrong").waitFor();
    await part("Receivers").getByText("Nobody is told.").waitFor();
    await part("Rules").getByText("silence, each project").waitFor();
    await viewer.accessible("alarms, none");

    const shows = async (name: string, text: string | RegExp) => {
      while (!(await part(name).getByText(text).first().isVisible())) {
        await page.reload(); // so that the page reads its data now
        await viewer.heading("Alarms").waitFor();
        await part("Ringing").waitFor();
      }
    };
    server.reload({ alarms: `{receivers: [${receiver}], rules: [{kind: disk_nearly_full, percent: 100, for: 0s}]}` });
    await shows("Ringing", "Disk nearly full");
    await shows("Receivers", /1 message waits.*The last attempt failed: the connection was refused/);
    await viewer.accessible("alarms, one rings");
    if ((await page.content()).includes("secret-path")) throw new Error("the page shows a URL");
    server.reload({ alarms: `{receivers: [${receiver}], rules: [{kind: disk_full}]}` });
    await shows("Ended", "It is not watched any more.");
    await viewer.accessible("alarms, one has ended");
    await viewer.close();
  } finally {
    await server.stop();
  }
});

test("the page fits a narrow phone, in the dark", async () => {
  const server = await Server.start({ alarms: `{receivers: [${receiver}], rules: [{kind: silence, type: "*"}, {kind: disk_nearly_full, percent: 100, for: 0s}]}` });
  try {
    for (const look of ["phone", "dark"] as const) {
      const viewer = await (await Viewer.open(browser, server, look)).signedIn("#/alarms");
      await viewer.page.getByRole("region", { name: "Ringing" }).getByText("Disk nearly full").waitFor();
      await viewer.accessible(`alarms, ${look}`);
      await viewer.close();
    }
  } finally {
    await server.stop();
  }
});
