// The verdict on a picture, its teeth in numbers, and what was noticed about the picture.

import { cannotBeRead, missingFrom, nameOfNumbering, numberIn } from "./dentition.js";
import { byId, html } from "./dom.js";
import { degreesToUpright } from "./turn.js";

// Another exposure would mend none of these.
const ERRORS = {
  "upside-down": { kind: "turn", title: "Turn it", titleShownUpright: "Was upside-down" },
  sideways: { kind: "turn", title: "Turn it", titleShownUpright: "Was on its side" },
  "not-a-panoramic": { kind: "unreadable", title: "Cannot be read" },
};
const CHECK = { kind: "check", title: "Check the picture" };
const USE = { kind: "use", title: "Can be used" };
const SHOWN_UPRIGHT = "Shown upright here; a saved mask or overlay lies as the file does.";
const NO_FINDING = "Nothing to object to. Only the picture is judged here, not the teeth.";

/**
 * Shows the verdict and the findings of an answer.
 * @param {Object} answer
 * @param {string} numbering
 * @returns {string} the verdict in one sentence, for the status line
 */
export function showVerdict(answer, numbering) {
  const { findings } = answer.quality;
  const { kind, title } = verdictOn(answer);
  set(kind, title);
  const counts = showCounts(answer, numbering);
  const items = findings.map((each) => item(each, answer));
  byId("findings").replaceChildren(...(items.length ? items : [html("li", { class: "none" }, NO_FINDING)]));
  return [`${title}.`, ...counts, ...findings.flatMap((each) => sentences(each, answer))].join(" ");
}

/**
 * Says how many teeth were found, and which are uncertain, missing or perhaps missing, in a numbering.
 * @param {Object} answer
 * @param {string} numbering
 * @returns {string[]} the same in sentences, after the numbering's name
 */
export function showCounts(answer, numbering) {
  const counts = cannotBeRead(answer) ? [] : countsOf(answer, numbering);
  byId("verdict-summary").replaceChildren(...counts.map((each) => html("p", {}, each)));
  return counts.length ? [nameOfNumbering(numbering), ...counts].map((each) => `${each}.`) : [];
}

/**
 * Shows that the answer is still being made.
 * @param {boolean} late whether it takes so long that a way out is wanted
 * @returns {string} the same for the status line
 */
export function showBusy(late) {
  const title = late ? "Still waiting for the service…" : "Finding the teeth…";
  set("busy", title);
  byId("cancel").hidden = !late;
  return title;
}

/** Takes the answer's verdict, counts and findings away. */
export function clearVerdict() {
  for (const id of ["verdict-title", "verdict-summary", "findings"]) byId(id).replaceChildren();
}

function verdictOn(answer) {
  const { suitable, findings } = answer.quality;
  const error = findings.find(({ code }) => code in ERRORS);
  if (error) return { kind: ERRORS[error.code].kind, title: titleOf(error, answer) };
  return suitable && !findings.length ? USE : CHECK;
}

function set(kind, title) {
  byId("verdict").dataset.kind = kind;
  byId("verdict").querySelector("use").setAttribute("href", `#sign-${kind}`);
  byId("verdict-title").textContent = title;
  byId("cancel").hidden = true;
}

function countsOf(answer, numbering) {
  const { teeth } = answer;
  const { plainly, perhaps } = missingFrom(answer);
  const list = (numbers) => numbers.map((fdi) => numberIn(numbering, fdi)).sort((a, b) => a - b).join(", ");
  const uncertain = list(teeth.filter((tooth) => tooth.uncertain).map(({ fdi }) => fdi));
  const found = `${teeth.length} ${teeth.length === 1 ? "tooth" : "teeth"} found`;
  const counts = [uncertain ? `${found} (uncertain: ${uncertain})` : found, `Missing: ${list(plainly) || "none"}`];
  return perhaps.length ? [...counts, `Perhaps missing: ${list(perhaps)}`] : counts;
}

function item(finding, answer) {
  const title = html("strong", {}, titleOf(finding, answer));
  const paragraphs = sentences(finding, answer).map((each) => html("p", {}, each));
  return html("li", { class: finding.severity }, title, ...paragraphs);
}

function titleOf(finding, answer) {
  const { title = "Warning", titleShownUpright } = ERRORS[finding.code] ?? {};
  return isShownUpright(finding, answer) ? titleShownUpright : title;
}

function sentences(finding, answer) {
  return isShownUpright(finding, answer) ? [finding.message, SHOWN_UPRIGHT] : [finding.message];
}

function isShownUpright({ code }, answer) {
  return ERRORS[code]?.kind === "turn" && degreesToUpright(answer) !== 0;
}
