// Keeps a page fresh by server-sent events. Pages work without it.
"use strict";

(() => {
  const byId = (id) => document.getElementById(id);

  /* Ages run on between two events. */

  const UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];

  function age(since) {
    const seconds = Math.max(0, Math.floor((Date.now() - since) / 1000));
    const [size, unit] = UNITS.find(([size]) => seconds >= size) ?? UNITS[3];
    return `${Math.floor(seconds / size)} ${unit}`;
  }

  function showAges() {
    for (const time of document.querySelectorAll("time[data-age]")) {
      const text = age(Date.parse(time.dateTime));
      if (time.textContent !== text) time.textContent = text;
    }
  }

  /* What the server sends is HTML that it has escaped; no script in it would be run. */

  function parse(html) {
    const template = document.createElement("template");
    template.innerHTML = html;
    return template.content;
  }

  /** Replaces content without taking the focus from who is in it. */
  function replace(element, content) {
    const focused = element.contains(document.activeElement) ? document.activeElement.id : "";
    element.replaceChildren(...content);
    if (focused) byId(focused)?.focus({ preventScroll: true });
  }

  function announce(text) {
    const region = byId("announce");
    if (region) region.textContent = text;
  }

  function showTiles(tiles, order) {
    const list = byId("tiles");
    if (!list) return;
    const present = new Map([...list.children].map((tile) => [tile.dataset.provider, tile]));
    for (const [provider, html] of Object.entries(tiles)) {
      const fresh = parse(html).firstElementChild;
      const old = present.get(provider);
      if (!old) announce(`${provider} is here: ${fresh.dataset.status}`);
      else if (old.dataset.status !== fresh.dataset.status) {
        announce(`${provider} is now ${fresh.dataset.status}`);
      }
      if (old) old.replaceWith(fresh);
      else list.append(fresh);
      present.set(provider, fresh);
    }
    for (const [provider, tile] of present) {
      if (order.includes(provider)) continue;
      announce(`${provider} is gone`);
      tile.remove();
    }
    order.forEach((provider, place) => {
      const tile = present.get(provider);
      if (tile && list.children[place] !== tile) list.insertBefore(tile, list.children[place]);
    });
    byId("no-tiles").hidden = order.length > 0;
  }

  function show(change) {
    if (change.order) showTiles(change.tiles, change.order);
    for (const [name, html] of Object.entries(change.parts)) {
      const part = byId(`part-${name}`);
      if (!part) continue;
      const before = byId("story-head")?.dataset.status;
      replace(part, parse(html).childNodes);
      const after = byId("story-head")?.dataset.status;
      if (before !== after) announce(`The message is now ${after.replaceAll("_", " ")}`);
    }
    showAges();
  }

  /* The stream. A page that nobody looks at has none: browsers allow few at once. */

  const address = document.body.dataset.live;
  const RETRY_MS = 3000;
  let source = null;
  let retry = 0;
  let over = false;

  function state(word) {
    const sign = byId("live");
    if (!sign) return;
    sign.hidden = false;
    sign.dataset.state = word;
    byId("live-word").textContent = { live: "Live", waiting: "Reconnecting", over: "Final" }[word];
  }

  function open() {
    if (!address || source || over || document.hidden) return;
    source = new EventSource(address);
    source.addEventListener("open", () => state("live"));
    source.addEventListener("change", (event) => {
      const change = JSON.parse(event.data);
      show(change);
      if (!change.last) return;
      over = true;
      close();
      state("over");
    });
    source.addEventListener("error", () => {
      state("waiting");
      // A browser gives up after an answer that is no stream, as when all places are taken.
      if (source?.readyState !== EventSource.CLOSED) return;
      close();
      retry = setTimeout(open, RETRY_MS);
    });
  }

  function close() {
    clearTimeout(retry);
    source?.close();
    source = null;
  }

  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  addEventListener("pagehide", close);
  addEventListener("pageshow", open);

  /* The form. */

  const form = byId("compose");
  const sending = byId("sending");
  let posted = false;

  function formBytes() {
    let bytes = 0;
    for (const value of new FormData(form).values()) bytes += value.size ?? 2 * value.length;
    return bytes;
  }

  form?.addEventListener("submit", (event) => {
    const max = Number(form.dataset.maxBytes);
    if (posted) event.preventDefault();
    else if (formBytes() > max) {
      event.preventDefault();
      sending.textContent = "Not sent: the files are too large together.";
      byId("attachments").focus();
    } else {
      posted = true;
      sending.textContent = "Sending…";
    }
  });
  addEventListener("pageshow", () => {
    posted = false;
    if (sending) sending.textContent = "";
  });

  showAges();
  setInterval(showAges, 1000);
  open();
})();
