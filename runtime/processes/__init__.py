"""The processes of a launch: the command's own until it executes, its monitor, the zygote, and nono's side.

Who forks whom, who waits, signals and kills, which terminal and streams the command has, and what is hashed
when it has ended. May import ``broker`` and the rooms beneath it; ``explanation``, which stands beside it,
neither knows it nor is known here.
"""
