"""What even a verified record leaves open, in words, wherever more than one verdict has to say it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from verify.verdict import Caveat
from verify.witnessing import written

if TYPE_CHECKING:
    from verify.anchors import AnchorCheck
    from verify.epochs import Trusted
    from verify.launches import Caveats
    from verify.witnessing import Witnessed

HOST = Caveat(
    "host.trusted", "a root attacker on the recording host, or somebody else who had the private key"
)
"""Whom every verdict trusts; see :func:`host` for one that knows more."""

OTHER_HISTORY = Caveat(
    "proof.consistency",
    "another history: nothing says that the ledger's other checkpoints, older or newer,"
    " are of the same entries",
)


def freshness(newest: int, freshly: Witnessed | None = None) -> Caveat:
    """Return what is known of the age of what was checked.

    Args:
        newest: the size of the largest remembered checkpoint that it continues; 0 for none.
        freshly: where a quorum of witnesses saw it, by what was kept outside of it alone; None for nowhere.
    """
    if freshly is not None and freshly.size is not None:
        older = f" nor than the remembered checkpoint of {newest} entries," if newest > freshly.size else ""
        return Caveat(
            "freshness.witnessed",
            f"a later state: it is no older than the {freshly.size} entries that a quorum of witnesses saw at"
            f" {written(freshly.time)},{older} but nothing says that it is the newest (freshness: witnessed)",
        )
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


def of_anchors(anchors: AnchorCheck, witnessed: Witnessed | None) -> list[Caveat]:
    """Return what the anchors leave open."""
    found = []
    if witnessed is not None and witnessed.met and witnessed.size is None:
        found.append(Caveat("witnesses.none", "another history: the witness policy asks for no witness"))
    unread = sum(anchors.unread.values())
    if unread:
        count = "1 anchor says" if unread == 1 else f"{unread} anchors say"
        found.append(
            Caveat("anchors.unread", f"{count} nothing that was checked ({anchors.unread_reasons()})")
        )
    if anchors.timestamps.count:
        found.append(
            Caveat(
                "timestamps.revocation",
                "a timestamp by somebody who got an authority's key: whether a certificate was revoked was"
                f" not looked at, and {anchors.timestamps.ended} of {anchors.timestamps.count} timestamps are"
                " by one that has ended since",
            )
        )
    return found


def host(anchors: AnchorCheck | None, witnessed: Witnessed | None) -> Caveat:
    """Return whom the verdict trusts, and for which entries that is less, because others saw them in time.

    Args:
        anchors: what lies in the ledger; None when nothing follows from that.
        witnessed: up to where a quorum saw it.
    """
    said = []
    if witnessed is not None and witnessed.size is not None:
        said.append((witnessed.size, f"{written(witnessed.time)} according to the quorum of witnesses"))
    largest = None if anchors is None else anchors.timestamps.largest
    if largest is not None:
        assert isinstance(largest.covers, int)
        said.append((largest.covers, f"{written(largest.time)} according to {largest.by}"))
    sentence = HOST.message
    for size, when in said:
        sentence += (
            f"; the first {size} entries existed at {when}: whoever got the key later did not write them"
        )
    return Caveat(HOST.code, sentence)


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
        (
            said.direct,
            "launch.unattended",
            "nobody stayed: that the program ran, as what, and how it ended was not seen",
        ),
        (
            said.execs,
            "execs.images",
            "every exec was seen, of programs: not the code that shells, interpreters and libraries bring",
        ),
        (said.execs_untold, "execs.untold", "more programs ran than it names; the rest was counted"),
        (
            said.cut,
            "launch.cut",
            "the supervisor was lost meanwhile: what was refused or executed just before that may be missing",
        ),
        (said.survivors, "process.survivors", "processes of the launch were still there at its end"),
    ):
        if count:
            launches = "1 launch" if count == 1 else f"{count} launches"
            found.append(Caveat(code, f"in {launches} {message}"))
    return found


def previous(origin: str | None) -> list[Caveat]:
    """Return what a ledger leaves open that continues the one of ``origin``; nothing for None."""
    return (
        []
        if origin is None
        else [Caveat("ledger.previous", f"it continues {origin}, which was not looked at")]
    )
