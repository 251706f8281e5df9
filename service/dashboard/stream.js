// A job's events as they happen. Not EventSource, which can't send a key.

import { call, jobPath, Refused } from "./api.js";

const FIRST_WAIT_SECONDS = 1;
const LONGEST_WAIT_SECONDS = 15;

/**
 * Every event of a job, from its first to its last; comes back after a broken connection to where it was.
 * `ended` is asked, when the service closes the stream, whether that was because the job has ended.
 * Throws Refused; AbortError once aborted.
 */
export async function* follow(id, ended, signal) {
  let last = null;
  let wait = FIRST_WAIT_SECONDS;
  for (;;) {
    try {
      const headers = { Accept: "text/event-stream", ...(last && { "Last-Event-ID": last }) };
      const response = await call(jobPath(id, "/events"), { headers, signal });
      for await (const message of messages(response.body)) {
        wait = FIRST_WAIT_SECONDS;
        last = message.id || last;
        yield JSON.parse(message.data);
      }
      if (await ended()) return;
    } catch (error) {
      if (signal.aborted || (error instanceof Refused && error.status < 500)) throw error;
    }
    await pause(wait, signal);
    wait = Math.min(2 * wait, LONGEST_WAIT_SECONDS);
  }
}

/** Resolves after so many seconds; rejects once aborted. */
export function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, 1000 * seconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}

/** The messages of a body in the event stream format of the HTML standard, section 9.2. */
async function* messages(body) {
  let message = { id: "", data: [] };
  for await (const line of lines(body)) {
    const [, name, value] = /^([^:]*):? ?(.*)$/s.exec(line);
    if (line === "") {
      if (message.data.length) yield { id: message.id, data: message.data.join("\n") };
      message = { id: message.id, data: [] };
    } else if (name === "data") {
      message.data.push(value);
    } else if (name === "id") {
      message.id = value;
    }
  }
}

async function* lines(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const parts = (rest + value).split(/\r?\n/);
      rest = parts.pop();
      yield* parts;
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}
