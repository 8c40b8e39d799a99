#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Does `dcsim replay-strace` replay real traces as docs/replay-strace.md says?

usage: replay_strace_test.py <path of dcsim> [unittest arguments]
"""

import json
import lzma
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

DCSIM = None
# A sanitizer build is an order of magnitude slower, and the machine may be busy.
PATIENCE_SECONDS = 300
HERE = pathlib.Path(__file__).resolve().parent
RECORDED = HERE / "data" / "project.strace.xz"
PAGE = HERE.parent.parent / "docs" / "replay-strace.md"

KEYS = {
    "trace": ["lines", "calls", "processes", "orphans", "signals", "exits", "messages",
              "stack_lines", "blank", "first_halves", "without_end", "without_beginning",
              "unknown", "unknown_lines"],
    "tree": ["source", "directories", "names", "rounds", "links_concluded", "reordered",
             "working_directory", "working_directory_known", "uid", "descriptors_from_places",
             "directories_from_places"],
    "total": ["as_recorded", "different", "skipped"],
    "seconds": ["reading", "rebuilding"],
    "final_check": ["passed", "problems"],
}
PASS_KEYS = ["calls", "seconds", "hits", "negative_hits", "misses", "fs_lookups", "rcu_walks",
             "left_rcu", "rcu_restarts", "reval_restarts"]


def run(*arguments, stdin=""):
    return subprocess.run([DCSIM, "replay-strace", *arguments], capture_output=True, text=True,
                          check=False, timeout=PATIENCE_SECONDS, input=stdin)


class Command(unittest.TestCase):
    def replay(self, text, *arguments, code=0):
        """Replays a trace and returns the JSON."""
        done = run("--json", *arguments, "-", stdin=text)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        self.assertEqual(done.stderr, "")
        result = json.loads(done.stdout)
        self.assertEqual(result["final_check"], {"passed": True, "problems": []})
        return result

    def as_recorded(self, text, *arguments):
        result = self.replay(text, *arguments)
        self.assertEqual(result["differences"], [])
        self.assertEqual(result["trace"]["unknown_lines"], [])
        return result

    def refused(self, arguments, *expected, stdin=""):
        done = run(*arguments, stdin=stdin)
        self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
        self.assertEqual(done.stdout, "")
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        for text in expected:
            self.assertIn(text, done.stderr)


class Recorded(Command):
    """A build of a small project, version control, copies, archives, scripts: real programs."""

    @classmethod
    def setUpClass(cls):
        with lzma.open(RECORDED, "rt", encoding="utf-8") as file:
            cls.text = file.read()

    def test_every_answer_is_the_kernels(self):
        result = self.as_recorded(self.text)
        calls = result["calls"]
        self.assertGreaterEqual(result["total"]["as_recorded"], 10000)
        self.assertEqual(result["trace"]["lines"], self.text.count("\n"))
        self.assertEqual(result["trace"]["unknown"], 0)
        self.assertEqual(result["trace"]["orphans"], 0)
        self.assertGreater(result["trace"]["processes"], 100)
        self.assertEqual(result["trace"]["calls"], sum(result["total"].values()))
        self.assertEqual(sum(result["total"].values()),
                         sum(sum(one.values()) for one in calls.values()))
        for name in ["openat", "newfstatat", "readlink", "mkdirat", "unlinkat", "rename",
                     "renameat2", "link", "linkat", "symlink", "chdir", "execve", "getdents64",
                     "fchmodat", "access", "getcwd"]:
            self.assertGreater(calls[name]["as_recorded"], 0, name)

    def test_what_is_skipped_is_explained(self):
        result = self.replay(self.text)
        reasons = {one["reason"]: one["calls"] for one in result["skipped"]}
        self.assertEqual(sum(sum(calls.values()) for calls in reasons.values()),
                         result["total"]["skipped"])
        bookkeeping = [reason for reason in reasons if "not answered by the path walk" in reason]
        self.assertEqual(len(bookkeeping), 1)
        self.assertLessEqual(set(reasons[bookkeeping[0]]),
                             {"close", "dup", "dup2", "dup3", "clone", "clone3", "vfork", "fork",
                              "umask"})
        others = sum(sum(calls.values()) for reason, calls in reasons.items()
                     if reason not in bookkeeping)
        self.assertLess(others, 100, reasons)

    def test_the_cache_works(self):
        first, second = self.replay(self.text, "--repeat", "2")["passes"]
        self.assertEqual(first["hits"] + first["misses"], first["calls"])
        self.assertGreater(first["misses"], 500)
        self.assertGreater(first["hits"], 9 * first["misses"])
        self.assertGreater(first["negative_hits"], 1000)
        self.assertGreaterEqual(first["fs_lookups"], first["misses"])
        self.assertGreater(first["rcu_walks"], 10000)
        self.assertGreater(first["left_rcu"], 0)
        self.assertEqual(first["rcu_restarts"], 0)
        self.assertEqual(first["reval_restarts"], 0)
        self.assertLess(second["misses"], first["misses"] / 4)

    def test_it_is_fast(self):
        """Some 300,000 calls: every file that is opened ten times over."""
        text = self.text * 10
        result = self.replay(text, code=1)
        self.assertGreater(result["trace"]["calls"], 300000)
        spent = sum(result["seconds"].values()) + sum(one["seconds"] for one in result["passes"])
        self.assertLess(spent, 120)

    def test_the_recording_names_nobody(self):
        paths = set(re.findall(r'"(/[^"]*)"', self.text))
        homes = {path.split("/")[2] for path in paths if re.match(r"/home/.", path)}
        self.assertEqual(homes, {"user"})
        for path in paths:
            self.assertRegex(path, r"^/+(bin|dev|etc|home|lib|lib32|lib64|proc|root|selinux|sys|"
                             r"tmp|usr|)(/|$)")


class Answers(Command):
    """The port answers for itself; the trace only says what there was to begin with."""

    def different(self, text, expected):
        result = self.replay(text, code=1)
        self.assertEqual([(one["line"], one["call"], one["recorded"], one["got"])
                          for one in result["differences"]], expected)

    def test_wrong_answers_are_found(self):
        self.different('mkdir("/d", 0777) = 0\nmkdir("/d", 0777) = 0\n',
                       [(2, 'mkdir("/d")', "success", "EEXIST")])
        self.different('symlink("b", "/l") = 0\nreadlink("/l", "c", 100) = 1\n',
                       [(2, 'readlink("/l")', '"c"', '"b"')])
        self.different('mkdir("/d", 0777) = 0\nstat("/d", {st_mode=S_IFREG|0644, ...}) = 0\n',
                       [(2, 'stat("/d")', "a regular file", "a directory")])
        self.different('openat(AT_FDCWD</>, "d", O_RDONLY|O_DIRECTORY) = 3</d>\n'
                       'mkdirat(3</d>, "e", 0777) = 0\n'
                       'linkat(3</d>, "e", AT_FDCWD</>, "f", 0) = 0\n',
                       [(3, 'linkat(3</d>, "e", "f")', "success", "EPERM")])
        self.different('chdir("/a") = 0\ngetcwd("/b", 100) = 3\ngetcwd("/a", 100) = 3\n',
                       [(2, "getcwd()", '"/b"', '"/a"')])

    def test_calls_that_overlapped(self):
        """The loser's answer may be shown before the winner's."""
        result = self.as_recorded('1 open("/f", O_RDONLY) = 3\n'
                                  '2 unlink("/f" <unfinished ...>\n'
                                  '1 unlink("/f") = -1 ENOENT (x)\n'
                                  '2 <... unlink resumed>) = 0\n'
                                  '1 mkdir("/f", 0777 <unfinished ...>\n'
                                  '2 mkdir("/f", 0777) = -1 EEXIST (x)\n'
                                  '1 <... mkdir resumed>) = 0\n')
        self.assertEqual(result["tree"]["reordered"], 2)
        self.different('1 open("/f", O_RDONLY) = 3\n'
                       '1 unlink("/f") = -1 ENOENT (x)\n'
                       '2 unlink("/f") = 0\n',
                       [(2, 'unlink("/f")', "ENOENT", "success"),
                        (3, 'unlink("/f")', "success", "ENOENT")])

    def test_places_that_only_y_tells(self):
        result = self.as_recorded('1 mkdir("/a", 0777) = 0\n'
                                  '1 mkdir("/b", 0777) = 0\n'
                                  '1 chdir("/a") = 0\n'
                                  '2 mkdirat(AT_FDCWD</b>, "c", 0777) = 0\n'
                                  '2 mkdirat(AT_FDCWD</b>, "d", 0777) = 0\n'
                                  '2 mkdirat(9</b/c>, "e", 0777) = 0\n'
                                  '2 rename("/b/c", "/b/f") = 0\n'
                                  '2 mkdirat(9</b/f>, "g", 0777) = 0\n'
                                  '2 mkdirat(9</a>, "h", 0777) = 0\n'
                                  '1 rmdir("/b/f/e") = 0\n'
                                  '1 rmdir("/b/f/g") = 0\n'
                                  '1 rmdir("/a/h") = 0\n')
        self.assertEqual(result["tree"]["directories_from_places"], 1)
        self.assertEqual(result["tree"]["descriptors_from_places"], 2)

    def test_one_changed_line_of_the_recording(self):
        with lzma.open(RECORDED, "rt", encoding="utf-8") as file:
            text = file.read()
        place = re.search(r'\n\d+ +rename\("[^"]+", "[^"]+"\) += 0\n', text)
        wrong = place.group().replace("= 0", "= -1 EEXIST (File exists)")
        result = self.replay(text[:place.start()] + wrong + text[place.end():], code=1)
        line = text.count("\n", 0, place.start()) + 2
        self.assertIn(line, [one["line"] for one in result["differences"]])

    def test_kernel_rules(self):
        self.as_recorded('mkdir("/d", 0777) = 0\n'
                         'rmdir("/d/.") = -1 EINVAL (x)\n'
                         'rmdir("/d/..") = -1 ENOTEMPTY (x)\n'
                         'mkdir("/d/e/", 0777) = 0\n'
                         'rename("/d", "/d/e/f") = -1 EINVAL (x)\n'
                         'open("/d/f/", O_RDWR|O_CREAT, 0666) = -1 EISDIR (x)\n'
                         'symlink("nowhere", "/d/l") = 0\n'
                         'open("/d/l", O_RDWR|O_CREAT|O_EXCL, 0666) = -1 EEXIST (x)\n'
                         'open("/d/l", O_RDWR|O_CREAT, 0666) = 3\n'
                         'access("/d/nowhere", F_OK) = 0\n'
                         'open("/d/l", O_RDONLY|O_NOFOLLOW) = -1 ELOOP (x)\n'
                         'rename("/d/e", "/d/nowhere") = -1 ENOTDIR (x)\n'
                         'unlink("/d/e") = -1 EISDIR (x)\n'
                         'rmdir("/d") = -1 ENOTEMPTY (x)\n'
                         f'access("/{"n" * 256}", F_OK) = -1 ENAMETOOLONG (x)\n'
                         'access("", F_OK) = -1 ENOENT (x)\n')


class Forms(Command):
    """One small program in every form that strace can write it."""

    PROGRAM = ("mkdir d; cd d; echo text > f; ln -s f l; cat l f; (cd ..; ls d; rm d/l); "
               "ls -l /usr/share/doc/nothing || true; cd ..; rm -r d")

    def setUp(self):
        if not shutil.which("strace"):
            self.skipTest("strace is not installed")
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def record(self, *options):
        """To stderr, as it is without -o; the program itself is silent."""
        done = subprocess.run(["strace", "-f", *options, "sh", "-c", f"({self.PROGRAM}) 2>&1 "
                               "| cat > /dev/null"], cwd=self.folder, capture_output=True,
                              text=True, check=False, timeout=PATIENCE_SECONDS)
        if "ptrace" in done.stderr.split("\n")[0]:
            self.skipTest("nothing may be traced here: " + done.stderr.split("\n")[0])
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stderr

    def test_forms(self):
        calls = "trace=%file,close,dup,dup2,fcntl,fchdir,getdents64,clone,clone3,vfork,fork"
        for options in [["-y"], [], ["-t"], ["-tt", "-T"], ["-ttt"], ["-r"], ["-r", "-t"],
                        ["-n", "-i"], ["-yy", "-Y"], ["-x"], ["-xx"], ["-X", "raw"],
                        ["-X", "verbose", "-v"], ["-s", "0", "-y"], ["-q"], ["-k"]]:
            with self.subTest(options=options):
                text = self.record(*options, "-e", calls)
                result = self.as_recorded(text)
                self.assertGreater(result["total"]["as_recorded"], 50)
                self.assertEqual(result["trace"]["orphans"], 0)

    def test_files(self):
        path = os.path.join(self.folder, "out.strace")
        self.record("-o", path, "-y", "-e", "trace=%file")
        done = run(path)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("Result: all ", done.stdout)

    def test_all_calls(self):
        result = self.as_recorded(self.record("-y"))
        reasons = [one["reason"] for one in result["skipped"]]
        self.assertIn("it has no path in it", reasons)

    def test_on_the_machine_and_imported(self):
        os.mkdir(os.path.join(self.folder, "there"))
        path = os.path.join(self.folder, "out.strace")
        subprocess.run(["strace", "-f", "-y", "-o", path, "-e", "trace=%file,close,getdents64",
                        "find", os.path.join(self.folder, "there"), "/usr/share/doc/libc6"],
                       check=False, capture_output=True, timeout=PATIENCE_SECONDS)
        with open(path, encoding="utf-8") as file:
            text = file.read()
        machine = self.as_recorded(text, "--tree", "machine")
        self.assertEqual(machine["tree"]["source"], "machine")
        imported = self.as_recorded(text, "--import", self.folder)
        self.assertEqual(imported["tree"]["directories"], [os.path.realpath(self.folder)])
        self.assertLess(imported["total"]["as_recorded"], machine["total"]["as_recorded"])
        self.assertIn("it is outside of the imported directories",
                      [one["reason"] for one in imported["skipped"]])
        os.rmdir(os.path.join(self.folder, "there"))
        gone = self.replay(text, "--tree", "machine", code=1)
        self.assertIn("ENOENT", [one["got"] for one in gone["differences"]])


class Reports(Command):
    def test_the_json_is_documented(self):
        result = self.replay('chdir("/d") = 0\nnoise\nread(3, "x", 1) = 1\n', "--repeat", "2")
        self.assertEqual(result["schema"], "dcsim.replay-strace/1")
        self.assertEqual(result["trace"]["unknown_lines"], [{"line": 2, "text": "noise"}])
        text = PAGE.read_text(encoding="utf-8")
        for key, keys in KEYS.items():
            self.assertEqual(list(result[key]), keys)
            self.assertIn(f"`{key}`", text)
            for one in keys:
                self.assertIn(f"`{one}`", text)
        for one in result["passes"]:
            self.assertEqual(list(one), PASS_KEYS)
        for key in PASS_KEYS + list(result):
            self.assertIn(f"`{key}`", text)

    def test_the_table(self):
        done = run("-", stdin='mkdir("/d", 0777) = 0\nmkdir("/d", 0777) = 0\nnoise\n')
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr, "")
        self.assertRegex(done.stdout, r"\n  mkdir +1 +1 +0\n")
        self.assertIn('line 2: mkdir("/d"): recorded success, got EEXIST\n', done.stdout)
        self.assertIn("lines that are no strace output: 1\n  line 3: noise\n", done.stdout)
        self.assertIn("Result: 1 of 2 calls were answered differently", done.stdout)

    def test_limit(self):
        text = 'mkdir("/d", 0777) = 0\n' * 20 + "noise\n" * 20
        shown = run("-", "--limit", "3", stdin=text).stdout
        self.assertEqual(shown.count("\n  line "), 6)
        self.assertIn("and 16 more", shown)
        self.assertIn("and 17 more", shown)
        self.assertEqual(run("-", "--limit", "0", stdin=text).stdout.count("\n  line "), 0)
        result = self.replay(text, "--limit", "3", code=1)
        self.assertEqual(len(result["differences"]), 19)
        self.assertEqual(len(result["trace"]["unknown_lines"]), 20)

    def test_control_characters_do_not_reach_the_terminal(self):
        done = run("-", stdin='mkdir("/a\\33[2J", 0777) = 0\nmkdir("/a\\33[2J", 0777) = 0\n'
                   '\x1b[2Jnoise\n')
        self.assertNotIn("\x1b", done.stdout)

    def test_later_passes_change_nothing(self):
        passes = self.replay('open("/f", O_RDWR|O_CREAT|O_EXCL, 0666) = 3\n'
                             'unlink("/f") = 0\n', "--repeat", "3")["passes"]
        self.assertEqual([one["calls"] for one in passes], [2, 1, 1])
        self.assertEqual(passes[2]["negative_hits"], 1)

    def test_cwd(self):
        text = 'open("f", O_RDONLY) = 3\n'
        self.assertEqual(self.replay(text)["tree"]["working_directory_known"], False)
        tree = self.replay(text, "--cwd", "/some/where")["tree"]
        self.assertEqual(tree["working_directory"], "/some/where")

    def test_help(self):
        done = run("--help")
        self.assertEqual(done.returncode, 0)
        for word in ["--tree", "--import", "--limit", "--repeat", "--json", "Examples", "70",
                     "strace -f -y"]:
            self.assertIn(word, done.stdout)


class BadInput(Command):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def file(self, content):
        path = os.path.join(self.folder, "file")
        with open(path, "wb") as file:
            file.write(content)
        return path

    def test_files(self):
        self.refused(["/nonexistent/file"], "'/nonexistent/file': No such file or directory")
        self.refused([self.folder], "it is a directory")
        self.refused([self.file(b"")], "it is empty")
        self.refused(["-"], "stdin: it is empty")
        self.refused([DCSIM], "binary")
        self.refused([self.file(b"int main(void)\n{\n    return 0;\n}\n")],
                     "no system call in its 4 lines", "line 1: 'int main(void)'", "strace -f -y")
        self.refused([str(RECORDED)], "compressed", "xz -dc")
        self.refused([self.file(b"\x1f\x8b\x08\x00rest")], "compressed", "gzip -dc")
        self.refused([self.file(b"% time     seconds  usecs/call     calls    errors syscall\n")],
                     "summary", "without -c")

    def test_unreadable(self):
        if os.geteuid() == 0:
            self.skipTest("root may read everything")
        path = self.file(b"x")
        os.chmod(path, 0)
        self.refused([path], "Permission denied")

    def test_options(self):
        trace = self.file(b'chdir("/") = 0\n')
        self.refused([], "file is required", "--help")
        self.refused([trace, "another"], "unknown argument 'another'")
        self.refused([trace, "--tree", "disk"], "--tree 'disk'")
        self.refused([trace, "--tree", "trace", "--import", "/usr"], "--tree and --import")
        self.refused([trace, "--import", "/nonexistent"], "--import '/nonexistent'")
        self.refused([trace, "--import", trace], "not a directory")
        self.refused([trace, "--limit", "-1"], "--limit '-1'")
        self.refused([trace, "--limit", "x"], "--limit 'x'")
        self.refused([trace, "--repeat", "0"], "--repeat '0'")
        self.refused([trace, "--cwd", "here"], "--cwd 'here'")
        self.refused([trace, "--jsn"], "Did you mean '--json'?")

    def test_odd_lines_are_survived(self):
        pieces = ['openat(AT_FDCWD, "a', "openat(", "<... open resumed>) = 3", '[pid 3] x(', ")",
                  'open("\\', "open({[(", 'chdir("/") = 99999999999999999999', "1 1 1 1", "= -1"]
        result = self.replay('chdir("/") = 0\n' + "\n".join(pieces) + "\n")
        self.assertEqual(result["trace"]["unknown"] + result["trace"]["without_beginning"],
                         len(pieces))


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    DCSIM = os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=2)
