// The 32 permanent teeth: their places in a dental chart, their numbers, their names and what is known of each.

/** FDI numbers as a chart shows them, the patient's right on the left. */
export const UPPER_JAW = [18, 17, 16, 15, 14, 13, 12, 11, 21, 22, 23, 24, 25, 26, 27, 28];
export const LOWER_JAW = [48, 47, 46, 45, 44, 43, 42, 41, 31, 32, 33, 34, 35, 36, 37, 38];

const QUADRANTS = { 1: "upper right", 2: "upper left", 3: "lower left", 4: "lower right" };
const NAMES = {
  1: "central incisor",
  2: "lateral incisor",
  3: "canine",
  4: "first premolar",
  5: "second premolar",
  6: "first molar",
  7: "second molar",
  8: "third molar",
};

/**
 * The number that a tooth goes by in a numbering, "fdi" or "universal".
 * @param {number} fdi
 * @param {string} numbering
 * @returns {string}
 */
export function numberIn(numbering, fdi) {
  if (numbering === "fdi") return String(fdi);
  const upper = UPPER_JAW.indexOf(fdi);
  // Universal numbers run back along the lower jaw, from the patient's left to right.
  return String(upper >= 0 ? upper + 1 : 32 - LOWER_JAW.indexOf(fdi));
}

/**
 * What a numbering is called, such as "FDI numbers".
 * @param {string} numbering
 * @returns {string}
 */
export function nameOfNumbering(numbering) {
  return numbering === "fdi" ? "FDI numbers" : "Universal numbers";
}

/**
 * The tooth's name, such as "lower left first molar".
 * @param {number} fdi
 * @returns {string}
 */
export function nameOf(fdi) {
  return `${QUADRANTS[Math.floor(fdi / 10)]} ${NAMES[fdi % 10]}`;
}

/**
 * "incisor", "canine", "premolar" or "molar".
 * @param {number} fdi
 * @returns {string}
 */
export function kindOf(fdi) {
  return NAMES[fdi % 10].split(" ").at(-1);
}

/**
 * Whether an answer is of a picture that is no panoramic, so that its teeth say nothing.
 * @param {Object} answer
 * @returns {boolean}
 */
export function cannotBeRead(answer) {
  return answer.quality.findings.some(({ code }) => code === "not-a-panoramic");
}

/**
 * The FDI numbers of the missing teeth: those that are plainly missing, and those that are perhaps there, since a tooth
 * beside them is uncertain and may bear the wrong number.
 * @param {Object} answer
 * @returns {{plainly: number[], perhaps: number[]}}
 */
export function missingFrom({ missing, missing_uncertain: perhaps = [] }) {
  return { plainly: missing.filter((fdi) => !perhaps.includes(fdi)), perhaps };
}

/**
 * What an answer says of one tooth: "present", "uncertain", "missing", "perhaps-missing", or "unknown" without an
 * answer or where the picture cannot be read.
 * @param {?Object} answer
 * @param {number} fdi
 * @returns {{state: string, words: string}}
 */
export function stateOf(answer, fdi) {
  if (!answer) return { state: "unknown", words: "no answer yet" };
  if (cannotBeRead(answer)) return { state: "unknown", words: "not known: this picture cannot be read" };
  const tooth = answer.teeth.find((each) => each.fdi === fdi);
  if (!tooth && missingFrom(answer).perhaps.includes(fdi)) {
    return { state: "perhaps-missing", words: "perhaps missing: a neighbouring tooth is uncertain" };
  }
  if (!tooth) return { state: "missing", words: "missing: not found on this picture" };
  // To ten-thousandths, as it is sent, since 100 * 0.29 is less than 29; then down, so that nothing is called certain.
  const percent = `${Math.floor(Math.round(1e4 * tooth.confidence) / 100)} %`;
  return tooth.uncertain
    ? { state: "uncertain", words: `uncertain (${percent}): number or outline may be wrong` }
    : { state: "present", words: `found, ${percent} sure` };
}
