"""What a launch is given: the capability set as a value, and what is judged and held open of it.

Grants on files and sockets, what no grant may open, the program that will run and the rules for those that it
runs, its environment, its hooks: each from what was asked to what is checked and held. May import ``kernel``;
``secrets``, which stands beside it, neither knows it nor is known here.
"""
