"""Boxes, arrows and words as one SVG file, that follows the reader's light or dark page and needs nothing else."""

from collections.abc import Sequence
from html import escape
from math import atan2, cos, sin

STYLE = """
  svg { --paper: #ffffff; --ink: #1f2933; --soft: #5b6875; --line: #7b8794; --box: #f3f5f8; --strong: #e3edff;
        --accent: #2557c9; --warm: #fff1dc; }
  @media (prefers-color-scheme: dark) {
    svg { --paper: #1b2028; --ink: #e6ebf1; --soft: #a3afbd; --line: #8592a1; --box: #262d38; --strong: #23365c;
          --accent: #8fb4ff; --warm: #45351c; }
  }
  text { font: 13px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; fill: var(--ink); }
  .title { font-weight: 600; }
  .soft { fill: var(--soft); font-size: 12px; }
  .code { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: 11.5px; }
  .step { fill: var(--accent); font-weight: 600; font-size: 12px; }
  .paper { fill: var(--paper); }
  .plain { fill: var(--box); stroke: var(--line); }
  .strong { fill: var(--strong); stroke: var(--accent); }
  .warm { fill: var(--warm); stroke: var(--line); }
  .line { fill: none; stroke: var(--line); stroke-width: 1.4; }
  .thin { fill: none; stroke: var(--line); stroke-dasharray: 3 4; }
  .head { fill: var(--line); }
  .halo { fill: var(--paper); }
"""
LINE_HEIGHT = 17
CHARACTER_WIDTH = 6.3
"""Of the soft lines, on average; a label's ground is as wide as its words by this."""
HEAD_LENGTH, HEAD_HALF_WIDTH = 8.0, 4.0
Point = tuple[float, float]


class Drawing:
    """What is drawn later lies above what was drawn before; lengths are pixels, y points down."""

    def __init__(self, width: int, height: int, title: str) -> None:
        self._size = width, height
        self._title = title
        self._parts: list[str] = []

    def box(
        self, x: float, y: float, width: float, height: float, title: str = "", *lines: str, kind: str = "plain"
    ) -> None:
        """A box with its title at the top and lines below; a line in backquotes is code."""
        self._parts.append(f'<rect class="{kind}" x="{x}" y="{y}" width="{width}" height="{height}" rx="7"/>')
        if title:
            self.text(x + width / 2, y + 21, title, kind="title", anchor="middle")
        for number, line in enumerate(lines, start=1):
            self.text(x + width / 2, y + 21 + LINE_HEIGHT * number, line, kind="soft", anchor="middle")

    def frame(self, x: float, y: float, width: float, height: float) -> None:
        """A dashed edge around what belongs together."""
        self._parts.append(f'<rect class="thin" x="{x}" y="{y}" width="{width}" height="{height}" rx="7"/>')

    def text(self, x: float, y: float, text: str, *, kind: str = "", anchor: str = "start") -> None:
        if text.startswith("`") and text.endswith("`"):
            text, kind = text.strip("`"), f"{kind} code"
        self._parts.append(
            f'<text class="{kind.strip()}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(text)}</text>'
        )

    def arrow(self, *points: Point, label: str = "", at: Point | None = None, kind: str = "line") -> None:
        """A line through the points with a head at the last; `at` is the middle of the label's base."""
        path = "M" + " L".join(f"{x:g} {y:g}" for x, y in points)
        self._parts.append(f'<path class="{kind}" d="{path}"/>')
        self._parts.append(_head(points[-2], points[-1]))
        if label:
            (x0, y0), (x1, y1) = points[0], points[-1]
            self.label(*(at or ((x0 + x1) / 2, (y0 + y1) / 2 - 6)), label)

    def label(self, x: float, y: float, *lines: str, kind: str = "soft") -> None:
        """Words on the paper's own ground, so that a line below them does not cross them."""
        width = max(map(len, lines)) * CHARACTER_WIDTH + 6
        height = LINE_HEIGHT * len(lines) - 1
        self._parts.append(
            f'<rect class="halo" x="{x - width / 2:g}" y="{y - 13:g}" width="{width:g}" height="{height}"/>'
        )
        for number, line in enumerate(lines):
            self.text(x, y + LINE_HEIGHT * number, line, kind=kind, anchor="middle")

    def mark(self, x: float, y: float, text: str) -> None:
        """A number in a circle."""
        self._parts.append(f'<circle class="warm" cx="{x:g}" cy="{y:g}" r="10"/>')
        self.text(x, y + 4, text, kind="step", anchor="middle")

    def line(self, *points: Point, kind: str = "line") -> None:
        path = "M" + " L".join(f"{x:g} {y:g}" for x, y in points)
        self._parts.append(f'<path class="{kind}" d="{path}"/>')

    def svg(self) -> str:
        width, height = self._size
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img">',
                f"<title>{escape(self._title)}</title>",
                f"<style>{STYLE}</style>",
                f'<rect class="paper" width="{width}" height="{height}" rx="10"/>',
                *self._parts,
                "</svg>\n",
            ]
        )


def _head(start: Point, end: Point) -> str:
    """An arrow's head, a triangle whose tip is the end."""
    turn = atan2(end[1] - start[1], end[0] - start[0])
    corners: Sequence[Point] = ((0, 0), (-HEAD_LENGTH, HEAD_HALF_WIDTH), (-HEAD_LENGTH, -HEAD_HALF_WIDTH))
    turned = [(end[0] + x * cos(turn) - y * sin(turn), end[1] + x * sin(turn) + y * cos(turn)) for x, y in corners]
    return '<polygon class="head" points="' + " ".join(f"{x:.1f},{y:.1f}" for x, y in turned) + '"/>'
