"""The page in a real browser: every view and every action, live, by keyboard, on a phone, and for a screen reader.

All in one file, which one worker runs: browser and hub take 5 s of processor to begin.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from agbot.cli.demo.running import OPERATOR_TOKEN
from agbot.cli.demo.stories import ORG
from tests.browser.conftest import VENDOR, Running, Seat, new_context
from tests.browser.demo import ALLOWED, APPROVED, CLOSED, FAILED, NMP, POLICY, RELEASED, RESUMED, SUSPECT, UNAPPROVED
from tests.support.examples import some
from tests.support.tcp_proxy import TcpProxy

ROLLOUT = f"/rollouts/agent/{ORG}/{NMP}"
VIEWS = {
    "/": ("Needs a person", f"Suspect lease in {ORG}/{SUSPECT}", f"{POLICY} is stopped in"),
    "/rollouts": (POLICY, "failed", "suspect"),
    ROLLOUT: ("of 16 groups done", "Expected end", "an operator has to approve it", "no maintenance window is open"),
    f"{ROLLOUT}?standing=failed": (f"{ORG}/{FAILED}", "stopped in this group"),
    "/groups": (f"{ORG}/{SUSPECT}", "16 groups"),
    f"/groups/{ORG}/{SUSPECT}": ("It is not known how the upgrade of", "Upgrades over time", "holds the lease"),
    f"/groups/{ORG}/{UNAPPROVED}": ("has not been approved", "What helps"),
    f"/nodes/{ORG}/{UNAPPROVED}-a": ("Every rule, those against it first", "not-approved"),
    "/orders": ("Maintenance windows", "daily 23:58-23:59", "2 groups, such as", f"{ORG}/{FAILED}"),
    "/journal": ("may upgrade", "has ended: succeeded"),
    "/coordinators": ("leads", "It is the only one"),
    "/act/hold?scope=*": ("Hold upgrades", "Nothing happens yet"),
    "/act/hold?scope=*&reason=fair&step=confirm": ("What will happen", "Operator token"),
    "/act/explode": ("That did not work", "there is no action 'explode'"),
}


@pytest.mark.parametrize("path", VIEWS)
def test_every_view_shows_what_it_is_for_and_the_browser_has_no_complaint(seat: Seat, path: str) -> None:
    seat.open(path)

    shown = seat.text("body").lower()
    assert [each for each in VIEWS[path] if each.lower() not in shown] == []
    not_found = [each for each in seat.complaints if "404" not in each]
    assert not_found == []


@pytest.fixture(scope="module")
def axe(browser: Any) -> Iterator[Any]:
    """A page of a phone which runs scripts that the coordinator has not sent."""
    context = new_context(browser, viewport={"width": 390, "height": 844}, bypass_csp=True)
    yield context.new_page()
    context.close()


KINDS = [
    path
    for path in VIEWS
    if path not in {"/journal", "/rollouts", "/coordinators", f"{ROLLOUT}?standing=failed", "/act/explode"}
]
"""A view of each kind: axe takes a second of processor for each."""
DARK = [path for path in KINDS if path in {ROLLOUT, f"/groups/{ORG}/{SUSPECT}"} or "confirm" in path]
BARRIERS = "axe.run({resultTypes: ['violations']})"
"""What passes is found in any case, and to describe it is a third of the work."""
CONTRAST = "axe.run({runOnly: ['color-contrast'], resultTypes: ['violations']})"
"""All that is different in the dark."""


@pytest.mark.parametrize(
    ("scheme", "check", "path"),
    some([*(("light", BARRIERS, path) for path in KINDS), *(("dark", CONTRAST, path) for path in DARK)], every=4),
)
def test_a_view_has_no_barrier_that_axe_knows(axe: Any, running: Running, scheme: str, check: str, path: str) -> None:
    axe.emulate_media(color_scheme=scheme)
    axe.goto(f"{running.url}{path}", wait_until="domcontentloaded")
    axe.add_script_tag(path=str(VENDOR / "axe.min.js"))
    result = axe.evaluate(check)

    barriers = [f"{each['id']}: {each['nodes'][0]['html'][:120]}" for each in result["violations"]]
    assert barriers == []


def test_what_happens_is_shown_without_a_reload(seat: Seat) -> None:
    seat.open("/orders")
    seat.is_live()
    seat.page.evaluate("window.stays = true")

    reply = seat.page.request.post(
        f"{seat.url}/v1/holds",
        headers={"Authorization": f"Bearer {OPERATOR_TOKEN}"},
        data={"scope": f"{ORG}/shop-02", "reason": "seen at once"},
    )

    assert reply.ok
    seat.shows("seen at once")
    assert seat.page.evaluate("window.stays") is True


def test_the_focus_stays_on_the_same_thing_when_a_row_comes_before_it(seat: Seat) -> None:
    """Otherwise Enter, pressed at that moment, would open the action for another group."""
    hold = f"{seat.url}/v1/holds"
    headers = {"Authorization": f"Bearer {OPERATOR_TOKEN}"}
    seat.page.request.post(hold, headers=headers, data={"scope": f"{ORG}/shop-09", "reason": "was there before"})
    seat.open("/orders")
    seat.is_live()
    name = f"Resume group {ORG}/shop-09"
    seat.page.get_by_role("link", name=name).focus()

    seat.page.request.post(hold, headers=headers, data={"scope": f"{ORG}/shop-03", "reason": "comes before it"})
    seat.shows("comes before it")

    assert seat.page.evaluate("document.activeElement.getAttribute('aria-label')") == name
    assert f"{ORG}%2Fshop-09" in seat.page.evaluate("document.activeElement.href")


def test_a_script_that_arrives_late_does_not_keep_the_view_from_being_live(seat: Seat) -> None:
    held_back = []

    def late(route: Any) -> None:
        seat.page.wait_for_timeout(500)
        held_back.append(route.request.url)
        route.continue_()

    seat.page.route("**/vendor/hx-sse.min.js*", late)
    seat.open("/journal")

    seat.is_live()
    assert held_back


def test_after_a_lost_connection_the_stream_goes_on_where_it_was(seat: Seat, running: Running) -> None:
    """The event of the time without a connection comes by its id: the view is not reloaded."""
    proxy = running.run(TcpProxy(int(running.url.rpartition(":")[2])).__aenter__())
    seat.url = f"http://127.0.0.1:{proxy.port}"
    seat.open("/journal")
    seat.is_live()
    resumed: list[str | None] = []
    seat.page.on(
        "request",
        lambda request: resumed.append(request.headers.get("last-event-id")) if "/v1/events" in request.url else None,
    )
    note = f"{running.url}/v1/holds"
    headers = {"Authorization": f"Bearer {OPERATOR_TOKEN}"}
    seat.page.request.post(note, headers=headers, data={"scope": f"{ORG}/shop-04", "reason": "before the cut"})
    seat.shows("before the cut")

    proxy.is_refusing = True
    running.run(proxy.cut())
    seat.page.wait_for_selector("#connection[data-state=lost]")
    seat.page.request.post(note, headers=headers, data={"scope": f"{ORG}/shop-05", "reason": "during the cut"})
    proxy.is_refusing = False

    seat.is_live()
    seat.shows("during the cut")
    assert resumed[-1] is not None
    assert int(resumed[-1]) > 0
    running.run(proxy.__aexit__(None, None, None))


def test_a_view_that_cannot_be_shown_for_a_while_says_so_and_recovers_by_itself(seat: Seat) -> None:
    """As at a standby whose leader cannot be asked: the parts of both pages are the same."""
    seat.open("/orders")
    seat.is_live()
    error = seat.page.request.get(f"{seat.url}/groups/{ORG}/none")
    body = error.text().replace(f"/groups/{ORG}/none", "/orders")
    seat.page.route("**/orders", lambda route: route.fulfill(status=503, content_type="text/html", body=body))
    seat.page.evaluate("htmx.trigger(document.body, 'resumed')")
    seat.shows("That did not work")
    assert seat.page.locator("h1").count() == 1

    seat.page.unroute("**/orders")

    seat.shows("What operators have ordered")
    assert seat.page.locator("h1").all_inner_texts() == ["Holds and windows"]


def test_a_page_that_was_opened_when_nothing_could_be_shown_becomes_live(seat: Seat) -> None:
    error = seat.page.request.get(f"{seat.url}/groups/{ORG}/none")
    body = error.text().replace(f"/groups/{ORG}/none", "/orders")
    seat.page.route("**/orders", lambda route: route.fulfill(status=503, content_type="text/html", body=body))
    seat.open("/orders")
    seat.shows("That did not work")

    seat.page.unroute("**/orders")

    seat.is_live()
    assert seat.page.locator("h1").all_inner_texts() == ["Holds and windows"]


def test_one_read_that_fails_does_not_leave_the_page_as_lost_while_the_stream_goes_on(seat: Seat) -> None:
    seat.open("/orders")
    seat.is_live()
    seat.page.route("**/orders", lambda route: route.abort())
    seat.page.evaluate("htmx.trigger(document.body, 'resumed')")
    seat.shows("Connection lost, trying again")

    seat.page.unroute("**/orders")
    seat.page.evaluate("htmx.trigger(document.body, 'resumed')")

    seat.is_live()


def test_a_page_whose_events_are_refused_says_that_it_is_not_live_until_it_is(seat: Seat) -> None:
    """As while the store cannot be read: it showed that it was connecting for as long as that lasted."""
    refusal = '{"error": {"tried": "", "problem": "", "next": ""}}'
    seat.page.route(
        "**/v1/events*", lambda route: route.fulfill(status=503, content_type="application/json", body=refusal)
    )
    seat.open("/orders")
    seat.shows("Not live, trying again")

    seat.page.unroute("**/v1/events*")

    seat.is_live()


ACTIONS = {
    "hold": (f"/groups/{ORG}/shop-01", "Hold this group…", "Hold", f"{ORG}/shop-01 is on hold"),
    "resume": ("/orders", f"Resume {POLICY} in {ORG}/{RESUMED}", "Resume", f"{POLICY} may go on in {ORG}/{RESUMED}"),
    "release": (f"/groups/{ORG}/{RELEASED}", "Release the lease…", "Release", f"released {ORG}/{RELEASED}"),
    "allow": (f"/nodes/{ORG}/{ALLOWED}-a", "Allow one upgrade…", "Allow", f"{ORG}/{ALLOWED}-a may begin"),
    "approve": (f"/groups/{ORG}/{APPROVED}", "Approve…", "Approve", f"{POLICY}, as it is published now, may begin"),
}


@pytest.mark.parametrize("action", some(ACTIONS, every=3))
def test_an_action_is_confirmed_and_then_done(seat: Seat, action: str) -> None:
    path, link, button, done = ACTIONS[action]
    seat.open(path)
    seat.page.get_by_role("link", name=link).first.click()
    seat.page.get_by_label("Reason").fill("tried in a browser")
    seat.page.get_by_role("button", name="Continue").click()
    seat.shows("What will happen")
    seat.page.get_by_label("Operator token").fill("wrong")
    seat.page.get_by_role("button", name=button, exact=True).click()
    seat.shows("the operator token is wrong")

    seat.page.get_by_label("Operator token").fill(OPERATOR_TOKEN)
    seat.page.get_by_role("button", name=button, exact=True).click()

    seat.shows("It is in the journal, with the reason.")
    assert done.lower() in seat.text().lower()


def test_an_action_needs_no_mouse(seat: Seat) -> None:
    seat.open("/")
    keys, focus = seat.page.keyboard, "document.activeElement.innerText"
    keys.press("Tab")
    assert seat.page.evaluate("document.activeElement.className") == "skip"
    keys.press("Enter")
    for _ in range(60):
        keys.press("Tab")
        assert seat.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
        if seat.page.evaluate(focus) == "Hold the whole fleet…":
            break
    keys.press("Enter")
    seat.page.wait_for_selector("#reason:focus")
    keys.type("by keyboard")
    keys.press("Enter")

    seat.shows("No new upgrade begins in the whole fleet")


def test_a_table_is_filtered_as_one_types_and_keeps_the_focus(seat: Seat) -> None:
    seat.open("/groups")
    field = seat.page.locator(".filter input[name=find]")
    field.press_sequentially(UNAPPROVED)

    seat.page.locator(".filter input[name=find]:focus").wait_for()
    seat.page.get_by_text("1 group", exact=True).wait_for()
    assert f"{ORG}/{UNAPPROVED}" in seat.text("#live")
    assert seat.page.evaluate("document.activeElement.name") == "find"
    assert f"find={UNAPPROVED}" in seat.page.url


def test_a_group_is_found_in_a_rollout_as_one_types_while_the_view_is_live(seat: Seat) -> None:
    seat.open(ROLLOUT)
    seat.is_live()
    field = seat.page.locator("#filter input[name=find]")
    field.press_sequentially(UNAPPROVED)
    seat.page.get_by_text("1 group", exact=True).wait_for()
    seat.page.locator("#filter select").select_option("done")
    seat.page.get_by_text("0 groups", exact=True).wait_for()
    seat.page.locator("#filter select").select_option("waiting")
    seat.page.get_by_text("1 group", exact=True).wait_for()

    assert f"find={UNAPPROVED}&standing=waiting" in seat.page.url
    assert field.input_value() == UNAPPROVED


def test_without_scripts_every_view_and_form_still_works(browser: Any, running: Running) -> None:
    context = new_context(browser, java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{running.url}/groups")
    page.locator(".filter input[name=find]").fill(CLOSED)
    page.get_by_role("button", name="Filter").click()
    assert page.locator("#live tbody tr").count() == 1
    page.goto(f"{running.url}/act/hold?scope={ORG}")
    page.get_by_label("Reason").fill("no scripts")
    page.get_by_role("button", name="Continue").click()

    assert "What will happen" in page.inner_text("main")
    context.close()


PHONE = {"width": 390, "height": 844}
SCREENS = [(320, "light"), (320, "dark"), (390, "dark"), (390, "light"), (768, "light"), (768, "dark")]
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


@pytest.mark.parametrize("screens", some([SCREENS[::2], SCREENS[1::2]], every=2))
def test_no_element_of_any_view_is_wider_than_the_screen_however_wide_and_in_light_and_dark(
    seat: Seat, screens: list[tuple[int, str]]
) -> None:
    wide = {}
    for path in VIEWS_OF_ALL_KINDS:
        seat.open(path)
        seat.page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
        for width, scheme in screens:
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
