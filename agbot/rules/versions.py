"""What an upgrade brings: versions of the agent's parts, or of a service.

The agent has a version of its software, its certificate and its configuration. A brake is about
these versions and not about a revision of a policy: after a new revision a node continues with its
old download for a while, and would install what has failed again. A version that is not reported
proves nothing either way.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """Versions as a node reports them (`upgradedVersions`); empty if it brings none.

    A service has only a software version.
    """

    software: str = ""
    certificate: str = ""
    configuration: str = ""

    def __bool__(self) -> bool:
        """Return whether anything was reported."""
        return bool(self.software or self.certificate or self.configuration)

    def __str__(self) -> str:
        """Name the versions in words."""
        named = (("", self.software), ("certificate ", self.certificate), ("configuration ", self.configuration))
        return ", ".join(f"{what}{version}" for what, version in named if version)


NO_VERSIONS = Versions()


def is_same(failed: Versions, brought: Versions) -> bool | None:
    """Return whether the versions that are brought are those that failed.

    None if the two name nothing that can be compared.
    """
    # The first part that both name decides: agents do not report which part was to blame, and it
    # was most likely the software. An operator who knows better resumes the upgrade (decision 18).
    for one, other in (
        (failed.software, brought.software),
        (failed.certificate, brought.certificate),
        (failed.configuration, brought.configuration),
    ):
        if one and other:
            return one == other
    return None
