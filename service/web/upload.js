// Takes a radiograph in: chosen, dropped anywhere on the page, or pasted.

import { byId } from "./dom.js";

/**
 * Calls `take` with each radiograph that comes in.
 * @param {function(File): void} take
 */
export function onRadiograph(take) {
  const input = byId("file");
  for (const id of ["choose", "choose-another"]) byId(id).addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    if (input.files.length) take(input.files[0]);
    input.value = ""; // so that the same file can be chosen once more
  });

  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("dragging");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.body.classList.remove("dragging");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dragging");
    if (event.dataTransfer.files.length) take(event.dataTransfer.files[0]);
  });
  document.addEventListener("paste", (event) => {
    if (event.clipboardData.files.length) take(event.clipboardData.files[0]);
  });
}

/**
 * Whether browsers show this picture as it is: PNG of 8 bits, JPEG or BMP, told by its first bytes.
 * A PNG of 16 bits they do show, but nearly black where a sensor filled 12 of them.
 * @param {Blob} radiograph
 * @returns {Promise<boolean>}
 */
export async function browserShows(radiograph) {
  const head = new Uint8Array(await radiograph.slice(0, 32).arrayBuffer());
  const startsWith = (...bytes) => bytes.every((byte, index) => head[index] === byte);
  if (startsWith(0x89, 0x50, 0x4e, 0x47)) return head[24] <= 8;
  return startsWith(0xff, 0xd8, 0xff) || startsWith(0x42, 0x4d);
}
