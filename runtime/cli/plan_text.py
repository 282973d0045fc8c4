"""What will run, and inside what, in words: what ``nono run`` says with ``--verbose``, and in a dry run."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runtime.capability.capabilities import SYSV_WORDS, network_document, network_words, socket_words
from runtime.cli import say
from runtime.kernel.path_names import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runtime.capability.exec_rules import ExecRules
    from runtime.launcher.launch import LaunchPlan


def explain(plan: LaunchPlan) -> None:
    """Say it to standard error, just before the command is released."""
    for line in plan_lines(plan):
        say(f"nono: {line}")


def plan_lines(plan: LaunchPlan) -> list[str]:
    """Return what is said of what will run, and inside what."""
    image = plan.images[0]
    return [
        f"file       {shown(image.path)} (sha256 {image.sha256})",
        *(f"by way of  {shown(other.path)} (sha256 {other.sha256})" for other in plan.images[1:]),
        f"directory  {shown(plan.directory)}",
        f"network    {network_words(network_document(plan.capabilities.network, plan.capabilities.ports))}",
        "grants",
        *(
            f"  {grant.access:<9} {shown(grant.path)}{'/' if grant.directory else ''}  ({grant.source})"
            for grant in plan.capabilities.files
        ),
        *(
            f"  {' '.join(socket_words(grant.document()))} {shown(grant.path)}  ({grant.source})"
            for grant in plan.capabilities.unix_sockets
        ),
        *([f"ipc        {SYSV_WORDS}"] if plan.capabilities.sysv_ipc else []),
        *_limit_lines(plan.limits),
        *_exec_lines(plan.execs),
        f"variables  {' '.join(shown(name) for name in plan.environment)}",
        f"dropped    {' '.join(shown(name) for name in plan.dropped) or '(none)'}",
        *(f"secret     {name} ({shown(os.fsencode(place))})" for name, place in plan.credentials),
    ]


def _exec_lines(rules: ExecRules | None) -> list[str]:
    if rules is None:
        return []
    allowed = [f"program    {shown(rule.asked)}" for rule in rules.rules or ()]
    return ["execs      every one is seen" + (", and limited to programs" if allowed else ""), *allowed]


def _limit_lines(held: Mapping[str, int]) -> list[str]:
    if not held:
        return []
    from runtime.policy import limits  # noqa: PLC0415  # they have been read with it

    return [f"limit      {limits.words(member, value)}" for member, value in held.items()]
