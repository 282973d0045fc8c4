"""Ways to files outside of the grants: other names, other calls, other descriptors, and being quicker."""

from __future__ import annotations

from tests.escapes.way import IN_VAIN, Way

_READ = "files outside of the grants"
_LINKS = "hard links"
_RENAMES = "renames across grants"
_SWAPS = "FIFO and symlink swaps"
_INHERITED = "inherited descriptors"
_REFUSED = ("EACCES",)
_MOVED = ("EACCES", "EXDEV")

_O_WRONLY, _O_RDWR, _O_TRUNC, _O_DIRECT = "1", "2", "01000", "040000"
_RENAME_EXCHANGE = "2"

_READING = (
    Way(_READ, "file-read", "read a file", ("secret", "{secret}"), _REFUSED),
    Way(_READ, "file-list", "list a directory", ("list", "{outside}"), _REFUSED),
    Way(_READ, "file-list-above", "list the directory that holds the grants", ("list", "{place}"), _REFUSED),
    Way(
        _READ,
        "file-dot-dot",
        "read a file by `..` from a grant",
        ("secret", "{granted}/../outside/file"),
        _REFUSED,
    ),
    Way(
        _READ,
        "file-beneath",
        "read a file by `..` from the descriptor of a grant",
        ("beneath", "{granted}", "../outside/file"),
        _REFUSED,
    ),
    Way(
        _READ,
        "file-from-there",
        "go there, and read a file by its bare name",
        ("from-there", "{outside}", "file"),
        _REFUSED,
    ),
    Way(
        _READ,
        "file-proc-root",
        "read a file through `/proc/self/root`",
        ("secret", "/proc/self/root{secret}"),
        _REFUSED,
    ),
    Way(
        _READ,
        "file-proc-cwd",
        "go there, and read a file through `/proc/self/cwd`",
        ("from-there", "{outside}", "/proc/self/cwd/file"),
        _REFUSED,
    ),
    Way(
        _READ,
        "file-thread-root",
        "read a file through `/proc/thread-self/root`",
        ("secret", "/proc/thread-self/root{secret}"),
        _REFUSED,
    ),
    Way(_READ, "file-openat2", "read a file by `openat2(2)`", ("openat2", "{secret}", "0", "0"), _REFUSED),
    Way(
        _READ,
        "file-direct",
        "read a file past the cache",
        ("open", "{secret}", _O_DIRECT, "0"),
        _REFUSED,
        lacking=("EINVAL",),
    ),
    Way(
        _READ,
        "file-truncate-for-requests",
        "truncate a file by opening it for neither reading nor writing",
        ("open", "{secret}", "01003", "0"),
        _REFUSED,
    ),
    Way(
        _READ,
        "file-as-child",
        "read a file in a grandchild of another session",
        ("child", "secret", "{secret}"),
        _REFUSED,
    ),
    Way(
        _READ,
        "file-path-descriptor",
        "open again, for reading, what `O_PATH` opened",
        ("path-descriptor", "{secret}", "read"),
        _REFUSED,
    ),
    Way(
        _READ,
        "file-path-descriptor-list",
        "open again, to list it, a directory that `O_PATH` opened",
        ("path-descriptor", "{outside}", "list"),
        _REFUSED,
    ),
    Way(
        _READ,
        "file-path-descriptor-write",
        "open again, for writing, what `O_PATH` opened",
        ("path-descriptor", "{readable}/file", "write"),
        _REFUSED,
    ),
    Way(
        _READ,
        "file-path-descriptor-truncate",
        "truncate what `O_PATH` opened",
        ("path-descriptor", "{readable}/file", "truncate"),
        _REFUSED,
    ),
    Way(
        _READ,
        "file-write-grant-read",
        "read what is granted for writing alone",
        ("secret", "{writable}/file"),
        _REFUSED,
    ),
    Way(
        _READ,
        "file-write-grant-list",
        "list what is granted for writing alone",
        ("list", "{writable}"),
        _REFUSED,
    ),
)

_WRITING = tuple(
    way
    for place, said in (("outside", "outside of the grants"), ("readable", "granted for reading"))
    for way in (
        Way(
            _READ,
            f"{place}-write",
            f"write to a file {said}",
            ("open", f"{{{place}}}/file", _O_WRONLY, "0"),
            _REFUSED,
        ),
        Way(
            _READ,
            f"{place}-read-write",
            f"open a file {said} for both",
            ("open", f"{{{place}}}/file", _O_RDWR, "0"),
            _REFUSED,
        ),
        Way(
            _READ, f"{place}-truncate", f"truncate a file {said}", ("truncate", f"{{{place}}}/file"), _REFUSED
        ),
        Way(
            _READ,
            f"{place}-truncate-at-open",
            f"truncate a file {said} by opening it for reading",
            ("open", f"{{{place}}}/file", _O_TRUNC, "0"),
            _REFUSED,
        ),
        *(
            Way(
                _READ,
                f"{place}-make-{kind}",
                f"make a {what} in a directory {said}",
                ("make", kind, f"{{{place}}}{name}"),
                (*_REFUSED, "EOPNOTSUPP") if kind == "unnamed" else _REFUSED,
                lacking=("EOPNOTSUPP",) if kind == "unnamed" else (),
            )
            for kind, what, name in (
                ("file", "file", "/new"),
                ("creat", "file by `creat(2)`", "/new"),
                ("regular", "file by `mknod(2)`", "/new"),
                ("directory", "directory", "/new"),
                ("link", "symbolic link", "/new"),
                ("fifo", "FIFO", "/new"),
                ("socket", "socket", "/new"),
                ("unnamed", "file without a name (`O_TMPFILE`)", ""),
            )
        ),
        Way(
            _READ,
            f"{place}-unlink",
            f"remove a file {said}",
            ("remove", "file", f"{{{place}}}/file"),
            _REFUSED,
        ),
        Way(
            _READ,
            f"{place}-rmdir",
            f"remove a directory {said}",
            ("remove", "directory", f"{{{place}}}/directory"),
            _REFUSED,
        ),
        Way(
            _RENAMES,
            f"{place}-rename-within",
            f"rename a file {said}",
            ("rename", f"{{{place}}}/file", f"{{{place}}}/renamed", "0"),
            _MOVED,
        ),
    )
)

_LINKING = tuple(
    Way(
        _LINKS,
        f"link-{how}-{place}",
        f"link a file {said} into a grant by {by}, and read it there",
        ("link", how, f"{{{place}}}/file", "{granted}/linked"),
        _MOVED,
        ordinary=("ENOENT",) if how == "empty" else (),
    )
    for place, said in (
        ("outside", "outside of the grants"),
        ("readable", "granted for reading"),
        ("writable", "granted for writing"),
    )
    for how, by in (
        ("link", "`link(2)`"),
        ("follow", "`linkat(2)` that follows"),
        ("proc", "`linkat(2)` of `/proc/self/fd`"),
        ("empty", "`linkat(2)` of a descriptor"),
    )
)

_MOVING = (
    Way(
        _RENAMES,
        "rename-into-a-grant",
        "move a file into a grant",
        ("rename", "{secret}", "{granted}/moved", "0"),
        _MOVED,
    ),
    Way(
        _RENAMES,
        "rename-out-of-a-grant",
        "move a file out of a grant",
        ("rename", "{granted}/file", "{outside}/moved", "0"),
        _MOVED,
    ),
    Way(
        _RENAMES,
        "rename-over",
        "put a file of a grant in the place of one outside",
        ("rename", "{granted}/file", "{secret}", "0"),
        _MOVED,
    ),
    Way(
        _RENAMES,
        "rename-readable",
        "move a file that is granted for reading to where it could be written",
        ("rename", "{readable}/file", "{granted}/moved", "0"),
        _MOVED,
    ),
    Way(
        _RENAMES,
        "rename-writable",
        "move a file that is granted for writing to where it could be read",
        ("rename", "{writable}/file", "{granted}/moved", "0"),
        _MOVED,
    ),
    Way(
        _RENAMES,
        "rename-exchange",
        "exchange a file of a grant with one outside",
        ("rename", "{granted}/file", "{secret}", _RENAME_EXCHANGE),
        _MOVED,
        lacking=("EINVAL",),
    ),
    Way(
        _RENAMES,
        "rename-directory",
        "move a directory into a grant, and read what is in it",
        ("rename-parent", "{outside}", "{granted}/moved", "{granted}/moved/file"),
        _MOVED,
    ),
    Way(
        _RENAMES,
        "rename-readable-directory",
        "move a directory that is granted for reading into a grant for writing",
        ("rename", "{readable}/directory", "{granted}/moved", "0"),
        _MOVED,
    ),
    Way(
        _RENAMES,
        "rename-the-grant",
        "move the grant itself",
        ("rename", "{granted}", "{place}/moved", "0"),
        _MOVED,
    ),
)

_SWAPPING = (
    Way(
        _SWAPS,
        "symlink-read",
        "read through a link that leads out of a grant",
        ("symlink", "{secret}", "{granted}/link", "read"),
        _REFUSED,
    ),
    Way(
        _SWAPS,
        "symlink-write",
        "write through a link that leads out of a grant",
        ("symlink", "{secret}", "{granted}/link", "write"),
        _REFUSED,
    ),
    Way(
        _SWAPS,
        "symlink-make",
        "make a file through a link that leads out of a grant",
        ("symlink", "{outside}/new", "{granted}/link", "make"),
        _REFUSED,
    ),
    Way(
        _SWAPS,
        "symlink-swap",
        "exchange where a link leads while it is opened",
        ("swap-links", "{granted}/file", "{secret}", "{granted}/link", "{rounds}"),
        (IN_VAIN,),
    ),
    Way(
        _SWAPS,
        "fifo-swap",
        "put a link in the place of a FIFO while that is opened",
        ("swap-fifo", "{granted}/fifo", "{secret}", "2000"),
        ("EACCES", IN_VAIN),
    ),
    Way(
        _SWAPS,
        "directory-moved",
        "go up from a directory that was moved up meanwhile",
        ("move-directory", "{granted}/deep/directory", "{granted}/moved", "../../outside/file"),
        _REFUSED,
    ),
)

_DESCRIPTORS = (
    Way(
        _INHERITED,
        "inherited",
        "read by a descriptor that nono was started with",
        ("inherited", "3"),
        ("EBADF",),
        leaks=True,
    ),
    *(
        Way(
            _INHERITED,
            f"standard-input-{how}",
            f"{said} that is granted for reading by being standard input",
            ("standard-input", how),
            _REFUSED,
            stdin="file",
        )
        for how, said in (
            ("reopen-for-writing", "open again, for writing, a file"),
            ("reopen-truncating", "truncate, by opening it again, a file"),
            ("truncate", "truncate a file"),
            ("device", "open for both, as `/dev/stdin`, a file"),
        )
    ),
)

_SUBVOLUMES = tuple(
    Way(
        _READ,
        f"subvolume-{name}",
        f"{what} a btrfs subvolume in a directory that is granted for reading",
        ("ioctl", "{readable}", request),
        outside="EFAULT",
        # What is no btrfs has no such call.
        lacking=("ENOTTY",),
    )
    for name, what, request in (
        ("make", "make", "0x5000940e"),
        ("make-2", "make, by the newer call,", "0x50009418"),
        ("remove", "remove", "0x5000940f"),
        ("remove-2", "remove, by the newer call,", "0x5000943f"),
        ("snapshot", "make a snapshot of", "0x50009401"),
        ("snapshot-2", "make a snapshot, by the newer call, of", "0x50009417"),
        ("lock", "lock", "0x4008941a"),
    )
)

_SEALS = tuple(
    Way(
        _READ,
        f"seal-{name}",
        f"{what} a directory or file that is granted for reading",
        ("ioctl", "{readable}", request),
        outside="EFAULT",
        # Most file systems have no such call, or have it switched off.
        lacking=("ENOTTY", "EOPNOTSUPP", "EPERM"),
    )
    for name, what, request in (
        ("verity", "make unchangeable, for good,", "0x40806685"),
        ("encrypt", "have encrypted", "0x800c6613"),
        ("version", "change the generation of", "0x40087602"),
    )
)
_LEASES = (
    Way(
        _READ,
        "lease-for-writing",
        "hold up whoever opens a file that is granted for reading, by a lease",
        ("lock", "write-lease", "{readable}/file"),
        _REFUSED,
    ),
)

_PROTECTED = ("--protect-metadata",)
_METADATA = tuple(
    Way(
        "modes, owners, times and attributes",
        f"metadata-{how}-{place}",
        f"{what} of a file {said}, with `--protect-metadata`",
        ("metadata", how, f"{{{place}}}/file"),
        lacking=("EOPNOTSUPP",),
        flags=_PROTECTED,
    )
    for place, said in (("outside", "outside of the grants"), ("readable", "granted for reading"))
    for how, what in (
        ("mode", "change the mode"),
        ("set-uid", "set the set-uid bit"),
        ("times", "change the times"),
        ("attribute", "set an attribute"),
    )
)
_FLAGS = tuple(
    Way(
        "modes, owners, times and attributes",
        f"inode-{how}-{place}",
        f"change the flags of an inode {said} through a descriptor for reading, with `--protect-metadata`",
        ("inode-flags", how, f"{{{place}}}/file"),
        lacking=("ENOTTY", "EOPNOTSUPP"),
        flags=_PROTECTED,
    )
    for place, said in (("readable", "granted for reading"),)
    for how in ("flags", "extended", "dos")
)

_NODES = tuple(
    Way(
        _READ,
        f"device-{kind}",
        f"make a {kind} device in a grant",
        ("make", kind, "{granted}/device"),
        ("EACCES", "EPERM"),
        ordinary=("EPERM",),
    )
    for kind in ("character", "block")
)

WAYS = (
    *_READING,
    *_WRITING,
    *_LINKING,
    *_MOVING,
    *_SWAPPING,
    *_DESCRIPTORS,
    *_NODES,
    *_SUBVOLUMES,
    *_SEALS,
    *_LEASES,
    *_METADATA,
    *_FLAGS,
)
"""The rows."""
