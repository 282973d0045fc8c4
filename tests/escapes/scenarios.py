"""Ways out that take more than one process: each has a test of its own, which the page names."""

from __future__ import annotations

from tests.escapes.way import Scenario

_BETWEEN = "the executable between hash and exec"
_IMPORTS = "what nono imports"
_DISK = "the disk filled"
_FLOOD = "the decisions flooded"
_LEDGER = "the ledger and its modes"
_SURVIVORS = "setsid survivors"
_ATTACKS = "tests/system/test_attacks.py"
_SWAPS = "FIFO and symlink swaps"
_UNIX = "abstract and pathname sockets"
_TERMINAL = "terminal injection"
_INHERITED = "inherited descriptors"
_LIMITS = "priorities and limits of the supervisor"

_EXEC = "memfd and loader exec"
_IDENTITY = "tests/runtime/test_executable.py"
_TRACING = "tests/system/test_exec_tracing.py"

SCENARIOS = (
    Scenario(
        _BETWEEN,
        "program-mapped",
        "change a program through a shared mapping, under the very same state",
        "who has it mapped is a writer, and it is not run",
        f"{_IDENTITY}::test_a_shared_mapping_is_a_writer",
    ),
    Scenario(
        _BETWEEN,
        "program-rewritten",
        "open a program for writing, or truncate it, after it was hashed",
        "whoever does waits, and is seen",
        f"{_IDENTITY}::test_a_later_writer_is_seen_and_waits",
    ),
    Scenario(
        _BETWEEN,
        "program-exchanged",
        "have another image run than the one that was hashed",
        "it is killed before its first instruction",
        f"{_IDENTITY}::test_another_image_is_seen",
    ),
    Scenario(
        _EXEC,
        "exec-allow-memfd",
        "run a program that is in no file, with `--exec-allow`",
        "refused, and recorded",
        f"{_TRACING}::test_a_copy_in_memory_is_seen_and_refused",
    ),
    Scenario(
        _EXEC,
        "exec-allow-loader",
        "have the loader load a program, with `--exec-allow`",
        "refused, and recorded",
        f"{_TRACING}::test_a_loader_is_seen_and_refused_wherever_it_lies",
    ),
    Scenario(
        _EXEC,
        "exec-allow-removed",
        "run a file that was removed, with `--exec-allow`",
        "refused, and recorded",
        f"{_TRACING}::test_a_file_that_was_removed_is_seen_and_refused",
    ),
    Scenario(
        _EXEC,
        "exec-allow-untraced",
        "make a process that is not traced, with `--exec-allow`",
        "refused",
        f"{_TRACING}::test_no_process_is_made_that_is_not_traced_and_none_traces",
    ),
    Scenario(
        _FLOOD,
        "flood-kernel",
        "be refused by the kernel thousands of times, where its audit log is read",
        "64 of them are recorded, the rest is counted",
        "tests/system/test_kernel_denials.py::test_a_flood_leaves_a_short_record_and_an_outcome",
    ),
    Scenario(
        _BETWEEN,
        "script-replaced",
        "put another script in the place of one that was hashed",
        "it does not run, and the record says why",
        "tests/system/test_identity.py::test_a_script_that_is_replaced_after_it_was_hashed_does_not_run",
    ),
    Scenario(
        _BETWEEN,
        "script-in-a-grant",
        "be launched as a script that the command could rewrite",
        "refused without `--allow-writable-script`",
        "tests/system/test_identity.py::test_a_script_that_the_command_could_rewrite_needs_a_word",
    ),
    Scenario(
        _IMPORTS,
        "compiled-modules",
        "plant compiled modules where nono reads them at its next start",
        "the grant is refused",
        f"{_ATTACKS}::test_what_nono_will_import_next_time_cannot_be_written",
    ),
    Scenario(
        _IMPORTS,
        "loader-and-openssl",
        "plant what the loader or OpenSSL loads into nono",
        "the grant is refused",
        f"{_ATTACKS}::test_what_the_loader_and_openssl_will_load_next_time_cannot_be_written",
    ),
    Scenario(
        _IMPORTS,
        "late-import",
        "have nono import a module after the command has started",
        "nothing is imported then",
        "tests/runtime/test_imports.py::test_nothing_is_imported_after_the_fork",
    ),
    Scenario(
        _DISK,
        "disk-full",
        "fill the disk that the ledger lies on",
        "the outcome is recorded; room for it was reserved",
        "tests/system/test_ledger_faults.py::test_a_command_that_fills_the_disk_cannot_suppress_its_outcome",
    ),
    Scenario(
        _DISK,
        "disk-full-for-others",
        "fill it while other launches run",
        "their outcomes are recorded as well",
        "tests/system/test_ledger_faults.py::test_a_command_that_fills_the_disk_cannot_suppress_the_outcomes_of_others",
    ),
    Scenario(
        _FLOOD,
        "flood-recorded",
        "be refused thousands of times",
        "64 of them are recorded, the rest is counted",
        "tests/system/test_unix_sockets.py::test_a_flood_of_refusals_leaves_a_short_record",
    ),
    Scenario(
        _FLOOD,
        "flood-holds-up",
        "be refused without pause while others ask",
        "they are answered",
        "tests/sandbox/test_unix_sockets.py::test_a_flood_of_refusals",
    ),
    Scenario(
        _LEDGER,
        "modes-taken-away",
        "take away the modes of the ledger and of all that it lies in",
        "the record is finished",
        f"{_ATTACKS}::test_modes_that_the_command_takes_away_do_not_take_its_record",
    ),
    Scenario(
        _LEDGER,
        "ledger-given-away",
        "give the ledger to another user",
        "the record is finished, and the next launch refuses that ledger",
        f"{_ATTACKS}::test_a_ledger_that_the_command_gives_away_is_finished_and_never_used_again",
    ),
    Scenario(
        _LEDGER,
        "outputs-replaced",
        "put FIFOs, links and directories in the place of declared outputs",
        "none is waited for, none followed",
        f"{_ATTACKS}::test_a_command_that_replaces_its_output_and_its_directories_is_recorded",
    ),
    Scenario(
        _LEDGER,
        "memory-used-up",
        "use up the memory of a cgroup",
        "the command is ended, and its outcome recorded",
        f"{_ATTACKS}::test_a_command_that_uses_up_the_memory_of_a_cgroup_cannot_suppress_its_outcome",
    ),
    Scenario(
        "signals",
        "hang-up-the-caller",
        "have the kernel hang up on the caller's process group, by stopping a process in it",
        "it is in another session, and cannot put one there",
        f"{_ATTACKS}::test_a_command_cannot_have_the_kernel_hang_up_on_the_caller",
    ),
    Scenario(
        _SURVIVORS,
        "unseen-end",
        "end so that no parent sees it: a zombie thread, a tracer that does not wait",
        "recorded at once, and all is killed",
        f"{_ATTACKS}::test_a_command_that_ends_unseen_is_recorded_and_leaves_nothing",
    ),
    Scenario(
        _SURVIVORS,
        "hydra",
        "fork faster than anybody kills",
        "all of it is killed",
        f"{_ATTACKS}::test_a_hydra_is_killed_at_once_and_leaves_nothing",
    ),
    Scenario(
        _SURVIVORS,
        "outlive-nono",
        "outlive nono when that is killed",
        "all of it is killed",
        "tests/system/test_kills.py::test_when_nono_dies_everything_that_it_started_dies_within_a_second",
    ),
    Scenario(
        _SURVIVORS,
        "kill-the-monitor",
        "kill the monitor and go on",
        "nothing survives it",
        "tests/system/test_kills.py::test_a_command_cannot_end_the_monitor",
    ),
    Scenario(
        _TERMINAL,
        "terminal-stops-nono",
        "stop nono by the terminal that both have",
        "nono goes on",
        f"{_ATTACKS}::test_a_command_cannot_stop_nono_with_the_terminal",
    ),
    Scenario(
        _TERMINAL,
        "terminal-words",
        "have nono print control characters that it was given",
        "they are escaped",
        "tests/system/test_hostile_places.py::test_control_characters_never_reach_the_terminal_raw",
    ),
    Scenario(
        _INHERITED,
        "ledger-as-a-stream",
        "be given the ledger or the key as a standard stream",
        "refused",
        "tests/system/test_processes.py::test_the_ledger_or_the_key_as_a_standard_stream_is_refused",
    ),
    Scenario(
        _LIMITS,
        "limits-of-the-caller",
        "inherit limits that stop the record",
        "they are the command's alone",
        "tests/system/test_processes.py::test_the_limits_of_the_caller_are_not_those_of_who_keeps_the_record",
    ),
    Scenario(
        _LIMITS,
        "leave-the-group",
        "leave the control group that limits it, or change that",
        "refused",
        "tests/system/test_limits.py::test_a_command_can_neither_leave_its_group_nor_change_it",
    ),
    Scenario(
        _SWAPS,
        "temporary-directory",
        "have nono follow a link when it clears the temporary directory",
        "it follows none",
        "tests/system/test_environment.py::test_removal_follows_no_link",
    ),
    Scenario(
        _SWAPS,
        "grant-exchanged",
        "exchange a granted directory for a link after the launch has begun",
        "the grant is what it was",
        "tests/system/test_reach.py::test_a_grant_is_where_its_path_leads_when_the_launch_begins",
    ),
    Scenario(
        _UNIX,
        "socket-path-swapped",
        "change the path of a granted socket while it is judged",
        "what was judged is what is connected",
        "tests/sandbox/test_unix_sockets.py::test_a_path_that_changes_meanwhile",
    ),
    Scenario(
        _UNIX,
        "socket-descriptor-swapped",
        "change the descriptor while it is judged",
        "what was judged is what is connected",
        "tests/sandbox/test_unix_sockets.py::test_a_descriptor_that_changes_meanwhile",
    ),
    Scenario(
        _UNIX,
        "socket-moved",
        "put another socket where a granted one was",
        "refused",
        "tests/sandbox/test_unix_sockets.py::test_no_socket_is_put_where_one_is_granted",
    ),
    Scenario(
        _UNIX,
        "socket-monitor",
        "reach the monitor and its helpers",
        "refused",
        "tests/sandbox/test_unix_sockets.py::test_nobody_inside_reaches_the_monitor_and_its_helpers",
    ),
)
"""The rows."""
