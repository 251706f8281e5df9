// What a job's events add up to: its attempts, the stages of each, the curves, and what is worth listing.

/** Fed with events one after the other; also knows what a result tells of curves that events no longer hold. */
export class Story {
  constructor() {
    this.attempts = [];
    this.curves = { pretraining: new Map(), fit: new Map() };
    this.listed = [];
    this.last = null;
  }

  add(event) {
    this.last = event;
    const { kind, data } = event;
    if (kind in this.curves) {
      this.curves[kind].set(data.step, data);
      return;
    }
    if (kind === "status") this.#moved(event);
    if (kind === "stage") this.attempt(event.attempt).stages.push({ stage: data.stage, at: event.at });
    // Of a trial its measurements are points of its curve, and only its ends and beginnings are news.
    if (kind !== "progress" && !(kind === "trial" && "step" in data)) this.listed.push(event);
  }

  /** The attempt of this number, made where it is not known yet. */
  attempt(number) {
    let found = this.attempts.find((attempt) => attempt.number === number);
    if (!found) {
      found = { number, started: null, ended: null, worker: null, outcome: "", stages: [] };
      this.attempts.push(found);
    }
    return found;
  }

  /** Points of a curve by step, from a result where there is one. */
  points(kind, report) {
    const curve = new Map(this.curves[kind]);
    for (const point of report?.curve ?? []) curve.set(point.step, point);
    return [...curve.values()].sort((one, other) => one.step - other.step);
  }

  #moved({ attempt: number, at, data }) {
    // An event of the queue before the first attempt carries number 0.
    if (number === 0) return;
    const attempt = this.attempt(number);
    if (data.status === "running") {
      attempt.started = at;
      attempt.worker = data.worker ?? null;
    } else {
      attempt.ended ??= at;
      attempt.outcome = data.status === "queued" ? (data.reason ?? "released") : data.status;
    }
  }
}
