// The verdict on a picture and the findings that lead to it.

import { byId, html } from "./dom.js";

const SEVERITIES = ["error", "warning", "info"];
const WORDS = { error: "Take again", warning: "Warning", info: "Note" };

/**
 * Shows the verdict and the findings of an answer.
 * @param {Object} answer
 * @returns {string} the verdict in one sentence, for the status line
 */
export function showVerdict(answer) {
  const { suitable, findings } = answer.quality;
  const title = suitable ? "Can be used" : "Take again";
  const summary = summaryOf(answer);
  set(suitable ? "use" : "again", title, summary);
  const bySeverity = [...findings].sort((a, b) => SEVERITIES.indexOf(a.severity) - SEVERITIES.indexOf(b.severity));
  byId("findings").replaceChildren(...bySeverity.map(finding));
  if (!findings.length) byId("findings").append(html("li", { class: "none" }, "Nothing was noticed about the picture."));
  return `${title}. ${summary}. ${bySeverity.map((each) => each.message).join(" ")}`.trim();
}

/** Shows that the answer is still being made. */
export function showBusy() {
  set("busy", "Finding the teeth…", "");
  byId("findings").replaceChildren();
}

function set(kind, title, summary) {
  byId("verdict").dataset.kind = kind;
  byId("verdict").querySelector("use").setAttribute("href", kind === "again" ? "#sign-again" : "#sign-use");
  byId("verdict-title").textContent = title;
  byId("verdict-summary").textContent = summary;
}

function summaryOf({ teeth, missing }) {
  const uncertain = teeth.filter((tooth) => tooth.uncertain).length;
  const found = `${teeth.length} ${teeth.length === 1 ? "tooth" : "teeth"} found`;
  return `${found}, ${missing.length} missing${uncertain ? `, ${uncertain} uncertain` : ""}`;
}

function finding({ severity, message, value, limit }) {
  const measured = `Measured ${short(value)}, limit ${short(limit)}`;
  return html(
    "li",
    { class: severity },
    html("strong", {}, WORDS[severity]),
    html("p", {}, message),
    html("small", {}, measured),
  );
}

function short(number) {
  return String(Number(number.toPrecision(3)));
}
