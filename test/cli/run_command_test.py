#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Does the command `dcsim` answer good and bad input as docs/run.md says?

usage: run_command_test.py <path of dcsim> [unittest arguments]
"""

import concurrent.futures
import errno
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
import unittest

DCSIM = None
# A sanitizer build is an order of magnitude slower, and the machine may be busy.
PATIENCE_SECONDS = 120

MIXES = ["balanced", "hot", "cold", "negative", "rename", "pressure"]
KINDS = ["cold", "hot", "negative", "rename", "pressure"]
ERAS = ["4.7", "4.17", "6.0", "v3", "7.2"]
FILESYSTEMS = ["memfs", "slowfs", "netfs", "casefs", "ovlfs", "dynfs", "fusefs"]
PASSED = "final check: passed — every object freed, every counter zero"

KEYS = {
    "options": ["threads", "seconds", "operations", "mix", "mix_shares", "era", "filesystem",
                "lookup_delay_us", "seed",
                "max_dentries", "dhash_entries", "in_lookup_shift", "fail_alloc"],
    "tree": ["source", "names", "directories", "files", "symlinks", "others", "skipped",
             "vanished", "too_long"],
    "warm_up": ["names", "seconds"],
    "run": ["seconds", "interrupted"],
    "operations": KINDS,
    "lookups": ["fs_lookups", "waits"],
    "walks": ["rcu_walks", "rcu_unlazy", "rcu_restarts"],
    "retries": ["seq", "rename_lock", "dir_seq", "dying", "mismatch", "walk_restarts"],
    "dentries": ["cached_at_start", "cached_at_end", "unused", "negative", "allocated", "freed",
                 "reclaimed", "bytes_per_dentry"],
    "final_check": ["passed", "problems"],
}
KIND_KEYS = ["operations", "per_second", "mean_ns", "name_away", "no_memory", "unexpected"]


def environment(**changes):
    """This process's environment with changes; None removes."""
    values = {**os.environ, **{name: text for name, text in changes.items() if text is not None}}
    for name, text in changes.items():
        if text is None:
            values.pop(name, None)
    return values


def dcsim(*arguments, user=None):
    return subprocess.run([DCSIM, *arguments], capture_output=True, encoding="utf-8", check=False,
                          timeout=PATIENCE_SECONDS, stdin=subprocess.DEVNULL, user=user)


def dcsim_run(*arguments):
    """A run with small hash tables. By default they are sized by the memory of the machine, and
    going through them at every start and end takes seconds under a sanitizer."""
    return dcsim("run", "--dhash-entries", "4096", *arguments)


def dcsim_json(*arguments):
    done = dcsim_run(*arguments, "--json")
    if done.returncode != 0:
        raise AssertionError(f"{arguments} exited with {done.returncode}\n"
                             f"{done.stdout}{done.stderr}")
    return json.loads(done.stdout)


class Refusal(unittest.TestCase):
    """Bad input: exit code 2, nothing on stdout, and a message that names the place."""

    def refused(self, arguments, *expected, user=None):
        done = dcsim(*arguments, user=user)
        self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
        self.assertEqual(done.stdout, "")
        for text in expected:
            self.assertIn(text, done.stderr)
        self.assertNotIn("final check", done.stderr)


class BadOptions(Refusal):
    """Options that make no sense."""

    def test_numbers_out_of_range(self):
        self.refused(["run", "--threads", "0"], "--threads 0", "from 1 to 1024")
        self.refused(["run", "--threads", "1025"], "--threads 1025", "from 1 to 1024")
        self.refused(["run", "--threads", "-1"], "--threads -1", "from 1 to 1024")
        self.refused(["run", "--seconds", "-3"], "--seconds -3", "above 0")
        self.refused(["run", "--seconds", "0"], "--seconds 0", "above 0")
        self.refused(["run", "--seconds", "nan"], "--seconds nan", "above 0")
        self.refused(["run", "--seconds", "inf"], "--seconds inf")
        self.refused(["run", "--ops", "0"], "--ops 0")
        self.refused(["run", "--files", "0"], "--files 0")
        self.refused(["run", "--in-lookup-shift", "21"], "--in-lookup-shift 21", "from 0 to 20")
        self.refused(["run", "--seed", "99999999999999999999"], "--seed", "too large")

    def test_not_a_number(self):
        self.refused(["run", "--threads", "many"], "--threads 'many'", "not a whole number")
        self.refused(["run", "--threads", "2.5"], "--threads '2.5'", "not a whole number")
        self.refused(["run", "--seconds", "5s"], "--seconds '5s'", "not a number")
        self.refused(["run", "--threads", ""], "--threads")

    def test_unknown_mix(self):
        self.refused(["run", "--mix", "ballanced"], "--mix 'ballanced'", *MIXES,
                     "Did you mean 'balanced'?")
        self.refused(["run", "--mix", ""], "--mix ''", *MIXES)

    def test_unknown_era_and_filesystem(self):
        self.refused(["run", "--era", "7.3"], "--era '7.3'", *ERAS, "Did you mean '7.2'?")
        self.refused(["run", "parallel-lookup", "--era", "4.71"], "Did you mean '4.7'?")
        self.refused(["run", "--filesystem", "fuse"], "--filesystem 'fuse'", *FILESYSTEMS,
                     "Did you mean 'fusefs'?")
        self.refused(["run", "--filesystem", ""], "--filesystem ''", "must not be empty")
        self.refused(["run", "umount", "--filesystem", "memfs"], "--filesystem: not for a scenario")
        self.refused(["run", "--filesystem", "dynfs", "--mix", "rename"],
                     "--filesystem dynfs", "mix rename", "--mix cold")

    def test_bad_weights(self):
        self.refused(["run", "--mix", "cold=30,hto=70"], "unknown kind 'hto'", *KINDS,
                     "Did you mean 'hot'?")
        self.refused(["run", "--mix", "cold=-1,hot=2"], "the weight of cold", "-1")
        self.refused(["run", "--mix", "cold=0,hot=0"], "all weights are zero")
        self.refused(["run", "--mix", "cold=x"], "the weight of cold is 'x'")
        self.refused(["run", "--mix", "cold="], "the weight of cold is ''")
        self.refused(["run", "--mix", "cold=inf"], "the weight of cold")
        self.refused(["run", "--mix", "cold=1,cold=2"], "cold is given twice")
        self.refused(["run", "--mix", "cold=1,hot"], "'hot' is not kind=weight")

    def test_unknown_words(self):
        self.refused(["run", "--thraeds", "2"], "unknown option '--thraeds'",
                     "Did you mean '--threads'?")
        self.refused(["run", "--import=/etc", "--jsn"], "'--jsn'", "Did you mean '--json'?")
        self.refused(["rnu"], "unknown command 'rnu'", "Did you mean 'run'?")
        self.refused(["run", "parallel-lookup", "surplus"], "unknown argument 'surplus'")
        self.refused([], "--help")
        self.refused(["run", "--threads"], "--threads")

    def test_contradictions(self):
        self.refused(["run", "--import", "/etc", "--files", "10"], "--import and --files")
        self.refused(["run", "--seconds", "1", "--ops", "10"], "--seconds and --ops")
        self.refused(["run", "--import", "/etc", "--filesystem", "casefs"],
                     "--import and --filesystem casefs")


class BadImport(Refusal):
    """A directory that cannot be imported is a usage error, found before anything runs."""

    def test_missing(self):
        self.refused(["run", "--import", "/no/such/directory"], "--import '/no/such/directory'",
                     "No such file or directory")

    def test_no_name(self):
        self.refused(["run", "--import", ""], "--import ''", "must not be empty")
        self.refused(["run", ""], "scenario ''", "must not be empty")
        self.refused(["run", "parallel-lookup", "--variant", ""], "--variant ''")

    def test_file_in_place_of_a_directory(self):
        with tempfile.NamedTemporaryFile() as file:
            self.refused(["run", "--import", file.name], file.name, "Not a directory")

    def test_looping_symlink(self):
        with tempfile.TemporaryDirectory() as directory:
            loop = os.path.join(directory, "loop")
            os.symlink("loop", loop)
            self.refused(["run", "--import", loop], loop, "Too many levels of symbolic links")

    def test_unreadable(self):
        with tempfile.TemporaryDirectory() as directory:
            os.chmod(directory, 0)
            self.refused(["run", "--import", directory], directory, "Permission denied",
                         user=self.somebody_without_privileges())

    def somebody_without_privileges(self):
        """Root reads every directory, so for root it is somebody else; None for this user."""
        if os.geteuid() != 0:
            return None
        nobody = 65534
        try:
            subprocess.run([DCSIM, "version"], capture_output=True, check=True, user=nobody)
        except PermissionError:
            self.skipTest("root reads every directory, and nobody else may run " + DCSIM)
        return nobody

    def test_empty(self):
        with tempfile.TemporaryDirectory() as directory:
            self.refused(["run", "--import", directory], directory, "nothing in it")


class Import(unittest.TestCase):
    """Real trees, odd ones among them."""

    def test_counts(self):
        with tempfile.TemporaryDirectory() as directory:
            os.makedirs(os.path.join(directory, "one/two/three"))
            for path in ["a", "one/b", "one/two/c", "one/two/three/" + "long" * 60]:
                with open(os.path.join(directory, path), "w", encoding="utf-8"):
                    pass
            os.symlink("nowhere", os.path.join(directory, "dangling"))
            os.symlink("..", os.path.join(directory, "one/up"))
            os.mkfifo(os.path.join(directory, "pipe"))
            tree = dcsim_json("--import", directory, "--ops", "500", "--threads", "2")["tree"]
        self.assertEqual(tree["source"], "import")
        self.assertEqual(tree["names"], 10)
        self.assertEqual(
            [tree[key] for key in ["directories", "files", "symlinks", "others", "skipped"]],
            [4, 4, 2, 1, 0])

    def test_names_that_are_no_text(self):
        with tempfile.TemporaryDirectory() as directory:
            for name in [b"\xff\xfe", b"new\nline", b"\x1b[31m"]:
                with open(os.path.join(os.fsencode(directory), name), "wb"):
                    pass
            result = dcsim_json("--import", directory, "--ops", "200")
        self.assertEqual(result["tree"]["files"], 3)

    def test_what_lies_too_deep_is_counted(self):
        with tempfile.TemporaryDirectory() as directory:
            name = "d" * 200
            below = os.open(directory, os.O_RDONLY)
            for _ in range(30):
                os.mkdir(name, dir_fd=below)
                above, below = below, os.open(name, os.O_RDONLY, dir_fd=below)
                os.close(above)
            os.close(below)
            tree = dcsim_json("--import", directory, "--ops", "200")["tree"]
            table = dcsim_run("--import", directory, "--ops", "200").stdout
        self.assertEqual(tree["directories"], 31)
        self.assertEqual(tree["names"], 19)
        self.assertEqual(tree["too_long"], 11)
        self.assertIn("not walked: 11 names", table)

    def test_directories_only(self):
        with tempfile.TemporaryDirectory() as directory:
            os.makedirs(os.path.join(directory, "a/b/c"))
            result = dcsim_json("--import", directory, "--ops", "2000", "--mix", "rename")
        self.assertEqual(result["errors"], [])

    def test_a_single_file(self):
        with tempfile.TemporaryDirectory() as directory:
            with open(os.path.join(directory, "only"), "wb"):
                pass
            result = dcsim_json("--import", directory, "--ops", "2000", "--threads", "4")
        self.assertEqual(result["errors"], [])


class Run(unittest.TestCase):
    """Good input: what comes out, and that nothing is left."""

    def test_every_mix_passes_the_final_check(self):
        for mix in MIXES + ["cold=30,hot=50,negative=10,rename=8,pressure=2", "rename=1.5"]:
            with self.subTest(mix=mix):
                done = dcsim_run("--files", "400", "--ops", "8000", "--threads", "4", "--mix",
                                 mix)
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
                self.assertEqual(done.stdout.splitlines()[-1], PASSED)

    def test_every_era_waits_by_its_protocol(self):
        for era in ERAS:
            with self.subTest(era=era):
                result = dcsim_json("--files", "4", "--ops", "400", "--threads", "6", "--mix",
                                    "cold=9,rename=1", "--lookup-delay", "1000", "--era", era)
                self.assertEqual(result["options"]["era"], era)
                self.assertGreater(result["lookups"]["waits"], 0)

    def test_every_file_system_passes_the_final_check(self):
        for filesystem in FILESYSTEMS:
            with self.subTest(filesystem=filesystem):
                result = dcsim_json("--files", "300", "--ops", "4000", "--threads", "4", "--mix",
                                    "cold=30,hot=50,negative=19,pressure=1", "--filesystem",
                                    filesystem)
                self.assertEqual(result["options"]["filesystem"], filesystem)
                self.assertGreater(result["lookups"]["fs_lookups"], 0)

    def test_json_has_the_documented_keys(self):
        result = dcsim_json("--files", "300", "--ops", "3000", "--threads", "2")
        self.assertEqual(result["schema"], "dcsim.run/1")
        for section, keys in KEYS.items():
            for key in keys:
                self.assertIn(key, result[section], section)
        for kind in KINDS:
            self.assertEqual(sorted(result["operations"][kind]), sorted(KIND_KEYS))
        self.assertEqual(sum(result["operations"][kind]["operations"] for kind in KINDS), 3000)
        self.assertEqual(result["tree"]["names"], 300)
        self.assertEqual(result["errors"], [])
        self.assertEqual(result["final_check"], {"passed": True, "problems": []})
        self.assertGreaterEqual(result["dentries"]["bytes_per_dentry"], 192)

    def test_json_keys_are_documented(self):
        page = os.path.join(os.path.dirname(__file__), "../../docs/run.md")
        with open(page, encoding="utf-8") as file:
            text = file.read()
        for section, keys in KEYS.items():
            for key in [section] + keys:
                self.assertIn(f"`{key}`", text)
        for key in KIND_KEYS:
            self.assertIn(f"`{key}`", text)

    def test_same_seed_same_counts(self):
        def counts(seed):
            result = dcsim_json("--files", "500", "--ops", "10000", "--threads", "1", "--seed",
                                seed)
            return ([(result["operations"][kind]["operations"],
                      result["operations"][kind]["name_away"]) for kind in KINDS],
                    result["lookups"], result["dentries"]["allocated"])

        self.assertEqual(counts("7"), counts("7"))
        self.assertNotEqual(counts("7"), counts("8"))

    def test_threads_wait_for_each_others_lookups(self):
        """One name, and whoever asks for it sleeps for so long that others must come by."""
        result = dcsim_json("--files", "1", "--ops", "96", "--threads", "8", "--mix", "cold=1",
                            "--lookup-delay", "20000")
        self.assertGreater(result["lookups"]["waits"], 0)
        self.assertGreater(result["lookups"]["fs_lookups"], 0)

    def test_seconds(self):
        result = dcsim_json("--files", "200", "--seconds", "0.3", "--threads", "2")
        self.assertGreaterEqual(result["run"]["seconds"], 0.3)

    def test_max_dentries(self):
        """How far the number goes beyond the limit while the threads run is up to the machine; at
        the start and at the end it does not, though the operations look up more names than that."""
        def dentries(*arguments):
            return dcsim_json("--files", "10000", "--ops", "20000", "--threads", "2", "--mix",
                              "hot=90,negative=10", *arguments)["dentries"]

        unlimited = dentries()
        self.assertGreater(unlimited["cached_at_end"], 10000)
        self.assertEqual(unlimited["reclaimed"], 0)
        limited = dentries("--max-dentries", "3000")
        self.assertLessEqual(limited["cached_at_start"], 3000)
        self.assertLessEqual(limited["cached_at_end"], 3000)
        self.assertGreater(limited["reclaimed"], 0)

    def test_small_hash_tables(self):
        done = dcsim("run", "--files", "300", "--ops", "3000", "--threads", "4", "--dhash-entries",
                     "2", "--in-lookup-shift", "0", "--lookup-delay", "10")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_many_threads(self):
        dcsim_json("--files", "100", "--ops", "1024", "--threads", "128", "--mix", "rename")

    def test_more_threads_than_operations(self):
        result = dcsim_json("--files", "1", "--ops", "3", "--threads", "8")
        self.assertEqual(sum(result["operations"][kind]["operations"] for kind in KINDS), 3)

    def test_default_tree_is_announced(self):
        done = dcsim("run", "--ops", "10")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("neither --import nor --files", done.stderr)

    def test_output_that_cannot_be_written(self):
        with open("/dev/full", "w", encoding="utf-8") as full:
            done = subprocess.run([DCSIM, "run", "--files", "10", "--ops", "10"], stdout=full,
                                  stderr=subprocess.PIPE, encoding="utf-8", check=False,
                                  timeout=PATIENCE_SECONDS)
        self.assertEqual(done.returncode, 70)
        self.assertIn("could not be written", done.stderr)


class FailedCheck(unittest.TestCase):
    """A check that never fails proves nothing: here a name exists that a run takes for absent."""

    def test_unexpected_result(self):
        with tempfile.TemporaryDirectory() as directory:
            for number in range(16):
                with open(os.path.join(directory, f".dcsim-absent-{number}"), "wb"):
                    pass
            arguments = ["--import", directory, "--ops", "100", "--mix", "negative=1"]
            table = dcsim_run(*arguments)
            done = dcsim_run(*arguments, "--json")
        self.assertEqual(table.returncode, 1, table.stdout + table.stderr)
        self.assertIn("final check: FAILED: 100 operations ended with an error", table.stdout)
        self.assertNotIn("passed", table.stdout)
        self.assertEqual(done.returncode, 1)
        result = json.loads(done.stdout)
        self.assertFalse(result["final_check"]["passed"])
        self.assertEqual(result["errors"], [{"operation": "negative", "errno": errno.EEXIST,
                                             "message": "File exists", "count": 100}])


class AllocationFailure(unittest.TestCase):
    """Whichever allocation fails: the run goes on, and nothing is lost or left."""

    ALLOCATIONS = 50

    def test_each_of_the_first_allocations(self):
        def run(number):
            return dcsim_json("--files", "150", "--ops", "1500", "--threads", "2", "--mix",
                              "cold=40,hot=10,negative=20,rename=25,pressure=5", "--fail-alloc",
                              str(number))

        with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 2) as pool:
            results = list(pool.map(run, range(1, self.ALLOCATIONS + 1)))
        for number, result in enumerate(results, 1):
            self.assertTrue(result["allocation_failure_delivered"], number)
            self.assertTrue(result["final_check"]["passed"], number)
        seen = sum(result["operations"][kind]["no_memory"] for result in results for kind in KINDS)
        self.assertGreater(seen, self.ALLOCATIONS // 2)

    def test_a_run_that_does_not_get_there(self):
        result = dcsim_json("--files", "100", "--ops", "100", "--fail-alloc", "1000000000")
        self.assertFalse(result["allocation_failure_delivered"])


def catches_interruption(process):
    """Has the process installed its handler? Before that, the signal would simply kill it."""
    with open(f"/proc/{process.pid}/status", encoding="ascii") as file:
        caught = re.search(r"^SigCgt:\s*([0-9a-f]+)", file.read(), re.MULTILINE)
    return bool(int(caught.group(1), 16) & 1 << (signal.SIGINT - 1))


def interrupt(process):
    """Sends SIGINT when the process has been at work for a moment."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not catches_interruption(process) and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)


class Interruption(unittest.TestCase):
    """Ctrl-C: the run ends in good order and says what it has found so far, however little."""

    def interrupt(self, *arguments):
        process = subprocess.Popen([DCSIM, "run", *arguments], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, encoding="utf-8")
        interrupt(process)
        stdout, stderr = process.communicate(timeout=PATIENCE_SECONDS)
        self.assertEqual(process.returncode, 130, stdout + stderr)
        return stdout

    def test_table(self):
        stdout = self.interrupt("--files", "1000", "--seconds", "600", "--threads", "2")
        self.assertIn("(interrupted)", stdout)
        self.assertEqual(stdout.splitlines()[-1], PASSED)

    def test_json(self):
        stdout = self.interrupt("--files", "1000", "--seconds", "600", "--lookup-delay", "1000",
                                "--json")
        result = json.loads(stdout)
        self.assertTrue(result["run"]["interrupted"])
        self.assertTrue(result["final_check"]["passed"])


class Terminal(unittest.TestCase):
    """Progress and colour: on a terminal only, and only where they are welcome."""

    def on_terminal(self, **changes):
        """What a run prints when stdout and stderr are a terminal."""
        master, slave = pty.openpty()
        process = subprocess.Popen([DCSIM, "run", "--files", "100", "--seconds", "0.1"],
                                   stdout=slave, stderr=slave, stdin=slave,
                                   env=environment(**changes))
        os.close(slave)
        output = b""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            if not select.select([master], [], [], 1)[0]:
                continue
            try:
                piece = os.read(master, 65536)
            except OSError:
                break
            if not piece:
                break
            output += piece
        os.close(master)
        self.assertEqual(process.wait(PATIENCE_SECONDS), 0)
        return output.decode()

    def test_terminal(self):
        output = self.on_terminal(TERM="xterm", NO_COLOR=None)
        self.assertIn("\rrun: ", re.sub("\033\\[[0-9;]*m", "", output))
        self.assertIn("\033[32mfinal check: passed", output)

    def test_no_color(self):
        output = self.on_terminal(TERM="xterm", NO_COLOR="1")
        self.assertIn("\rrun: ", output)
        self.assertNotRegex(output, "\033\\[[0-9;]*m")

    def test_dumb_terminal(self):
        self.assertNotIn("\033", self.on_terminal(TERM="dumb", NO_COLOR=None))

    def test_pipe(self):
        done = dcsim("run", "--files", "100", "--seconds", "0.1")
        self.assertNotIn("\033", done.stdout + done.stderr)
        self.assertEqual(done.stderr, "")


WRONG = """
format = 1
title = "checks that do not hold"
[tree]
"/a" = { type = "file" }
[task.A]
do = ["d = walk('/a')"]
[task.B]
do = ["d = walk('/a')"]
[check]
always = ["lookups() == 2", "A.d == B.d"]
sometimes = ["A.d == ENOENT"]
[variant.right]
set = { "check.always" = ["lookups() == 1"], "check.sometimes" = ["A.d == B.d"] }
"""

HANGS = """
format = 1
title = "each waits for the other"
[tree]
"/a" = { type = "file" }
[task.A]
do = ["await(B.d.error == 0)", "d = walk('/a')"]
[task.B]
do = ["await(A.d.error == 0)", "d = walk('/a')"]
"""

WARNS = """
format = 1
title = "unmounted while a dentry is held"
[tree]
"/a" = { type = "file" }
[setup]
do = ["x = walk('/a')"]
[task.U]
do = ["n = umount()"]
"""

# Each waits for something that the other does only after it has waited itself.
MEET = """
format = 1
title = "tasks that end only if they run at the same time"
[tree]
"/a" = { type = "file" }
"/b" = { type = "file" }
[task.A]
do = ["d = walk('/a')", "await(B.d.error == 0)", "e = walk('/b')"]
[task.B]
do = ["d = walk('/b')", "await(A.e.error == 0)", "e = walk('/a')"]
[check]
always = ["A.e == B.d", "B.e == A.d", "lookups() == 2"]
"""

# The two ends of the race that this is, one by one.
FAILS_ONCE = """
format = 1
title = "the first lookup fails"
[tree]
"/a" = { type = "file", lookup = { error = "EIO", times = 1 } }
[task.A]
do = ["d = walk('/a')"]
[task.B]
do = ["d = walk('/a')"]
[check]
always = ["lookups() == 2"]
sometimes = ["A.d == EIO", "B.d == EIO"]
[variant.a-first]
set = { "task.B.do" = ["await(A.d.error <= 0)", "d = walk('/a')"] }
[variant.b-first]
set = { "task.A.do" = ["await(B.d.error <= 0)", "d = walk('/a')"] }
"""

# A makes its allocations before B makes any, so that each gets its share of the failures.
NO_MEMORY = """
format = 1
title = "allocations fail"
[tree]
"/a" = { type = "file" }
"/b" = { type = "file" }
[task.A]
do = ["d = walk('/a')"]
[task.B]
do = ["await(A.d.error <= 0)", "d = walk('/b')"]
[check]
sometimes = ["A.d == ENOMEM", "B.d == ENOMEM"]
"""

# Each is a race between what one task changes in the scenario's own state and another looks at.
LOOKS_AT_OTHERS = """
format = 1
title = "tasks that look at each other while they run"
[tree]
"/d" = { type = "directory" }
"/d/below" = { type = "directory" }
"/d/b" = { type = "file" }
[tree."/d/below/aNameThatIsTooLongForItsDentryToHold"]
type = "file"
lookup = { error = "EIO", times = 1 }
[setup]
do = ["warm('/d/below')", "x = walk('/d/b')"]
[task.A]
do = ["d = walk('/d/below/aNameThatIsTooLongForItsDentryToHold')"]
[task.B]
do = ["d = walk('/d/below/aNameThatIsTooLongForItsDentryToHold')", "await(A.d.inode >= 0)"]
[task.R]
do = [
    "r = rename('/d/below', '/anotherNameThatIsTooLongForItsDentryToHold')",
    "put(setup.x)",
    "s = shrink()",
]
[task.L]
do = [
    "await(references(setup.x) <= 0)",
    "await(lookups() >= 0)",
    "await(waits() >= 0)",
    "await(R.s >= 0)",
]
[check]
always = ["R.r == 0"]
"""

SCENARIO_KEYS = ["scenario", "variant", "title", "era", "filesystem", "result", "interrupted",
                 "seed", "threads", "rounds", "seconds", "rounds_per_second", "stuck", "broken",
                 "sometimes", "unknown", "final_states"]


class Scenario(Refusal):
    """`dcsim run NAME|FILE`: the tasks of a scenario on threads."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def file(self, text):
        path = os.path.join(self.folder, "scenario.toml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def run_json(self, expected_code, *arguments):
        done = dcsim("run", *arguments, "--json")
        self.assertEqual(done.returncode, expected_code, done.stdout + done.stderr)
        return json.loads(done.stdout)

    def test_every_shipped_scenario_passes(self):
        names = [one["name"] for one in json.loads(dcsim("list", "--json").stdout)["scenarios"]]
        self.assertIn("parallel-lookup", names)
        for name in names:
            with self.subTest(name=name):
                result = self.run_json(0, name, "--ops", "1000")
                self.assertEqual(result["result"], "passed")
                self.assertEqual(result["rounds"], 1000)
                self.assertEqual(sum(one["rounds"] for one in result["final_states"]), 1000)

    def test_json_has_the_documented_keys(self):
        page = os.path.join(os.path.dirname(__file__), "../../docs/run.md")
        result = self.run_json(0, "parallel-lookup", "--ops", "10")
        self.assertEqual(result["schema"], "dcsim.scenario-run/1")
        self.assertEqual(list(result), ["schema"] + SCENARIO_KEYS)
        with open(page, encoding="utf-8") as file:
            text = file.read()
        for key in SCENARIO_KEYS:
            self.assertIn(f"`{key}`", text)

    def test_table(self):
        done = dcsim("run", self.file(FAILS_ONCE), "--variant", "a-first", "--ops", "2000")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stderr, "")
        self.assertIn("Result: passed: every check held in 2,000 rounds", done.stdout)
        self.assertIn("  sometimes A.d == EIO: in 2,000 rounds\n", done.stdout)
        self.assertIn("  sometimes B.d == EIO: in no round\n", done.stdout)
        self.assertRegex(done.stdout, r"Final states:\n +2,000  ")

    def test_a_race_ends_in_one_of_two_ways(self):
        """How often in which is up to the machine, so the two ways are forced as well."""
        def reached(expected_states, *arguments):
            result = self.run_json(0, self.file(FAILS_ONCE), "--ops", "2000", *arguments)
            states = {one["text"]: one["rounds"] for one in result["final_states"]}
            self.assertLessEqual(set(states), expected_states)
            self.assertEqual(sum(states.values()), 2000)
            return [one["reached"] for one in result["sometimes"]]

        a_fails = f"A.d={-errno.EIO} B.d=d0:2 /a=1/1"
        b_fails = f"A.d=d0:2 B.d={-errno.EIO} /a=1/1"
        self.assertEqual(reached({a_fails}, "--variant", "a-first"), [2000, 0])
        self.assertEqual(reached({b_fails}, "--variant", "b-first"), [0, 2000])
        self.assertEqual(sum(reached({a_fails, b_fails})), 2000)

    def test_tasks_run_at_the_same_time(self):
        self.run_json(0, self.file(MEET), "--ops", "1000")

    def test_failed_check(self):
        done = dcsim("run", self.file(WRONG), "--ops", "50")
        self.assertEqual(done.returncode, 1)
        self.assertIn("Result: failed: a check did not hold in 50 rounds", done.stdout)
        self.assertRegex(done.stdout,
                         r"\n +50  always 'lookups\(\) == 2', but the left side is 1\n")
        result = self.run_json(1, self.file(WRONG), "--ops", "50")
        self.assertEqual(result["broken"], [
            {"text": "always 'lookups() == 2', but the left side is 1", "times": 50}])
        self.assertEqual(result["sometimes"], [{"text": "A.d == ENOENT", "reached": 0}])

    def test_variant(self):
        result = self.run_json(0, self.file(WRONG), "--variant", "right", "--ops", "50")
        self.assertEqual(result["variant"], "right")
        self.assertEqual(result["sometimes"], [{"text": "A.d == B.d", "reached": 50}])
        self.refused(["run", self.file(WRONG), "--variant", "wrong"], "'wrong'")

    def test_warnings_fail_the_run_unless_they_are_allowed(self):
        broken = self.run_json(1, self.file(WARNS), "--ops", "30")["broken"]
        warnings = [one for one in broken if one["text"].startswith("WARN: ")]
        self.assertIn(30, [one["times"] for one in warnings if "still in use" in one["text"]])
        allowed = WARNS + '[faults]\nallow_warnings = ["in use", "never freed"]\n'
        broken = self.run_json(1, self.file(allowed), "--ops", "30")["broken"]
        self.assertTrue(all(one["text"].startswith("left at the end") for one in broken), broken)

    def test_allocations_fail(self):
        for one in self.run_json(0, self.file(NO_MEMORY), "--ops", "200")["sometimes"]:
            self.assertEqual(one["reached"], 0)
        faults = "[faults]\nallocations = 1\n"
        for one in self.run_json(0, self.file(NO_MEMORY + faults), "--ops", "1000")["sometimes"]:
            self.assertGreater(one["reached"], 0)

    def test_what_native_threads_do_not_know(self):
        text = WRONG.replace('"lookups() == 2"', '"blocked() == 77"')
        text = text[:text.index("[variant")]
        self.assertEqual(self.run_json(0, self.file(text), "--ops", "5")["unknown"],
                         [{"rule": "always", "text": "blocked() == 77"}])
        waits = text.replace("walk('/a')\"", "walk('/a')\", \"await(blocked(A) >= 0)\"", 1)
        self.refused(["run", self.file(waits)], "scenario.toml:7:", "blocked")

    def test_tasks_that_do_not_end(self):
        done = dcsim("run", self.file(HANGS))
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertIn("after 0 rounds the tasks did not end: A at 'await(B.d.error == 0)', "
                      "B at 'await(A.d.error == 0)'", done.stdout)

    def test_tasks_that_look_at_each_other(self):
        self.run_json(0, self.file(LOOKS_AT_OTHERS), "--ops", "1000")

    def test_failures_are_used_up_once(self):
        """Of many calls that come at once, as many fail as are meant to, and no more."""
        text = WRONG.replace('{ type = "file" }',
                             '{ type = "file", lookup = { error = "EIO", times = 1 } }')
        text = text[:text.index("[check]")] + '[check]\nalways = ["lookups() == 2"]\n'
        self.run_json(0, self.file(text), "--ops", "3000")

    def test_seconds(self):
        result = self.run_json(0, "parallel-lookup", "--seconds", "0.3")
        self.assertGreaterEqual(result["seconds"], 0.3)
        self.assertGreater(result["rounds"], 0)

    def test_refusals(self):
        self.refused(["run", "paralel-lookup"], "did you mean 'parallel-lookup'?")
        self.refused(["run", "./nowhere.toml"], "./nowhere.toml: cannot be opened")
        self.refused(["run", self.file(WRONG.replace("walk", "wlak", 1))], "scenario.toml:7:",
                     "did you mean 'walk'?")
        self.refused(["run", "umount", "--files", "3", "--threads", "2"],
                     "--files, --threads: not for a scenario")
        self.refused(["run", "umount", "--ops", "1", "--seconds", "1"], "--seconds and --ops")
        self.refused(["run", "umount", "--ops", "0"], "--ops 0")
        self.refused(["run", "--variant", "x"], "--variant")

    def test_interruption(self):
        process = subprocess.Popen([DCSIM, "run", "parallel-lookup", "--seconds", "600", "--json"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8")
        interrupt(process)
        stdout, stderr = process.communicate(timeout=PATIENCE_SECONDS)
        self.assertEqual(process.returncode, 130, stdout + stderr)
        result = json.loads(stdout)
        self.assertTrue(result["interrupted"])
        self.assertEqual(result["result"], "passed")
        self.assertEqual(sum(one["rounds"] for one in result["final_states"]), result["rounds"])


class Help(unittest.TestCase):
    """What a user sees who asks."""

    def test_help(self):
        done = dcsim("run", "--help")
        self.assertEqual(done.returncode, 0)
        for word in MIXES + KINDS + ["--import", "--fail-alloc", "130"]:
            self.assertIn(word, done.stdout)

    def test_version(self):
        done = dcsim("version")
        self.assertEqual(done.returncode, 0)
        self.assertRegex(done.stdout, r"^dcsim \d+\.\d+\.\d+\n")
        self.assertEqual(dcsim("--version").stdout.strip(), done.stdout.strip())
        self.assertEqual(json.loads(dcsim("version", "--json").stdout)["schema"],
                         "dcsim.version/1")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    DCSIM = sys.argv.pop(1)
    # A shell that starts this in the background has SIGINT ignored, and so would the runs have it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # ThreadSanitizer waits a second at every exit for reports of threads that are still running.
    os.environ["TSAN_OPTIONS"] = os.environ.get("TSAN_OPTIONS", "") + " atexit_sleep_ms=0"
    unittest.main(verbosity=2)
