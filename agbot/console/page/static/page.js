"use strict";
// Shows whether the page is live, and remembers the operator's name in this browser. Everything
// else works without scripts, or is htmx.
(() => {
  const shown = document.getElementById("connection");
  let wasLost = false;

  function say(state, text) {
    if (shown === null || shown.dataset.state === state) return;
    shown.dataset.state = state;
    shown.querySelector(".text").textContent = text;
  }

  function lost() {
    wasLost = true;
    say("lost", "Connection lost, trying again");
  }

  document.addEventListener("htmx:sse:after:connection", () => {
    say("live", "Live");
    // What changes without an event (ages, for one) is shown again at once.
    if (wasLost) htmx.trigger(document.body, "resumed");
    wasLost = false;
  });
  document.addEventListener("htmx:sse:error", lost);
  document.addEventListener("htmx:error", lost);

  // Opened while it could not be shown, and read since: only a reload connects it to the events.
  document.addEventListener("htmx:after:swap", () => {
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
