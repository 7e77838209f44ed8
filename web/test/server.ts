// A real server with a new data directory, for tests of the pages.

import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";

/** Milliseconds that anything may take on a busy machine. */
export const patience = 120_000;

/**
 * freePorts returns ports that nobody listens on. They lie below those that
 * systems give to connections, so that none of those takes one meanwhile.
 */
export async function freePorts(n: number): Promise<number[]> {
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

/** The tests are compiled into web/.test/test. */
const root = join(import.meta.dirname, "..", "..", "..");
const binary = process.env["TRACKWAY_BIN"] ?? join(root, "bin", "trackway");

export const password = "a-password-for-tests-of-pages";
export const project = "12345678-1234-1234-1234-123456789abc";
const publicKey = "public-key-of-tests";

export const shop = "22345678-1234-1234-1234-123456789abc";
const second = `  - name: shop
    token: ${shop}
    identifiers: {hard: [registered], soft: [cookie]}
    keys:
      - {name: web, kind: public, token: "${publicKey}2"}
`;

export interface Limit {
  track?: number;
  grid?: number;
  /** Whether there is a second project. */
  shop?: boolean;
  /** The section destinations. */
  destinations?: string;
  /** The section cluster. */
  cluster?: string;
  partitions?: number;
  /** Whether the password of the configuration is switched off. */
  usersOnly?: boolean;
  /** The section alarms. */
  alarms?: string;
  /** More of the project. */
  project?: string;
  /** The section dashboard.oidc. */
  oidc?: string;
  /** Whether there is no password of the configuration. */
  onlyOidc?: boolean;
  /** The contracts of the project. */
  contracts?: string;
}

/**
 * config writes a configuration. Limits are wide if the test is about something
 * else.
 */
function config({ track = 4_000_000, grid = 100_000, shop = false, destinations = "[]", cluster = "{}", partitions = 1, usersOnly = false, alarms = "{}", oidc = "", onlyOidc = false, project: more = "", contracts = "[]" }: Limit): string {
  return `
server: {name: ts1.test, region: test}
projects:
  - name: demo
    token: ${project}
    identifiers: {hard: [registered], soft: [cookie]}
    personal: [email, first_name]
    contracts: ${contracts}
    keys:
      - {name: web, kind: public, token: "${publicKey}"}
    ${more}
${shop ? second : ""}limits:
  - {name: track, paths: [/track/], limit: ${track}, window: 60s, per: ip, allow_below_floor: true}
  - {name: api, paths: [/api/, /data/], limit: 200000, window: 30s, per: ip+path}
  - {name: grid, paths: [/grid/], limit: ${grid}, window: 30s, per: ip}
  - {name: signin, paths: [POST /grid/session], limit: 1000, window: 60s, per: ip}
destinations: ${destinations}
cluster: ${cluster}
partitions: ${partitions}
alarms: ${alarms}
dashboard: {${[onlyOidc ? "" : `password_sha256: "${createHash("sha256").update(password).digest("hex")}", users_only: ${usersOnly}`, oidc && `oidc: ${oidc}`].filter(Boolean).join(", ")}}
`;
}

/** Provider is a provider of OpenID Connect, in a process of its own. */
export class Provider {
  issuer = "";
  private id = "";
  private secret = "";
  private process: ChildProcess | undefined;

  static async start(): Promise<Provider> {
    const one = new Provider();
    const started = spawn("go", ["run", "./internal/people/openid/openidtest/providertest"], { cwd: root, stdio: ["pipe", "pipe", "inherit"] });
    one.process = started;
    let text = "";
    started.stdout.setEncoding("utf8").on("data", (more) => (text += more));
    while (!text.includes("\n")) await Promise.race([once(started.stdout, "data"), once(started, "exit").then(() => Promise.reject(new Error("the provider ended")))]);
    [one.issuer = "", one.id = "", one.secret = ""] = text.trim().split(" ");
    return one;
  }

  /** section is the section of the configuration for it. */
  section(groups: string): string {
    return `{issuer: "${this.issuer}", client_id: "${this.id}", client_secret: "${this.secret}", name: Example Login, groups: ${groups}}`;
  }

  /** next says who signs in next. */
  async next(claims: { [name: string]: unknown }): Promise<void> {
    await this.say({ next: claims });
  }

  /** down makes it answer with an error, or no longer. */
  async down(down: boolean): Promise<void> {
    await this.say({ down });
  }

  private async say(what: object): Promise<void> {
    this.process!.stdin!.write(`${JSON.stringify(what)}\n`);
    await once(this.process!.stdout!, "data"); // it has understood
  }

  async stop(): Promise<void> {
    this.process!.stdin!.end(); // it ends then
    if (this.process!.exitCode === null) await once(this.process!, "exit");
  }
}

export interface Command {
  name: "customers" | "customers/events";
  data: { [field: string]: unknown };
}

export class Server {
  url = "";
  private readonly dir = mkdtempSync(join(tmpdir(), "trackway-web-"));
  private process: ChildProcess | undefined;
  private log = "";

  /**
   * start runs a server until stop is called. One that will be restarted needs
   * a port of freePorts.
   */
  static async start(limit: Limit = {}, port = 0): Promise<Server> {
    const { server, ready } = Server.member(limit, port);
    await ready;
    return server;
  }

  /**
   * member starts a server of a cluster. It is ready once it was made a member
   * by command.
   */
  static member(limit: Limit, port = 0): { server: Server; ready: Promise<void> } {
    const server = new Server();
    server.configure(limit);
    return { server, ready: server.run(`127.0.0.1:${port}`) };
  }

  /** command runs a command for the server until it succeeds. */
  async command(...words: string[]): Promise<void> {
    for (const end = Date.now() + patience; ; ) {
      const running = spawn(binary, [...words, "--config", "trackway.yaml", "--data", "data"], { cwd: this.dir, stdio: ["ignore", "ignore", "pipe"] });
      let told = "";
      running.stderr.setEncoding("utf8").on("data", (text) => (told += text));
      await once(running, "close");
      if (running.exitCode === 0) return;
      if (Date.now() > end) throw new Error(`trackway ${words.join(" ")}: ${told}`);
      await setTimeout(100); // the server has only begun to start
    }
  }

  /** kill ends the server as a power cut does. */
  async kill(): Promise<void> {
    const running = this.process!;
    running.kill("SIGKILL");
    if (running.exitCode === null && running.signalCode === null) await once(running, "exit");
  }

  /** again restarts the server at the same address, with its data. */
  async again(): Promise<void> {
    await this.run(new URL(this.url).host);
  }

  /** reload puts other limits in force, as an operator would. */
  reload(limit: Limit): void {
    this.configure(limit);
    this.process?.kill("SIGHUP");
  }

  async end(): Promise<void> {
    const running = this.process;
    if (running && running.exitCode === null && running.signalCode === null) {
      running.kill("SIGTERM");
      await once(running, "exit");
    }
  }

  async stop(): Promise<void> {
    await this.end();
    rmSync(this.dir, { recursive: true, force: true });
  }

  /** track sends a batch, and returns once it is acknowledged. */
  async track(...commands: Command[]): Promise<void> {
    await this.trackText(JSON.stringify({ commands }));
  }

  /**
   * trackText sends a batch in JSON to a project. JSON can hold more than
   * JavaScript can.
   */
  async trackText(body: string, to = project): Promise<void> {
    const key = to === project ? publicKey : `${publicKey}2`;
    const answer = await fetch(`${this.url}/track/v2/projects/${to}/batch`, {
      method: "POST",
      headers: { Authorization: `Token ${key}`, "Content-Type": "application/json" },
      body,
    });
    if (!answer.ok) throw new Error(`tracking was answered ${answer.status}: ${await answer.text()}`);
    await answer.text();
  }

  /** call makes calls of an address, as a local proxy passes them on. */
  async call(path: string, address: string, times = 1): Promise<void> {
    for (let n = 0; n < times; n++) {
      const answer = await fetch(this.url + path, { headers: { "X-Forwarded-For": address } });
      await answer.arrayBuffer();
    }
  }

  /** user runs `trackway user`, with a password on its standard input. */
  user(args: string[], password = ""): string {
    return execFileSync(binary, ["user", ...args, "--config", "trackway.yaml", "--data", "data"], { cwd: this.dir, input: `${password}\n`, encoding: "utf8" });
  }

  private configure(limit: Limit): void {
    writeFileSync(join(this.dir, "trackway.yaml"), config(limit), { mode: 0o600 });
  }

  private async run(listen: string): Promise<void> {
    this.log = "";
    const flags = ["--config", "trackway.yaml", "--data", "data", "--listen", listen, "--ops-listen", "127.0.0.1:0", "--log-format", "json"];
    const started = spawn(binary, ["serve", ...flags], { cwd: this.dir, stdio: ["ignore", "pipe", "pipe"] });
    this.process = started;
    started.on("error", (error) => (this.log += String(error)));
    for (const output of [started.stdout, started.stderr]) output.setEncoding("utf8").on("data", (text) => (this.log += text));
    for (;;) {
      const ready = this.log.split("\n").slice(0, -1).find((line) => line.includes('"msg":"ready"'));
      if (ready) {
        this.url = `http://${(JSON.parse(ready) as { public: string }).public}`;
        return;
      }
      if (started.exitCode !== null) throw new Error(`${binary} ended:\n${this.log}`);
      await Promise.race([once(started.stderr, "data"), once(started.stdout, "data"), once(started, "exit"), once(started, "error")]);
    }
  }
}

/**
 * event returns a command for an event of a customer with an e-mail address.
 */
export function event(type: string, who: string, properties: { [name: string]: unknown } = {}): Command {
  return { name: "customers/events", data: { customer_ids: { registered: who }, event_type: type, properties } };
}

/** update returns a command that sets properties of a customer. */
export function update(ids: { [name: string]: string }, properties: { [name: string]: unknown } = {}): Command {
  return { name: "customers", data: { customer_ids: ids, properties } };
}
