"use strict";
// Shows whether the page is live, and remembers the operator's name in this browser. Everything
// else works without scripts, or is htmx.
(() => {
  const shown = document.getElementById("connection");
  let wasLost = false;
  let isStreaming = false;

  function say(state, text) {
    const words = shown?.querySelector(".text");
    // A screen reader reads what is written, also if it is the same.
    if (!words || words.textContent === text) return;
    shown.dataset.state = state;
    words.textContent = text;
  }

  function lost(event) {
    wasLost = true;
    // With a status the coordinator has answered: its store cannot be read, or too many streams are open.
    const status = event.detail?.status ?? event.detail?.ctx?.response?.status;
    say("lost", status ? "Not live, trying again" : "Connection lost, trying again");
  }

  document.addEventListener("htmx:sse:after:connection", () => {
    isStreaming = true;
    say("live", "Live");
    // What changes without an event (ages, for one) is shown again at once.
    if (wasLost) htmx.trigger(document.body, "resumed");
    wasLost = false;
  });
  document.addEventListener("htmx:sse:error", (event) => {
    isStreaming = false;
    lost(event);
  });
  document.addEventListener("htmx:sse:close", () => {
    isStreaming = false;
  });
  document.addEventListener("htmx:error", lost);
  // The view itself shows an error of its own, and goes on to be read.
  document.addEventListener("htmx:response:error", (event) => {
    if (event.target.id === "stream") lost(event);
  });

  // Opened while it could not be shown, and read since: only a reload connects it to the events.
  document.addEventListener("htmx:after:swap", () => {
    // One read may fail while the stream goes on, which then says nothing more of its connection.
    if (isStreaming) say("live", "Live");
    const isConnected = document.getElementById("stream") !== null;
    if (!isConnected && document.querySelector("#live[hx-trigger*=journal]") !== null) location.reload();
  });

  for (const field of document.querySelectorAll("[data-remember]")) {
    const name = `agbot.${field.dataset.remember}`;
    try {
      field.value ||= localStorage.getItem(name) ?? "";
      field.form.addEventListener("submit", () => localStorage.setItem(name, field.value));
    } catch {
      // A browser that keeps nothing does not remember the name either.
    }
  }
})();
