// Saves what belongs to a radiograph under the radiograph's name.

/**
 * Hands a file to the browser's downloads.
 * @param {Blob} blob
 * @param {File} radiograph
 * @param {string} ending such as "mask.png"
 */
export function save(blob, radiograph, ending) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = `${radiograph.name.replace(/\.[^.]*$/, "")}.${ending}`;
  link.click();
  // The download reads the URL after this turn; a minute is enough for it to begin.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
