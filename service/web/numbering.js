// The numbering that is chosen, remembered for the next time.

const REMEMBERED_AS = "panoseg-numbering";

/**
 * The numbering that is chosen.
 * @returns {string} "fdi" or "universal"
 */
export function numbering() {
  return document.querySelector("[name=numbering]:checked").value;
}

/**
 * Chooses the numbering of the last time, and calls `tell` whenever another is chosen.
 * @param {function(): void} tell
 */
export function onNumbering(tell) {
  for (const radio of document.getElementsByName("numbering")) {
    radio.checked = radio.checked || radio.value === recall();
    radio.addEventListener("change", () => {
      remember(radio.value);
      tell();
    });
  }
}

function recall() {
  try {
    return localStorage.getItem(REMEMBERED_AS);
  } catch {
    return null; // where the browser keeps nothing
  }
}

function remember(value) {
  try {
    localStorage.setItem(REMEMBERED_AS, value);
  } catch {
    // It is only chosen again.
  }
}
