"""A finder of our own modules that reads what the installer compiled, and searches for nothing.

Python's own lists directories, tries each name in several forms and asks four times about a module's file:
for the ninety modules of a launch that is 550 system calls and 3 % of its CPU time. Here a compiled file is
taken where it is and stands for its source, by the header of PEP 552 and the name in its code. In every
other case nothing is found, and Python goes on as ever.
"""

from __future__ import annotations

import marshal
import os
import sys

# What importlib.machinery and importlib.util show of them; to load those would take what this saves.
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import MAGIC_NUMBER, SourceFileLoader
from types import CodeType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

_HEADER_BYTES = 16
_FILE_BYTES = 98_304
"""More than any compiled module of ours has; a longer one is Python's to read. From 128 KiB on each buffer
would be a mapping of its own, which costs more than the search."""


class CompiledFinder:
    """Finds modules of some packages by their compiled files; one for :data:`sys.meta_path`.

    Args:
        directory: what the packages lie in.
        packages: the names of the packages.
    """

    def __init__(self, directory: str, packages: frozenset[str]) -> None:
        self._directory = directory
        self._packages = packages
        self._tag = sys.implementation.cache_tag

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return what Python needs to import the module ``name``, or None where it has to look itself.

        Args:
            name: dotted.
            path: the ``__path__`` of the package that it is in.
        """
        package, _, last = name.rpartition(".")
        if package.partition(".")[0] not in self._packages and name not in self._packages:
            return None
        stem = f"{path[0] if path else self._directory}/{last}"
        # Python, too, takes a package before a module of its name.
        return self._of_file(name, f"{stem}/__init__.py", stem) or self._of_file(name, f"{stem}.py")

    def _of_file(self, name: str, source: str, package: str | None = None) -> ModuleSpec | None:
        directory, _, file_name = source.rpartition("/")
        compiled = f"{directory}/__pycache__/{file_name.removesuffix('.py')}.{self._tag}.pyc"
        code = _read(compiled, source)
        if code is None:
            return None
        spec = ModuleSpec(name, _Loader(name, source, code), origin=source, is_package=package is not None)
        spec.has_location = True
        spec.cached = compiled
        if package is not None:
            spec.submodule_search_locations = [package]
        return spec


class _Loader(SourceFileLoader):
    """Python's own, given the code; tracebacks and :mod:`importlib.resources` ask it for the rest."""

    def __init__(self, name: str, source: str, code: CodeType) -> None:
        super().__init__(name, source)
        self._code: CodeType | None = code

    def get_code(self, fullname: str) -> CodeType | None:
        """Return the code that was read, once; afterwards what Python's own loader finds."""
        code, self._code = self._code, None
        return super().get_code(fullname) if code is None else code


def _read(compiled: str, source: str) -> CodeType | None:
    """Return the code of the file ``compiled``, or None unless it is what ``source`` was compiled to."""
    try:
        descriptor = os.open(compiled, os.O_RDONLY | os.O_CLOEXEC)
        try:
            data = os.read(descriptor, _FILE_BYTES)
        finally:
            os.close(descriptor)
        written = os.stat(source)
    except OSError:
        return None
    stamp = (0, int(written.st_mtime) & 0xFFFF_FFFF, written.st_size & 0xFFFF_FFFF)
    header = MAGIC_NUMBER + b"".join(number.to_bytes(4, "little") for number in stamp)
    if data[:_HEADER_BYTES] != header or len(data) == _FILE_BYTES:
        return None
    try:
        code = marshal.loads(memoryview(data)[_HEADER_BYTES:])  # noqa: S302  # as Python itself does, see above
    except (EOFError, ValueError, TypeError):
        return None
    return code if isinstance(code, CodeType) and code.co_filename == source else None


def install(packages: frozenset[str]) -> None:
    """Have modules of ``packages`` found by their compiled files, where they lie beside this one.

    Nothing is done where Python was told to compile in another way (``-O``) or to another place
    (:data:`sys.pycache_prefix`).
    """
    if not (sys.flags.optimize or sys.pycache_prefix):
        sys.meta_path.insert(0, CompiledFinder(__file__.rpartition("/")[0].rpartition("/")[0], packages))
