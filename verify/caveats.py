"""What even a verified record leaves open, in words, wherever more than one verdict has to say it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from verify.verdict import Caveat

if TYPE_CHECKING:
    from verify.epochs import Trusted
    from verify.launches import Caveats

HOST = Caveat(
    "host.trusted", "a root attacker on the recording host, or somebody else who had the private key"
)

OTHER_HISTORY = Caveat(
    "proof.consistency",
    "another history: nothing says that the ledger's other checkpoints, older or newer,"
    " are of the same entries",
)


def freshness(newest: int) -> Caveat:
    """Return what is known of the age of what was checked.

    Args:
        newest: the size of the largest remembered checkpoint that it continues; 0 for none.
    """
    if newest:
        return Caveat(
            "freshness.remembered",
            f"a later state: it is no older than the remembered checkpoint of {newest} entries,"
            " but nothing says that it is the newest (freshness: remembered)",
        )
    return Caveat(
        "freshness.unproven",
        "a later state: nothing outside of this file says that it is the newest (freshness: unproven)",
    )


def vouched(met: Trusted | None) -> list[Caveat]:
    """Return what follows from a pin that a later key than the first one meets."""
    if met is None or not met.vouched:
        return []
    what = f"the first {met.vouched} entries were written under earlier keys"
    return [Caveat("keys.vouched", f"{what}: only the pinned key vouches for them")]


def recorded(said: Caveats) -> list[Caveat]:
    """Return what the record itself says that it does not hold."""
    found = []
    for count, code, message in (
        (said.stat_only, "executable.stat_only", "the program was only watched by stat, not held by a lease"),
        (said.by_path, "executable.by_path", "a script was run by its path, not by a held descriptor"),
        (said.metadata, "metadata.unprotected", "file modes, owners and times were not protected"),
        (said.unchecked_image, "image.unchecked", "the running image was not compared with what was hashed"),
        (said.survivors, "process.survivors", "processes of the launch were still there at its end"),
    ):
        if count:
            launches = "1 launch" if count == 1 else f"{count} launches"
            found.append(Caveat(code, f"in {launches} {message}"))
    if said.anchors:
        anchors = "1 anchor was" if said.anchors == 1 else f"{said.anchors} anchors were"
        found.append(
            Caveat(
                "anchors.unread",
                f"{anchors} not looked at: whether a timestamp, a log or a witness says what it is there for",
            )
        )
    return found


def previous(origin: str | None) -> list[Caveat]:
    """Return what a ledger leaves open that continues the one of ``origin``; nothing for None."""
    return (
        []
        if origin is None
        else [Caveat("ledger.previous", f"it continues {origin}, which was not looked at")]
    )
