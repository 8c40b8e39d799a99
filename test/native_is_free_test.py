#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Native code pays nothing for the model backend.

    native_is_free_test.py <libdcsim_native.a>

No symbol of the model's is defined in the native library or wanted by it, and the functions that
everybody runs all the time call nothing but what they are expected to call: an access to a shared
field is a machine instruction, not a call.
"""

import re
import subprocess
import sys

# Function, and what it may call besides the compiler's own cold parts of it.
HOT_FUNCTIONS = {
    "__d_lookup_rcu": r"__d_lookup_rcu_op_compare|dentry_cmp|sched_yield",
    "d_lookup": r"__d_lookup|this_counter_slot|rcu_|sched_yield",
    "lockref_get": r"spin_(un)?lock\w*|rcu_\w+",
    "lockref_get_not_dead": r"spin_(un)?lock\w*|rcu_\w+",
}
CALL = re.compile(r"\b(call|jmp)\b")
COMPILERS_OWN = r"__tls_get_addr|__stack_chk_fail|_ZTW|_ZTH|\.cold"


def output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def calls_by_function(library: str) -> dict[str, set[str]]:
    """Targets of calls and of jumps to other functions, by demangled name without arguments."""
    calls: dict[str, set[str]] = {}
    name = None
    previous = ""
    for line in output("objdump", "-dr", "--no-show-raw-insn", "-C", library).splitlines():
        if head := re.match(r"[0-9a-f]+ <(.+)>:$", line):
            name = head[1].split("(")[0].removeprefix("dcsim::native::")
            calls.setdefault(name, set())
        elif name and (
            found := re.search(r"R_X86_64_(?:PLT32|PC32|GOTPCRELX|REX_GOTPCRELX)\s+(\S.*)$", line)
        ):
            if CALL.search(previous):
                calls[name].add(found[1].rsplit("-0x", 1)[0])
        previous = line
    return calls


def problems_in(library: str) -> list[str]:
    problems = []
    symbols = output("nm", "-C", library)
    for line in symbols.splitlines():
        if "dcsim::model" in line or "schedule_point" in line:
            problems.append(f"a symbol of the model's: {line.strip()}")
    calls = calls_by_function(library)
    for function, expected in HOT_FUNCTIONS.items():
        if function not in calls:
            problems.append(f"{function}() is not in the library")
        for target in sorted(calls.get(function, ())):
            if not re.search(f"{expected}|{COMPILERS_OWN}|{re.escape(function)}", target):
                problems.append(f"{function}() calls {target}")
    return problems


def main() -> int:
    problems = problems_in(sys.argv[1])
    for problem in problems:
        print(problem)
    print(f"{len(HOT_FUNCTIONS)} functions looked at, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
