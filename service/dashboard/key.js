// The API key of this tab: kept in session storage, sent as a header, never part of an address.

import { h, set, write } from "./dom.js";

const PLACE = "api-key";
let asking = null;

export function key() {
  return sessionStorage.getItem(PLACE);
}

/** Shows the dialog; resolves to whether a key was given. Calls at the same time share one dialog. */
export function askForKey(reason) {
  asking ??= open(reason).finally(() => {
    asking = null;
  });
  return asking;
}

/** The button that shows whether there is a key, and changes it. */
export function installKeyButton(button, onChange) {
  const show = () => write(button, key() ? "API key: set" : "API key");
  window.addEventListener("api-key", show);
  button.addEventListener("click", async () => {
    if (await askForKey()) onChange();
  });
  show();
}

function open(reason) {
  const input = h("input", { id: "key-input", type: "password", autocomplete: "off", spellcheck: "false", required: true });
  const cancel = h("button", { type: "button", class: "quiet" }, "Cancel");
  const forget = h("button", { type: "button", class: "quiet" }, "Forget the key");
  const form = h(
    "form",
    { method: "dialog" },
    h("h2", { id: "key-title" }, "API key"),
    h("p", { id: "key-reason" }, reason ?? "Each key sees its own jobs."),
    h("label", { for: "key-input" }, "Key"),
    input,
    h("p", { class: "hint" }, "Kept in this tab until it is closed, and sent to this service alone."),
    h("div", { class: "actions" }, h("button", { type: "submit", class: "primary" }, "Use this key"), key() && forget, cancel),
  );
  const dialog = h("dialog", { "aria-labelledby": "key-title", "aria-describedby": "key-reason" }, form);
  document.body.append(dialog);
  return new Promise((resolve) => {
    const end = (given) => {
      dialog.remove();
      window.dispatchEvent(new Event("api-key"));
      resolve(given);
    };
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const given = input.value.trim();
      // What can't stand in a header can't be a key.
      const usable = /^[\x21-\x7e]+$/.test(given);
      set(input, "aria-invalid", !usable && "true");
      if (!usable) return;
      sessionStorage.setItem(PLACE, given);
      end(true);
    });
    forget.addEventListener("click", () => {
      sessionStorage.removeItem(PLACE);
      end(true);
    });
    cancel.addEventListener("click", () => end(false));
    dialog.addEventListener("cancel", () => end(false));
    dialog.showModal();
  });
}
