"""What was refused of the network, and of calls that are closed to every command: complaints, judged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.capability.capabilities import DNS_PORT, Network
from runtime.capability.refusals import CLOSED_CALL, INFERRED, NETWORK_CLOSED, PORT_CLOSED, Finding

if TYPE_CHECKING:
    from runtime.capability.refusals import Enforced
    from runtime.explanation.complaints import CallComplaint, NetworkComplaint


_CALLS = {
    "mount": "mounting is closed to every command, and no flag opens it",
    "namespace": "namespaces and chroot are closed to every command, and no flag opens them",
    "privilege": "no program gains privileges inside, sudo and its like included, and no flag lets it",
    "raw socket": "raw sockets are closed to every command, and no flag opens them",
}


def of_network(complaint: NetworkComplaint, enforced: Enforced) -> Finding | None:
    """Return what was refused of the network, None where nothing of it is known to be."""
    network, ports = enforced.capabilities.network, enforced.capabilities.ports
    if network is Network.ALL:
        return None
    use, port = complaint.use, complaint.port
    wanted: list[tuple[bytes, int]] = []
    if use == "names" and not complaint.over_udp and DNS_PORT not in ports.connect:
        wanted.append((b"--allow-connect-port", DNS_PORT))
    if use in ("connect", "names") and port is not None and port not in ports.connect:
        wanted.append((b"--allow-connect-port", port))
    if use == "listen" and port is not None and port not in (*ports.listen, *ports.listen_loopback):
        wanted.append((b"--listen-port", port))
    flags = tuple(word for flag, number in wanted for word in (flag, b"%d" % number))
    subject = _subject(complaint)
    if network is Network.BLOCKED:
        if not enforced.block_net:
            reason = "is closed by the profile, and no flag opens it"
            return Finding(INFERRED, "network", b"the network", None, NETWORK_CLOSED, reason)
        reason = "is closed by --block-net"
        return Finding(INFERRED, "network", subject, None, NETWORK_CLOSED, reason, flags, (b"--block-net",))
    if complaint.over_udp:
        reason = "is done over UDP, which no port opens"
        return Finding(INFERRED, "network", subject, None, NETWORK_CLOSED, reason)
    if not flags:
        return None  # it is open, or not known which
    return Finding(INFERRED, "network", subject, None, PORT_CLOSED, _closed(complaint), flags)


def _subject(complaint: NetworkComplaint) -> bytes:
    if complaint.use == "names":
        return b"looking up names of hosts"
    if complaint.port is None:
        return b"the network"
    return b"TCP port %d" % complaint.port


def _closed(complaint: NetworkComplaint) -> str:
    if complaint.use == "names":
        return "is not granted (port 53)"
    return f"is not granted for {'listening' if complaint.use == 'listen' else 'connecting'}"


def of_call(complaint: CallComplaint) -> Finding:
    """Return that a call is closed to every command."""
    call = complaint.call
    return Finding(INFERRED, "call", call.encode("ascii"), None, CLOSED_CALL, _CALLS[call])
