// Numbers, sizes and moments as people read them.

const COUNTS = [[1e12, "T"], [1e9, "B"], [1e6, "M"], [1e3, "K"]];
const BYTES = [[1e12, "TB"], [1e9, "GB"], [1e6, "MB"], [1e3, "kB"]];
const AGES = [[86400, "day"], [3600, "hour"], [60, "minute"], [1, "second"]];
const RELATIVE = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const MOMENT = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });
const CLOCK = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });
const WHOLE = new Intl.NumberFormat("en-US");

/** 1234567 is "1.23 M". */
export function count(value) {
  return scaled(value, COUNTS) ?? WHOLE.format(value);
}

/** Decimal units: 1234567 is "1.23 MB". */
export function bytes(value) {
  return scaled(value, BYTES) ?? `${WHOLE.format(value)} B`;
}

/** All digits: 1234567 is "1,234,567". */
export function whole(value) {
  return WHOLE.format(value);
}

/** Four significant digits, and never a long tail. */
export function figure(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  return size >= 1e-3 && size < 1e5 ? String(Number(value.toPrecision(4))) : value.toExponential(2);
}

export function percent(fraction) {
  return `${Math.floor(100 * fraction)} %`;
}

export function seconds(value) {
  if (value < 10) return `${value.toFixed(1)} s`;
  if (value < 60) return `${Math.round(value)} s`;
  const minutes = Math.floor(value / 60);
  if (minutes < 60) return `${minutes} min ${Math.round(value % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** "3 minutes ago". */
export function ago(moment) {
  const age = (Date.now() - Date.parse(moment)) / 1000;
  const [unit, name] = AGES.find(([size]) => age >= size) ?? [1, "second"];
  return RELATIVE.format(-Math.floor(Math.max(age, 0) / unit), name);
}

export function moment(text) {
  return MOMENT.format(new Date(text));
}

export function clock(text) {
  return CLOCK.format(new Date(text));
}

/** The last part of a URI, which tells one folder from its neighbours. */
export function lastPart(uri) {
  return uri.replace(/\/+$/, "").split("/").pop() || uri;
}

/** "num_hidden_layers" is "num hidden layers"; the first letter large where it begins a sentence. */
export function words(name) {
  const text = name.replaceAll("_", " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** Whether there is a value; the service says null for what there is none of. */
export function has(value) {
  return value !== null && value !== undefined;
}

/** With a space that no line is broken at. */
function scaled(value, units) {
  const found = units.find(([size]) => value >= size);
  return found && `${Number((value / found[0]).toPrecision(3))}\u00a0${found[1]}`;
}
