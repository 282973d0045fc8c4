"""File systems that several machines share: no ledger may grow on one.

Writers of a ledger agree by locks and by memory that they map in common (SQLite's write-ahead log). Two
machines have no memory in common, and what a network file system says of locks and of syncing is not always
true: two writers that do not see each other would sign two histories of one ledger.

What a file lies on is asked of the kernel: the mount of its descriptor, and that mount's type (proc(5)).
"""

from __future__ import annotations

import os

from store.errors import LedgerError

_TYPES = frozenset(
    {
        *(b"9p", b"acfs", b"afs", b"beegfs", b"ceph", b"cifs", b"coda", b"davfs", b"gfs", b"gfs2"),
        *(b"glusterfs", b"gpfs", b"lustre", b"ncpfs", b"nfs", b"nfs4", b"ocfs2", b"orangefs"),
        *(b"panfs", b"pvfs2", b"smb3", b"smbfs", b"vboxsf", b"vmhgfs"),
    }
)  # fmt: skip
"""Types of the kernel's own, folders that a host shares with its virtual machines included."""

_FUSE_TYPES = frozenset(
    {
        *(b"afp", b"azurefs", b"blobfuse", b"blobfuse2", b"ceph", b"ceph-fuse", b"cephfs", b"curlftpfs"),
        *(b"davfs", b"davfs2", b"gcsfuse", b"geesefs", b"glusterfs", b"goofys", b"hdfs", b"juicefs", b"mfs"),
        *(b"moosefs", b"mount-s3", b"mountpoint-s3", b"rclone", b"s3backer", b"s3fs", b"s3ql", b"seaweedfs"),
        *(b"smbnetfs", b"sshfs", b"vmhgfs-fuse"),
    }
)  # fmt: skip
"""What programs mount in the network's name (``fuse.NAME``); others that they mount are local."""

_MAX_BYTES = 1 << 22


def require_local(path: bytes, shown: bytes) -> None:
    """Refuse a file or directory that lies on a network file system.

    Args:
        path: the file or directory, absolute; it must be there.
        shown: the ledger, for the message.

    Raises:
        LedgerError: it does (``ledger.network``).
    """
    kind = file_system_type(path)
    if kind is not None and is_network(kind):
        name = kind.decode("utf-8", "replace")
        raise LedgerError(
            f"{os.fsdecode(shown)} lies on a network file system ({name}), where two writers of it do not see"
            " each other",
            code="ledger.network",
            hint="keep the ledger on a local disk, and copy it from there: nono audit snapshot FILE",
        )


def is_network(kind: bytes) -> bool:
    """Return whether a type, as mountinfo has it, is one that machines share."""
    main, _, sub = kind.partition(b".")
    return kind in _TYPES or (main == b"fuse" and sub in _FUSE_TYPES)


def file_system_type(path: bytes) -> bytes | None:
    """Return the type of the mount that ``path`` lies on; None where the kernel does not say."""
    try:
        # O_PATH: to close it drops none of this process's locks (see store.ledger_file).
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            about = _read(b"/proc/self/fdinfo/%d" % descriptor)
        finally:
            os.close(descriptor)
        mounts = _read(b"/proc/self/mountinfo")
    except OSError:
        return None
    identifiers = [line.split()[1] for line in about.splitlines() if line.startswith(b"mnt_id:")]
    for line in mounts.split(b"\n"):  # a mount's name may hold any other end of a line
        # Escaped as they are, the fields before the hyphen hold no space of their own.
        before, _, after = line.partition(b" - ")
        if before.split(b" ", 1)[0] in identifiers:
            return after.split(b" ", 1)[0]
    return None


def _read(path: bytes) -> bytes:
    with open(path, "rb", buffering=0) as file:
        parts = []
        left = _MAX_BYTES
        while left and (part := file.read(min(left, 1 << 16))):
            parts.append(part)
            left -= len(part)
    return b"".join(parts)
