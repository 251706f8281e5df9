// Which page is shown: the part of the address behind the `#` says it.

import { offers } from "./api.js";
import { announce, fill, h, set } from "./dom.js";
import { installKeyButton } from "./key.js";
import { showJob } from "./pages/job.js";
import { showJobs } from "./pages/jobs.js";
import { showNew } from "./pages/new.js";
import { failure } from "./parts/failure.js";

const PAGES = [
  { pattern: /^\/$/, title: "Jobs", show: showJobs },
  { pattern: /^\/jobs\/([^/]+)$/, title: "Job", show: showJob },
  { pattern: /^\/new$/, title: "New job", show: showNew },
];
const LINKS = [
  { href: "#/", text: "Jobs" },
  { href: "#/new", text: "New job" },
];

const main = document.getElementById("main");
let shown = new AbortController();

/** Leaves the page that is shown, and shows the one that the address names. */
async function show({ first = false } = {}) {
  shown.abort();
  shown = new AbortController();
  const { signal } = shown;
  const [path, query] = (location.hash.slice(1) || "/").split("?");
  const page = PAGES.find(({ pattern }) => pattern.test(path)) ?? PAGES[0];
  const [, ...names] = page.pattern.exec(path) ?? [];
  title(page.title);
  markLink(path);
  const content = h("div", { class: "page" });
  fill(main, content);
  try {
    await page.show({
      content,
      names: names.map(decodeURIComponent),
      query: new URLSearchParams(query),
      signal,
      title,
      // A reload starts at the top, as everywhere; a page that was asked for here starts at its heading.
      ready: () => first || content.querySelector("h1")?.focus(),
    });
  } catch (error) {
    if (signal.aborted) return;
    if (error.problem || error.constructor.name === "Silent") fill(content, failure(error));
    else throw error;
  }
}

function title(text) {
  document.title = `${text} · Model growth`;
}

function markLink(path) {
  for (const link of document.querySelectorAll("#nav a")) {
    set(link, "aria-current", link.getAttribute("href") === `#${path}` && "page");
  }
}

function installSkipLink() {
  // The address behind the `#` is the page's, so the link moves the focus itself.
  document.getElementById("skip").addEventListener("click", (event) => {
    event.preventDefault();
    main.focus();
  });
}

fill(document.getElementById("nav"), LINKS.map(({ href, text }) => h("li", {}, h("a", { href }, text))));
installSkipLink();
installKeyButton(document.getElementById("key"), () => show());
window.addEventListener("hashchange", () => show());
show({ first: true });
