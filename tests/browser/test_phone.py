"""On a phone and a tablet, in light and dark: nothing is beyond the edge, and nothing has to be scrolled sideways."""

from __future__ import annotations

from itertools import product

import pytest

from agbot.cli.demo.stories import ORG
from tests.browser.conftest import Seat
from tests.browser.demo import FAILED, POLICY, SUSPECT, UNAPPROVED
from tests.browser.test_page import VIEWS

PHONE = {"width": 390, "height": 844}
VIEWS_OF_ALL_KINDS = (
    *VIEWS,
    "/groups?state=busy",
    f"/groups/{ORG}/{FAILED}",
    f"/nodes/{ORG}/{SUSPECT}-a",
    *(f"/act/{action}" for action in ("resume", "release", "allow", "approve", "lead")),
    f"/act/resume?scope={ORG}&subject={POLICY}&reason=x&step=confirm",
)
BEYOND = """width => [...document.querySelectorAll('body *')].filter(each => {
  const box = each.getBoundingClientRect(), style = getComputedStyle(each);
  const scrolls = ['auto', 'scroll'].includes(style.overflowX) && each.scrollWidth > each.clientWidth + 1;
  return box.width > 0 && box.left >= -1 && (box.right > width + 0.5 || scrolls);
}).map(each => each.outerHTML.slice(0, 120))"""
"""Every element that reaches beyond the width, or that has more inside than it shows."""


def test_no_element_of_any_view_is_wider_than_the_screen_however_wide_and_in_light_and_dark(seat: Seat) -> None:
    wide = {}
    for path in VIEWS_OF_ALL_KINDS:
        seat.open(path)
        seat.page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
        for scheme, width in product(("light", "dark"), (320, 390, 768)):
            seat.page.set_viewport_size({"width": width, "height": 844})
            seat.page.emulate_media(color_scheme=scheme)
            if found := seat.page.evaluate(BEYOND, width):
                wide[path, scheme, width] = found

    assert wide == {}


@pytest.mark.parametrize("path", ["/groups", "/orders", f"/groups/{ORG}/{SUSPECT}", f"/nodes/{ORG}/{UNAPPROVED}-a"])
def test_on_a_phone_each_cell_of_a_table_has_the_heading_of_its_column(seat: Seat, path: str) -> None:
    seat.page.set_viewport_size(PHONE)
    seat.open(path)
    found = seat.page.evaluate(
        """() => [...document.querySelectorAll('tbody td:not(.none)')].filter(cell => cell.innerText.trim()).map(cell => {
          const column = cell.closest('table').querySelectorAll('thead th')[cell.cellIndex].innerText;
          const label = getComputedStyle(cell, '::before').content.replaceAll('"', '');
          return [label, column, cell.getBoundingClientRect().left < 40];
        })"""
    )

    assert found
    assert [each for each in found if each[0] != each[1] or not each[2]] == []


def test_an_open_disclosure_stays_open_when_the_view_is_read_again(seat: Seat) -> None:
    page = seat.page
    page.set_viewport_size(PHONE)
    seat.open(f"/nodes/{ORG}/{UNAPPROVED}-a")
    seat.is_live()
    page.locator("details").first.locator("summary").press("Enter")
    assert page.locator("details").first.evaluate("each => each.open")

    page.evaluate("document.getElementById('rules').textContent = 'before'; htmx.trigger(document.body, 'resumed')")
    page.get_by_text("Every rule, those against it first").wait_for()

    assert page.locator("details").first.evaluate("each => each.open")
