"""``python -m verify``: the command where scripts have no place (on Windows ``py -I -m verify``)."""

import _signal  # type: ignore[import-not-found]  # the built-in module, as in scripts/nono-verify

# Interrupted before anything began: nothing to tidy up, and nothing to say.
interrupt = _signal.getsignal(_signal.SIGINT)
if interrupt is _signal.default_int_handler:
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)

import gc  # noqa: E402  # only now is an interruption quiet
import sys  # noqa: E402  # likewise

gc.disable()  # as in scripts/nono-verify
try:
    from verify.cli import main
except BaseException as error:  # a traceback would end with 1, which says "tampered with"
    if isinstance(error, (KeyboardInterrupt, SystemExit)):
        raise
    what = ascii(f"{type(error).__name__}: {error}".removesuffix(": "))[1:-1]
    sys.stderr.write(f"not checked: nono-verify cannot be loaded: {what}\n")
    sys.stderr.write("  hint: install it again, or give it more memory\n")
    sys.exit(2)

gc.freeze()
gc.enable()
_signal.signal(_signal.SIGINT, interrupt)
if __name__ == "__main__":
    status = main()
    gc.freeze()
    sys.exit(status)
