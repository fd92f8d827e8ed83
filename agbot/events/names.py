"""Every name under which something is told: in the log and in the journal. A name is `noun.verb` and never changes its meaning.

`docs/events.md` explains each one to operators; tests hold that page, this table and every log call of the program against each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Level(StrEnum):
    """How loud an event is told; the words of the log and of `[log] level`."""

    DEBUG = "debug"
    """Only for whoever looks for a fault."""
    INFO = "info"
    """A change that is meant to happen."""
    WARNING = "warning"
    """Something fails or is odd, and the coordinator deals with it."""
    ERROR = "error"
    """A person has to look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One kind of event."""

    level: Level
    meaning: str


def _debug(meaning: str) -> Event:
    return Event(level=Level.DEBUG, meaning=meaning)


def _info(meaning: str) -> Event:
    return Event(level=Level.INFO, meaning=meaning)


def _warning(meaning: str) -> Event:
    return Event(level=Level.WARNING, meaning=meaning)


def _error(meaning: str) -> Event:
    return Event(level=Level.ERROR, meaning=meaning)


GRANTS = frozenset({"lease.granted", "lease.taken_over", "lease.observed"})
"""The events of a new token: somebody holds the lease from then on."""

EVENTS: Mapping[str, Event] = MappingProxyType(
    {
        "lease.granted": _info("A member got its group's lease and may upgrade."),
        "lease.observed": _info(
            "An upgrade that nobody asked for was seen: listed by the agbot, reported by its node, or a service that is down; it "
            "holds its group's lease."
        ),
        "lease.overlapped": _warning(
            "An upgrade was begun, unasked, while another member of the group upgraded. The next grant waits for both."
        ),
        "lease.exempted": _info(
            "A node was told yes without a lease: a cluster node, or deferred. Once for as long as it goes on asking for the same."
        ),
        "lease.renewed": _debug("Evidence showed that the holder's upgrade goes on."),
        "lease.released": _info("A lease ended; `cause` says how."),
        "lease.suspected": _warning(
            "A lease expired and it is not known how its upgrade ended. Nobody else may go until that is resolved."
        ),
        "lease.taken_over": _warning(
            "A service upgrade with a current agreement took the suspect lease of an offline holder over."
        ),
        "wait.changed": _info("A node waits, or waits for other reasons than before."),
        "wait.ended": _info("A node waits no longer: it was granted, has stopped asking, or has gone."),
        "deferral.begun": _info(
            "A node joined while its own upgrade was under way; its membership is not enforced until that has ended."
        ),
        "deferral.ended": _info("A deferred node is a member like any other from now on."),
        "brake.set": _warning(
            "An upgrade failed in a group and is stopped there until a person resumes it or nobody brings what failed any more."
        ),
        "brake.lifted": _info(
            "A brake was lifted by a person, or because its policy changed and no member brings what failed, or is gone."
        ),
        "pause.set": _info("A person stopped new grants for a group, an organisation or everything."),
        "pause.ended": _info("A pause was ended by a person or by its own time."),
        "success.contradicted": _warning(
            "A node that `reported` success with one agent version still `runs` another after the time that it had for that "
            "(`version_proof_seconds`): its upgrade counts as failed, whether or not there is anything left to stop."
        ),
        "rest.ended": _info("A person ended the rest of a group after its last upgrade."),
        "clock.stepped": _warning(
            "The date of this machine was set forward (or back: negative) by so many `seconds`. Everything is read anew, and nothing is "
            "granted until the Exchange's clock has been compared with it."
        ),
        "allowance.given": _info("A person allowed a node to begin one upgrade, once, although rules are against it."),
        "allowance.ended": _info("An allowance was not used in its time."),
        "approval.given": _info("A person approved a release that may not begin without approval."),
        "agbot.failed": _warning(
            "The real agbot's local API cannot be read: no agbot runs (`agbot` is `nobody-there`; what was last seen holds), or it "
            "does not answer (`unreadable`; agent upgrades wait). Told once, until `agbot.recovered` or one becomes the other."
        ),
        "agbot.recovered": _info("The real agbot's local API can be read again."),
        "agbot.stuck": _warning(
            "The agbot keeps the row of an upgrade that is over, and begins no other one; `defect` names its weakness, `cure` "
            "the command."
        ),
        "gateway.bypassed": _warning(
            "A member upgrades its agent and has not asked here: its `HZN_AGBOT_URL` names somebody else. Told once for each node, until "
            "it asks."
        ),
        "exchange.failed": _warning(
            "Requests to the Exchange fail. Told once until `exchange.recovered`, and again when it says no."
        ),
        "exchange.recovered": _info("The Exchange answers again."),
        "feed.stalled": _warning(
            "The change feed answers and stands still: something has changed in the Exchange, and no row tells of it. Nothing is granted "
            "until `feed.recovered`."
        ),
        "feed.recovered": _info("The change feed goes on."),
        "org.discovered": _info("An organisation was found that is looked after from now on."),
        "org.gone": _info(
            "An organisation is not in the Exchange any more; it is looked after again when it shows itself."
        ),
        "org.failed": _warning(
            "One organisation cannot be read; the others are not touched by it. Told once, until `org.recovered`."
        ),
        "org.recovered": _info("The organisation can be read again."),
        "record.unreadable": _warning(
            "What the Exchange holds of one node, group or policy cannot be read; it harms nobody else. Told once, until `record.readable`."
        ),
        "record.readable": _info("The record can be read again, or is gone."),
        "store.failed": _error(
            "The lease store cannot be read or written; nothing is granted until `store.recovered`."
        ),
        "store.recovered": _info("The lease store works again."),
        "store.changed": _warning(
            "The lease store is not the one that was used last; nothing is granted until `store.settled`."
        ),
        "store.settled": _info(
            "Every organisation was looked at after `store.changed`, or a person has said that it may go on."
        ),
        "mqtt.failed": _warning(
            "The MQTT broker cannot be told. Told once, until `mqtt.recovered`; nothing is lost meanwhile."
        ),
        "mqtt.refused": _error(
            "The MQTT broker does not take the state of a group, which others do not see. Told once for each `topic`; events go on."
        ),
        "mqtt.recovered": _info("The MQTT broker takes events again, from where it had come."),
        "webhook.failed": _warning("A webhook does not take events. Told once, until `webhook.recovered`."),
        "webhook.refused": _error(
            "A webhook says no, which does not pass by itself; the same event is tried again every few minutes."
        ),
        "webhook.recovered": _info("The webhook takes events again, from where it had come."),
        "outbox.failed": _warning(
            "The journal cannot be read for those who are told. Told once, until `outbox.recovered`."
        ),
        "outbox.recovered": _info("The journal can be read again."),
        "delivery.lost": _warning(
            "Events (`first` to `last`) left the journal before `receiver` had taken them, which is not told of them any more."
        ),
        "delivery.refused": _error(
            "`receiver` does not take the events `numbers` and is not told of them any more; `error` says why, `topic` where. Others go on."
        ),
        "delivery.failed": _error("Delivering failed in a way that was not foreseen; it begins anew."),
        "cycle.done": _debug("One cycle of the scheduler, in a sentence."),
        "cycle.failed": _error(
            "A cycle of the scheduler failed in a way that was not foreseen; the next one tries again."
        ),
        "part.failed": _error(
            "A part of the cycle failed for one group in a way that was not foreseen; the other groups go on. "
            "Told once, until `part.recovered`."
        ),
        "part.recovered": _info("That part of the cycle works again for the group."),
        "gateway.started": _info("The agents' listener accepts questions."),
        "gateway.stopped": _info("The agents' listener is closed."),
        "gateway.cut": _warning("Requests were still open when the listener had to close, and were cut."),
        "descriptors.scarce": _warning(
            "The limit of open files and sockets is lower than `[gateway] max_open` calls for: fewer connections are kept open. "
            "Told at the start."
        ),
        "descriptors.exhausted": _warning(
            "No connection could be accepted for want of a descriptor; idle ones are given up. Told once, until `descriptors.recovered`."
        ),
        "descriptors.recovered": _info("There are enough descriptors again."),
        "question.unconfirmed": _debug("The Exchange did not confirm a node in time; the node was told to ask again."),
        "question.failed": _error("A question failed in a way that was not foreseen; the node was told to ask again."),
        "request.failed": _error("A request that was to be passed on failed in a way that was not foreseen."),
        "upstream.failed": _warning(
            "The real agbot cannot be reached; passed-on requests get 502. Told once, until `upstream.recovered`."
        ),
        "upstream.recovered": _info("The real agbot answers again."),
        "console.started": _info("The operators' listener accepts requests."),
        "console.failed": _error("A request of an operator failed in a way that was not foreseen."),
        "console.denied": _warning("A writing request came without the operator token, or with a wrong one."),
        "daemon.started": _info("The process runs, with this version and these settings."),
        "daemon.ready": _info("The daemon may grant: the store is open and the picture of the Exchange is complete."),
        "daemon.unready": _warning("The daemon may not grant, and why."),
        "daemon.stopping": _info(
            "The daemon was told to stop: it finishes the answers in flight and grants nothing new."
        ),
        "daemon.stopped": _info("The daemon has stopped; the leases stay with their nodes."),
        "daemon.failed": _error("The daemon ends because of an error."),
        "certificate.expiring": _warning(
            "The first certificate in `files` ends in `days_left` days, or has ended. Told at the start and once a day."
        ),
        "certificate.refused": _error(
            "A renewed certificate, key or authority cannot be used; the former one stays in use. `use` and `files` say which."
        ),
        "settings.doubtful": _warning("A setting works but is probably not meant."),
        "settings.reloaded": _info("Changed settings are in force."),
        "settings.refused": _error("Changed settings hold a mistake; the old ones stay in force."),
        "log.dropped": _warning(
            "So many lines of the log are missing before this one: nobody read them, or they could not be written."
        ),
        "library.logged": _info(
            "A library the program uses logged a line; `logger` says which, and the line has its own level."
        ),
    }
)


def level(name: str) -> Level:
    """Return how loud an event is told.

    Raises:
        KeyError: there is no such event.
    """
    return EVENTS[name].level
