// Looks at the pages with a browser, and watches for errors behind them.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { type Browser, type BrowserContext, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { password, patience, type Server } from "./server.ts";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

export type Look = "light" | "dark" | "phone";

const looks: { [look in Look]: BrowserContextOptions } = {
  light: { viewport: { width: 1360, height: 900 }, colorScheme: "light" },
  dark: { viewport: { width: 1360, height: 900 }, colorScheme: "dark" },
  phone: { viewport: { width: 320, height: 640 }, colorScheme: "light", isMobile: true, hasTouch: true },
};

/**
 * openBrowser starts Debian's Chromium, or another one. Its sandbox needs a
 * user other than root.
 */
export function openBrowser(): Promise<Browser> {
  return chromium.launch({ executablePath: process.env["CHROMIUM"] ?? "/usr/bin/chromium", args: ["--no-sandbox"], timeout: patience });
}

export class Viewer {
  readonly page: Page;
  readonly context: BrowserContext;
  /** The answers under /grid/: status and path. */
  readonly answers: { status: number; path: string }[] = [];
  private readonly server: Server;
  private readonly wrong: string[] = [];
  /** Messages on the console that a test expects. */
  private readonly expected: RegExp[] = [/status of 401/];

  private constructor(server: Server, context: BrowserContext, page: Page) {
    this.server = server;
    this.context = context;
    this.page = page;
    context.setDefaultTimeout(patience);
    page.on("console", (message) => message.type() === "error" && this.wrong.push(`console: ${message.text()}`));
    page.on("pageerror", (error) => this.wrong.push(`error: ${error.message}`));
    page.on("request", (request) => {
      if (!request.url().startsWith(server.url) && !/^(data|blob):/.test(request.url())) this.wrong.push(`request to ${request.url()}`);
      const { pathname, search } = new URL(request.url());
      if (/@|%40|jane|plan/.test(search)) this.wrong.push(`who is looked for is in the address: ${pathname}${search}`);
    });
    page.on("response", (response) => {
      const { pathname } = new URL(response.url());
      if (pathname.startsWith("/grid/")) this.answers.push({ status: response.status(), path: pathname });
    });
  }

  static async open(browser: Browser, server: Server, look: Look = "light"): Promise<Viewer> {
    const context = await browser.newContext({ ...looks[look], reducedMotion: "reduce" });
    return new Viewer(server, context, await context.newPage());
  }

  /** signedIn opens a place that first shows the sign-in form. */
  async signedIn(place = "#/overview"): Promise<this> {
    await this.page.goto(`${this.server.url}/${place}`);
    await this.page.getByLabel("Password").fill(password);
    await this.page.keyboard.press("Enter");
    await this.page.getByRole("navigation", { name: "Pages", exact: true }).waitFor();
    return this;
  }

  /** signedInAs opens a place as a user. */
  async signedInAs(name: string, password: string, place = "#/overview"): Promise<this> {
    await this.page.goto(`${this.server.url}/${place}`);
    await this.page.getByLabel("Name").fill(name);
    await this.page.getByLabel("Password", { exact: true }).fill(password);
    await this.page.keyboard.press("Enter");
    await this.page.getByRole("navigation", { name: "Pages", exact: true }).waitFor();
    return this;
  }

  /** go goes to a place as a link does. */
  async go(place: string): Promise<void> {
    await this.page.evaluate((hash) => (location.hash = hash), place);
  }

  heading(name: string | RegExp) {
    return this.page.getByRole("heading", { level: 1, name });
  }

  mayTell(pattern: RegExp): void {
    this.expected.push(pattern);
  }

  /**
   * accessible asserts that axe finds nothing, and that nothing sticks out of
   * the page.
   */
  async accessible(what: string): Promise<void> {
    await this.page.evaluate(axe);
    const found = await this.page.evaluate(async () => {
      const { violations } = await (globalThis as unknown as { axe: { run(): Promise<{ violations: Violation[] }> } }).axe.run();
      return violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map((node) => node.html.slice(0, 200)).join(" ")}`);
    });
    assert.deepEqual(found, [], what);
    const over = await this.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(over <= 0, `${what}: ${over} pixels wider than the window`);
  }

  /** close asserts that nothing went wrong behind the pages. */
  async close(): Promise<void> {
    await this.page.unrouteAll({ behavior: "ignoreErrors" }); // a route may wait for its answer
    await this.context.close();
    assert.deepEqual(this.wrong.filter((text) => !this.expected.some((pattern) => pattern.test(text))), []);
  }
}

interface Violation {
  id: string;
  help: string;
  nodes: { html: string }[];
}
