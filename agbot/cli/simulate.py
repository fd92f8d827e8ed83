"""`agbot simulate`: how a rollout would go on a real hub, by the rules in the settings."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from agbot.cli import options, settings_file, simulate_shown, times
from agbot.cli.failure import Exit, Failure, unwritable
from agbot.cli.simulate_hub import Source, read_file, read_hub
from agbot.cli.simulate_shown import Forecast, Progress
from agbot.forecast import following, picture, rests, snapshot
from agbot.forecast.durations import Durations, durations
from agbot.forecast.following import Following
from agbot.forecast.running import Running
from agbot.forecast.snapshot import Snapshot
from agbot.rules.ids import OrgId, PolicyId
from agbot.rules.lease import Kind
from agbot.rules.limits import LimitsOf
from agbot.rules.nearest import did_you_mean
from agbot.settings.document import variable_of
from agbot.settings.load import Loaded
from agbot.settings.model import Settings
from agbot.settings.scopes import limits_of

_NAMED: Final = 5
_File = click.Path(path_type=Path, dir_okay=False, readable=False)
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Given:
    """The command line."""

    source: str | None
    nmp: str | None
    policy: str | None
    config: Path | None
    duration: float | None
    service_duration: float | None
    approved: bool
    save: Path | None
    drawing: Path | None
    org: str | None
    url: str
    as_json: bool

    @property
    def is_of_file(self) -> bool:
        """Whether the hub comes from a snapshot."""
        return self.source is not None and "://" not in self.source


def _seconds(_ctx: click.Context, option: click.Parameter, given: str | None) -> float | None:
    if given is None:
        return None
    found = times.duration(given)
    if not found:
        raise click.BadParameter(f"{given!r} is not a duration such as 90s, 5m, 1h or 2d.", param=option)
    return found.total_seconds()


@click.command("simulate")
@click.option(
    "--from", "source", metavar="HUB|FILE", help="The Exchange's URL, or a snapshot.  [default: as in the settings]"
)
@click.option("--nmp", help="The node management policy: org/name, or a name with -o.")
@click.option("--policy", help="A deployment policy; its first version is rolled out too, or by itself.")
@settings_file.config
@click.option(
    "--duration", callback=_seconds, help="How long an agent upgrade takes, such as 5m.  [default: as in the history]"
)
@click.option(
    "--service-duration", callback=_seconds, help="How long a service upgrade takes.  [default: as in the history]"
)
@click.option("--approved", is_flag=True, help="Take every upgrade as approved.")
@click.option("--save", type=_File, help="Write the snapshot to this file. It contains no secrets.")
@click.option("--picture", "drawing", type=_File, help="Draw the forecast into this file, as SVG.")
@options.org
@options.url
@options.as_json
def simulate(**words: Any) -> None:  # noqa: ANN401 - click's values, which `_Given` names
    """Forecast a rollout: when each group begins and ends, which stay blocked and why.

    The hub is read and not changed. The rules are those of the coordinator, on a clock of their
    own. Durations, leases, holds and brakes come from the coordinator at --url, if it runs.
    """
    given = _Given(**words)
    org = _org(given)
    loaded, limits = _settings(given)
    hub = _snapshot(given, org, loaded, limits)
    if given.save is not None:
        _write(given.save, lambda file: snapshot.save(hub, file))
    wanted = {Kind.AGENT: given.duration, Kind.SERVICE: given.service_duration}
    lasts = durations(hub, {kind: seconds for kind, seconds in wanted.items() if seconds is not None})
    plan = _following(hub, given, org, limits)
    _check(plan, lasts)
    under_way = following.under_way(hub, limits)
    lasts = lasts.standing_in(each.kind for each in under_way)
    with Progress("simulated", len(plan.wishes)) as progress:
        course = asyncio.run(Running(hub, plan, limits, lasts, progress=progress.at).run())
    title = " and ".join(name if "/" in name else f"{org}/{name}" for name in (given.nmp, given.policy) if name)
    drawn = picture.draw(course, f"Forecast of {title}") if given.drawing is not None else ""
    if given.drawing is not None:
        _write(given.drawing, lambda file: file.write_text(drawn, encoding="utf-8"))
    concerned = {each.group for each in course.groups} - {each.group for each in under_way}
    resting = {group: until for group, until in rests.resting(hub, limits).items() if group in concerned}
    simulate_shown.show(Forecast(title, hub, plan, course, lasts, under_way, resting), as_json=given.as_json)


def _org(given: _Given) -> OrgId:
    named = [
        options.qualified(name, given.org, noun)[0]
        for name, noun in ((given.nmp, "node management policy"), (given.policy, "deployment policy"))
        if name is not None
    ]
    if not named:
        raise click.UsageError("Name what is rolled out: --nmp, --policy or both.")
    if len(set(named)) > 1:  # one reading of a hub is of one organisation
        raise click.UsageError(f"Both policies must be of one organisation, not of {named[0]} and {named[1]}.")
    return OrgId(named[0])


def _settings(given: _Given) -> tuple[Loaded | None, LimitsOf]:
    """Read the settings; a snapshot can do without, and then the rules are the defaults."""
    if given.is_of_file and settings_file.find(given.config) is None:
        return None, _approving(limits_of(Settings()), given)
    # the variable that goes before all others: one of them may name another hub
    of_hub = {variable_of("exchange.url"): given.source} if given.source is not None and not given.is_of_file else {}
    loaded = settings_file.load(given.config, {**os.environ, **of_hub}, may_lack_secrets=given.is_of_file)
    return loaded, _approving(limits_of(loaded.settings), given)


def _approving(limits: LimitsOf, given: _Given) -> LimitsOf:
    return (lambda group: replace(limits(group), approval=False)) if given.approved else limits


def _snapshot(given: _Given, org: OrgId, loaded: Loaded | None, limits: LimitsOf) -> Snapshot:
    if loaded is None or given.is_of_file:
        found = read_file(Path(given.source or ""))
        if found.org != org:
            raise Failure(
                Exit.NOT_FOUND,
                tried=f"forecasting a rollout in {org}",
                problem=f"{given.source} is a snapshot of organisation {found.org}",
                next_step=f"name a policy of {found.org}, or take a snapshot of {org}: --save",
            )
        return found
    return read_hub(Source(loaded=loaded, org=org, url=given.url, limits=limits, services=given.policy is not None))


def _following(hub: Snapshot, given: _Given, org: OrgId, limits: LimitsOf) -> Following:
    parts = list[Following]()
    if given.nmp is not None:
        aim = _named(hub, hub.aims, given.nmp, org, "node management policy")
        parts.append(following.of_agents(hub, aim, limits, hub.taken_at))
    if given.policy is not None:
        policy = _named(hub, hub.services, given.policy, org, "deployment policy")
        parts.append(following.of_services(hub, policy, limits, hub.taken_at))
    return following.joined(parts)


def _named(hub: Snapshot, known: Mapping[PolicyId, Value], name: str, org: OrgId, noun: str) -> Value:
    wanted = PolicyId(name if "/" in name else f"{org}/{name}")
    found = known.get(wanted)
    if found is not None:
        return found
    there = ", ".join(sorted(known)[:_NAMED]) or "none"
    raise Failure(
        Exit.NOT_FOUND,
        tried=f"looking for {wanted} on {hub.exchange}",
        problem=f"there is no {noun} {wanted}{did_you_mean(wanted, known)}",
        next_step=f"check the name; there are {there}",
    )


def _check(plan: Following, lasts: Durations) -> None:
    """Refuse to guess how long an upgrade of the forecast takes."""
    kinds = {each.ask.claim.kind for each in plan.wishes}
    for kind in sorted(kinds - lasts.of.keys()):
        option = "--duration" if kind is Kind.AGENT else "--service-duration"
        raise Failure(
            Exit.BAD_INPUT,
            tried=f"looking in the history for {kind} upgrades that have succeeded",
            problem=f"it is not known how long {kind} upgrades take: no such upgrade was found in the history",
            next_step=f"state it, for example {option} 5m",
        )


def _write(file: Path, write: Callable[[Path], object]) -> None:
    try:
        write(file)
    except OSError as error:
        raise unwritable(file, error, "name a file in a folder that you may write to") from error
