"""``nono keygen`` and ``nono doctor``, as installed."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

if TYPE_CHECKING:
    from pathlib import Path

    from tests.system.conftest import Site


def read_pair(private: Path, public: Path) -> tuple[bytes, str]:
    """Return the public key's raw bytes and its fingerprint, as another library reads the files."""
    key = serialization.load_pem_private_key(private.read_bytes(), None)
    assert isinstance(key, Ed25519PrivateKey)
    half = serialization.load_pem_public_key(public.read_bytes())
    assert isinstance(half, Ed25519PublicKey)
    raw = serialization.Encoding.Raw, serialization.PublicFormat.Raw
    assert key.public_key().public_bytes(*raw) == half.public_bytes(*raw)
    spki = half.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return half.public_bytes(*raw), hashlib.sha256(spki).hexdigest()


def test_keygen_makes_the_host_key_and_trusts_it(site: Site) -> None:
    ended = site.nono("keygen")
    assert (ended.status, ended.stderr) == (0, "")
    private, public = site.config / "keys/default.pem", site.config / "keys/default.pub"
    _, fingerprint = read_pair(private, public)
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert stat.S_IMODE(private.parent.stat().st_mode) == 0o700
    said = [line.split("  ")[-1].strip() for line in ended.stdout.decode().splitlines()]
    assert said == [str(private), str(public), fingerprint, str(site.config / f"trust/{fingerprint}.pub")]
    assert site.run("--", "/bin/true").status == 0
    assert site.verify().stdout.startswith(b"verified: ")


def test_keygen_elsewhere_trusts_only_when_told(site: Site) -> None:
    site.verdict = 3
    out = site.base / "new" / "ci.pem"
    ended = site.nono("keygen", "--out", out)
    assert ended.status == 0
    assert b"trusted" not in ended.stdout
    read_pair(out, out.with_suffix(".pub"))
    assert not (site.config / "trust").exists()
    assert site.run("--audit-sign-key", out, "--", "/bin/true").status == 0
    assert site.verify().status == 3
    assert site.verify(None, "-k", out.with_suffix(".pub")).status == 0


def test_keygen_trusts_another_key_when_told(site: Site) -> None:
    out = site.base / "ci.pem"
    assert site.nono("keygen", "--out", out, "--trust").status == 0
    assert site.run("--audit-sign-key", out, "--", "/bin/true").status == 0
    assert site.verify().status == 0


@pytest.mark.parametrize("existing", ["ci.pem", "ci.pub"])
@pytest.mark.parametrize("kind", ["file", "dangling link", "directory"])
def test_keygen_overwrites_nothing(site: Site, existing: str, kind: str) -> None:
    path = site.base / "keys" / existing
    path.parent.mkdir()
    if kind == "file":
        path.write_text("precious")
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to("elsewhere")
    ended = site.nono("keygen", "--out", path.parent / "ci.pem")
    assert ended.status != 0
    if kind != "directory":
        assert "exists already, and is left as it is" in ended.stderr
    assert ended.stdout == b""
    assert os.listdir(path.parent) == [existing]
    assert kind != "file" or path.read_text() == "precious"


def test_keygen_says_where_it_cannot_write(site: Site) -> None:
    ended = site.nono("keygen", "--out", "/proc/self/nowhere/key.pem")
    assert ended.status != 0
    assert "/proc/self/nowhere/key.pem" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_keygen_side_by_side_makes_one_key(site: Site) -> None:
    running = [site.start("keygen", "--out", site.base / "k.pem") for _ in range(4)]
    ended = [one.wait() for one in running]
    assert sorted(one.status != 0 for one in ended) == [False, True, True, True]
    read_pair(site.base / "k.pem", site.base / "k.pub")
    assert sorted(path.name for path in site.base.iterdir() if path.name.startswith("k.")) == [
        "k.pem",
        "k.pub",
    ]


def test_doctor_says_what_can_be_enforced(site: Site) -> None:
    ended = site.nono("doctor")
    text = ended.stdout.decode()
    assert ended.stderr == ""
    assert f"host key   {site.config}/keys/default.pem (made by the first launch)" in text
    for feature in ("filesystem", "truncate", "network", "scope", "filter", "capabilities", "exec-stop"):
        (line,) = [line for line in text.splitlines() if line.startswith(f"{feature} ")]
        assert "enforced" in line, line
    assert ended.status == 0
    assert "launches can be enforced here" in text
    assert not (site.config / "keys").exists()
    assert not site.state.exists()


def test_doctor_says_the_same_to_a_machine(site: Site) -> None:
    ended = site.nono("doctor", "--json")
    document = json.loads(ended.stdout)
    assert (ended.status, document["able"]) == (0, True)
    assert set(document["features"]) == {
        "filesystem", "truncate", "ioctl", "network", "scope", "filter", "capabilities", "exec-stop", "lease",
        "metadata",
    }  # fmt: skip
    assert all(feature["enforced"] for feature in document["features"].values() if feature["required"])
    assert site.run("--", "/bin/true").status == 0
    start = site.record().start
    assert document["landlock_abi"] == start["enforcement"]["landlock_abi"]
    assert document["features"]["filesystem"]["enforced"] == start["enforcement"]["achieved"]["filesystem"]


def test_doctor_without_a_cache_says_so_and_that_launches_do_without(site: Site) -> None:
    """Exit code 1 means that they are refused, and they are not."""
    place = site.base / "file"
    place.write_text("")
    variables = {"XDG_CACHE_HOME": str(place)}
    assert site.run("--", "/bin/true", env=variables).status == 0
    ended = site.nono("doctor", env=variables)
    assert (ended.status, ended.stderr) == (0, "")
    said = ended.stdout.decode()
    where = f"cache      {place}/nono cannot be used ({os.strerror(errno.ENOTDIR)}): each launch takes longer"
    assert f"{where}\n           hint: make it writable, or set XDG_CACHE_HOME\n" in said
    assert said.endswith("launches can be enforced here\n")
    document = json.loads(site.nono("doctor", "--json", env=variables).stdout)
    assert document["cache"] == {"path": f"{place}/nono", "error": os.strerror(errno.ENOTDIR)}
    assert document["able"]
    assert json.loads(site.nono("doctor", "--json").stdout)["cache"]["error"] is None


def test_doctor_where_the_cache_lies_in_a_grant_says_what_launches_say(site: Site) -> None:
    variables = {"XDG_CACHE_HOME": "/proc"}
    refused = site.run("--no-audit", "--", "/bin/true", env=variables)
    assert refused.status == 125
    ended = site.nono("doctor", env=variables)
    assert ended.status == 1
    assert ended.lines[0] == refused.lines[0]


def test_doctor_inside_a_sandbox_that_forbids_landlock_says_no(site: Site) -> None:
    """seccomp from outside, as a container has it, made with the test's own filter."""
    import pyseccomp  # type: ignore[import-untyped]  # published without type information

    def forbid() -> None:
        rules = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
        for name in ("landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self"):
            rules.add_rule(pyseccomp.ERRNO(1), name)
        rules.load()

    ended = site.nono("doctor", preexec=forbid)
    assert ended.status == 1
    assert "launches will be refused here (exit code 125)" in ended.stdout.decode()
    refused = site.run("--", "/bin/true", preexec=forbid)
    assert refused.status == 125
    assert site.record().outcome["not_started"]["code"] == "enforcement.missing"
    assert site.record().intent["host"]["landlock_abi"] == 0
