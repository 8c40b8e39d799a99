#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Tests of the commands that read scenarios: list, check, explain, explore, replay, run NAME.

    explore_command_test.py <dcsim>
"""

import json
import os
import pathlib
import pty
import re
import select
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


DEADLOCK = """
format = 1
title = "Each waits for the other"
[tree]
"/a" = { type = "file" }
[task.A]
do = ["await(B.d.error == 0)", "d = walk('/a')"]
[task.B]
do = ["await(A.d.error == 0)", "d = walk('/a')"]
"""

# What explore --json has whatever comes of the search, and in a violation on top.
KEYS = ["schema", "scenario", "variant", "title", "era", "filesystem", "port", "result", "expected",
        "as_expected", "strategy", "covered", "memory_model", "seed", "executions", "steps",
        "longest_execution", "given_up", "seconds",
        "executions_per_second", "steps_per_second", "peak_memory_bytes", "sometimes"]
VIOLATION_KEYS = ["violation", "token", "replay", "trace"]


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
        for command in ("check", "explain", "explore"):
            answer = run(command, "/nowhere/x.toml")
            self.assertEqual(answer.returncode, 2)
            self.assertIn("/nowhere/x.toml: cannot be opened", answer.stdout + answer.stderr)

    def test_every_finding_has_line_and_column(self):
        file = self.write("bad.toml", WRONG.replace("walk('/a')", "wlak('/a')", 1)
                          .replace("waits() == 0", "wait() == 0"))
        answer = run("check", file)
        self.assertEqual(answer.returncode, 2)
        self.assertRegex(answer.stdout, rf"{re.escape(file)}:7:\d+: .*did you mean 'walk'")
        self.assertRegex(answer.stdout, rf"{re.escape(file)}:11:\d+: .*did you mean 'waits'")
        self.assertIn("1 scenario, 2 findings", answer.stderr)
        findings = result_of("check", file)["files"][0]["findings"]
        self.assertEqual([found["line"] for found in findings], [7, 11])
        for found in findings:
            self.assertGreater(found["column"], 1)

    def test_check_of_good_ones_says_nothing(self):
        answer = run("check", "parallel-lookup", self.write("good.toml", WRONG))
        self.assertEqual((answer.returncode, answer.stdout), (0, ""))

    def test_list_and_explain_tell_era_and_documents(self):
        file = self.write("old.toml", WRONG.replace("[tree]", "seeds = ['000', '001']\n[dcache]\n"
                                                    "era = '4.7'\n[tree]", 1))
        answer = run("explain", file).stdout
        self.assertIn("waiting for lookups: era 4.7", answer)
        self.assertIn("from document 001: ", answer)
        told = result_of("explain", file)
        self.assertEqual((told["seeds"], told["era"]), (["000", "001"], "4.7"))
        self.assertRegex(run("list").stdout, "^NAME +SEED OR SOURCE +ERA +ON +TITLE\n")
        for one in result_of("list")["scenarios"]:
            for has_era in [one, *one["variants"]]:
                self.assertIn(has_era["era"], ("4.7", "4.17", "6.0", "v3", "7.2"))

    def test_every_shipped_scenario_says_where_it_is_from(self):
        table = run("list").stdout
        for one in result_of("list")["scenarios"]:
            self.assertNotEqual(bool(one["seeds"]), bool(one["source"]), one["name"])
            origin = ",".join(one["seeds"]) or one["source"]
            row = f"{one['name']} +{origin} +{one['era']} +{one['filesystem']} "
            self.assertRegex(table, f"(?m)^{row}")

    def test_list_marks_variants_that_break_a_rule(self):
        rows = run("list").stdout.splitlines()
        for one in result_of("list")["scenarios"]:
            above = next(row for row in rows if row.startswith(f"{one['name']} "))
            for row, variant in zip(rows[rows.index(above) + 1:], one["variants"]):
                self.assertIn(f"--variant {variant['name']} ", row)
                self.assertEqual(row.endswith(" (violated)"),
                                 variant["expect"].startswith("violated"), row)

    def test_json_of_list_and_explain(self):
        listed = result_of("list")
        self.assertEqual(listed["schema"], "dcsim.list/1")
        for one in listed["scenarios"]:
            self.assertEqual(result_of("explain", one["name"])["title"], one["title"])

    def test_explain_lists_the_file_systems(self):
        self.assertIn("entry_timeout", run("explain", "--filesystems").stdout)
        told = {one["name"]: one for one in result_of("explain", "--filesystems")["filesystems"]}
        self.assertEqual(list(told), ["memfs", "slowfs", "netfs", "casefs", "ovlfs", "dynfs",
                                      "fusefs"])
        self.assertEqual(told["casefs"]["flags"], ["casefold"])

    def test_documents_page_names_the_scenarios_that_come_from_each(self):
        page = pathlib.Path(__file__).parents[2].joinpath("docs/seeds.md").read_text("utf-8")
        sections = {part[:3]: set(re.findall(r"`dcsim explore ([\w-]+)`", part))
                    for part in page.split("\n## ")[1:]}
        for number, named in sections.items():
            self.assertEqual(named, {one["name"] for one in result_of("list")["scenarios"]
                                     if number in one["seeds"]}, number)

    def test_explain_without_a_scenario_is_an_error(self):
        answer = run("explain")
        self.assertEqual(answer.returncode, 2)
        self.assertIn("which scenario", answer.stderr)


ALL_ERAS = "valid are 4.7, 4.17, 6.0, v3, 7.2"
ALL_FILE_SYSTEMS = "valid are memfs, slowfs, netfs, casefs, ovlfs, dynfs, fusefs"


class WrongWords(WithFiles):
    """What is no era, no file system, no variant: the answer names it, its place, and what is."""

    def refused(self, *arguments: str) -> str:
        answer = run(*arguments)
        self.assertEqual(answer.returncode, 2, arguments)
        # What check finds is what it was asked for.
        if arguments[0] == "check" and answer.stdout:
            return answer.stdout
        self.assertEqual(answer.stdout, "", arguments)
        return answer.stderr

    def commands_on(self, file: str) -> list:
        return [["check", file], ["explain", file], ["explore", file], ["run", file],
                ["replay", file, "v1-0:A1"]]

    def test_on_the_command_line(self):
        for command in (["explore", "umount"], ["replay", "umount", "v1-0:A1"], ["run", "umount"],
                        ["run"]):
            with self.subTest(command=command):
                self.assertEqual(self.refused(*command, "--era", "5.0"),
                                 f"dcsim {command[0]}: --era '5.0': {ALL_ERAS}. "
                                 "Did you mean '6.0'?\n")
                self.assertIn("Did you mean '4.17'?", self.refused(*command, "--era", "4.17."))
        self.assertIn(f"--filesystem 'nfs': {ALL_FILE_SYSTEMS}.",
                      self.refused("run", "--filesystem", "nfs"))
        self.assertIn("--strategy 'bound': valid are bounded, dfs, pct, uniform, round-robin. "
                      "Did you mean 'bounded'?",
                      self.refused("explore", "umount", "--strategy", "bound"))
        for command in ("explore", "explain", "check", "replay"):
            self.assertIn(f"dcsim {command}: unknown option '--filesystem'",
                          self.refused(command, "umount", "--filesystem", "memfs"))

    def test_nothing_is_no_word(self):
        for command in ("explore", "explain", "run"):
            self.assertEqual(self.refused(command, "umount", "--variant", ""),
                             f"dcsim {command}: --variant '': must not be empty\n")
        for option in ("--variant", "--era", "--port", "--carrier"):
            for command in (["explore", "umount"], ["replay", "umount", "v1-0:A1"]):
                self.assertIn(f"{option} '': must not be empty",
                              self.refused(*command, option, ""))

    def test_variant(self):
        file = self.write("two.toml", WRONG + "[variant.slow]\nexpect = 'holds'\n"
                          "[variant.'era-4.7']\nset = { 'dcache.era' = '4.7' }\n")
        for command in self.commands_on(file)[1:]:
            self.assertIn(f"{file}: there is no variant 'era-4-7'; it has slow, era-4.7 "
                          "(did you mean 'era-4.7'?)",
                          self.refused(*command, "--variant", "era-4-7"))
        self.assertIn("umount: there is no variant 'slow'; it has none",
                      self.refused("explore", "umount", "--variant", "slow"))

    def test_in_a_file(self):
        for section, place, message in (
                ("[dcache]\nera = '5.0'\n", "5:7",
                 f"there is no era '5.0': {ALL_ERAS} (did you mean '6.0'?)"),
                ("[filesystem]\ntype = 'nfs'\n", "5:8",
                 f"there is no file system 'nfs': {ALL_FILE_SYSTEMS} (did you mean 'netfs'?)"),
                ("[filesystem]\ntype = 'slowfs'\ndelay = 1\n", "6:1",
                 "slowfs has no option 'delay': valid are delay_us, slow_us, error "
                 "(did you mean 'delay_us'?)")):
            file = self.write("wrong.toml", WRONG.replace("[tree]", section + "[tree]", 1))
            for command in self.commands_on(file):
                with self.subTest(command=command):
                    self.assertIn(f"{file}:{place}: {message}\n", self.refused(*command))

    def test_in_a_variant(self):
        for key, value, message in (
                ("dcache.era", "5.0", f"there is no era '5.0': {ALL_ERAS}"),
                ("filesystem.type", "memory", f"there is no file system 'memory': "
                 f"{ALL_FILE_SYSTEMS}")):
            file = self.write("wrong.toml", WRONG + "[variant.other]\n"
                              f"set = {{ '{key}' = '{value}' }}\n")
            for command in self.commands_on(file):
                with self.subTest(command=command):
                    self.assertRegex(self.refused(*command),
                                     rf"^{file}:\d+:\d+: variant other: {message}")

    def test_era_without_what_a_step_uses(self):
        for command in (["explore"], ["run"]):
            self.assertRegex(self.refused(*command, "noblock", "--era", "4.7"),
                             r"^noblock:\d+:\d+: era 4.7: noblock\(\) is proposed for v3 and "
                             "later: era 4.7 has none\n$")


def scenario(*, on: str = "memfs", options: str = "", era: str = "7.2", dcache: str = "",
             tree: str = "", setup: list | None = None, check: str = "", **tasks: list) -> str:
    text = f"format = 1\ntitle = 'x'\n[dcache]\nera = '{era}'\n{dcache}\n"
    text += f"[filesystem]\ntype = '{on}'\n{options}\n"
    text += f"[tree]\n'/a' = {{ type = 'file' {tree} }}\n'/d' = {{ type = 'directory' }}\n"
    text += f"[setup]\ndo = {json.dumps(setup or [])}\n[check]\n{check}\n"
    return text + "".join(f"[task.{name}]\ndo = {json.dumps(steps)}\n"
                          for name, steps in tasks.items())


class Steps(WithFiles):
    """The steps that are no system calls and no walks, carried out on both backends."""

    def explore(self, text: str) -> dict:
        return result_of("explore", self.write("steps.toml", text), "--preemptions", "1")

    def assert_holds(self, text: str):
        result = self.explore(text)
        self.assertEqual(result["result"], "holds", result.get("violation"))
        answer = run("run", str(self.folder / "steps.toml"), "--ops", "200")
        self.assertEqual(answer.returncode, 0, answer.stdout)

    def assert_broken(self, text: str, words: str):
        result = self.explore(text)
        self.assertEqual(result["result"], "violated")
        self.assertIn(words, f"{result['violation']['kind']}: {result['violation']['text']}")

    def test_noblock_does_not_wait(self):
        for era in ("v3", "7.2"):
            for outside in ("", "lookup_outside_rwsem = true"):
                self.assert_holds(scenario(
                    era=era, dcache=outside,
                    A=["d = noblock('/a')"], B=["d = noblock('/a')"],
                    check='always = ["waits() == 0"]\n'
                          'sometimes = ["A.d == B.d", "A.d == EAGAIN", "B.d == EAGAIN"]'))

    def test_noblock_return_gives_the_blocker_back_unless_it_forgets(self):
        text = scenario(A=["d = walk('/a')"], B=["r = noblock_return('/a')"],
                        check='sometimes = ["B.r == 0", "B.r == EAGAIN"]')
        self.assert_holds(text)
        self.assert_broken(text.replace("return('/a')", "return('/a', 'forget')"), "still in use")

    def test_alloc_leaves_a_dentry_in_lookup(self):
        for era in ("4.7", "4.17", "6.0", "v3", "7.2"):
            text = scenario(era=era, A=["d = alloc('/a')", "lookup_done(d)", "put(d)"],
                            B=["d = walk('/a')"],
                            check='sometimes = ["waits(B) > 0"]')
            self.assert_holds(text)
        self.assert_broken(text.replace('"lookup_done(d)", ', ""), "in lookup")

    def test_alloc_under_the_lock_deadlocks_where_lookups_come_first(self):
        inside = scenario(A=["d = walk('/a')"],
                          B=["d = alloc('/a', 'locked')", "lookup_done(d)"])
        self.assert_holds(inside)
        outside = scenario(dcache="lookup_outside_rwsem = true", A=["d = noblock('/a')"],
                           B=["d = alloc('/a', 'locked')", "lookup_done(d)"])
        self.assertNotEqual(self.explore(outside)["result"], "holds")

    def test_lookup_one_obeys_its_intents(self):
        self.assert_holds(scenario(
            A=["d = lookup_one('/a')", "e = lookup_one('/a', 'LOOKUP_CREATE|LOOKUP_EXCL')",
               "f = lookup_one('/b')", "g = lookup_one('/b', 'LOOKUP_CREATE')", "lookup_done(g)"],
            check='always = ["A.d.inode > 0", "A.e == EEXIST", "A.f == ENOENT", "A.g.negative"]'))

    def test_twin_takes_the_place_of_what_is_dropped(self):
        text = scenario(setup=["x = walk('/a')"],
                        A=["d = duplicate('/a')", "drop(setup.x)", "lookup_done(d)", "put(d)"],
                        B=["d = walk('/a')"],
                        check='always = ["A.d != setup.x"]')
        self.assert_holds(text)
        self.assertNotEqual(self.explore(text.replace('"lookup_done(d)", ', ""))["result"],
                            "holds")

    def test_server_changes_behind_the_kernels_back(self):
        for on in ("netfs", "casefs", "fusefs"):
            self.assert_holds(scenario(
                on=on,
                A=["a = server_create('/n')", "b = server_create('/n')", "c = server_mkdir('/m')",
                   "e = server_replace('/a')", "f = server_rename('/n', '/d/n')",
                   "g = server_remove('/m')", "h = server_remove('/m')", "n = stat('/d/n')"],
                check='always = ["A.a == 0", "A.b == EEXIST", "A.c == 0", "A.e == 0", '
                      '"A.f == 0", "A.g == 0", "A.h == ENOENT", "A.n == 0"]'))

    def test_handle_finds_the_dentry_or_makes_one(self):
        for on in ("netfs", "casefs"):
            self.assert_holds(scenario(
                on=on, setup=["x = walk('/a')"],
                A=["d = obtain('/a')", "e = obtain('/nowhere')", "f = obtain('/d')"],
                check='always = ["A.d == setup.x", "A.e.error != 0", "A.f.inode > 0"]'))

    def test_reply_lets_work_go_on_that_was_put_off(self):
        self.assert_holds(scenario(
            on="slowfs", tree=", flags = ['gate']", A=["d = walk('/a')"], B=["r = reply()"],
            check='always = ["A.d.inode > 0", "B.r == 1"]'))

    def test_dentry_that_comes_after_a_freed_one_is_another(self):
        self.assert_holds(scenario(
            setup=["x = walk('/a')", "put(x)", "shrink()", "sync_rcu()"],
            A=["d = walk('/a')", "e = walk('/a')", "put(d)", "put(e)", "shrink()", "sync_rcu()",
               "f = walk('/a')"],
            check='always = ["A.d != setup.x", "A.d == A.e", "A.f != A.d", "A.f != A.e", '
                  '"A.f != setup.x"]'))


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
        self.assertEqual(list(result), KEYS)
        for key in ("executions", "steps", "seconds", "executions_per_second", "steps_per_second",
                    "peak_memory_bytes", "longest_execution"):
            self.assertGreater(result[key], 0, key)
        self.assertEqual(result["schema"], "dcsim.explore/1")
        self.assertEqual(result["covered"], "every interleaving with up to 2 preemptions")
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

    def test_steps_are_at_fields_called_as_in_the_kernel(self):
        trace = result_of("explore", "add-ci-shared-queue", "--variant", "era-6.0")["trace"]
        objects = {step["object"] for step in trace}
        self.assertIn("d_wait queue on A's stack", objects)
        self.assertNotIn("A's stack", objects)
        self.assertIn("dentry /Foo[B] d_rcu", objects)
        self.assertEqual([name for name in objects if re.match(r"(dentry|inode) .*\+\d", name)], [])

    def test_json_of_a_violation(self):
        file = self.write("wrong.toml", WRONG)
        result = result_of("explore", file)
        self.assertEqual(list(result), KEYS + VIOLATION_KEYS)
        self.assertEqual(result["result"], "violated")
        self.assertEqual(result["violation"]["kind"], "expectation")
        self.assertEqual(result["violation"]["preemptions"], 1)
        self.assertEqual(result["replay"], f"dcsim replay {file} {result['token']}")
        self.assertEqual([step["step"] for step in result["trace"]],
                         list(range(1, len(result["trace"]) + 1)))

    def test_replay_command_can_be_pasted(self):
        command = result_of("explore", self.write("wrong.toml", WRONG))["replay"].split()
        self.assertEqual(run(*command[1:]).returncode, 1)

    def test_era_is_the_scenarios_or_the_one_asked_for(self):
        file = self.write("wrong.toml", WRONG + "[variant.old.set]\n'dcache.era' = '6.0'\n")
        self.assertEqual(result_of("explore", file)["era"], "7.2")
        self.assertEqual(result_of("explore", file, "--variant", "old")["era"], "6.0")
        answer = run("explore", file, "--era", "v3")
        self.assertIn("lookups wait as in era v3", answer.stdout)
        command = re.search(r"replay: dcsim (.*)", answer.stdout)[1].split()
        self.assertEqual(command[:4], ["replay", file, "--era", "v3"])
        self.assertEqual(run(*command).returncode, 1)
        for other in ([], ["--era", "6.0"], ["--variant", "old"]):
            refused = run("replay", file, *other, command[-1])
            self.assertEqual(refused.returncode, 4, other)
            self.assertIn("another scenario, variant, era or build", refused.stderr)

    def test_expected_verdict_is_success_if_asked_for(self):
        expecting = "\n[variant.{}]\nexpect = \"{}\"\n"
        file = self.write("wrong.toml", WRONG + expecting.format("broken", "violated")
                          + expecting.format("worded", "violated: waits() == 0")
                          + expecting.format("typed", "violated: expectation")
                          + expecting.format("other", "violated: deadlock"))
        for variant, code in (("broken", 0), ("worded", 0), ("typed", 0), ("other", 1)):
            search = ["explore", file, "--variant", variant]
            self.assertEqual(run(*search).returncode, 1)
            answer = run(*search, "--expected")
            self.assertEqual(answer.returncode, code, variant)
            self.assertIn("The scenario expects otherwise: violated: deadlock" if code else
                          "This is what the scenario expects.", answer.stdout)
            self.assertEqual(result_of(*search)["as_expected"], not code)
        self.assertEqual(run("explore", file, "--expected").returncode, 1)
        held = self.write("held.toml", WRONG.replace("waits() == 0", "waits() < 9")
                          + expecting.format("broken", "violated"))
        one = ["--preemptions", "1"]
        self.assertEqual(run("explore", held, "--expected", *one).returncode, 0)
        answer = run("explore", held, "--variant", "broken", "--expected", *one)
        self.assertEqual(answer.returncode, 1)
        self.assertIn("The scenario expects otherwise: violated", answer.stdout)
        self.assertEqual(run("explore", held, "--variant", "broken", "--expected", "--executions",
                             "3").returncode, 3)

    def test_deadlock(self):
        answer = run("explore", self.write("deadlock.toml", DEADLOCK))
        self.assertEqual(answer.returncode, 1)
        self.assertIn("violated (deadlock)", answer.stdout)
        for task in "AB":
            self.assertIn(f"{task} waits for what its await() or reply() looks at", answer.stdout)

    def test_deadlock_names_the_lookup_that_nobody_ends(self):
        intent = "d = lookup_one('/n', 'LOOKUP_CREATE|LOOKUP_EXCL')"
        plain = "d = alloc('/n')"
        owes = "; A got it from lookup_one_qstr(): d_lookup_done() must follow"
        for step, era, says in [(intent, "7.2", owes), (intent, "v3", owes),
                                (plain, "7.2", ""), (plain, "6.0", ""),
                                (plain, "4.7", "")]:
            file = self.write("left_open.toml", f'''
format = 1
title  = "A does not end its lookup"
filesystem.type = "netfs"
task.A.do = ["{step}"]
task.B.do = ["r = stat('/n')"]
''')
            with self.subTest(step=step, era=era):
                answer = run("explore", file, "--era", era)
                self.assertEqual(answer.returncode, 1)
                self.assertIn("violated (deadlock)", answer.stdout)
                self.assertIn("  B sleeps until somebody wakes it: dentry /n[A] is in lookup" + says
                              + "\n", answer.stdout)

    def test_sometimes_that_is_never_reached_is_a_failure(self):
        file = self.write("never.toml", WRONG.replace('always = ["waits() == 0"]',
                                                      'sometimes = ["waits() == 7"]'))
        answer = run("explore", file, "--preemptions", "1")
        self.assertEqual(answer.returncode, 1)
        self.assertIn("NEVER reached", answer.stdout)

    def test_sometimes_of_a_search_that_ended_early_is_not_reached_so_far(self):
        file = self.write("early.toml", WRONG + "sometimes = ['waits() == 7']\n")
        for limit in ([], ["--executions", "1"]):
            answer = run("explore", file, *limit)
            self.assertIn("sometimes waits() == 7: not reached so far", answer.stdout)

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
        def figures(*arguments):
            result = result_of("explore", *arguments)
            for key in ("seconds", "executions_per_second", "steps_per_second",
                        "peak_memory_bytes"):
                del result[key]
            return result

        file = self.write("wrong.toml", WRONG)
        for search in ([file, "--strategy", "uniform", "--seed", "7"],
                       [file, "--strategy", "pct", "--seed", "7"], [file], ["lookup-vs-drop"],
                       ["parallel-lookup", "--strategy", "dfs", "--executions", "500"]):
            with self.subTest(search=search):
                self.assertEqual(figures(*search), figures(*search))

    def test_seed_matters(self):
        steps = {result_of("explore", "parallel-lookup", "--strategy", "uniform", "--executions",
                           "50", "--seed", seed)["steps"] for seed in "123"}
        self.assertGreater(len(steps), 1)

    def test_options_that_make_no_sense(self):
        for option, text in (("--executions", "-4"), ("--executions", "0"), ("--seed", "-1"),
                             ("--seconds", "nan"), ("--seconds", "-1"), ("--preemptions", "99"),
                             ("--pct-depth", "0"), ("--carrier", "pigeons")):
            with self.subTest(option=option, text=text):
                answer = run("explore", "lookup-vs-drop", option, text)
                self.assertEqual(answer.returncode, 2, answer.stdout)
                self.assertIn(option, answer.stderr)
                self.assertEqual(answer.stdout, "")

    def test_file_that_is_no_port_is_refused(self):
        answer = run("explore", "umount", "--port", self.write("x.so", "nothing"))
        self.assertEqual(answer.returncode, 2)
        self.assertIn("cannot be loaded", answer.stderr)

    def test_interruption_ends_the_search_in_good_order(self):
        process = subprocess.Popen(
            [DCSIM, "explore", "parallel-lookup-3", "--preemptions", "9"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        # Before it has installed its handler, the signal would simply kill it.
        while not self.catches_interruption(process):
            time.sleep(0.01)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130)
        self.assertIn("inconclusive", out)
        self.assertRegex(out, r"\d executions, ")
        self.assertEqual(error, "")

    def catches_interruption(self, process: subprocess.Popen) -> bool:
        self.assertIsNone(process.poll())
        with open(f"/proc/{process.pid}/status", encoding="ascii") as file:
            caught = re.search(r"^SigCgt:\s*([0-9a-f]+)", file.read(), re.MULTILINE)
        return bool(int(caught.group(1), 16) & 1 << (signal.SIGINT - 1))

    def on_terminal(self, *arguments: str, **changes: str) -> str:
        """What is printed when stdout and stderr are a terminal."""
        master, slave = pty.openpty()
        process = subprocess.Popen([DCSIM, *arguments], stdout=slave, stderr=slave, stdin=slave,
                                   env={**os.environ, "TERM": "xterm", **changes})
        os.close(slave)
        output = b""
        while select.select([master], [], [], 60)[0]:
            try:
                output += os.read(master, 65536)
            except OSError:
                break
        os.close(master)
        process.wait(60)
        return output.decode()

    def test_progress_and_colour_are_for_terminals(self):
        search = ["explore", "parallel-lookup-3", "--strategy", "pct", "--seconds", "2"]
        self.assertRegex(self.on_terminal(*search), r"executions, \d+ s")
        plain = self.on_terminal(*search, NO_COLOR="1")
        self.assertRegex(plain, r"\r[\d,]+ executions, \d+ s")
        self.assertNotRegex(plain, "\033\\[[0-9;]*m")
        piped = run(*search)
        self.assertEqual(piped.stderr, "")
        self.assertNotIn("\033", piped.stdout)


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

    def test_json_tells_the_same(self):
        result = result_of("replay", self.file, self.token)
        self.assertEqual(result["schema"], "dcsim.replay/1")
        self.assertEqual(result["result"], "violated")
        self.assertEqual(result["trace"], result_of("explore", self.file)["trace"])

    def test_file_that_changed_is_another_scenario(self):
        self.write("wrong.toml", WRONG + "\n# edited\n")
        answer = run("replay", self.file, self.token)
        self.assertEqual(answer.returncode, 4)
        self.assertEqual(answer.stdout, "")

    def test_token_of_another_scenario_is_refused(self):
        answer = run("replay", "parallel-lookup", self.token)
        self.assertEqual(answer.returncode, 4)
        self.assertIn("another scenario, variant, era or build", answer.stderr)

    def test_schedule_that_cannot_be_followed_diverges(self):
        head = self.token.split(":")[0]
        whole = self.token.split(":")[1]
        last = re.search(r"[AB]\d+$", whole)[0]
        for schedule in ("A1", "B100000", "A1B1r5", whole.removesuffix(last), whole + "A1"):
            answer = run("replay", self.file, f"{head}:{schedule}")
            self.assertEqual(answer.returncode, 4, schedule)
            self.assertIn("could not be followed", answer.stderr)
            self.assertIn("Result: diverged", answer.stdout)
            self.assertEqual(result_of("replay", self.file, f"{head}:{schedule}")["result"],
                             "diverged")

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

    def test_dentry_at_an_address_that_is_used_again_is_another_one(self):
        # Memory comes back after some batches of allocations and frees, and the thread that frees
        # behind RCU's back needs time for that: in every third round one of the last walks gets
        # the first one's.
        def walk(name):
            return [f"{name} = walk('/a')", f"drop({name})", f"put({name})"]

        later = [f"v{number}" for number in range(80)]
        between = ["warm('/a')", "shrink()", "sync_rcu()"] * 150
        file = self.write("again.toml", scenario(
            on="slowfs", options="delay_us = 20",
            check=f"always = {[f'A.first != A.{name}' for name in later]}",
            A=walk("first") + between + [step for name in later for step in walk(name)]))
        answer = run("run", file, "--ops", "40")
        self.assertEqual(answer.returncode, 0, answer.stdout[:1000])
        self.assertIn("every check held in 40 rounds", answer.stdout)

    def test_options_of_the_other_kind_of_run_are_refused(self):
        answer = run("run", "parallel-lookup", "--files", "3")
        self.assertEqual(answer.returncode, 2)
        self.assertIn("--files", answer.stderr)


if __name__ == "__main__":
    DCSIM = os.path.abspath(sys.argv.pop(1))
    # A shell that starts this in the background has SIGINT ignored, and so would the runs have it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    unittest.main()
