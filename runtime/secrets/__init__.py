"""What is to stay secret: signing keys, where they come from and how others take their place; and redaction.

A command line is redacted before anything of it is recorded. May import ``kernel``; ``capability``, which
stands beside it, neither knows it nor is known here.
"""
