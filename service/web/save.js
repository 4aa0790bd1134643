// Saves what belongs to a radiograph under the radiograph's name.

// Others are part of the name: a DICOM file is often called by a UID, such as 1.2.840.113619.2.5, with no ending.
const ENDING = /\.(png|jpe?g|tiff?|bmp|dcm|dicom)$/i;

/**
 * Hands a file to the browser's downloads.
 * @param {Blob} blob
 * @param {File} radiograph
 * @param {string} ending such as "mask.png"
 */
export function save(blob, radiograph, ending) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = `${radiograph.name.replace(ENDING, "")}.${ending}`;
  link.click();
  // The download reads the URL after this turn; a minute is enough for it to begin.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
