"""On a phone and a tablet, in light and dark: nothing is beyond the edge, and nothing has to be scrolled sideways."""

from __future__ import annotations

from typing import Any

import pytest

from agbot.cli.demo_stories import ORG
from tests.browser.conftest import Running
from tests.browser.demo import FAILED, POLICY, SUSPECT, UNAPPROVED
from tests.browser.test_page import VIEWS

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


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 768])
def test_no_element_of_any_view_is_wider_than_the_screen(
    browser: Any, running: Running, width: int, scheme: str
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
    page, wide = context.new_page(), {}
    for path in VIEWS_OF_ALL_KINDS:
        page.goto(f"{running.url}{path}", wait_until="domcontentloaded")
        page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
        found = page.evaluate(BEYOND, width)
        if found:
            wide[path] = found
    context.close()

    assert wide == {}


@pytest.mark.parametrize("path", ["/groups", "/orders", f"/groups/{ORG}/{SUSPECT}", f"/nodes/{ORG}/{UNAPPROVED}-a"])
def test_on_a_phone_each_cell_of_a_table_has_the_heading_of_its_column(
    browser: Any, running: Running, path: str
) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.goto(f"{running.url}{path}", wait_until="domcontentloaded")
    found = page.evaluate(
        """() => [...document.querySelectorAll('tbody td:not(.none)')].filter(cell => cell.innerText.trim()).map(cell => {
          const column = cell.closest('table').querySelectorAll('thead th')[cell.cellIndex].innerText;
          const label = getComputedStyle(cell, '::before').content.replaceAll('"', '');
          return [label, column, cell.getBoundingClientRect().left < 40];
        })"""
    )
    context.close()

    assert found
    assert [each for each in found if each[0] != each[1] or not each[2]] == []


def test_an_open_disclosure_stays_open_when_the_view_is_read_again(browser: Any, running: Running) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.goto(f"{running.url}/nodes/{ORG}/{UNAPPROVED}-a", wait_until="domcontentloaded")
    page.wait_for_selector("#connection[data-state=live]")
    page.locator("details").first.locator("summary").press("Enter")
    assert page.locator("details").first.evaluate("each => each.open")

    page.evaluate("document.getElementById('rules').textContent = 'before'; htmx.trigger(document.body, 'resumed')")
    page.get_by_text("Every rule, those against it first").wait_for()

    assert page.locator("details").first.evaluate("each => each.open")
    context.close()
