// The radiograph with the teeth drawn over it, numbered; a tooth can be pointed at.

import { cannotBeRead, kindOf, numberIn } from "./dentition.js";
import { byId, svg } from "./dom.js";
import { degreesToUpright } from "./turn.js";

const ROOM = 20; // in pixels of the screen: as wide must half of the teeth be for most numbers not to touch

export class Picture {
  #figure = byId("picture");
  #image = byId("radiograph");
  #toothWidth = 0; // the median, in pixels of the radiograph
  #overlay = svg("svg", { "aria-hidden": "true", preserveAspectRatio: "xMidYMid meet" });

  /**
   * @param {function(?number): void} onPoint told the FDI number of the tooth under the pointer, or null
   * @param {function(number): void} onPick told the FDI number of a tooth that is clicked
   */
  constructor(onPoint, onPick) {
    this.#figure.append(this.#overlay);
    const toothAt = (event) => Number(event.target.closest("[data-fdi]")?.dataset.fdi) || null;
    this.#overlay.addEventListener("pointerover", (event) => onPoint(toothAt(event)));
    this.#overlay.addEventListener("pointerleave", () => onPoint(null));
    this.#overlay.addEventListener("click", (event) => {
      if (toothAt(event)) onPick(toothAt(event));
    });
    new ResizeObserver(() => this.#keepTextSize()).observe(this.#overlay);
  }

  /**
   * Shows a picture without teeth, or an empty frame for null.
   * @param {?Blob} picture
   * @returns {Promise<boolean>} false where the browser cannot show it
   */
  async show(picture) {
    this.#overlay.replaceChildren();
    URL.revokeObjectURL(this.#image.src);
    this.#image.removeAttribute("src");
    this.#image.alt = "The radiograph, before its teeth are found.";
    this.#turn(0);
    if (!picture) return false;
    this.#image.src = URL.createObjectURL(picture);
    try {
      await this.#image.decode();
    } catch {
      return false;
    }
    this.#keepShape(this.#image.naturalWidth, this.#image.naturalHeight);
    return true;
  }

  /**
   * Draws an answer's teeth.
   * @param {Object} answer
   * @param {string} numbering
   */
  draw(answer, numbering) {
    const { width, height } = answer.image;
    this.#turn(degreesToUpright(answer));
    this.#keepShape(width, height);
    this.#overlay.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const teeth = cannotBeRead(answer) ? [] : answer.teeth.filter((tooth) => tooth.polygons.length);
    this.#overlay.replaceChildren(svg("g", {}, ...teeth.map(shape)), svg("g", {}, ...teeth.map(label)));
    this.number(numbering);
    this.#image.alt = cannotBeRead(answer)
      ? "The picture, which cannot be read: no teeth are outlined."
      : `Panoramic radiograph with ${teeth.length} teeth outlined; the dental chart lists them.`;
    this.#toothWidth = medianWidth(teeth);
    this.#keepTextSize();
  }

  /**
   * Writes the teeth's numbers in a numbering.
   * @param {string} numbering
   */
  number(numbering) {
    for (const text of this.#overlay.querySelectorAll("text")) {
      const doubt = text.classList.contains("uncertain") ? "?" : "";
      text.textContent = numberIn(numbering, Number(text.dataset.fdi)) + doubt;
    }
  }

  /**
   * Marks one tooth, or none.
   * @param {?number} fdi
   */
  mark(fdi) {
    for (const each of this.#overlay.querySelectorAll("[data-fdi]")) {
      each.classList.toggle("marked", Number(each.dataset.fdi) === fdi);
    }
  }

  #turn(degrees) {
    this.#figure.style.setProperty("--turn", `${degrees}deg`);
    this.#figure.classList.toggle("on-its-side", Math.abs(degrees) === 90);
  }

  #keepShape(width, height) {
    const isOnItsSide = this.#figure.classList.contains("on-its-side");
    this.#figure.style.setProperty("--shape", isOnItsSide ? `${height} / ${width}` : `${width} / ${height}`);
  }

  // The overlay's unit is a pixel of the radiograph; numbers are to be read, yet fit on a lower incisor. Where they
  // cannot, only the marked tooth has its number.
  #keepTextSize() {
    const { a, b } = this.#overlay.getScreenCTM() ?? { a: 0, b: 0 };
    const scale = Math.hypot(a, b); // whichever way the picture is turned
    if (!scale) return;
    const shownWidth = this.#toothWidth * scale;
    const isNarrow = shownWidth < ROOM;
    this.#figure.classList.toggle("narrow", isNarrow);
    byId("numbers").disabled = isNarrow;
    const textSize = Math.min(15, Math.max(10, shownWidth / 2.4));
    this.#overlay.style.setProperty("--text-size", `${textSize / scale}px`);
  }
}

function medianWidth(teeth) {
  const widths = teeth.map(({ bbox: [, , width, height] }) => Math.min(width, height)).sort((a, b) => a - b);
  return widths[Math.floor(widths.length / 2)] ?? 0;
}

function shape(tooth) {
  const d = tooth.polygons.map((ring) => `M${ring.map((point) => point.join(" ")).join("L")}Z`).join("");
  return svg("path", { d, class: `shape ${kindOf(tooth.fdi)} ${certainty(tooth)}`, "data-fdi": String(tooth.fdi) });
}

function label(tooth) {
  const [x, y] = centroid(tooth.polygons.reduce((most, ring) => (area(ring) > area(most) ? ring : most)));
  return svg("text", { x: x.toFixed(1), y: y.toFixed(1), class: certainty(tooth), "data-fdi": String(tooth.fdi) });
}

function certainty({ uncertain }) {
  return uncertain ? "uncertain" : "present";
}

function area(ring) {
  return Math.abs(sumOverEdges(ring, (cross) => cross)) / 2;
}

function centroid(ring) {
  const twiceArea = sumOverEdges(ring, (cross) => cross);
  if (!twiceArea) return ring[0]; // a ring one pixel wide
  const along = (axis) => sumOverEdges(ring, (cross, a, b) => (a[axis] + b[axis]) * cross) / (3 * twiceArea);
  return [along(0), along(1)];
}

function sumOverEdges(ring, term) {
  return ring.reduce((sum, a, index) => {
    const b = ring[(index + 1) % ring.length];
    return sum + term(a[0] * b[1] - b[0] * a[1], a, b);
  }, 0);
}
