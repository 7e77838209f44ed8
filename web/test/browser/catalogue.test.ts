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

    await server.track(event("nobody@example.net", "p0@example.com", {}));
    while (!(await page.getByText("1 event has a type without a place here").isVisible())) {
      await page.reload();
      await viewer.heading("Catalogue").waitFor();
    }
    if (await page.getByRole("heading", { name: "No events yet" }).isVisible()) throw new Error("an event without a place counts as none");
    const long = "a_name_of_a_stranger_" + "x".repeat(235);
    await server.track(event(long, "p0@example.com", { [long]: "x".repeat(1000) }), event("hidden", "p0@example.com", { "nobody@example.net": 1 }));

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

    await viewer.go("#/catalogue?type=hidden");
    await page.getByText("1 event has properties, without a place here.").waitFor();
    if (await page.getByText("No event of this type has properties.").isVisible()) throw new Error("a property without a place counts as none");

    await viewer.go("#/catalogue?type=refund");
    await page.getByText("The catalogue has no type refund.").waitFor();
    await viewer.close();

    const phone = await (await Viewer.open(browser, server, "phone")).signedIn("#/catalogue?type=purchase");
    await phone.page.getByRole("region", { name: "purchase", exact: true }).waitFor();
    await phone.accessible("catalogue on a phone");
    await phone.go(`#/catalogue?type=${long}`);
    await phone.page.getByRole("region", { name: long, exact: true }).waitFor();
    await phone.accessible("catalogue on a phone, a long name");
    await phone.close();
    const dark = await (await Viewer.open(browser, server, "dark")).signedIn("#/catalogue?type=purchase");
    await dark.page.getByRole("region", { name: "purchase", exact: true }).waitFor();
    await dark.accessible("catalogue in the dark");
    await dark.close();
  } finally {
    await server.stop();
  }
});
