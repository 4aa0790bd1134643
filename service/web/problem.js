// Shows what went wrong: what the service says, and a way on where there is one.

import { byId, html } from "./dom.js";

/**
 * Shows a problem above everything else.
 * @param {import("./service.js").Problem} problem
 * @param {Object} ways
 * @param {function(): void} ways.dismiss takes it away
 * @param {function(): void} [ways.tryAgain]
 * @param {string} [ways.title] what could not be done, where that is not what the problem itself says
 * @param {string} [ways.fileName] the file that it is about, where no other part of the page names it
 */
export function showProblem(problem, { dismiss, tryAgain, title = problem.title, fileName = "" }) {
  const detail = title === problem.title ? problem.detail : `${problem.title}. ${problem.detail}`;
  const parts = [html("h2", {}, title), html("p", {}, detail)];
  if (fileName) parts.splice(1, 0, html("p", { class: "file" }, fileName));
  const buttons = [button("Close", dismiss)];
  if (problem.mayHelpToTryAgain) {
    const wait = problem.retryAfterSeconds ? ` (best in ${problem.retryAfterSeconds} s)` : "";
    buttons.unshift(button(`Try again${wait}`, tryAgain));
  }
  parts.push(html("p", { class: "buttons" }, ...buttons));
  if (problem.mayHelpToTryAgain && problem.requestId) {
    parts.push(html("small", {}, `For support: request ${problem.requestId}`));
  }
  byId("problem").replaceChildren(...parts);
}

/** Takes the problem away. */
export function clearProblem() {
  byId("problem").replaceChildren();
}

function button(words, act) {
  const element = html("button", { type: "button" }, words);
  element.addEventListener("click", act);
  return element;
}
