"""``make bench``: ours against its peers, measured in turn, in one run.

Prints the tables, writes every sample as JSON, and ends with 1 when a bar is missed, with 2 when something
could not be measured; the others are measured all the same. A peer that is not there is named with its
reason. What is measured is what is installed beside this Python, so install the wheel first.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time

import appending
import command_launch
import exporting
import launch_rate
import library_large
import library_launch
import machine
import opening
import proving
import report_page
import searching
import sharing
import table
import traced_execs
import verification
from measuring import BenchmarkError, Result
from workspace import Workspace

_MODULES = (
    command_launch,
    library_launch,
    library_large,
    launch_rate,
    opening,
    verification,
    exporting,
    appending,
    sharing,
    proving,
    searching,
    report_page,
    traced_execs,
)
BENCHMARKS = {each.NAME: each for each in _MODULES}


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description="Measure nono against its peers.", allow_abbrev=False)
    parser.add_argument("--quick", action="store_true", help="few samples: a look, no figures to quote")
    parser.add_argument(
        "--only", choices=BENCHMARKS, action="append", metavar="NAME", help=", ".join(BENCHMARKS)
    )
    parser.add_argument("--json", metavar="FILE", default="bench-results.json", help="default: %(default)s")
    arguments = parser.parse_args()
    output = os.path.abspath(arguments.json)
    begun = time.time()
    described = machine.describe()
    print(f"{described['processor']}, {described['cores']} cores, Linux {described['kernel']}", end=", ")
    print(f"Python {described['python']}", end="\n\n")
    results: list[Result] = []
    unmeasured: dict[str, str] = {}
    with Workspace() as workspace:
        os.chdir(workspace.path)
        for name in arguments.only or BENCHMARKS:
            try:
                results.append(BENCHMARKS[name].measure(workspace, quick=arguments.quick))
            except BenchmarkError as error:
                unmeasured[name] = str(error)
                print(f"{name}: not measured: {error}", end="\n\n", file=sys.stderr, flush=True)
                continue
            print("\n".join(table.lines(results[-1])), end="\n\n", flush=True)
        os.chdir("/")
    with open(output, "w", encoding="utf-8") as file:
        document = {"began": begun, "quick": arguments.quick, "machine": described, "unmeasured": unmeasured}
        json.dump({**document, "benchmarks": [_document(result) for result in results]}, file, indent=1)
        file.write("\n")
    if unmeasured:
        return 2
    return 1 if any(result.missed() for result in results) else 0


def _document(result: Result) -> dict[str, object]:
    return {
        "name": result.name,
        "title": result.title,
        "subjects": [
            {
                "name": measured.name,
                "seconds": measured.seconds,
                "median_seconds": measured.median,
                "units": measured.units,
                "ours_is": result.ratio(measured),
            }
            for measured in result.measured
        ],
        "missing": [{"name": peer.name, "reason": peer.reason} for peer in result.missing],
        "bars": [{"ours": bar.ours, "peer": bar.peer, "at_most": bar.at_most} for bar in result.bars],
        "ceilings": [
            {"subject": each.subject, "seconds": each.seconds, "of": each.of} for each in result.ceilings
        ],
        "limits": [
            {"what": each.what, "value": each.value, "at_most": each.at_most, "unit": each.unit}
            for each in result.limits
        ],
        "missed": result.missed(),
        "notes": result.notes,
    }


if __name__ == "__main__":
    sys.exit(main())
