"""What is done for the command, or decided about it, while it runs: where the kernel's rules cannot say it.

The monitor answers its calls on sockets, files and their metadata, and sees what it executes; a person may be
asked. What was refused is told to nono. May import ``sandbox`` and the rooms beneath it.
"""
