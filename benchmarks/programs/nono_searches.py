"""Serve searches of a ledger that the index has: common things, rare ones, and what is not there at all."""

import itertools
import os
import sys
import time

from serving import serve

from store.index import Criteria, SearchIndex

LIMIT = 51  # what a list of 50 asks for

with SearchIndex() as index:
    state = index.catch_up(os.fsencode(sys.argv[1]))
    now = time.time_ns() // 1_000
    newest, *_, oldest = index.launches(state, limit=100_000)
    searches = [
        Criteria(),
        Criteria(since=now - 10_000_000),
        Criteria(until=now - 3_600_000_000),
        Criteria(command="git commit"),
        Criteria(command="target-4711 "),
        Criteria(command="nothing like it"),
        Criteria(path="/home/user/project-7"),
        Criteria(path="/home/user"),
        Criteria(path="/nowhere"),
        Criteria(executable="tool-7"),
        Criteria(executable="/usr/bin/tool-250"),
        Criteria(executable_sha256=f"{150:064x}"),
        Criteria(executable_sha256="0000"),
        Criteria(session=oldest.session),
        Criteria(session=newest.session[:12]),
        Criteria(session=newest.session[:4]),
        Criteria(labels=(("run", "4711"),)),
        Criteria(labels=(("team", "team-3"),)),
        Criteria(labels=(("team", "team-3"), ("run", "4711"))),
        Criteria(labels=(("none", None),)),
        Criteria(exit=0),
        Criteria(exit=7),
        Criteria(exit=7, labels=(("team", "team-3"),), command="project-"),
        Criteria(denied=True),
        Criteria(denied=True, command="target-9"),
        Criteria(lost=True),
        Criteria(lost=True, path="/home/user/project-7"),
    ]
    turns = itertools.cycle(searches)
    serve(lambda: index.launches(state, next(turns), limit=LIMIT))
