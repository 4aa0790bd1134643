// Asks the service, and turns everything that can go wrong into one Problem.

const WORTH_TRYING_AGAIN = [0, 429, 500, 502, 503, 504];
const NO_ANSWER = 0; // the status of what never came
const PATIENCE_MS = 60_000; // the service gives up sooner, and says so
const SLOWEST_BYTES_PER_MS = 250; // 2 Mbit/s: a slow network gets time of its own to carry the radiograph

const JSON_ANSWER = { type: "application/json", read: (response) => response.json() };
const IMAGE = { type: "image/", read: (response) => response.blob() };

// Where the service's own sentence is for whoever wrote the program that asks.
const PLAIN_WORDS = {
  "urn:panoseg:problem:empty-upload": {
    title: "The file is empty",
    detail: "There is nothing in it; export the radiograph once more and choose the new file.",
  },
};

/** What the service, or the way to it, says is wrong (RFC 9457): title, detail and what may help. */
export class Problem extends Error {
  constructor({ title, detail = "", status, request_id: requestId = null }, retryAfterSeconds = null) {
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
  const answer = await post(`v1/segment?${query}`, radiograph, JSON_ANSWER, signal);
  return { answer, roundTripMs: performance.now() - start };
}

/**
 * The mask of a radiograph, as a PNG of the radiograph's size.
 * @param {Blob} radiograph
 * @returns {Promise<Blob>}
 * @throws {Problem}
 */
export function mask(radiograph) {
  return post("v1/mask", radiograph, IMAGE);
}

/**
 * The radiograph with its teeth in colour and their FDI numbers, as a JPEG of its size.
 * @param {Blob} radiograph
 * @param {number} opacity of the colours, 0..1
 * @returns {Promise<Blob>}
 * @throws {Problem}
 */
export function overlay(radiograph, opacity) {
  return post(`v1/overlay?format=jpeg&opacity=${opacity}`, radiograph, IMAGE);
}

async function post(path, body, wanted, given = new AbortController().signal) {
  const late = AbortSignal.timeout(PATIENCE_MS + Math.round(body.size / SLOWEST_BYTES_PER_MS));
  const signal = AbortSignal.any([given, late]);
  try {
    // The service redirects nobody; a login that stands before it may.
    const response = await fetch(path, { method: "POST", body, signal, redirect: "manual" });
    if (response.ok && isOf(response, wanted.type)) return await wanted.read(response);
    throw await problemOf(response);
  } catch (fault) {
    given.throwIfAborted();
    if (fault instanceof Problem) throw fault;
    if (late.aborted) throw tooLate();
    throw fault instanceof SyntaxError ? notPanoseg() : noAnswer();
  }
}

async function problemOf(response) {
  if (isOf(response, "application/problem+json")) {
    const said = await response.json();
    return new Problem({ ...said, ...PLAIN_WORDS[said.type] }, Number(response.headers.get("Retry-After")) || null);
  }
  const { status } = response;
  if (response.ok || response.type === "opaqueredirect" || status === 401 || status === 403) {
    return notPanoseg();
  }
  return new Problem({ title: `Refused (${status})`, detail: whyNot(status), status });
}

function isOf(response, mediaType) {
  return response.headers.get("Content-Type")?.startsWith(mediaType);
}

/** panoseg itself always says what is wrong. */
function whyNot(status) {
  const limit = status === 413 ? " Its limit for uploads is too low: radiographs take up to 64 MB." : "";
  return `Something between this page and panoseg, such as a proxy, refused it.${limit}`;
}

function tooLate() {
  return new Problem({
    title: "No answer for more than a minute",
    detail:
      "The network may be too slow for a file of this size, or the service is overloaded; try again, and restart " +
      "panoseg if other files get no answer either.",
    status: NO_ANSWER,
  });
}

function noAnswer() {
  return new Problem({
    title: "No answer from the service",
    detail: "Check that panoseg is running and that this computer reaches it, then try again.",
    status: NO_ANSWER,
  });
}

function notPanoseg() {
  return new Problem({
    title: "What answered was not panoseg",
    detail: "A login that stands before it may have ended; reload this page and sign in.",
  });
}
