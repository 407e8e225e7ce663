// The pages in a real browser, against a real server with its two sandboxes.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { launch, open, picture, violations } from "./browser.mjs";
import { Server } from "./server.mjs";

let server;
let browser;

before(async () => {
  server = await Server.start();
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

/** Opens a page for one test, and afterwards checks that the browser had nothing to complain of. */
function story(name, body, options) {
  test(name, async () => {
    const page = await open(browser, options);
    try {
      await body(page);
      assert.deepEqual(page.complaints, []);
    } finally {
      await page.context().close();
    }
  });
}

/** Moves on by the Tab key until this element has the focus. */
async function tabTo(page, selector) {
  const wanted = page.locator(selector);
  for (let step = 0; step < 40; step += 1) {
    if (await wanted.evaluate((element) => element === document.activeElement)) return;
    await page.keyboard.press("Tab");
  }
  assert.fail(`${selector} is not reached by the Tab key`);
}

const tile = (page, provider) => page.locator(`[data-provider="${provider}"]`);

story("mail is written and sent by the keyboard alone, and arrives at a sandbox", async (page) => {
  await page.goto(`${server.url}/compose`);
  for (const [field, text] of [
    ["from", "Asha Rao <asha@example.com>"],
    ["to", '"Rao, Bina" <bina@example.org>, chandra@example.org'],
    ["cc", "dev@example.net"],
    ["subject", "Sent by keyboard"],
    ["text", "first line\nsecond line"],
  ]) {
    await tabTo(page, `#${field}`);
    await page.keyboard.type(text);
  }
  await tabTo(page, "#lane");
  await page.keyboard.type("crit");
  await tabTo(page, "button[type=submit]");
  await page.keyboard.press("Enter");

  await page.waitForURL(/\/messages\/[0-9a-f-]{36}$/);
  await page.locator('#story-head[data-status="accepted"]').waitFor();
  const id = page.url().split("/").at(-1);
  assert.equal(await page.locator("h1").textContent(), "Sent by keyboard");
  assert.match(await page.locator(".attempt").first().textContent(), /at sandbox-[ab]/);
  assert.match(await page.locator(".attempt").first().textContent(), /Taken because/);

  const mails = (await server.mailboxes()).filter((mail) => mail.message_id.includes(id));
  assert.equal(mails.length, 1);
  const [mail] = mails;
  assert.equal(mail.subject, "Sent by keyboard");
  assert.equal(mail.text, "first line\nsecond line");
  assert.equal(mail.to.length, 2);
  assert.match(JSON.stringify(mail.to), /Rao, Bina/);
  assert.match(JSON.stringify(mail.cc), /dev@example\.net/);
  assert.equal((await server.api("GET", `/v1/messages/${id}`)).lane, "critical");
  await picture(page, "message");
});

story("files go with the mail", async (page) => {
  await page.goto(`${server.url}/compose`);
  await page.fill("#from", "asha@example.com");
  await page.fill("#to", "bina@example.org");
  await page.fill("#subject", "With files");
  await page.fill("#html", "<p>see the files</p>");
  await page.setInputFiles("#attachments", [
    { name: "a.txt", mimeType: "text/plain", buffer: Buffer.from("one") },
    { name: "b.pdf", mimeType: "application/pdf", buffer: Buffer.from("two") },
  ]);
  await page.click("button[type=submit]");
  await page.locator('#story-head[data-status="accepted"]').waitFor();
  const id = page.url().split("/").at(-1);
  const mail = (await server.mailboxes()).find((mail) => mail.message_id.includes(id));
  assert.deepEqual(
    mail.attachments.map(({ filename, content_type: type }) => [filename, type]),
    [["a.txt", "text/plain"], ["b.pdf", "application/pdf"]],
  );
});

story("each error stands beside its field, and what was typed is kept", async (page) => {
  await page.goto(`${server.url}/compose`);
  await page.fill("#from", "nobody");
  await page.fill("#to", "bina@example.org, x y");
  await page.fill("#subject", "Kept");
  await page.click("button[type=submit]");

  const summary = page.locator("#errors");
  await summary.waitFor();
  assert.ok(await summary.evaluate((element) => element === document.activeElement));
  assert.equal(await summary.locator("li").count(), 3);
  for (const [field, words] of [
    ["from", /no @/],
    ["to", /“x y”: .*no @/],
    ["text", /required/],
  ]) {
    const input = page.locator(`#${field}`);
    assert.equal(await input.getAttribute("aria-invalid"), "true");
    const ids = (await input.getAttribute("aria-describedby")).split(" ");
    assert.ok(ids.includes(`${field}-error`), `${field}: ${ids}`);
    assert.match(await page.locator(`#${field}-error`).textContent(), words);
  }
  assert.equal(await page.locator("#cc").getAttribute("aria-invalid"), null);
  assert.equal(await page.inputValue("#subject"), "Kept");
  assert.equal(await page.inputValue("#to"), "bina@example.org, x y");

  await summary.locator('a[href="#to"]').click();
  assert.ok(await page.locator("#to").evaluate((element) => element === document.activeElement));
  assert.deepEqual(await violations(page), []);
  await picture(page, "compose-errors");
});

story("the overview shows both sandboxes, and a change without a reload", async (page) => {
  await page.goto(server.url);
  await page.locator('#live[data-state="live"]').waitFor();
  const status = (provider, word) =>
    page.locator(`[data-provider="${provider}"][data-status="${word}"]`).waitFor();
  await status("sandbox-a", "active");
  await status("sandbox-b", "active");
  await page.evaluate(() => (document.body.dataset.sameDocument = "yes"));

  await server.api("POST", "/v1/providers/sandbox-a/disable");
  await status("sandbox-a", "disabled");
  assert.match(await tile(page, "sandbox-a").textContent(), /disabled/);
  assert.match(await tile(page, "sandbox-b").textContent(), /100 %/);
  assert.match(await page.locator("#announce").textContent(), /sandbox-a is now disabled/);
  await picture(page, "overview-disabled");

  await server.api("POST", "/v1/providers/sandbox-a/enable");
  await status("sandbox-a", "active");

  const mail = { from: "a@example.com", to: ["b@example.org"], subject: "Shown live", text: "hi" };
  const { id } = await server.api("POST", "/v1/messages", mail);
  const link = page.locator(`a[href="/messages/${id}"]`);
  await link.waitFor();
  assert.equal(await page.evaluate(() => document.body.dataset.sameDocument), "yes");
  await link.click();
  await page.waitForURL(`${server.url}/messages/${id}`);
});

story("a message that waits is shown as it goes out", async (page) => {
  for (const id of ["sandbox-a", "sandbox-b"]) {
    await server.api("POST", `/v1/providers/${id}/disable`);
  }
  const mail = { from: "a@example.com", to: ["b@example.org"], subject: "Held", text: "hi" };
  const { id } = await server.api("POST", "/v1/messages", mail);
  await page.goto(`${server.url}/messages/${id}`);
  await page.locator('#story-head[data-status="queued"]').waitFor();
  for (const provider of ["sandbox-a", "sandbox-b"]) {
    await server.api("POST", `/v1/providers/${provider}/enable`);
  }
  await page.locator('#story-head[data-status="accepted"]').waitFor();
  await page.locator('#live[data-state="over"]').waitFor();
});

story("nothing grave is in the way of anybody on any page", async (page) => {
  const mail = { from: "a@example.com", to: ["b@example.org"], subject: "Seen", text: "hi" };
  const { id } = await server.api("POST", "/v1/messages", mail);
  const pages = { overview: "/", compose: "/compose", message: `/messages/${id}` };
  for (const [name, path] of Object.entries(pages)) {
    await page.goto(server.url + path);
    assert.deepEqual(await violations(page), [], name);
    if (name !== "message") await picture(page, name);
  }
  await page.setViewportSize({ width: 320, height: 640 });
  for (const path of Object.values(pages)) {
    await page.goto(server.url + path);
    const overflow = await page.evaluate(
      () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
    );
    assert.equal(overflow, 0, `${path} is wider than a narrow screen`);
  }
});

story("an address at which there is nothing has a page that says so", async (page) => {
  const answer = await page.goto(`${server.url}/messages/nothing`);
  assert.equal(answer.status(), 404);
  assert.equal(await page.locator("h1").textContent(), "Not found");
  assert.deepEqual(await violations(page), []);
});

story(
  "without scripts a mail can be written, sent and looked at",
  async (page) => {
    await page.goto(`${server.url}/compose`);
    await page.fill("#from", "asha@example.com");
    await page.fill("#to", "bina@example.org");
    await page.fill("#text", "plain");
    await page.click("button[type=submit]");
    await page.waitForURL(/\/messages\//);
    await page.goto(server.url);
    assert.equal(await page.locator(".tile").count(), 2);
  },
  { javaScriptEnabled: false },
);
