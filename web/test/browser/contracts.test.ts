import { after, before, test } from "node:test";
import type { Browser } from "playwright-core";
import { event, Server } from "../server.ts";
import { openBrowser, Viewer } from "../viewer.ts";

let browser: Browser;

before(async () => {
  browser = await openBrowser();
});
after(() => browser.close());

const contracts = `[{type: purchase, action: quarantine, schema: {properties: {total_price: {type: number}}}}]`;

test("a type shows its contract, and another one can be tried and proposed; also on a narrow phone", async () => {
  const server = await Server.start({ contracts });
  try {
    for (let n = 0; n < 120; n++) {
      await server.track(event("purchase", `p${n}@example.com`, { total_price: n === 7 ? "free" : n / 8, currency: "EUR", note: `for p${n}@example.com` }));
    }
    const viewer = await (await Viewer.open(browser, server)).signedIn("#/catalogue?type=purchase");
    const { page } = viewer;
    const region = page.getByRole("region", { name: "Contract", exact: true });
    for (;;) {
      await page.reload(); // so that the page reads its data now
      await viewer.heading("Catalogue").waitFor();
      if (await region.getByText("120").first().isVisible()) break;
    }
    await region.getByText("broken events are quarantined").waitFor();
    await region.getByRole("row", { name: /^total_price/ }).getByText("a number").waitFor();
    await page.getByRole("row", { name: /^purchase/ }).getByText("quarantined").waitFor();
    await viewer.accessible("a contract");

    const trial = page.getByRole("region", { name: "Try a contract" });
    const schema = trial.getByRole("textbox");
    await schema.fill(`{"properties": {"note": {"maxLength": 3}, "total_price": {"typ": "number"}}}`);
    await trial.getByRole("button", { name: "Try it" }).click();
    await trial.getByText("The schema is not valid: /properties/total_price/typ is not a keyword").waitFor();
    await schema.fill(`{"properties": {"note": {"maxLength": 3}}}`);
    await trial.getByRole("button", { name: "Try it" }).press("Enter");
    await trial.getByText("120 of the newest 120 events of this type would have broken it").waitFor();
    await trial.getByRole("row", { name: /^note/ }).getByText("xxx x999@xxxxxxx.xxx").waitFor();
    if ((await page.content()).includes("@example.com")) throw new Error("the page shows an address");
    await viewer.accessible("a contract that was tried");

    await trial.getByRole("button", { name: "Propose one" }).click();
    await trial.getByText(/^0 of the newest 120 events of this type would have broken it/).waitFor();
    const proposed = JSON.parse(await schema.inputValue()) as { required: string[]; properties: { [name: string]: object } };
    if (!proposed.required.includes("total_price") || !("currency" in proposed.properties)) throw new Error(`proposed: ${JSON.stringify(proposed)}`);
    await viewer.close();

    const phone = await (await Viewer.open(browser, server, "phone")).signedIn("#/catalogue?type=purchase");
    await phone.page.getByRole("region", { name: "Try a contract" }).waitFor();
    await phone.accessible("a contract on a phone");
    await phone.close();
    const dark = await (await Viewer.open(browser, server, "dark")).signedIn("#/catalogue?type=purchase");
    await dark.page.getByRole("region", { name: "Try a contract" }).waitFor();
    await dark.accessible("a contract in the dark");
    await dark.close();
  } finally {
    await server.stop();
  }
});
