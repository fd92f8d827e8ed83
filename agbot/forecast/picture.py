"""Draws a forecast as one SVG without scripts, fonts or links, in light and dark. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from html import escape
from typing import Final

from agbot.console.page.drawing import WIDTH, Axis, axis
from agbot.forecast.course import Course, GroupCourse
from agbot.rules.words import count, span

_LEFT: Final = 190.0
_RIGHT: Final = 30.0
_PANEL: Final = 130.0
_GAP: Final = 58.0
_TOP: Final = 100.0
_MOST_NAMED: Final = 60
"""So many groups have a row with their name; more have a thin line each."""
_ROW: Final = 15.0
_ROWS: Final = 640.0
_STYLE: Final = """
svg{background:#fff;color:#1c2733;font:13px system-ui,sans-serif}
text{fill:currentColor}.small{font-size:11px;opacity:.75}.title{font-size:18px;font-weight:600}.head{font-weight:600}
.grid{stroke:currentColor;opacity:.15}.begun{fill:#9db8e8;opacity:.6}.done{fill:#2f6fd0}
.line{fill:none;stroke:#1d7f54;stroke-width:2}.low{fill:none;stroke:#b3541e;stroke-width:2}
.bar{fill:#2f6fd0}.left{fill:#c0392b}
@media(prefers-color-scheme:dark){svg{background:#141b22;color:#dfe6ee}.begun{fill:#4a6fae}.done,.bar{fill:#6fa1f2}
.line{stroke:#4fc28d}.low{stroke:#e59256}.left{fill:#ef7f73}}
"""


def draw(course: Course, title: str) -> str:
    """Return the drawing as a file."""
    over = axis(course.begins_at, _end(course), least=timedelta(minutes=1))
    rows, row = _rows(course.groups)
    height = _TOP + 2 * (_PANEL + _GAP) + rows + 44.0
    parts = [
        f'<text class="title" x="{_LEFT}" y="30">{escape(title)}</text>',
        f'<text x="{_LEFT}" y="50">{escape(_summary(course))}</text>',
        *_groups_panel(course, over, _TOP),
        *_available_panel(course, over, _TOP + _PANEL + _GAP),
        *_rows_panel(course, over, _TOP + 2 * (_PANEL + _GAP), row, rows),
    ]
    width = _LEFT + WIDTH + _RIGHT
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" role="img">'
    return "\n".join([head, f"<title>{escape(title)}</title>", f"<style>{_STYLE}</style>", *parts, "</svg>\n"])


def _end(course: Course) -> datetime:
    """Return the right edge: some time after the last end."""
    span = course.ends_at - course.begins_at
    return course.ends_at + max(span / 40, timedelta(minutes=1))


def _summary(course: Course) -> str:
    blocked = f", of which {len(course.blocked)} cannot end" if course.blocked else ""
    lasts = span((course.ends_at - course.begins_at).total_seconds())
    return f"{count(len(course.groups), 'group')}{blocked}; the last upgrade ends {course.ends_at:%Y-%m-%d %H:%M} UTC, after {lasts}"


def _groups_panel(course: Course, over: Axis, top: float) -> Iterable[str]:
    most = max(len(course.groups), 1)
    begun = _steps([(each.begins_at, 1) for each in course.groups], over, most, top)
    done = _steps([(each.ends_at, 1) for each in course.groups], over, most, top)
    floor = f"{_LEFT + WIDTH:.1f},{top + _PANEL:.1f} {_LEFT:.1f},{top + _PANEL:.1f}"
    yield from _frame(over, top, "Groups begun and done", str(most))
    yield f'<polygon class="begun" points="{begun} {floor}"/>'
    yield f'<polygon class="done" points="{done} {floor}"/>'


def _available_panel(course: Course, over: Axis, top: float) -> Iterable[str]:
    most = max((point.available for point in course.points), default=0) or 1
    low = course.lowest
    yield from _frame(over, top, "Members available", str(most))
    yield f'<polyline class="line" points="{_levels([(p.at, p.available) for p in course.points], over, most, top)}"/>'
    x, y = _LEFT + over.x(low.at), top + _PANEL * (1 - low.available / most)
    anchor = "end" if over.x(low.at) > WIDTH / 2 else "start"
    fewest = min(point.lowest for point in course.points)
    yield f'<circle class="left" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
    text = f"lowest: {low.available} of {most}; in one group: {fewest}"
    yield f'<text x="{x + (-10 if anchor == "end" else 10):.1f}" y="{y + 18:.1f}" text-anchor="{anchor}">{text}</text>'


def _rows(groups: Sequence[GroupCourse]) -> tuple[float, float]:
    """Return the height of all rows, and of one."""
    row = _ROW if len(groups) <= _MOST_NAMED else _ROWS / len(groups)
    return row * len(groups), row


def _rows_panel(course: Course, over: Axis, top: float, row: float, rows: float) -> Iterable[str]:
    yield from _frame(over, top, "Each group", height=rows)
    for number, each in enumerate(course.groups):
        y = top + number * row
        if row == _ROW:
            name = each.group if len(each.group) < 26 else f"{each.group[:24]}…"  # noqa: PLR2004 - what has room
            yield f'<text class="small" x="{_LEFT - 8}" y="{y + 11:.1f}" text-anchor="end">{escape(name)}</text>'
        # a group that never begins or never ends reaches to the edge, in the colour of those left
        begins = over.x(each.begins_at) if each.begins_at else 0.0
        ends = over.x(each.ends_at) if each.ends_at else WIDTH
        style, thick = ("left" if each.left else "bar"), max(row * 0.7, 0.5)
        yield (
            f'<rect class="{style}" x="{_LEFT + begins:.1f}" y="{y + row * 0.15:.2f}" width="{max(ends - begins, 1.5):.1f}" '
            f'height="{thick:.2f}"><title>{escape(each.group)}</title></rect>'
        )


def _frame(over: Axis, top: float, head: str, most: str = "", height: float = _PANEL) -> Iterable[str]:
    yield f'<text class="head" x="{_LEFT}" y="{top - 12:.1f}">{head}</text>'
    yield f'<text class="small" x="{_LEFT - 8}" y="{top + 8:.1f}" text-anchor="end">{most}</text>'
    if most:
        yield f'<text class="small" x="{_LEFT - 8}" y="{top + height:.1f}" text-anchor="end">0</text>'
    for edge in (top, top + height):
        yield f'<line class="grid" x1="{_LEFT}" x2="{_LEFT + WIDTH}" y1="{edge:.1f}" y2="{edge:.1f}"/>'
    for tick in over.ticks():
        x = _LEFT + tick.x
        yield f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{top:.1f}" y2="{top + height:.1f}"/>'
        yield f'<text class="small" x="{x:.1f}" y="{top + height + 16:.1f}" text-anchor="middle">{tick.text}</text>'


def _steps(changes: Iterable[tuple[datetime | None, int]], over: Axis, most: int, top: float) -> str:
    """Return the points of a line that rises from zero."""
    total, levels = 0, [(over.begins, 0)]
    for at, by in sorted((at, by) for at, by in changes if at is not None):
        total += by
        levels.append((at, total))
    return _levels(levels, over, most, top)


def _levels(levels: Sequence[tuple[datetime, int]], over: Axis, most: int, top: float) -> str:
    """Return the points of a stepped line; of several steps at one place, lowest and highest."""
    at_place: dict[float, list[int]] = {}
    for at, level in levels:
        at_place.setdefault(over.x(at), []).append(level)
    # a fleet has thousands of steps and the drawing some hundred places: the extremes of a place
    # must not be lost, because the lowest point is what it is looked at for
    points, last = list[tuple[float, int]](), levels[0][1] if levels else 0
    for x, found in at_place.items():
        points += [(x, each) for each in (last, min(found), max(found), found[-1])]
        last = found[-1]
    points.append((WIDTH, last))
    return " ".join(f"{_LEFT + x:.1f},{top + _PANEL * (1 - level / most):.1f}" for x, level in points)
