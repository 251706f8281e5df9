"""What mkdocs calls while it builds the site: made pages are added, and links that leave docs/ are made to lead on."""

import re
from pathlib import Path
from posixpath import normpath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from reference.commands import cli_page
from reference.endpoints import api_page

ROOT = Path(__file__).parents[1]
MADE = ("index.md", "api.md", "cli.md", "changelog.md", "security.md")
PAGES_OUTSIDE = {"README.md": "index.md", "CHANGELOG.md": "changelog.md", "SECURITY.md": "security.md"}
SHOWN = (".svg", ".png", ".yaml")
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)#\s]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The made pages, and the pictures and data that pages show from outside docs/."""
    made = {"api.md": api_page(ROOT / "openapi.yaml"), "cli.md": cli_page()}
    made |= {page: led_on((ROOT / name).read_text(encoding="utf-8"), "..") for name, page in PAGES_OUTSIDE.items()}
    for name, text in made.items():
        files.append(File.generated(config, name, content=text))
    for path in shown_from_outside(Path(config.docs_dir)):
        files.append(File.generated(config, path, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """A page of docs/ with the links that leave it led on."""
    name: str = page.file.src_uri
    return markdown if name in MADE else led_on(markdown, name.rpartition("/")[0])


def led_on(markdown: str, folder: str) -> str:
    """Text of a page in `folder` of docs/, its links made right for the site.

    What lies in docs/ and is a page is linked as it is; pictures and data from outside come from the site's own copies;
    what else lies in the repository is named, because a site has no place for it.
    """

    def link(found: re.Match[str]) -> str:
        image, text, target, anchor = found[1], found[2], found[3], found[4] or ""
        if "://" in target:
            return found[0]
        inside = normpath(f"docs/{folder}/{target}")
        to_root = "" if folder == ".." else "../" * len(folder.split("/")) if folder else ""
        if inside in PAGES_OUTSIDE:
            return f"{image}[{text}]({to_root}{PAGES_OUTSIDE[inside]}{anchor})"
        if inside.startswith("docs/") and (ROOT / inside).is_file():
            return f"{image}[{text}]({to_root}{inside.removeprefix('docs/')}{anchor})"
        if inside.endswith(SHOWN):
            return f"{image}[{text}]({to_root}{inside})"
        return text if text.strip("`").rstrip("/") == inside else f"{text} (`{inside}`)"

    return _LINK.sub(link, markdown)


def shown_from_outside(docs: Path) -> set[str]:
    """Paths in the repository of pictures and data that pages link to."""
    found = {"openapi.yaml"}
    for page in [*docs.rglob("*.md"), *(ROOT / name for name in PAGES_OUTSIDE)]:
        for _, _, target, _ in _LINK.findall(page.read_text(encoding="utf-8")):
            path = (page.parent / target).resolve()
            if target.endswith(SHOWN) and "://" not in target and not path.is_relative_to(docs):
                found.add(str(path.relative_to(ROOT)))
    return found
