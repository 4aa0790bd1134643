// The chairside page: takes a radiograph in, asks the service, and shows the answer.

import { Chart } from "./chart.js";
import { byId } from "./dom.js";
import { Picture } from "./picture.js";
import { clearProblem, showProblem } from "./problem.js";
import { mask, Problem, segment } from "./service.js";
import { clearTimings, showTimings } from "./timings.js";
import { browserShows, onRadiograph } from "./upload.js";
import { showBusy, showVerdict } from "./verdict.js";

let radiograph = null; // the file on show
let answer = null; // and what the service said of it
let asking = new AbortController();
let pointed = null; // the tooth under the pointer or the focus
let picked = null; // the tooth that stays marked

const picture = new Picture(point, pick);
const chart = new Chart(point, pick);
const opacity = byId("opacity");

onRadiograph(take);
for (const radio of document.getElementsByName("numbering")) radio.addEventListener("change", showNumbers);
opacity.addEventListener("input", showOpacity);
byId("numbers").addEventListener("change", (event) => byId("picture").classList.toggle("bare", !event.target.checked));
byId("download-mask").addEventListener("click", downloadMask);
byId("download-json").addEventListener("click", downloadAnswer);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") pick(null);
});
showNumbers();
showOpacity();

async function take(file) {
  asking.abort(); // whoever chooses another picture no longer waits for the last one
  asking = new AbortController();
  const { signal } = asking;
  radiograph = file;
  answer = null;
  beBusy();
  try {
    const showable = await browserShows(file);
    signal.throwIfAborted();
    const shown = picture.show(showable ? file : null);
    let reply = await segment(file, { withPicture: !showable, signal });
    // Some JPEGs look like others and are not shown, such as arithmetically coded ones.
    if (showable && !(await shown)) reply = await segment(file, { withPicture: true, signal });
    signal.throwIfAborted();
    if (reply.answer.overlay) await picture.show(blobOf(reply.answer.overlay));
    signal.throwIfAborted();
    present(reply);
  } catch (fault) {
    if (signal.aborted) return;
    fail(fault);
  }
}

function beBusy() {
  clearProblem();
  clearTimings();
  showBusy();
  chart.fill(null, numbering());
  byId("description").textContent = "";
  byId("picture").setAttribute("aria-busy", "true");
  enter("busy", "Finding the teeth.");
}

function present({ answer: { overlay, ...rest }, roundTripMs }) {
  answer = rest;
  pointed = picked = null;
  picture.draw(answer, numbering());
  chart.fill(answer, numbering());
  showTimings(answer.timings_ms, roundTripMs);
  const { image, model } = answer;
  byId("description").textContent = `${image.width} × ${image.height}, ${image.format.toUpperCase()}, ${image.bits_stored} bit`;
  byId("model").textContent = `Model ${model.name}, version ${model.version}, ${model.precision} on ${model.provider}`;
  enter("done", showVerdict(answer));
}

function fail(fault) {
  explain(fault, () => take(radiograph));
  picture.show(null);
  enter("problem", "");
}

function explain(fault, tryAgain) {
  const unforeseen = { title: "The page could not show the answer", detail: String(fault) };
  showProblem(fault instanceof Problem ? fault : new Problem(unforeseen), tryAgain);
}

function enter(state, status) {
  const focused = document.activeElement;
  document.body.dataset.state = state;
  if (state !== "busy") byId("picture").removeAttribute("aria-busy");
  for (const id of ["download-mask", "download-json"]) byId(id).disabled = state !== "done";
  byId("status").textContent = status;
  // What had the focus may have gone; the keyboard goes on where the next radiograph is chosen.
  if (!focused.checkVisibility()) byId(state === "problem" ? "choose" : "choose-another").focus();
}

function point(fdi) {
  pointed = fdi;
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

function numbering() {
  return document.querySelector("[name=numbering]:checked").value;
}

function showNumbers() {
  chart.fill(answer, numbering());
  picture.number(numbering());
  mark();
}

function showOpacity() {
  byId("picture").style.setProperty("--opacity", String(opacity.value / 100));
  byId("opacity-value").textContent = `${opacity.value} %`;
  opacity.setAttribute("aria-valuetext", `${opacity.value} %`);
}

async function downloadMask() {
  clearProblem();
  const file = radiograph; // another may be chosen while the mask is on its way
  try {
    save(await mask(file), file, "mask.png");
  } catch (fault) {
    explain(fault, downloadMask); // the answer stays on show
  }
}

function downloadAnswer() {
  save(new Blob([JSON.stringify(answer, null, 2)], { type: "application/json" }), radiograph, "json");
}

function save(blob, file, ending) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = `${file.name.replace(/\.[^.]*$/, "")}.${ending}`;
  link.click();
  // The download reads the URL after this turn; a minute is enough for it to begin.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

function blobOf({ media_type: type, data }) {
  return new Blob([Uint8Array.from(atob(data), (character) => character.charCodeAt(0))], { type });
}
