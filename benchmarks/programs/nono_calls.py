"""Serve our ``launch()`` of ``/bin/true``, with its record."""

from serving import serve

from runtime import launch


def call() -> None:
    """Launch once."""
    result = launch(["/bin/true"], block_net=True, capture=True)
    if result.exit_status != 0 or not result.entries:
        raise SystemExit(f"launch: {result}")


serve(call)
