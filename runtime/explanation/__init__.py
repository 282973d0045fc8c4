"""Why something is refused, and what would allow it: before a launch, inside of it, and after it failed.

Every answer is asked of what is enforced. May import ``broker`` and the rooms beneath it; ``processes``,
which stands beside it, neither knows it nor is known here.
"""
