"""A browser that lets no mistake of a page pass: errors, breaches of its policy, requests that leave the service."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Dialog, Page, Playwright, Request

WAIT_MS = 60_000
WIDE = {"width": 1280, "height": 900}
NARROW = {"width": 360, "height": 740}
SECRET = "0123456789abcdef0123456789abcdef"
# Told by the page itself, because not every breach is an error on its console.
_TELL_BREACHES = """
document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`breach of ${event.violatedDirective} by ${event.blockedURI}`));
"""
_OPEN_ALL = "() => document.querySelectorAll('details').forEach((details) => { details.open = true; })"
_WIDTHS = "() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]"


def launch(playwright: Playwright, executable: str) -> Browser:
    """Chromium without a window, in which every name but the loopback's is unknown."""
    arguments = ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
    # Root has no sandbox in Chromium.
    arguments += ["--no-sandbox"] if os.geteuid() == 0 else []
    return playwright.chromium.launch(executable_path=executable, args=arguments)


@dataclass
class Visit:
    """A page of the dashboard at `url`, and what it did wrong so far."""

    page: Page
    url: str
    wrong: list[str] = field(default_factory=list)

    def open(self, place: str = "#/") -> Page:
        """Goes to a place of the dashboard, and reloads where only what is behind the `#` changes."""
        self.page.goto("about:blank")
        self.page.goto(f"{self.url}/{place}")
        return self.page

    def check_narrow(self) -> None:
        """On a phone, with all opened that can be opened, nothing is wider than the page; stays as narrow."""
        self.page.set_viewport_size(NARROW)  # type: ignore[arg-type]
        self.page.evaluate(_OPEN_ALL)
        needed, there = self.page.evaluate(_WIDTHS)
        assert needed <= there == NARROW["width"], f"{needed} px on a page of {there}"


@contextmanager
def visit(browser: Browser, url: str, *, scheme: str = "light") -> Iterator[Visit]:
    """A visit with nothing kept from others; at its end there must have been nothing wrong."""
    context = browser.new_context(
        viewport=WIDE,  # type: ignore[arg-type]
        color_scheme=scheme,  # type: ignore[arg-type]
        locale="en-GB",
        timezone_id="UTC",
        reduced_motion="reduce",
    )
    try:
        yield (visiting := _watched(context, url))
        assert visiting.wrong == []
    finally:
        context.close()


def _watched(context: BrowserContext, url: str) -> Visit:
    context.set_default_timeout(WAIT_MS)
    context.add_init_script(_TELL_BREACHES)
    visiting = Visit(context.new_page(), url)
    page, wrong = visiting.page, visiting.wrong

    def on_request(request: Request) -> None:
        if request.url != "about:blank" and not request.url.startswith(f"{url}/"):
            wrong.append(f"request to {request.url}")
        if SECRET in request.url:
            wrong.append("the key stands in an address")

    def on_dialog(dialog: Dialog) -> None:
        wrong.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def on_console(said: ConsoleMessage) -> None:
        # Refused requests are told there too, and are what many a test is about.
        if said.type == "error" and "the server responded with a status" not in said.text:
            wrong.append(said.text)

    page.on("request", on_request)
    page.on("dialog", on_dialog)
    page.on("console", on_console)
    page.on("pageerror", lambda error: wrong.append(f"{error}\n{error.stack}"))
    return visiting


def shoot(page: Page, path: Path, *, whole: bool = True) -> None:
    """A picture of the whole page at `path`, or of what is in view."""
    path.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=path, full_page=whole, animations="disabled")


def make_small(path: Path) -> None:
    """Takes a picture down to few colours, of which it has no more anyway."""
    with Image.open(path) as image:
        image.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
            path, optimize=True
        )
