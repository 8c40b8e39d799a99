#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Checks one exhibit of the museum.

    museum_test.py <dcsim> <patched port> <scenario>

The scenario's variant `patched` says what the search must find with the patched port. Found, its
token must give the same violation every time, in a new process, on every carrier. Without the patch
the same search, to the same bound, must find nothing. Variants `patched-...` are for the patched
port as well: each must give the verdict that it names.
"""

import json
import re
import subprocess
import sys
import time

REPLAYS = 3


def run(*command: str) -> tuple[int, dict]:
    answer = subprocess.run([*command, "--json"], capture_output=True, text=True)
    if not answer.stdout:
        sys.exit(f"{' '.join(command)}: exit {answer.returncode}, {answer.stderr.strip()}")
    return answer.returncode, json.loads(answer.stdout)


def steps_of(result: dict) -> list[tuple]:
    keys = ("step", "task", "operation", "object", "before", "after")
    return [tuple(step[key] for key in keys) for step in result["trace"]]


def expected_words(scenario: str) -> str:
    with open(scenario, encoding="utf-8") as file:
        found = re.search(
            r'^\[variant\.patched\].*?^expect\s*=\s*"violated: ([^"]*)"', file.read(), re.M | re.S
        )
    if not found:
        sys.exit(f"{scenario}: [variant.patched] with expect = \"violated: ...\" is missing")
    return found.group(1)


def other_variants(scenario: str) -> list[str]:
    with open(scenario, encoding="utf-8") as file:
        return re.findall(r'^\[variant\."?(patched-[^]"]+)"?\]', file.read(), re.M)


def main() -> int:
    dcsim, port, scenario = sys.argv[1:]
    words = expected_words(scenario)
    problems = []

    begin = time.monotonic()
    code, found = run(dcsim, "explore", scenario, "--port", port)
    seconds = time.monotonic() - begin
    if code != 1 or found["result"] != "violated":
        sys.exit(f"with the patch: exit {code}, {found['result']}: the bug was not found")
    broken = found["violation"]
    report = f"{broken['kind']}: {broken['text']}"
    if words not in report:
        problems.append(f"expected '{words}', found '{report}'")

    _, version = run(dcsim, "version")
    for carrier in version["carriers"]:
        for _ in range(REPLAYS):
            code, again = run(
                dcsim, "replay", scenario, "--port", port, found["token"], "--carrier", carrier
            )
            if code != 1 or again.get("violation", {}).get("text") != broken["text"]:
                problems.append(f"replay on {carrier}: exit {code}, {again['result']}")
            elif steps_of(again) != steps_of(found):
                problems.append(f"replay on {carrier}: other steps than the search's")

    for variant in other_variants(scenario):
        code, other = run(
            dcsim, "explore", scenario, "--variant", variant, "--port", port, "--expected"
        )
        if code != 0:
            problems.append(f"{variant}: exit {code}, {other['result']}")

    code, clean = run(dcsim, "explore", scenario)
    if code != 0:
        broken_clean = clean.get("violation")
        problems.append(f"without the patch: exit {code}, {clean['result']}, {broken_clean}")

    print(
        f"found after {found['executions']} executions ({seconds:.2f} s with start and trace), "
        f"{broken['preemptions']} preemptions: {report}"
    )
    print(
        f"without the patch: {clean['result']}, {clean['executions']} executions, "
        f"{clean['covered']}, {clean['memory_model']} memory"
    )
    for problem in problems:
        print("FAILED:", problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
