"""One launch, from the request to the closed record; and who launches: Python, ``nono wrap``, MCP.

``launch`` has the order, ``recording`` and ``record`` what is signed of it, ``calling`` the function that
:mod:`runtime` offers. May import every room but the command line.
"""
