"""What holds the command: Landlock, the seccomp filter, privileges, control groups; prepared, and applied.

``enforcement`` is the one way in which it is done, and ``enforcement_probe`` tries what can be done here. May
import ``policy`` (for the names of limits) and the rooms beneath it.
"""
