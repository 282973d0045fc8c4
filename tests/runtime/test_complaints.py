"""What programs complain of, as it is read from the end of their standard error."""

from __future__ import annotations

import time

import pytest

from runtime.explanation.complaints import (
    MOST_BYTES,
    MOST_COMPLAINTS,
    CallComplaint,
    Complaint,
    FileComplaint,
    NetworkComplaint,
    Refusing,
    Use,
    read,
)


def of_file(path: str, use: Use, *, named: bool = True, refusing: Refusing = Refusing.DENIED) -> Complaint:
    return FileComplaint(path.encode(), use, refusing, named)


FILES: dict[str, list[Complaint]] = {
    # GNU coreutils, findutils, grep, tar, make
    "cat: /x: Permission denied": [of_file("/x", Use.READ)],
    "cat: notes: Permission denied": [of_file("notes", Use.READ, named=False)],
    "cat: '/a b/c': Permission denied": [of_file("/a b/c", Use.READ)],
    "grep: /x-: Permission denied": [of_file("/x-", Use.READ)],
    "ls: cannot open directory '/x': Permission denied": [of_file("/x", Use.READ)],
    "ls: cannot access '/x/y': Permission denied": [of_file("/x/y", Use.LOOK)],
    "head: cannot open '/x' for reading: Permission denied": [of_file("/x", Use.READ)],
    "touch: cannot touch '/x': Permission denied": [of_file("/x", Use.WRITE)],
    "mkdir: cannot create directory \N{LEFT SINGLE QUOTATION MARK}/x\N{RIGHT SINGLE QUOTATION MARK}:"
    " Permission denied": [of_file("/x", Use.ENTRY)],
    "rm: cannot remove '/x': Permission denied": [of_file("/x", Use.ENTRY)],
    "mv: cannot move '/x' to '/y': Permission denied": [of_file("/x", Use.ENTRY), of_file("/y", Use.ENTRY)],
    "ln: failed to create symbolic link '/x': Permission denied": [of_file("/x", Use.ENTRY)],
    "cp: cannot create regular file '/x': Permission denied": [of_file("/x", Use.WRITE)],
    "touch: cannot touch '/x': Read-only file system": [
        of_file("/x", Use.WRITE, refusing=Refusing.READ_ONLY)
    ],
    "tar: /x.tar: Cannot open: Permission denied": [of_file("/x.tar", Use.OPEN)],
    "tee: /x: Permission denied": [of_file("/x", Use.WRITE)],
    "make: Makefile: Permission denied": [of_file("Makefile", Use.READ, named=False)],
    "env: '/x': Permission denied": [of_file("/x", Use.EXECUTE)],
    # shells
    "sh: 1: /x/tool: Permission denied": [of_file("/x/tool", Use.SHELL)],
    "sh: 1: cannot create /x: Permission denied": [of_file("/x", Use.WRITE)],
    "bash: line 1: ./x: Permission denied": [of_file("./x", Use.SHELL)],
    # compilers, git, curl
    "/usr/bin/ld: cannot open output file /x.o: Permission denied": [of_file("/x.o", Use.WRITE)],
    "error: could not lock config file /x/.gitconfig: Permission denied": [
        of_file("/x/.gitconfig", Use.ENTRY)
    ],
    "fatal: Unable to create '/x/.git/index.lock': Permission denied": [
        of_file("/x/.git/index.lock", Use.WRITE)
    ],
    "/x/.git: Permission denied": [of_file("/x/.git", Use.OPEN)],
    "Warning: Failed to open the file /x: Permission denied": [of_file("/x", Use.WRITE)],
    # languages
    "PermissionError: [Errno 13] Permission denied: '/x'": [of_file("/x", Use.OPEN)],
    '    open("/x", "w")\nPermissionError: [Errno 13] Permission denied: \'/x\'': [of_file("/x", Use.WRITE)],
    "PermissionError: [Errno 13] Permission denied: '/x' -> '/y'": [
        of_file("/x", Use.OPEN),
        of_file("/y", Use.OPEN),
    ],
    "Error: EACCES: permission denied, open '/x'": [of_file("/x", Use.OPEN)],
    "Error: EACCES: permission denied, open '/x'\n    at Object.writeFileSync (node:fs:2380:20)": [
        of_file("/x", Use.WRITE)
    ],
    "Error: EACCES: permission denied, mkdir '/x'": [of_file("/x", Use.ENTRY)],
    "Error: EACCES: permission denied, copyfile '/x' -> '/y'": [
        of_file("/x", Use.READ),
        of_file("/y", Use.WRITE),
    ],
    "open /x y: permission denied": [of_file("/x y", Use.OPEN)],
    "go: creating work dir: mkdir /tmp/go-build1: permission denied": [of_file("/tmp/go-build1", Use.ENTRY)],
    "fork/exec /x: permission denied": [of_file("/x", Use.EXECUTE)],
    "error: could not create home directory: '/x'\n\nCaused by:\n    Permission denied (os error 13)": [
        of_file("/x", Use.WRITE)
    ],
    r"""PermissionError: [Errno 13] Permission denied: '/it\'s "x"'""" + "\n": [
        of_file('/it\'s "x"', Use.OPEN)
    ],
    """PermissionError: [Errno 13] Permission denied: "/it's\"""": [of_file("/it's", Use.OPEN)],
    r"cat: '/it'\''s $x': Permission denied": [of_file("/it's $x", Use.READ)],
    "java.io.FileNotFoundException: /x (Permission denied)": [of_file("/x", Use.OPEN)],
    "java.nio.file.AccessDeniedException: /x": [of_file("/x", Use.OPEN)],
    "x.rb:1:in 'initialize': Permission denied @ rb_sysopen - /x (Errno::EACCES)": [of_file("/x", Use.OPEN)],
    "Can't open '/x': Permission denied at -e line 1.": [of_file("/x", Use.OPEN)],
    "E: Could not open lock file /x/lock - open (13: Permission denied)": [of_file("/x/lock", Use.OPEN)],
}

NETWORK: dict[str, list[Complaint]] = {
    "bash: connect: Permission denied\nbash: line 1: /dev/tcp/127.0.0.1/81: Permission denied": [
        NetworkComplaint("connect", None),
        NetworkComplaint("connect", 81),
    ],
    "Error: connect EACCES 127.0.0.1:81 - Local (0.0.0.0:0)": [NetworkComplaint("connect", 81)],
    "Error: listen EACCES: permission denied 0.0.0.0:8123": [NetworkComplaint("listen", 8123)],
    "dial tcp [::1]:443: connect: permission denied": [NetworkComplaint("connect", 443)],
    "listen tcp 127.0.0.1:8111: bind: permission denied": [NetworkComplaint("listen", 8111)],
    "ssh: connect to host example.org port 22: Permission denied": [NetworkComplaint("connect", 22)],
    "curl: (7) Failed to connect to 127.0.0.1 port 8080 after 0 ms: Couldn't connect to server": [
        NetworkComplaint("connect", 8080)
    ],
    "curl: (6) Could not resolve host: example.org": [NetworkComplaint("names", None)],
    "fatal: unable to access 'https://example.org/x/': Could not resolve host: example.org": [
        NetworkComplaint("names", 443)
    ],
    "ssh: Could not resolve hostname example.org: Temporary failure in name resolution": [
        NetworkComplaint("names", 22)
    ],
    "Error: getaddrinfo EAI_AGAIN example.org": [NetworkComplaint("names", None)],
    "dial tcp: lookup example.org on 10.0.0.1:53: dial udp 10.0.0.1:53: socket: permission denied": [
        NetworkComplaint("names", None, over_udp=True)
    ],
    "    sock.connect(sa)\nPermissionError: [Errno 13] Permission denied": [
        NetworkComplaint("connect", None)
    ],
    "    self.socket.bind(address)\nPermissionError: [Errno 13] Permission denied": [
        NetworkComplaint("listen", None)
    ],
    "unshare: unshare failed: Operation not permitted": [CallComplaint("namespace")],
    "mount: /mnt: permission denied.": [CallComplaint("mount")],
    'sudo: The "no new privileges" flag is set, which prevents sudo from running as root.': [
        CallComplaint("privilege")
    ],
}


@pytest.mark.parametrize(("text", "complaints"), [*FILES.items(), *NETWORK.items()])
def test_what_programs_say_is_understood(text: str, complaints: list[Complaint]) -> None:
    assert read(text.encode() + b"\n") == complaints


@pytest.mark.parametrize(
    "text",
    [
        "cat: /x: No such file or directory",
        "sh: 1: nope: not found",
        "make: *** [Makefile:2: all] Error 1",
        "chown: changing ownership of '/x': Operation not permitted",
        "PermissionError: [Errno 13] Permission denied",
        "dial tcp: lookup nope on 10.0.0.1:53: no such host",
        "permission denied",
        "    at Object.writeFileSync (node:fs:2380:20)\n  code: 'EACCES',\n  syscall: 'open',",
        "Permission denied at /usr/lib/x.pl line 3.",
        "",
    ],
)
def test_what_is_no_refusal_or_names_nothing_is_none(text: str) -> None:
    assert read(text.encode()) == []


def test_a_key_that_a_server_does_not_take_names_no_file_for_sure() -> None:
    found = read(b"git@example.org: Permission denied (publickey).\n")
    assert not any(isinstance(complaint, FileComplaint) and complaint.named for complaint in found)


@pytest.mark.parametrize(
    "path",
    [
        b"/x\x1b[2J",
        b"/x\xe2\x80\xaey",  # RIGHT-TO-LEFT OVERRIDE
        b"/x\x07",
        b"/\xff\xfe",
        b"/" + b"a" * 5_000,
        b"/x\x00y",
    ],
)
def test_a_path_that_nobody_would_type_is_dropped(path: bytes) -> None:
    assert read(b"cat: " + path + b": Permission denied\n") == []
    assert read(b"PermissionError: [Errno 13] Permission denied: '" + path + b"'\n") == []


def test_only_the_end_is_read_and_of_many_the_last() -> None:
    text = b"".join(b"cat: /%d: Permission denied\n" % number for number in range(10_000))
    found = read(text)
    assert len(found) == MOST_COMPLAINTS
    assert found[-1] == FileComplaint(b"/9999", Use.READ, Refusing.DENIED, named=True)
    # The line that was cut in two is not taken for another path.
    cut = b"cat: /secret/x: Permission denied\n"
    assert read(cut + b"." * (MOST_BYTES - len(cut) + 8) + b"\n") == []


def test_each_is_told_once() -> None:
    assert len(read(b"cat: /x: Permission denied\n" * 50)) == 1


@pytest.mark.parametrize(
    "line",
    [
        b"'" * 8_000 + b": Permission denied\n",
        b"`x' " * 2_000 + b": Permission denied\n",
        b"` " * 4_000 + b": Permission denied\n",
        b": " * 4_000 + b"Permission denied\n",
        b" /" * 4_000 + b": Permission denied\n",
        rb"\'" * 4_000 + b": Permission denied\n",
        rb"'\'' " * 1_600 + b": Permission denied\n",
        b"permission denied" * 480 + b"\n",
        b"\x00" * 8_000 + b"/x: Permission denied\n",
        b"could not resolve host" * 300 + b"\n",
        b"connect permission denied " + b"9:9 " * 1_900 + b"\n",
        b"Permission denied\n" * 4_000,
        b"\n" * MOST_BYTES,
        b"permission denied (os error\n" * 2_300,
    ],
)
def test_hostile_text_takes_no_time(line: bytes) -> None:
    text = line * (MOST_BYTES // len(line))
    begun = time.process_time()
    found = read(text)
    assert time.process_time() - begun < 2.0
    assert len(found) <= MOST_COMPLAINTS
