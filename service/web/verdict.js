// The verdict on a picture and the findings that lead to it.

import { cannotBeRead } from "./dentition.js";
import { byId, html } from "./dom.js";

const SEVERITIES = ["error", "warning"];
const WORDS = { error: "Take again", warning: "Warning" };

// Errors that another exposure would not mend.
const OTHER_REMEDIES = { "upside-down": "Turn it", sideways: "Turn it", "not-a-panoramic": "Cannot be read" };

/**
 * Shows the verdict and the findings of an answer.
 * @param {Object} answer
 * @returns {string} the verdict in one sentence, for the status line
 */
export function showVerdict(answer) {
  const { suitable, findings } = answer.quality;
  const bySeverity = [...findings].sort((a, b) => SEVERITIES.indexOf(a.severity) - SEVERITIES.indexOf(b.severity));
  const title = suitable ? "Can be used" : wordFor(bySeverity[0]);
  const summary = cannotBeRead(answer) ? "" : summaryOf(answer);
  set(suitable ? "use" : "again", title, summary);
  byId("findings").replaceChildren(...bySeverity.map(finding));
  if (!findings.length) byId("findings").append(html("li", { class: "none" }, "Nothing was noticed about the picture."));
  return [`${title}.`, summary && `${summary}.`, ...bySeverity.map((each) => each.message)].filter(Boolean).join(" ");
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

function wordFor({ code, severity }) {
  return OTHER_REMEDIES[code] ?? WORDS[severity];
}

function finding(told) {
  const { severity, message, value, limit } = told;
  // Of what is or is not so, a figure tells nobody anything.
  const isMeasured = severity !== "error" && value !== limit;
  const measured = isMeasured ? [html("small", {}, `Measured ${short(value)}, limit ${short(limit)}`)] : [];
  return html("li", { class: severity }, html("strong", {}, wordFor(told)), html("p", {}, message), ...measured);
}

function short(number) {
  return String(Number(number.toPrecision(3)));
}
