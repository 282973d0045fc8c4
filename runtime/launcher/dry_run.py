"""What a launch would be, down to the record that it would leave, found out without leaving anything.

Everything is judged as a launch judges it, on the very objects that it would use. Whether this kernel
enforces it is tried in a forked child that restricts itself with the launch's own ruleset and filter, and
ends; control groups for limits are made, and removed. No hook runs, no key is read, no ledger is opened, and
nothing is made or changed that stays.

Its form is published as ``runtime/schemas/dry-run.schema.json``.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from attest import canonical
from attest.errors import NonoError
from attest.named_tuples import NamedTuple
from runtime.capability.capabilities import SYSTEM, CapabilitySet
from runtime.errors import EnforcementError
from runtime.kernel.path_names import from_here
from runtime.launcher.record import intent_data, start_data, with_achieved
from runtime.sandbox import enforcement, enforcement_probe

if TYPE_CHECKING:
    from collections.abc import Callable

    from attest.canonical import Json
    from runtime.broker import mediation
    from runtime.capability import environment, executable
    from runtime.capability.grants import Grants
    from runtime.launcher.launch import LaunchPlan
    from runtime.policy.resolution import Resolution


class DryRun(NamedTuple):
    """The answer of a dry run.

    Attributes:
        plan: what would run, and inside what.
        required: the features without which it would not run.
        achievable: for each feature whether it was enforced just now.
        ledger: absolute path of the ledger that is named or configured; None for the key's own.
        audit: whether there would be a record.
        document: all of it, in its published form.
    """

    plan: LaunchPlan
    required: frozenset[str]
    achievable: dict[str, bool]
    ledger: bytes | None
    audit: bool
    document: dict[str, Json]


def foresee(
    resolution: Resolution,
    plan: LaunchPlan,
    *,
    grants: Grants,
    held: executable.Held,
    variables: environment.Environment,
    cache: bytes,
) -> DryRun:
    """Return what the record of a launch would say, having tried whether it can be enforced.

    Args:
        resolution: what the request came to.
        plan: what would run, and inside what.
        grants: the open grants.
        held: the executable and its interpreters.
        variables: the command's variables.
        cache: where the compiled filter is kept.

    Raises:
        EnforcementError: what is required cannot be enforced here, so the launch would be refused.
    """
    request, capabilities = resolution.request, plan.capabilities
    prepared = enforcement.prepare(
        capabilities,
        grants.opened,
        cache_directory=cache,
        keep=False,
        sockets=grants.sockets,
        metadata=resolution.protects_metadata,
        opens=resolution.elevates,
        outer=request.outer_session(),
        traces_execs=plan.execs is not None,
    )
    try:
        achievable = _tried(prepared)
    finally:
        prepared.close()
    achievable |= {
        "exec-stop": enforcement_probe.exec_stop_errno() is None,
        "lease": all(image.leased for image in held.images),
    }
    enforcement.require_achieved(prepared.required, achievable)
    if plan.limits:
        from runtime.sandbox.confinement import Confinement  # noqa: PLC0415  # most launches have no limits

        Confinement(plan.limits, request.outer_session()).remove()
    start = start_data(
        capabilities=capabilities,
        images=plan.images,
        variables=variables,
        directory=plan.directory,
        prepared=prepared,
        limits=plan.limits,
        execs=plan.execs,
    )
    start = with_achieved(start, achievable)
    ledger = None if request.ledger is None else from_here(request.ledger)
    record: dict[str, Json] = {
        "intent": intent_data(resolution),
        "ledger": None if ledger is None else canonical.text(ledger),
        "start": start,
    }
    document: dict[str, Json] = {
        "capabilities": start["capabilities"],
        "capabilities_sha256": start["capabilities_sha256"],
        "dropped": [canonical.text(name) for name in plan.dropped],
        "enforcement": start["enforcement"],
        "manifest": manifest(capabilities).document()
        | ({"limits": dict(plan.limits)} if plan.limits else {}),
        "record": record if request.audit else None,
    }
    return DryRun(plan, prepared.required, achievable, ledger, request.audit, document)


def manifest(capabilities: CapabilitySet) -> CapabilitySet:
    """Return the set without what each launch adds by itself: its executable and standard streams."""
    return capabilities._replace(files=tuple(grant for grant in capabilities.files if grant.source != SYSTEM))


def _tried(prepared: enforcement.Prepared) -> dict[str, bool]:
    """Return what a child that restricts itself achieves.

    Raises:
        EnforcementError: as the child of a launch would.
    """
    handover: mediation.Handover | None = None
    if prepared.mediates:
        from runtime.broker import mediation  # noqa: PLC0415  # likewise
        from runtime.kernel import file_calls  # noqa: F401, PLC0415  # few launches need it; the child, too

        handover = mediation.Handover.of(prepared)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reader)
            os.write(writer, _restricted(prepared, None if handover is None else handover.offer))
        finally:
            os._exit(0)
    os.close(writer)
    if handover is not None and (listener := handover.take(child)) is not None:
        os.close(listener)  # the child makes no call that would be mediated
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    if not said:
        raise EnforcementError("the child that tries the sandbox ended without a word")
    report = json.loads(said)
    if "error" in report:
        raise EnforcementError(report["error"], code=report["code"], hint=report["hint"])
    return {feature: report["achieved"][feature] for feature in enforcement.RESTRICTED_HERE}


def _restricted(prepared: enforcement.Prepared, offer: Callable[[int], None] | None) -> bytes:
    try:
        achieved = enforcement.restrict_self(prepared, offer)
    except NonoError as error:
        return json.dumps({"error": str(error), "code": error.code, "hint": error.hint}).encode()
    return json.dumps({"achieved": achieved}).encode()
