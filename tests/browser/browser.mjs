// Chromium, pages that remember what went wrong in them, and the checker of accessibility.

import { mkdir, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";

import { chromium } from "playwright-core";

const AXE = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

export function launch() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}

/** A page whose `complaints` are what the browser wrote as errors, the policy's included. */
export async function open(browser, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(10_000);
  page.complaints = [];
  page.on("pageerror", (error) => page.complaints.push(`uncaught: ${error.message}`));
  page.on("console", (message) => {
    // Whatever the answer to the page itself was, the browser logs it where it is no success.
    const answer = message.text().startsWith("Failed to load resource");
    const own = answer && message.location().url === page.url();
    if (message.type() === "error" && !own) page.complaints.push(message.text());
  });
  page.on("request", (request) => {
    const { protocol, hostname } = new URL(request.url());
    const outside = protocol.startsWith("http") && hostname !== "127.0.0.1";
    if (outside) page.complaints.push(`asked elsewhere: ${request.url()}`);
  });
  return page;
}

/**
 * What axe finds to be serious or critical, in light and in dark. Runs in a world of its own:
 * the page's policy allows no script but its own.
 */
export async function violations(page) {
  const found = [];
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    const session = await page.context().newCDPSession(page);
    const { frameTree } = await session.send("Page.getFrameTree");
    const { executionContextId } = await session.send("Page.createIsolatedWorld", {
      frameId: frameTree.frame.id,
      worldName: "axe",
    });
    const evaluate = async (expression) => {
      const wish = { expression, contextId: executionContextId, awaitPromise: true };
      const { result, exceptionDetails } = await session.send("Runtime.evaluate", {
        ...wish,
        returnByValue: true,
      });
      if (exceptionDetails) throw new Error(JSON.stringify(exceptionDetails));
      return result.value;
    };
    await evaluate(`${AXE}; undefined`);
    const results = await evaluate(
      `axe.run(document).then((results) => ({
        passes: results.passes.length,
        violations: results.violations.map(({ id, impact, nodes }) => ({
          id, impact, nodes: nodes.map((node) => node.html + " " + node.failureSummary),
        })),
      }))`,
    );
    if (results.passes === 0) throw new Error("axe has checked nothing");
    const grave = results.violations.filter(({ impact }) => /serious|critical/.test(impact));
    found.push(...grave.map((violation) => ({ colorScheme, ...violation })));
    await session.detach();
  }
  await page.emulateMedia({ colorScheme: null });
  return found;
}

/** Leaves pictures in SHIVNERI_SCREENSHOTS, if that is set: light and dark, wide and narrow. */
export async function picture(page, name) {
  const directory = process.env.SHIVNERI_SCREENSHOTS;
  if (!directory) return;
  await mkdir(directory, { recursive: true });
  const before = page.viewportSize();
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    for (const width of [1280, 390]) {
      await page.setViewportSize({ width, height: 800 });
      const path = join(directory, `${name}-${colorScheme}-${width}.png`);
      await page.screenshot({ path, fullPage: true });
    }
  }
  await page.emulateMedia({ colorScheme: null });
  await page.setViewportSize(before);
}
