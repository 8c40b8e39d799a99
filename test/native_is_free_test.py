#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Native code pays nothing for the model backend.

    native_is_free_test.py <libdcsim_native.a>
    native_is_free_test.py --self-test <C++ compiler>

No symbol of the model's is defined in the native library or wanted by it, and the functions that
everybody runs all the time call nothing but what they are expected to call: an access to a shared
field is a machine instruction, not a call, and where nothing is written not even a locked one.

The self-test compiles small objects, one as it should be and others that are hooked, and expects to
hear about exactly those.
"""

import platform
import re
import subprocess
import sys
import tempfile

# Function, and what it may call besides the compiler's own cold parts of it.
LOCKS = r"spin_(un)?lock\w*|bit_spin_\w+"
HOT_FUNCTIONS = {
    "__d_lookup_rcu": r"__d_lookup_rcu_op_compare|dentry_cmp|sched_yield",
    "d_lookup": r"__d_lookup|this_counter_slot|rcu_|sched_yield",
    "lockref_get": rf"{LOCKS}|rcu_\w+",
    "lockref_get_not_dead": rf"{LOCKS}|rcu_\w+",
    "dput": rf"{LOCKS}|rcu_\w+|might_sleep|fast_dput|retain_dentry|dentry_kill|blocker_is_dropped",
    "fast_dput": rf"{LOCKS}|rcu_\w+|lockref_put_return|retain_dentry|report_warning"
                 r"|blocker_is_dropped",
    "lockref_put_return": LOCKS,
}
# These only look: no locked instruction and no fence.
READ_ONLY = ("__d_lookup_rcu",)
# An exchange of registers is padding.
LOCKED = re.compile(r"\t(lock |xchg .*\(|[ml]fence)")
CALL = re.compile(r"\b(?:call|j[a-z]+)\s+[0-9a-f]+ <(.+)>$")
RELOCATION = re.compile(r"R_X86_64_(?:PLT32|PC32|GOTPCRELX|REX_GOTPCRELX)\s+(\S.*)$")
COMPILERS_OWN = r"__tls_get_addr|__stack_chk_fail|_ZTW|_ZTH|\.cold"

SELF_TEST = """
extern void %(hook)s(const int *);
namespace dcsim::native {
extern int __d_lookup(int);
static __attribute__((noinline)) void trace(const int *word) { asm volatile("" : : "r"(word)); }
int read(const int *word) { trace(word); return __atomic_load_n(word, __ATOMIC_RELAXED); }
int __d_lookup_rcu(int *word) { %(in_rcu)s; return __atomic_load_n(word, __ATOMIC_ACQUIRE); }
int d_lookup(int *word) { %(in_lookup)s; return __d_lookup(*word) + 1; }
int lockref_get(int *word) { return __atomic_add_fetch(word, 1, __ATOMIC_SEQ_CST); }
int lockref_get_not_dead(int *word) { return lockref_get(word); }
int lockref_put_return(int *word) { return __atomic_sub_fetch(word, 1, __ATOMIC_SEQ_CST); }
int fast_dput(int *word) { return lockref_put_return(word); }
int dput(int *word) { return fast_dput(word); }
}
"""
# What is put into the object above, and what must be said about it; nothing: all is well.
SELF_TEST_CASES = (
    ({}, ""),
    ({"hook": "observe", "in_lookup": "observe(word)"}, "d_lookup() calls observe(int const*)"),
    ({"in_rcu": "trace(word)"}, "__d_lookup_rcu() calls dcsim::native::trace(int const*)"),
    ({"in_rcu": "__atomic_add_fetch(word, 1, 5)"}, "__d_lookup_rcu() has a locked instruction"),
    ({"in_rcu": "__atomic_thread_fence(5)"}, "__d_lookup_rcu() has a locked instruction"),
    ({"hook": "schedule_point", "in_rcu": "schedule_point(word)"}, "a symbol of the model's: "),
)


def output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


class Function:
    """What a function's machine code does."""

    def __init__(self):
        self.calls: set[str] = set()
        self.locked = False


def functions_of(library: str) -> dict[str, Function]:
    """By demangled name without arguments."""
    functions: dict[str, Function] = {}
    name = ""
    target = None
    for line in output("objdump", "-dr", "--no-show-raw-insn", "-C", library).splitlines():
        if head := re.match(r"[0-9a-f]+ <(.+)>:$", line):
            name = head[1].split("(")[0].removeprefix("dcsim::native::")
            functions.setdefault(name, Function())
            target = None
        elif name and (found := RELOCATION.search(line)):
            # Behind a call that the linker completes; without one it is an access to data.
            if target:
                functions[name].calls.discard(target)
                functions[name].calls.add(found[1].rsplit("-0x", 1)[0])
            target = None
        elif name:
            found = CALL.search(line)
            target = found[1] if found else None
            if target and not re.search(r"\+0x[0-9a-f]+$", target):
                functions[name].calls.add(target)
            functions[name].locked |= bool(LOCKED.search(line))
    return functions


def problems_in(library: str) -> list[str]:
    problems = []
    for line in output("nm", "-C", library).splitlines():
        if "dcsim::model" in line or "schedule_point" in line:
            problems.append(f"a symbol of the model's: {line.strip()}")
    functions = functions_of(library)
    for name, expected in HOT_FUNCTIONS.items():
        if name not in functions:
            problems.append(f"{name}() is not in the library")
            continue
        for target in sorted(functions[name].calls):
            if not re.search(rf"\b(?:{expected}|{re.escape(name)})\b|{COMPILERS_OWN}", target):
                problems.append(f"{name}() calls {target}")
        if name in READ_ONLY and functions[name].locked:
            problems.append(f"{name}() has a locked instruction")
    return problems


def self_test(compiler: str) -> int:
    failures = 0
    for changes, expected in SELF_TEST_CASES:
        words = {"hook": "nobody", "in_rcu": "", "in_lookup": "", **changes}
        with tempfile.NamedTemporaryFile(suffix=".o") as file:
            subprocess.run([compiler, "-x", "c++", "-std=c++20", "-O2", "-c", "-o", file.name, "-"],
                           input=SELF_TEST % words, text=True, check=True)
            said = problems_in(file.name)
        heard = any(line.startswith(expected) for line in said) if expected else not said
        if not heard:
            failures += 1
            print(f"{changes}: expected '{expected}', found {said}")
    print(f"{len(SELF_TEST_CASES)} objects looked at, {failures} wrong")
    return 1 if failures else 0


def main() -> int:
    if platform.machine() != "x86_64":
        print("knows the instructions of x86_64 only")
        return 0
    if sys.argv[1] == "--self-test":
        return self_test(sys.argv[2])
    problems = problems_in(sys.argv[1])
    for problem in problems:
        print(problem)
    print(f"{len(HOT_FUNCTIONS)} functions looked at, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
