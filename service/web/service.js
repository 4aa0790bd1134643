// Asks the service, and turns everything that can go wrong into one Problem.

const WORTH_TRYING_AGAIN = [0, 429, 500, 502, 503, 504];

/** What the service, or the way to it, says is wrong (RFC 9457): title, detail and what may help. */
export class Problem extends Error {
  constructor({ title, detail = "", status = 0, request_id: requestId = null }, retryAfterSeconds = null) {
    super(title);
    this.title = title;
    this.detail = detail;
    this.requestId = requestId;
    this.retryAfterSeconds = retryAfterSeconds;
    this.mayHelpToTryAgain = WORTH_TRYING_AGAIN.includes(status);
  }
}

/**
 * The answer to a radiograph.
 * @param {Blob} radiograph
 * @param {{withPicture: boolean, signal: AbortSignal}} options withPicture: also asks for the radiograph as a JPEG
 * @returns {Promise<{answer: Object, roundTripMs: number}>}
 * @throws {Problem}
 */
export async function segment(radiograph, { withPicture, signal }) {
  const query = withPicture ? "include=polygons,overlay&overlay_format=jpeg&opacity=0" : "include=polygons";
  const start = performance.now();
  const response = await post(`v1/segment?${query}`, radiograph, signal);
  const answer = await response.json();
  return { answer, roundTripMs: performance.now() - start };
}

/**
 * The mask of a radiograph, as a PNG of the radiograph's size.
 * @param {Blob} radiograph
 * @returns {Promise<Blob>}
 * @throws {Problem}
 */
export async function mask(radiograph) {
  const response = await post("v1/mask", radiograph);
  return response.blob();
}

async function post(path, body, signal) {
  let response;
  try {
    response = await fetch(path, { method: "POST", body, signal });
  } catch (fault) {
    if (fault.name === "AbortError") throw fault;
    throw new Problem({
      title: "No answer from the service",
      detail: "Check that panoseg is running and that this computer reaches it, then try again.",
    });
  }
  if (!response.ok) throw await problemOf(response);
  return response;
}

async function problemOf(response) {
  const retryAfter = Number(response.headers.get("Retry-After")) || null;
  const isProblem = response.headers.get("Content-Type")?.startsWith("application/problem+json");
  const said = isProblem
    ? await response.json()
    : { title: `Refused (${response.status})`, detail: whyNot(response.status), status: response.status };
  return new Problem(said, retryAfter);
}

/** panoseg itself always says what is wrong. */
function whyNot(status) {
  const limit = status === 413 ? " Its limit for uploads is too low: radiographs take up to 64 MB." : "";
  return `Something between this page and panoseg, such as a proxy, refused it.${limit}`;
}
