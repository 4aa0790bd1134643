// By how much a picture that does not lie upright is turned to be looked at.

/**
 * The degrees clockwise that bring the upper teeth on top; 0 where they are, or where the teeth do not tell the way.
 * @param {Object} answer
 * @returns {number}
 */
export function degreesToUpright({ quality, teeth }) {
  const lies = (code) => quality.findings.some((finding) => finding.code === code);
  if (lies("upside-down")) return 180;
  if (!lies("sideways")) return 0;
  const upper = teeth.filter(({ fdi }) => fdi < 30);
  const lower = teeth.filter(({ fdi }) => fdi > 30);
  return upper.length && lower.length ? 90 * Math.sign(meanX(lower) - meanX(upper)) : 0;
}

function meanX(teeth) {
  return teeth.reduce((sum, { bbox: [x, , width] }) => sum + x + width / 2, 0) / teeth.length;
}
