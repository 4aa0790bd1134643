// Where the time went: the stages of an answer as a bar and as a table.

import { byId, html } from "./dom.js";

const STAGES = {
  decode: "Decode the picture",
  prepare: "Prepare it for the model",
  queue: "Wait for a turn",
  infer: "Run the model",
  interpret: "Number the teeth",
  render: "Draw the overlay",
  encode: "Encode images",
};

/**
 * Shows the time of each stage, and of the way between this page and the service.
 * @param {Object<string, number>} timingsMs the answer's `timings_ms`
 * @param {number} roundTripMs from sending the radiograph to having read the answer
 */
export function showTimings(timingsMs, roundTripMs) {
  const parts = Object.keys(STAGES).map((stage) => ({ stage, words: STAGES[stage], ms: timingsMs[stage] ?? 0 }));
  const named = parts.reduce((sum, part) => sum + part.ms, 0);
  parts.push({ stage: "rest", words: "Other work in the service", ms: Math.max(0, timingsMs.total - named) });
  parts.push({ stage: "transfer", words: "Network and browser", ms: Math.max(0, roundTripMs - timingsMs.total) });

  byId("time-total").replaceChildren(
    html("strong", {}, inMilliseconds(roundTripMs)),
    ` round trip, service ${inMilliseconds(timingsMs.total)}`,
  );
  byId("time-bar").replaceChildren(...parts.map(segment));
  byId("time-table").replaceChildren(
    ...parts.filter((part) => part.ms > 0).map(row),
    row({ stage: "total", words: "Service, total", ms: timingsMs.total }),
    row({ stage: "total", words: "Round trip", ms: roundTripMs }),
  );
}

/** Empties the bar and the table. */
export function clearTimings() {
  for (const id of ["time-total", "time-bar", "time-table"]) byId(id).replaceChildren();
}

function segment({ stage, ms }) {
  const part = html("span", { class: stage });
  part.style.flexGrow = String(ms);
  return part;
}

function row({ stage, words, ms }) {
  return html(
    "tr",
    { class: stage },
    html("th", { scope: "row" }, html("i", { class: stage, "aria-hidden": "true" }), words),
    html("td", {}, inMilliseconds(ms)),
  );
}

function inMilliseconds(ms) {
  return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)}\u00a0ms`;
}
