"""Ways to the network, to services of this machine, and to sockets that no grant names."""

from __future__ import annotations

from tests.escapes.way import NOT_LAUNCHED, Way

_NETWORK = "the network when it is closed"
_MPTCP = "MPTCP"
_FAST_OPEN = "MSG_FASTOPEN"
_LISTEN = "listen without bind"
_UNIX = "abstract and pathname sockets"
_BLOCK = ("--block-net",)
_PORT = ("--allow-connect-port", "{other}")
_LISTENS = ("--listen-port", "{free}")
_TCP, _MPTCP_NUMBER, _SCTP = "6", "262", "132"
_INET, _INET6 = "2", "10"
_STREAM, _DATAGRAM, _RAW, _SEQPACKET = "1", "2", "3", "5"
_NO_FAMILY = ("EAFNOSUPPORT", "EPROTONOSUPPORT", "ESOCKTNOSUPPORT")

_MODES = (("closed", "a closed network", _BLOCK), ("ports", "one port granted", _PORT))
_CONNECTING = tuple(
    way
    for mode, said, flags in _MODES
    for way in (
        Way(
            _NETWORK,
            f"{mode}-connect",
            f"connect by TCP, with {said}",
            ("connect", "0", "{port}"),
            ("EACCES",),
            flags=flags,
        ),
        Way(
            _NETWORK,
            f"{mode}-connect-named",
            f"connect by TCP, named as such, with {said}",
            ("connect", _TCP, "{port}"),
            ("EACCES",),
            flags=flags,
        ),
        Way(
            _NETWORK,
            f"{mode}-connect-6",
            f"connect by TCP over IPv6, with {said}",
            ("connect6", "{port}"),
            ("EACCES",),
            lacking=_NO_FAMILY,
            flags=flags,
        ),
        Way(
            _MPTCP,
            f"{mode}-multipath",
            f"connect by MPTCP, which Landlock takes for no TCP, with {said}",
            ("connect", _MPTCP_NUMBER, "{port}"),
            ("EACCES", "EPROTONOSUPPORT"),
            lacking=("EPROTONOSUPPORT", "ENOPROTOOPT"),
            flags=flags,
        ),
        *(
            Way(
                _FAST_OPEN,
                f"{mode}-fast-open-{how}",
                f"connect by sending, with {by} and {said}",
                ("fast-open", how, "{port}"),
                ("EACCES", "EOPNOTSUPP"),
                lacking=("EOPNOTSUPP",),
                flags=flags,
            )
            for how, by in (
                ("sendto", "`sendto(2)`"),
                ("sendmsg", "`sendmsg(2)`"),
                ("sendmmsg", "`sendmmsg(2)`"),
                ("deferred", "`TCP_FASTOPEN_CONNECT`"),
            )
        ),
        Way(
            _NETWORK,
            f"{mode}-datagram",
            f"send by UDP, with {said}",
            ("datagram", _INET, "{datagrams}"),
            ("EACCES",),
            flags=flags,
        ),
        Way(
            _NETWORK,
            f"{mode}-datagram-6",
            f"send by UDP over IPv6, with {said}",
            ("datagram", _INET6, "{datagrams}"),
            ("EACCES",),
            lacking=_NO_FAMILY,
            flags=flags,
        ),
        Way(
            _NETWORK,
            f"{mode}-sctp",
            f"make a socket of SCTP, with {said}",
            ("socket", _INET, _STREAM, _SCTP),
            ("EACCES", "EPROTONOSUPPORT"),
            lacking=_NO_FAMILY,
            flags=flags,
        ),
        Way(
            _LISTEN,
            f"{mode}-listen-unbound",
            f"listen on a socket without a port, with {said}",
            ("listen", "unbound", "0"),
            ("EACCES",),
            flags=flags,
        ),
        Way(
            _LISTEN,
            f"{mode}-listen",
            f"listen on a port, with {said}",
            ("listen", "bound", "{free}"),
            ("EACCES",),
            flags=flags,
        ),
        Way(
            "netlink",
            f"{mode}-netlink",
            f"ask the routing socket, with {said}",
            ("netlink", "0", "0"),
            ("EACCES",),
            flags=flags,
        ),
    )
)

_OF_PORTS = (
    Way(
        _LISTEN,
        "listen-beside",
        "listen on another port than the granted one",
        ("listen", "bound", "{other}"),
        ("EACCES",),
        flags=_LISTENS,
    ),
    Way(
        _LISTEN,
        "listen-unbound-beside",
        "listen without a port, where one is granted",
        ("listen", "unbound", "0"),
        ("EACCES",),
        flags=_LISTENS,
    ),
    Way(
        _LISTEN,
        "listen-after-connect",
        "listen on the port that connecting took",
        ("listen-after-connect", "{port}"),
        ("EACCES",),
        flags=("--allow-connect-port", "{port}"),
    ),
)

_ABOVE = tuple(
    Way(
        _NETWORK,
        f"upper-layer-{name}",
        f"put {name.upper()} onto a socket of TCP, with one port granted",
        ("upper-layer", name, "{port}"),
        ("ENOENT",),
        lacking=("ENOENT", "EOPNOTSUPP", "EPERM", "EINVAL", "EEXIST"),
        flags=("--allow-connect-port", "{port}"),
    )
    for name in ("smc", "tls", "mptcp")
)

_FAMILIES = (
    ("vsock", "vsock-stream", "a stream socket to the host of a virtual machine", "40", _STREAM, "0", ()),
    (
        "vsock",
        "vsock-datagram",
        "a datagram socket to the host of a virtual machine",
        "40",
        _DATAGRAM,
        "0",
        (),
    ),
    ("raw", "raw-icmp", "a raw socket", _INET, _RAW, "1", ("EPERM",)),
    ("raw", "raw-icmp-6", "a raw socket of IPv6", _INET6, _RAW, "58", ("EPERM",)),
    ("raw", "raw-any", "a raw socket of any protocol", _INET, _RAW, "255", ("EPERM",)),
    ("raw", "packet", "a packet socket", "17", _RAW, "0", ("EPERM",)),
    ("raw", "packet-datagram", "a packet socket without headers", "17", _DATAGRAM, "0", ("EPERM",)),
    ("netlink", "netlink-audit", "the socket of the audit system", "16", _RAW, "9", ()),
    ("netlink", "netlink-uevent", "the socket of device events", "16", _RAW, "15", ()),
    ("netlink", "netlink-diagnosis", "the socket that lists everybody's sockets", "16", _RAW, "4", ()),
    ("netlink", "netlink-connector", "the socket of process events", "16", _DATAGRAM, "11", ()),
    ("netlink", "netlink-netfilter", "the socket of the firewall", "16", _RAW, "12", ()),
    ("netlink", "netlink-generic", "the generic netlink socket", "16", _RAW, "16", ()),
    ("raw", "crypto", "the socket of the kernel's ciphers", "38", _SEQPACKET, "0", ()),
    ("raw", "bluetooth", "a socket of Bluetooth", "31", _RAW, "1", ()),
    ("raw", "can", "a socket of CAN", "29", _RAW, "1", ()),
    ("raw", "tipc", "a socket of TIPC", "30", _DATAGRAM, "0", ()),
    ("raw", "smc", "a socket of SMC", "43", _STREAM, "0", ()),
    ("raw", "xdp", "a socket of XDP", "44", _RAW, "0", ()),
    ("raw", "rds", "a socket of RDS", "21", _SEQPACKET, "0", ()),
)
_LACKING_FAMILY = (*_NO_FAMILY, "ENODEV", "EPERM")
_SOCKETS = tuple(
    Way(
        topic,
        name,
        f"make {what}, with an open network",
        ("socket", family, kind, protocol),
        ("EAFNOSUPPORT", "EPERM"),
        ordinary=ordinary,
        lacking=_LACKING_FAMILY,
    )
    for topic, name, what, family, kind, protocol, ordinary in _FAMILIES
)
_ROUTES = (
    Way(
        "netlink",
        "netlink-with-a-dirty-register",
        "make the socket of the audit system, with bits above those of a family",
        ("socket", str(5 << 32 | 16), _RAW, "9"),
        ("EAFNOSUPPORT",),
        lacking=_LACKING_FAMILY,
    ),
)

_KINDS = (("stream", _STREAM), ("datagram", _DATAGRAM), ("packet", _SEQPACKET))
_UNIX_WAYS = (
    *(
        Way(
            _UNIX,
            f"{mode}-unix-{name}",
            f"connect a {name} socket to a path outside, with {said}",
            ("unix", kind, f"{{socket:{name}}}"),
            ("EACCES",),
            flags=flags,
        )
        for mode, said, flags in (("open", "an open network", ()), ("closed", "a closed one", _BLOCK))
        for name, kind in _KINDS
    ),
    *(
        Way(
            _UNIX,
            f"{mode}-abstract-{name}",
            f"connect a {name} socket to an abstract name, with {said}",
            ("unix", kind, f"{{abstract:{name}}}"),
            ("EACCES",),
            flags=flags,
        )
        for mode, said, flags in (("open", "an open network", ()), ("closed", "a closed one", _BLOCK))
        for name, kind in _KINDS
    ),
    Way(
        _UNIX,
        "unix-in-a-grant",
        "connect to a socket in a directory that is granted",
        ("unix", _STREAM, "{granted-socket}"),
        ("EACCES",),
    ),
    Way(
        _UNIX,
        "pair-of-datagrams",
        "send to a path from one end of a pair",
        ("unix-pair", _DATAGRAM, "{socket:datagram}"),
        ("EACCES",),
    ),
    Way(
        _UNIX,
        "pair-of-raw",
        "the same, with `SOCK_RAW`, which makes one of datagrams",
        ("unix-pair", _RAW, "{socket:datagram}"),
        ("EACCES",),
    ),
    Way(
        _UNIX,
        "pair-of-datagrams-to-a-name",
        "send to an abstract name from one end of a pair",
        ("unix-pair", _DATAGRAM, "{abstract:datagram}"),
        ("EACCES",),
    ),
    Way(
        _UNIX,
        "pair-takes-a-name",
        "give the end of a pair an abstract name",
        ("unix-name", _STREAM, "@{name}"),
        ("EACCES",),
        flags=_BLOCK,
    ),
    Way(
        _UNIX,
        "pair-takes-a-path",
        "give the end of a pair a path",
        ("unix-name", _STREAM, "{granted}/named"),
        ("EACCES",),
        flags=_BLOCK,
    ),
)

_STANDARD = (
    Way(
        _NETWORK,
        "standard-socket-connect",
        "connect a socket that is standard input",
        ("standard-socket", "connect", "{port}"),
        ("EACCES",),
        flags=_BLOCK,
        stdin="tcp",
    ),
    Way(
        _FAST_OPEN,
        "standard-socket-fast-open",
        "connect, by sending, a socket that is standard input",
        ("standard-socket", "fast-open", "{port}"),
        ("EACCES", "EOPNOTSUPP"),
        flags=_BLOCK,
        stdin="tcp",
    ),
    Way(
        _NETWORK,
        "standard-socket-bind",
        "bind a socket that is standard input",
        ("standard-socket", "bind", "0"),
        ("EACCES",),
        flags=_BLOCK,
        stdin="tcp",
    ),
    Way(
        _LISTEN,
        "standard-socket-listen",
        "listen on a socket that is standard input",
        ("standard-socket", "listen", "0"),
        ("EACCES",),
        flags=_BLOCK,
        stdin="tcp",
    ),
    Way(
        _UNIX,
        "standard-socket-abstract",
        "connect a UNIX socket that is standard input to an abstract name",
        ("standard-socket", "unix", "{abstract:stream}"),
        (NOT_LAUNCHED,),
        stdin="unix",
    ),
)

WAYS = (*_CONNECTING, *_OF_PORTS, *_ABOVE, *_SOCKETS, *_ROUTES, *_UNIX_WAYS, *_STANDARD)
"""The rows."""
