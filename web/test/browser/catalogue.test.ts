import { after, before, test } from "node:test";
import type { Browser } from "playwright-core";
import { event, Server } from "../server.ts";
import { openBrowser, Viewer } from "../viewer.ts";

let browser: Browser;

before(async () => {
  browser = await openBrowser();
});
after(() => browser.close());

test("the catalogue lists types, and the properties of one of them; it can be used by keys, and on a narrow phone", async () => {
  const server = await Server.start();
  try {
    const viewer = await (await Viewer.open(browser, server)).signedIn("#/catalogue");
    const { page } = viewer;
    await page.getByRole("heading", { name: "No events yet" }).waitFor();
    await viewer.accessible("catalogue, empty");

    for (let n = 0; n < 40; n++) {
      const total = n === 7 ? "free" : n / 8;
      const who = `p${n}@example.com`;
      await server.track(event("purchase", who, { total_price: total, currency: "EUR", email: who }), event("page_visit", who, { page: "/shop" }));
    }
    const row = (name: string) => page.getByRole("row", { name: new RegExp(`^${name}`) });
    const shows = async (name: string, text: string) => {
      while (!(await row(name).getByText(text, { exact: true }).first().isVisible())) {
        await page.reload(); // so that the page reads its data now
        await viewer.heading("Catalogue").waitFor();
      }
    };
    await shows("purchase", "40");
    await viewer.accessible("catalogue");
    await page.keyboard.press("j"); // the first row
    await page.keyboard.press("Enter");
    await page.getByRole("region", { name: /^(purchase|page_visit)$/ }).waitFor();

    await viewer.go("#/catalogue?type=purchase");
    const region = page.getByRole("region", { name: "purchase", exact: true });
    await region.waitFor();
    await region.getByRole("row", { name: /^total_price mixed types/ }).getByText("text of 4 characters").waitFor();
    await region.getByRole("row", { name: /^currency/ }).getByText("EUR").waitFor();
    await region.getByRole("row", { name: /^email/ }).getByText("e-mail addresses").waitFor();
    if ((await page.content()).includes("@example.com")) throw new Error("the page shows an address");
    await viewer.accessible("catalogue, a type");

    await viewer.go("#/catalogue?type=refund");
    await page.getByText("The catalogue has no type refund.").waitFor();
    await viewer.close();

    const phone = await (await Viewer.open(browser, server, "phone")).signedIn("#/catalogue?type=purchase");
    await phone.page.getByRole("region", { name: "purchase", exact: true }).waitFor();
    await phone.accessible("catalogue on a phone");
    await phone.close();
    const dark = await (await Viewer.open(browser, server, "dark")).signedIn("#/catalogue?type=purchase");
    await dark.page.getByRole("region", { name: "purchase", exact: true }).waitFor();
    await dark.accessible("catalogue in the dark");
    await dark.close();
  } finally {
    await server.stop();
  }
});
