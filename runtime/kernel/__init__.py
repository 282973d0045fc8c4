"""What is asked of the kernel, and what it says: system calls, names of files, mounts, limits, formats.

Nothing here knows what a launch is, or what it may do. Imports no other room.
"""
