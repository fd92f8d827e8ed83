"""What an upgrade brings: versions of the agent's software, certificate and configuration, or of a service.

A brake is about these and not about a revision of a policy: a node goes on under its old download for a while after a new revision, and
would install what has failed once more. What is not reported proves nothing either way.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """As a node reports them (`upgradedVersions`); empty where nothing is brought. A service has a software version alone."""

    software: str = ""
    certificate: str = ""
    configuration: str = ""

    def __bool__(self) -> bool:
        """Tell whether anything was reported."""
        return bool(self.software or self.certificate or self.configuration)

    def __str__(self) -> str:
        """Name them for people."""
        named = (("", self.software), ("certificate ", self.certificate), ("configuration ", self.configuration))
        return ", ".join(f"{what}{version}" for what, version in named if version)


NO_VERSIONS = Versions()


def is_same(failed: Versions, brought: Versions) -> bool | None:
    """Tell whether what is brought is what failed; None when they name nothing that can be compared.

    The first that both name decides: which of them was to blame nobody reports, and the software is what most likely was.
    """
    for one, other in (
        (failed.software, brought.software),
        (failed.certificate, brought.certificate),
        (failed.configuration, brought.configuration),
    ):
        if one and other:
            return one == other
    return None
