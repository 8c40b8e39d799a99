#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Tests of the commands that read scenarios: list, check, explain, explore, replay, run NAME.

    explore_command_test.py <dcsim>
"""

import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

DCSIM = ""

WRONG = """
format = 1
title = "A check that does not hold"
[tree]
"/a" = { type = "file" }
[task.A]
do = ["d = walk('/a')"]
[task.B]
do = ["d = walk('/a')"]
[check]
always = ["waits() == 0"]
"""


def run(*arguments: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run(
        [DCSIM, *arguments], capture_output=True, text=True, timeout=300, **options
    )


def result_of(*arguments: str) -> dict:
    return json.loads(run(*arguments, "--json").stdout)


class WithFiles(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def write(self, name: str, text: str) -> str:
        (self.folder / name).write_text(text, encoding="utf-8")
        return str(self.folder / name)


class Scenarios(WithFiles):
    def test_list_names_what_comes_with_it(self):
        answer = run("list")
        self.assertEqual(answer.returncode, 0)
        for name in ("parallel-lookup", "parallel-lookup-3", "failing-lookup", "lookup-vs-rename",
                     "lookup-vs-drop", "lookup-vs-shrink", "splice-alias", "dput-vs-lookup",
                     "umount"):
            self.assertIn(name, answer.stdout)

    def test_explain_tells_what_a_scenario_teaches(self):
        answer = run("explain", "parallel-lookup")
        self.assertEqual(answer.returncode, 0)
        self.assertIn("d_alloc_parallel", answer.stdout)

    def test_unknown_name_gets_a_suggestion(self):
        answer = run("explore", "paralel-lookup")
        self.assertEqual(answer.returncode, 2)
        self.assertIn("did you mean 'parallel-lookup'", answer.stderr)
        self.assertEqual(answer.stdout, "")

    def test_bad_file_is_reported_with_its_place(self):
        file = self.write("bad.toml", WRONG.replace("walk('/a')", "wlak('/a')", 1))
        for command in ("check", "explore"):
            answer = run(command, file)
            self.assertEqual(answer.returncode, 2)
            self.assertIn(f"{file}:7:", answer.stdout + answer.stderr)
            self.assertIn("walk", answer.stdout + answer.stderr)

    def test_missing_file_is_an_error(self):
        self.assertEqual(run("explore", "/nowhere/x.toml").returncode, 2)


class Explore(WithFiles):
    def test_complete_search_that_finds_nothing_is_success(self):
        answer = run("explore", "lookup-vs-drop")
        self.assertEqual(answer.returncode, 0)
        self.assertIn("holds: no rule is broken in every interleaving with up to 2 preemptions",
                      answer.stdout)
        self.assertIn("sequentially consistent", answer.stdout)
        self.assertEqual(answer.stderr, "")

    def test_json_has_the_figures(self):
        result = result_of("explore", "lookup-vs-drop")
        for key in ("executions", "steps", "seconds", "executions_per_second", "steps_per_second",
                    "peak_memory_bytes"):
            self.assertGreater(result[key], 0, key)
        self.assertEqual(result["result"], "holds")
        self.assertEqual(result["memory_model"], "sequentially consistent")

    def test_violation_comes_with_lanes_and_replay(self):
        file = self.write("wrong.toml", WRONG)
        answer = run("explore", file)
        self.assertEqual(answer.returncode, 1)
        self.assertIn("always 'waits() == 0'", answer.stdout)
        self.assertIn("step  A", answer.stdout)
        self.assertIn("is preempted", answer.stdout)
        self.assertIn(f"replay: dcsim replay {file} v1-", answer.stdout)

    def test_sometimes_that_is_never_reached_is_a_failure(self):
        file = self.write("never.toml", WRONG.replace('always = ["waits() == 0"]',
                                                      'sometimes = ["waits() == 7"]'))
        answer = run("explore", file)
        self.assertEqual(answer.returncode, 1)
        self.assertIn("NEVER reached", answer.stdout)

    def test_limit_makes_it_inconclusive(self):
        answer = run("explore", "parallel-lookup", "--executions", "10")
        self.assertEqual(answer.returncode, 3)
        self.assertIn("inconclusive", answer.stdout)

    def test_sampling_is_inconclusive(self):
        for strategy in ("pct", "uniform"):
            answer = run("explore", "lookup-vs-drop", "--strategy", strategy,
                         "--executions", "100")
            self.assertEqual(answer.returncode, 3)

    def test_deterministic_but_for_time(self):
        file = self.write("wrong.toml", WRONG)
        results = [result_of("explore", file, "--strategy", "uniform", "--seed", "7")
                   for _ in range(2)]
        for result in results:
            for key in ("seconds", "executions_per_second", "steps_per_second",
                        "peak_memory_bytes"):
                del result[key]
        self.assertEqual(results[0], results[1])

    def test_unknown_strategy_gets_a_suggestion(self):
        answer = run("explore", "umount", "--strategy", "bound")
        self.assertEqual(answer.returncode, 2)
        self.assertIn("did you mean 'bounded'".lower(), answer.stderr.lower())

    def test_file_that_is_no_port_is_refused(self):
        answer = run("explore", "umount", "--port", self.write("x.so", "nothing"))
        self.assertEqual(answer.returncode, 2)
        self.assertIn("cannot be loaded", answer.stderr)

    def test_interruption_ends_the_search_in_good_order(self):
        process = subprocess.Popen(
            [DCSIM, "explore", "parallel-lookup-3", "--preemptions", "9"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130)
        self.assertIn("inconclusive", out)


class Replay(WithFiles):
    def setUp(self):
        super().setUp()
        self.file = self.write("wrong.toml", WRONG)
        self.token = result_of("explore", self.file)["token"]

    def test_token_gives_the_same_violation_on_every_carrier(self):
        carriers = json.loads(run("version", "--json").stdout)["carriers"]
        answers = [run("replay", self.file, self.token, "--carrier", carrier)
                   for carrier in carriers]
        for answer in answers:
            self.assertEqual(answer.returncode, 1)
            self.assertEqual(answer.stdout, answers[0].stdout)

    def test_token_of_another_scenario_is_refused(self):
        answer = run("replay", "parallel-lookup", self.token)
        self.assertEqual(answer.returncode, 4)
        self.assertIn("another scenario, variant or build", answer.stderr)

    def test_schedule_that_cannot_be_followed_diverges(self):
        head = self.token.split(":")[0]
        for schedule in ("A1", "B100000", "A1B1r5"):
            answer = run("replay", self.file, f"{head}:{schedule}")
            self.assertEqual(answer.returncode, 4, schedule)
            self.assertIn("could not be followed", answer.stderr)

    def test_text_that_is_no_token_is_explained(self):
        for text, words in (("", "begins with v1-"), ("v1-12", "8 hexadecimal digits"),
                            ("v1-00000000:Z9", "'Z' is no task")):
            answer = run("replay", self.file, text)
            self.assertEqual(answer.returncode, 2)
            self.assertIn(words, answer.stderr)


class RunNatively(WithFiles):
    def test_scenario_runs_on_threads(self):
        answer = run("run", "parallel-lookup", "--ops", "500")
        self.assertEqual(answer.returncode, 0)
        self.assertIn("500 rounds", answer.stdout)

    def test_check_that_fails_natively_fails_the_run(self):
        file = self.write("wrong.toml", WRONG.replace("waits() == 0", "lookups() == 2"))
        answer = run("run", file, "--ops", "50")
        self.assertEqual(answer.returncode, 1)
        self.assertIn("lookups() == 2", answer.stdout)

    def test_options_of_the_other_kind_of_run_are_refused(self):
        answer = run("run", "parallel-lookup", "--files", "3")
        self.assertEqual(answer.returncode, 2)
        self.assertIn("--files", answer.stderr)


if __name__ == "__main__":
    DCSIM = os.path.abspath(sys.argv.pop(1))
    unittest.main()
