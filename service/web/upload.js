// Takes a radiograph in: chosen, dropped anywhere on the page, or pasted.

import { byId } from "./dom.js";
import { Problem } from "./service.js";

const NO_FILE = { title: "That is no radiograph", detail: "Drop or paste a file or a picture, not text or a link." };
const SEVERAL = { title: "One radiograph at a time", detail: "Choose or drop a single file." };

/**
 * Calls `take` with each radiograph that comes in.
 * @param {function(File): void} take
 * @param {function(Problem): void} refuse told why what came in is not taken
 */
export function onRadiograph(take, refuse) {
  const only = (files) => {
    if (files.length === 1) take(files[0]);
    else refuse(new Problem(files.length ? SEVERAL : NO_FILE));
  };
  const input = byId("file");
  for (const id of ["choose", "choose-another"]) byId(id).addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    only(input.files);
    input.value = ""; // so that the same file can be chosen once more
  });

  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.toggle("dragging", event.dataTransfer.types.includes("Files"));
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.body.classList.remove("dragging");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dragging");
    only(event.dataTransfer.files);
  });
  document.addEventListener("paste", (event) => only(event.clipboardData.files));
}

/**
 * A file as it is now: capture software may write over the one on the disk while the page still needs it.
 * @param {File} file
 * @returns {Promise<File>}
 * @throws {Problem} where it is gone, or is a folder
 */
export async function inMemory(file) {
  try {
    return new File([await file.arrayBuffer()], file.name);
  } catch {
    throw new Problem({
      title: "The file can no longer be read",
      detail: "It was changed or moved, or it is a folder; choose it again.",
    });
  }
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
