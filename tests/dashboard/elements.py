"""What pages show, found as a person finds it: by what it is and what it is called."""

import re

from playwright.sync_api import Locator, Page


def rows(page: Page) -> Locator:
    """The jobs in the list."""
    return page.get_by_role("list", name="Jobs", exact=True).locator("> li")


def badge(page: Page, status: str) -> Locator:
    return page.locator(f".heading .badge[data-status={status}]")


def text_field(page: Page, name: str) -> Locator:
    return page.get_by_role("textbox", name=name, exact=True)


def options(page: Page) -> Locator:
    """What opens the options of the chosen method."""
    return page.get_by_text(re.compile(r"^\d+ options?$"))
