// Puts in what the server sends, counts ages on, and says when nothing is heard any more.
"use strict";
(() => {
  if (!window.EventSource || !window.fetch || !document.body.replaceChildren) return; // old.js
  const SILENT_MS = 12000; // the server says something at least every 5 s
  const BROKEN_MS = 4000; // the same, once the browser says that the connection is broken
  const AGAIN_MS = 5000;
  const AGES = / data-age="\d+"[^>]*>[^<]*/g;

  const page = document.body;
  const now = document.getElementById("now");
  const lost = document.getElementById("lost");
  const lostFor = document.getElementById("lost-for");
  const units = page.dataset.units.split("|");
  let heard = performance.now(); // when the ages on the page were right
  let isBroken = false;

  const two = (n) => String(n).padStart(2, "0");
  const stopwatch = (ms) => {
    const s = Math.floor(ms / 1000);
    return `${two(Math.floor(s / 3600))}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`;
  };
  const span = (ms) => {
    const s = Math.floor(ms / 1000);
    if (s < 120) return `${s} ${units[0]}`;
    if (s < 7200) return `${Math.floor(s / 60)} ${units[1]}`;
    if (s < 172800) return `${Math.floor(s / 3600)} ${units[2]}`;
    return `${Math.floor(s / 86400)} ${units[3]}`;
  };

  const count = () => {
    const silent = performance.now() - heard;
    const desk = now.querySelector(".desk");
    const isLost = silent > (isBroken ? BROKEN_MS : SILENT_MS);
    // How long an alarm has lasted is not known any more once nothing is heard of it.
    const isFrozen = isLost || desk.classList.contains("is-stale");
    for (const each of now.querySelectorAll("[data-age]")) {
      if (isFrozen && each.closest(".first, .others") && each.dataset.as === "stopwatch") continue;
      const ms = Number(each.dataset.age) + silent;
      each.textContent = each.dataset.as === "stopwatch" ? stopwatch(ms) : span(ms);
    }
    lostFor.textContent = stopwatch(silent);
    lost.hidden = !isLost;
    page.classList.toggle("is-lost", isLost);
    const title = isLost ? lost.querySelector("h2").firstChild.data.trim() : desk.dataset.title;
    if (document.title !== title) document.title = title;
  };

  const show = (html) => {
    heard = performance.now();
    isBroken = false;
    const fresh = document.createElement("template");
    fresh.innerHTML = html;
    const old = now.querySelectorAll("[data-age]");
    const ages = fresh.content.querySelectorAll("[data-age]");
    const isSame = now.innerHTML.replace(AGES, "").trim() === fresh.innerHTML.replace(AGES, "").trim();
    if (isSame && old.length === ages.length) {
      old.forEach((each, place) => { each.dataset.age = ages[place].dataset.age; });
    } else {
      now.replaceChildren(fresh.content);
    }
    count();
  };

  // Where the server has no place for another stream, the page asks now and then.
  const ask = async () => {
    try {
      const answer = await fetch(page.dataset.now, { cache: "no-store" });
      if (answer.ok) show(await answer.text());
    } catch {
      isBroken = true;
    }
  };

  const listen = () => {
    const stream = new EventSource(page.dataset.events);
    stream.addEventListener("show", (event) => show(event.data));
    stream.addEventListener("error", () => {
      isBroken = true;
      if (stream.readyState !== EventSource.CLOSED) return; // it tries again by itself
      ask();
      setTimeout(listen, AGAIN_MS);
    });
  };

  listen();
  setInterval(count, 500);
  window.isDutyRunning = true; // old.js may rest
})();
