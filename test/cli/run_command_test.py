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
PASSED = "final check: passed — every object freed, every counter zero"

KEYS = {
    "options": ["threads", "seconds", "operations", "mix", "mix_shares", "lookup_delay_us", "seed",
                "max_dentries", "dhash_entries", "in_lookup_shift", "fail_alloc"],
    "tree": ["source", "names", "directories", "files", "symlinks", "others", "skipped",
             "vanished"],
    "warm_up": ["names", "seconds"],
    "run": ["seconds", "interrupted"],
    "operations": KINDS,
    "lookups": ["fs_lookups", "waits"],
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


def dcsim(*arguments):
    return subprocess.run([DCSIM, *arguments], capture_output=True, text=True, check=False,
                          timeout=PATIENCE_SECONDS, stdin=subprocess.DEVNULL)


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

    def refused(self, arguments, *expected):
        done = dcsim(*arguments)
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
        self.refused(["run", "surplus"], "'surplus'")
        self.refused([], "--help")
        self.refused(["run", "--threads"], "--threads")

    def test_contradictions(self):
        self.refused(["run", "--import", "/etc", "--files", "10"], "--import and --files")
        self.refused(["run", "--seconds", "1", "--ops", "10"], "--seconds and --ops")


class BadImport(Refusal):
    """A directory that cannot be imported is a usage error, found before anything runs."""

    def test_missing(self):
        self.refused(["run", "--import", "/no/such/directory"], "--import '/no/such/directory'",
                     "No such file or directory")

    def test_file_in_place_of_a_directory(self):
        with tempfile.NamedTemporaryFile() as file:
            self.refused(["run", "--import", file.name], file.name, "Not a directory")

    def test_looping_symlink(self):
        with tempfile.TemporaryDirectory() as directory:
            loop = os.path.join(directory, "loop")
            os.symlink("loop", loop)
            self.refused(["run", "--import", loop], loop, "Too many levels of symbolic links")

    @unittest.skipIf(os.geteuid() == 0, "root reads every directory")
    def test_unreadable(self):
        with tempfile.TemporaryDirectory() as directory:
            os.chmod(directory, 0)
            self.refused(["run", "--import", directory], directory, "Permission denied")

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
        result = dcsim_json("--files", "500", "--ops", "2000", "--threads", "8", "--mix", "cold=1",
                            "--lookup-delay", "2000")
        self.assertGreater(result["lookups"]["waits"], 0)
        self.assertGreater(result["lookups"]["fs_lookups"], 0)

    def test_seconds(self):
        result = dcsim_json("--files", "200", "--seconds", "0.3", "--threads", "2")
        self.assertGreaterEqual(result["run"]["seconds"], 0.3)
        self.assertLess(result["run"]["seconds"], 30)

    def test_max_dentries(self):
        result = dcsim_json("--files", "10000", "--max-dentries", "3000", "--seconds", "0.5",
                            "--threads", "2", "--mix", "hot=90,negative=10")
        self.assertLess(result["dentries"]["cached_at_end"], 6000)
        self.assertGreater(result["dentries"]["reclaimed"], 0)

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
                                  stderr=subprocess.PIPE, text=True, timeout=PATIENCE_SECONDS,
                                  check=False)
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


class Interruption(unittest.TestCase):
    """Ctrl-C: the run ends in good order and says what it has found so far."""

    def interrupt(self, *arguments):
        process = subprocess.Popen([DCSIM, "run", *arguments], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not catches_interruption(process) and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
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
        process = subprocess.Popen([DCSIM, "run", "--files", "100", "--seconds", "0.5"],
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
        done = dcsim("run", "--files", "100", "--seconds", "0.5")
        self.assertNotIn("\033", done.stdout + done.stderr)
        self.assertEqual(done.stderr, "")


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
    # ThreadSanitizer waits a second at every exit for reports of threads that are still running.
    os.environ["TSAN_OPTIONS"] = os.environ.get("TSAN_OPTIONS", "") + " atexit_sleep_ms=0"
    unittest.main(verbosity=2)
