// The service's API: one function that calls it, with the key of this tab where one was given.

import { askForKey, key } from "./key.js";

// Relative, so that the page also works below a path that a proxy puts before it.
const BASE = new URL(".", document.baseURI);

/** What the service refused, as RFC 9457 problem details tell it. */
export class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail ?? `The service answered with status ${status}.`);
    this.status = status;
    this.problem = problem;
  }
}

/** The service, or the way to it, did not answer. */
export class Silent extends Error {
  constructor() {
    super("The service does not answer; this page tries again by itself.");
  }
}

/** The response to a call. Asks for a key where one is needed. Throws Refused, Silent; AbortError once aborted. */
export async function call(path, { method = "GET", body, headers = {}, signal } = {}) {
  for (;;) {
    const sent = { ...headers };
    if (key()) sent.Authorization = `Bearer ${key()}`;
    if (body !== undefined) sent["Content-Type"] = "application/json";
    const response = await reach(path, { method, headers: sent, body: body && JSON.stringify(body), signal });
    if (response.ok) return response;
    const problem = await response.json().catch(() => ({}));
    if (response.status !== 401 || !(await askForKey(problem.detail))) throw new Refused(response.status, problem);
  }
}

/** The JSON that a call is answered with. */
export async function json(path, options) {
  return (await call(path, options)).json();
}

const fetched = new Map();

/** As `json`, asked for once and kept: what does not change while the service runs. */
export function fixed(path) {
  if (!fetched.has(path)) {
    const answer = json(path);
    answer.catch(() => fetched.delete(path));
    fetched.set(path, answer);
  }
  return fetched.get(path);
}

/** Whether the service has this route; older and newer ones differ. */
export async function offers(path, method = "post") {
  return method in ((await fixed("openapi.json")).paths[path] ?? {});
}

/** The path of a job, or of what is below it. */
export function jobPath(id, below = "") {
  return `jobs/${encodeURIComponent(id)}${below}`;
}

async function reach(path, options) {
  try {
    return await fetch(new URL(path, BASE), { ...options, cache: "no-store", credentials: "omit", redirect: "error" });
  } catch (error) {
    throw error.name === "AbortError" ? error : new Silent();
  }
}
