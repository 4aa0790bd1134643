// The chairside page: takes a radiograph in, asks the service, and shows the answer.

import { Chart } from "./chart.js";
import { cannotBeRead, nameOfNumbering } from "./dentition.js";
import { byId } from "./dom.js";
import { numbering, onNumbering } from "./numbering.js";
import { Picture } from "./picture.js";
import { clearProblem, showProblem } from "./problem.js";
import { save } from "./save.js";
import { mask, overlay, Problem, segment } from "./service.js";
import { clearTimings, showTimings } from "./timings.js";
import { degreesToUpright } from "./turn.js";
import { browserShows, inMemory, onRadiograph } from "./upload.js";
import { clearVerdict, showBusy, showCounts, showVerdict } from "./verdict.js";

const LATE_MS = 3000;

let radiograph = null; // the file on show
let answer = null; // and what the service said of it
let asking = new AbortController();
let pointed = null; // the tooth under the pointer or the focus
let picked = null; // the tooth that stays marked
let late = 0; // the timer that tells of a long wait

const picture = new Picture(point, pick);
const chart = new Chart(point, pick);
const opacity = byId("opacity");

onRadiograph(take, (problem) => explain(problem));
onNumbering(() => {
  renumber();
  // The status line still has the old numbers.
  if (answer && !cannotBeRead(answer)) byId("status").textContent = showCounts(answer, numbering()).join(" ");
});
opacity.addEventListener("input", showOpacity);
byId("numbers").addEventListener("change", showNumbers);
for (const id of ["cancel", "clear"]) byId(id).addEventListener("click", clear);
byId("download-overlay").addEventListener("click", () => saveImage("overlay", asSeen, "overlay.jpg"));
byId("download-mask").addEventListener("click", () => saveImage("mask", mask, "mask.png"));
byId("download-json").addEventListener("click", saveAnswer);
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  if (byId("problem").hasChildNodes()) dismiss();
  else pick(null);
});
addEventListener("beforeprint", () => {
  const now = new Date().toLocaleString("en-GB", { dateStyle: "long", timeStyle: "short" });
  byId("printed").textContent = `Printed on ${now}, with ${nameOfNumbering(numbering())}`;
});
// A browser that goes back to the page sets the controls as they were, later than this module runs.
addEventListener("pageshow", () => {
  renumber();
  showOpacity();
  showNumbers();
});

async function take(file) {
  asking.abort(); // whoever chooses another picture no longer waits for the last one
  asking = new AbortController();
  const { signal } = asking;
  radiograph = file;
  beBusy();
  try {
    const held = await inMemory(file);
    const showable = await browserShows(held);
    signal.throwIfAborted();
    radiograph = held;
    const shown = picture.show(showable ? held : null);
    let reply = await segment(held, { withPicture: !showable, signal });
    // Some JPEGs look like others and are not shown, such as arithmetically coded ones.
    if (showable && !(await shown)) reply = await segment(held, { withPicture: true, signal });
    signal.throwIfAborted();
    if (reply.answer.overlay) await picture.show(blobOf(reply.answer.overlay));
    signal.throwIfAborted();
    present(reply);
  } catch (fault) {
    if (signal.aborted) return;
    fail(fault);
  }
}

// Nothing of the last patient's stays over the next one's name.
function forget() {
  answer = pointed = picked = null;
  picture.show(null);
  chart.fill(null, numbering());
  clearTimings();
  clearVerdict();
}

function beBusy() {
  forget();
  opacity.value = opacity.defaultValue; // nor does an overlay that was dimmed for the last one's sake
  showOpacity();
  describe(radiograph.name, "");
  byId("picture").setAttribute("aria-busy", "true");
  enter("busy", showBusy(false));
  late = setTimeout(() => (byId("status").textContent = showBusy(true)), LATE_MS);
}

function present({ answer: { overlay: _, ...rest }, roundTripMs }) {
  answer = rest;
  pointed = picked = null;
  picture.draw(answer, numbering());
  chart.fill(answer, numbering());
  showTimings(answer.timings_ms, roundTripMs);
  const { image, model } = answer;
  const format = `${image.format.toUpperCase()}, ${image.bits_stored} bit`;
  describe(radiograph.name, `${image.width} × ${image.height}, ${format}`);
  byId("model").textContent = `Model ${model.name}, version ${model.version}, ${model.precision} on ${model.provider}`;
  enter("done", showVerdict(answer, numbering()));
}

function fail(fault) {
  picture.show(null);
  enter("problem", "");
  explain(fault, { tryAgain: () => take(radiograph), fileName: radiograph.name });
}

function clear() {
  asking.abort();
  radiograph = null;
  forget();
  describe("", "");
  enter("empty", "");
}

function explain(fault, ways = {}) {
  const unforeseen = { title: "The page could not show the answer", detail: String(fault), status: 0 };
  showProblem(fault instanceof Problem ? fault : new Problem(unforeseen), { dismiss, ...ways });
}

function dismiss() {
  if (document.body.dataset.state === "problem") return clear();
  const focused = document.activeElement;
  clearProblem();
  keepFocus(focused);
}

function describe(name, facts) {
  byId("file-name").textContent = name;
  byId("description").textContent = facts;
}

function enter(state, status) {
  const focused = document.activeElement;
  clearTimeout(late);
  if (state !== "done") clearProblem(); // what was refused during the wait is still to be read
  document.body.dataset.state = state;
  if (state !== "busy") byId("picture").removeAttribute("aria-busy");
  for (const id of ["download-overlay", "download-mask"]) byId(id).ariaDisabled = null;
  offerToSave();
  byId("status").textContent = status;
  keepFocus(focused);
}

// What had the focus may have gone; the keyboard goes on where the next radiograph is chosen.
function keepFocus(focused) {
  if (focused.checkVisibility()) return;
  byId(["busy", "done"].includes(document.body.dataset.state) ? "choose-another" : "choose").focus();
}

function offerToSave() {
  const hasTeeth = answer !== null && !cannotBeRead(answer);
  const isBare = opacity.value === "0"; // an overlay of nothing would be the radiograph alone
  byId("download-overlay").disabled = !hasTeeth || isBare;
  byId("download-mask").disabled = !hasTeeth;
  byId("download-json").disabled = answer === null;
  const note = hasTeeth && degreesToUpright(answer) ? "Overlay and mask are saved as the file lies, not upright." : "";
  byId("save-note").textContent = note;
  byId("download-mask").title = note;
  byId("download-overlay").title = hasTeeth && isBare ? "At 0 % there is no overlay to save." : note;
}

function point(fdi) {
  pointed = fdi ?? chart.focused; // the pointer may leave a tooth while another has the focus
  mark();
}

function pick(fdi) {
  picked = picked === fdi ? null : fdi;
  mark();
}

function mark() {
  picture.mark(pointed ?? picked);
  chart.mark(pointed ?? picked, picked);
}

function renumber() {
  chart.fill(answer, numbering());
  picture.number(numbering());
  if (answer) showCounts(answer, numbering());
  // The service draws no other numbers.
  byId("download-overlay").textContent = numbering() === "fdi" ? "Save overlay" : "Save overlay (FDI)";
  mark();
}

function showNumbers() {
  byId("picture").classList.toggle("bare", !byId("numbers").checked);
}

function showOpacity() {
  byId("picture").style.setProperty("--opacity", String(opacity.value / 100));
  byId("opacity-value").textContent = `${opacity.value} %`;
  opacity.setAttribute("aria-valuetext", `${opacity.value} %`);
  offerToSave();
}

function asSeen(file) {
  return overlay(file, opacity.value / 100);
}

async function saveImage(what, ask, ending) {
  const button = byId(`download-${what}`);
  if (button.ariaDisabled) return; // it is on its way
  const file = radiograph; // another may be chosen meanwhile
  clearProblem();
  button.focus(); // or it is lost with "Try again"
  button.ariaDisabled = "true";
  try {
    save(await ask(file), file, ending);
  } catch (fault) {
    if (file !== radiograph) return;
    explain(fault, { tryAgain: () => saveImage(what, ask, ending), title: `The ${what} could not be saved` });
  } finally {
    if (file === radiograph) button.ariaDisabled = null;
  }
}

function saveAnswer() {
  save(new Blob([JSON.stringify(answer, null, 2)], { type: "application/json" }), radiograph, "json");
}

function blobOf({ media_type: type, data }) {
  return new Blob([Uint8Array.from(atob(data), (character) => character.charCodeAt(0))], { type });
}
