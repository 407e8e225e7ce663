// Starts a server on free loopback ports with a data directory of its own.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const READY_WITHIN_MS = 15_000;

export class Server {
  #child;
  #data;

  /** Starts the binary that SHIVNERI_SERVER names, and waits until it is ready. */
  static async start() {
    const binary = process.env.SHIVNERI_SERVER;
    if (!binary) throw new Error("SHIVNERI_SERVER does not name the server's binary");
    const server = new Server();
    server.#data = await mkdtemp(join(tmpdir(), "shivneri-browser-"));
    const free = "127.0.0.1:0";
    const args = ["--data", server.#data, "--http", free, "--agents", free];
    server.#child = spawn(binary, args, { stdio: ["ignore", "pipe", "pipe"], cwd: server.#data });
    server.log = "";
    server.#child.stderr.on("data", (text) => (server.log += text));
    try {
      server.url = `http://${await server.#ready()}`;
    } catch (error) {
      await server.stop();
      throw error;
    }
    return server;
  }

  async #ready() {
    const late = AbortSignal.timeout(READY_WITHIN_MS);
    const lines = createInterface({ input: this.#child.stdout, signal: late });
    for await (const line of lines) {
      const address = /^ready\b.*\bhttp=(?:http:\/\/)?([^\s/]+)/.exec(line)?.[1];
      if (address) return address;
    }
    throw new Error(`the server did not become ready: ${this.log}`);
  }

  /** Calls the API, and gives the answer's JSON where it has one. */
  async api(method, path, body) {
    const headers = body ? { "content-type": "application/json" } : {};
    const init = { method, headers, body: body && JSON.stringify(body) };
    const answer = await fetch(this.url + path, init);
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return text ? JSON.parse(text) : null;
  }

  /** What the sandboxes took, over both of them. */
  async mailboxes() {
    const mails = [];
    for (const id of ["sandbox-a", "sandbox-b"]) {
      mails.push(...(await this.api("GET", `/v1/providers/${id}/mailbox`)).data);
    }
    return mails;
  }

  async stop() {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const gone = once(this.#child, "exit");
      this.#child.kill("SIGTERM");
      const hurry = setTimeout(() => this.#child.kill("SIGTERM"), 5_000);
      const end = setTimeout(() => this.#child.kill("SIGKILL"), 10_000);
      await gone;
      clearTimeout(hurry);
      clearTimeout(end);
    }
    await rm(this.#data, { recursive: true, force: true });
  }
}
