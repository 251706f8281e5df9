// Builds elements. What users wrote becomes text and nothing else: no string here is ever read as markup.

/**
 * An element with attributes, listeners (`on`) and children.
 * Attributes and children that are null, undefined or false are left out; strings become text.
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    } else {
      set(element, name, value);
    }
  }
  element.append(...present(children));
  return element;
}

/** Sets an attribute, or removes it where the value is null, undefined or false. */
export function set(element, name, value) {
  if (value === null || value === undefined || value === false) element.removeAttribute(name);
  else element.setAttribute(name, value === true ? "" : String(value));
}

/** Replaces all children, as `h` would add them. */
export function fill(element, ...children) {
  element.replaceChildren(...present(children));
  return element;
}

/** Changes an element's text only where it differs, so that nothing is announced or selected anew. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Text in which what stands between backticks is code. */
export function prose(text) {
  return text.split("`").map((part, place) => (place % 2 ? h("code", {}, part) : part));
}

/** Tells screen readers, politely; the same sentence twice is told once. */
export function announce(sentence) {
  write(document.getElementById("live"), sentence);
}

let numbers = 0;

/** An id that no other element has. */
export function newId(stem) {
  numbers += 1;
  return `${stem}-${numbers}`;
}

function present(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
}
