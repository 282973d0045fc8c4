"""What calls the C library: a module made of the declarations that stand beside it (cffi, out of line).

Such a module holds the declarations as they were parsed. It needs no compiler, and nothing of cffi but what
cryptography has loaded already: a launch is 5 % faster with it than with ctypes.
"""

from __future__ import annotations

import contextlib
import io
import os
import tempfile

from cffi import FFI

MODULES = ("runtime.kernel.libc", "store.libc")
"""Each made of the ``.h`` of the same name."""

_BEGINNING = '''\
"""What ``{name}.h`` declares of the C library; made of it by ``make generated``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import _cffi_backend

if TYPE_CHECKING:
    from typing import Any

'''
_MADE = "# auto-generated file\nimport _cffi_backend\n\nffi = "
_END = """
libc: Any = ffi.dlopen(None)
"""


def module(name: str, declarations: str) -> str:
    """Return the text of a module that gives ``ffi`` and ``libc``.

    Args:
        name: of the module, with its packages.
        declarations: what is called, and the structures that it is called with, in C.
    """
    ffi = FFI()
    ffi.cdef(declarations)
    ffi.set_source(name, None)
    with tempfile.TemporaryDirectory() as directory, contextlib.redirect_stdout(io.StringIO()):
        path = os.path.join(directory, "made.py")
        ffi.emit_python_code(path)
        with open(path, encoding="ascii") as file:
            made = file.read()
    if not made.startswith(_MADE):
        raise ValueError(f"{name}: cffi makes modules of another form")
    beginning = _BEGINNING.format(name=name.rpartition(".")[2])
    return beginning + "ffi: Any = " + made.removeprefix(_MADE) + _END
