// The dental chart: a grid of 32 teeth with one tab stop, walked with the arrow keys.

import { kindOf, LOWER_JAW, nameOf, nameOfNumbering, numberIn, stateOf, UPPER_JAW } from "./dentition.js";
import { byId, html, svg } from "./dom.js";

const JAWS = [
  { name: "Upper jaw", teeth: UPPER_JAW },
  { name: "Lower jaw", teeth: LOWER_JAW },
];
const HINT = matchMedia("(hover: none)").matches
  ? "Tap a tooth to read about it."
  : "Point at a tooth, or use the arrow keys.";

export class Chart {
  #buttons = new Map();

  /**
   * @param {function(?number): void} onPoint told the FDI number of the tooth pointed at or focused, or null
   * @param {function(number): void} onPick told the FDI number of a tooth that is clicked or entered
   */
  constructor(onPoint, onPick) {
    const table = byId("teeth");
    for (const jaw of JAWS) {
      const cells = jaw.teeth.map((fdi) => html("td", {}, this.#button(fdi)));
      const name = html("th", { scope: "row" }, html("span", { class: "visually-hidden" }, jaw.name));
      table.append(html("tr", {}, name, ...cells));
    }
    this.#tabStop(UPPER_JAW[0]);

    const toothAt = (event) => Number(event.target.closest("button")?.dataset.fdi) || null;
    table.addEventListener("pointerover", (event) => onPoint(toothAt(event)));
    table.addEventListener("pointerleave", () => onPoint(null));
    table.addEventListener("focusin", (event) => {
      this.#tabStop(toothAt(event));
      onPoint(toothAt(event));
    });
    table.addEventListener("focusout", () => onPoint(null));
    table.addEventListener("click", (event) => {
      if (toothAt(event)) onPick(toothAt(event));
    });
    table.addEventListener("keydown", (event) => {
      if (event.altKey || event.ctrlKey || event.metaKey) return; // the browser's own, such as Alt+Left to go back
      const next = neighbour(toothAt(event), event.key);
      if (!next) return;
      event.preventDefault(); // or the page scrolls as well
      this.#buttons.get(next).focus();
    });
  }

  /**
   * The FDI number of the tooth that has the focus, or null.
   * @returns {?number}
   */
  get focused() {
    return Number(document.activeElement.dataset.fdi) || null;
  }

  /**
   * Shows what an answer says of each tooth; null empties the chart.
   * @param {?Object} answer
   * @param {string} numbering
   */
  fill(answer, numbering) {
    byId("chart-title").textContent = `Dental chart, ${nameOfNumbering(numbering)}`;
    for (const [fdi, button] of this.#buttons) {
      const { state, words } = stateOf(answer, fdi);
      const number = numberIn(numbering, fdi);
      button.dataset.state = state;
      button.setAttribute("aria-label", `${number}, ${nameOf(fdi)}, ${words}`);
      button.querySelector("span").textContent = number;
    }
    this.mark(null, null);
  }

  /**
   * Marks one tooth, or none, and says what is known of it.
   * @param {?number} fdi
   * @param {?number} picked the tooth that stays marked
   */
  mark(fdi, picked) {
    for (const [each, button] of this.#buttons) {
      button.classList.toggle("marked", each === fdi);
      button.setAttribute("aria-pressed", String(each === picked));
    }
    byId("tooth-detail").textContent = this.#buttons.get(fdi)?.getAttribute("aria-label") ?? HINT;
  }

  #button(fdi) {
    const shape = svg("use", { href: `#tooth-${kindOf(fdi)}` });
    const strike = svg("path", { class: "strike", d: "M4 40L28 4" });
    const tooth = svg("svg", { "aria-hidden": "true", viewBox: "0 0 32 44" }, shape, strike);
    const attributes = { type: "button", tabindex: "-1", class: kindOf(fdi), "data-fdi": String(fdi) };
    const button = html("button", attributes, tooth, html("span"));
    this.#buttons.set(fdi, button);
    return button;
  }

  #tabStop(fdi) {
    for (const [each, button] of this.#buttons) button.tabIndex = each === fdi ? 0 : -1;
  }
}

function neighbour(fdi, key) {
  const row = JAWS.findIndex((jaw) => jaw.teeth.includes(fdi));
  const jaw = JAWS[row].teeth;
  const column = jaw.indexOf(fdi);
  switch (key) {
    case "ArrowLeft":
      return jaw[column - 1];
    case "ArrowRight":
      return jaw[column + 1];
    case "ArrowUp":
      return JAWS[row - 1]?.teeth[column];
    case "ArrowDown":
      return JAWS[row + 1]?.teeth[column];
    case "Home":
      return jaw[0];
    case "End":
      return jaw.at(-1);
    default:
      return undefined;
  }
}
