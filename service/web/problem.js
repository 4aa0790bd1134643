// Shows what went wrong: what the service says, and a way on where there is one.

import { byId, html } from "./dom.js";

/**
 * Shows a problem above everything else.
 * @param {import("./service.js").Problem} problem
 * @param {function(): void} tryAgain
 * @param {string} title what could not be done, where that is not what the problem itself says
 */
export function showProblem(problem, tryAgain, title = problem.title) {
  const detail = title === problem.title ? problem.detail : `${problem.title}. ${problem.detail}`;
  const parts = [html("h2", {}, title), html("p", {}, detail)];
  if (problem.mayHelpToTryAgain) {
    const wait = problem.retryAfterSeconds ? ` (best in ${problem.retryAfterSeconds} s)` : "";
    const button = html("button", { type: "button" }, `Try again${wait}`);
    button.addEventListener("click", tryAgain);
    parts.push(button);
    if (problem.requestId) parts.push(html("small", {}, `For support: request ${problem.requestId}`));
  }
  byId("problem").replaceChildren(...parts);
}

/** Takes the problem away. */
export function clearProblem() {
  byId("problem").replaceChildren();
}
