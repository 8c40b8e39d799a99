#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Checks the rules of this project that no compiler checks.

    house_rules.py [root]        checks the tree; prints "file:line: message", exit code 1 if any
    house_rules.py --self-test   plants a breach of each rule in a temporary tree and expects to
                                 hear about it, at its line, and about nothing else

Looks at the files git knows or would add; without git, at all files but build directories.
"""

import argparse
import functools
import os
import pathlib
import re
import subprocess
import sys
import tempfile
from typing import Callable, Iterator, NamedTuple


class Finding(NamedTuple):
    path: str
    line: int
    message: str


# --- Reading the tree -------------------------------------------------------------------------


class SourceFile:
    """A text file, with C++ comments and strings taken out on demand."""

    def __init__(self, path: str, text: str):
        self.path = path
        self.text = text
        self.lines = text.split("\n")

    @functools.cached_property
    def without_comments(self) -> str:
        return blank_out(self.text, strings=False)

    @functools.cached_property
    def bare(self) -> str:
        """Without comments and with empty strings."""
        return blank_out(self.text, strings=True)

    def line_of(self, offset: int) -> int:
        return self.text.count("\n", 0, offset) + 1

    @property
    def is_cxx(self) -> bool:
        return self.path.endswith((".h", ".cc"))

    @property
    def is_code(self) -> bool:
        name = self.path.rsplit("/", 1)[-1]
        return (
            name.endswith((".h", ".cc", ".cmake", ".py", ".sh", ".js", ".ts", ".tsx", ".css"))
            or name == "CMakeLists.txt"
            or self.text.startswith("#!")
        )

    def within(self, *folders: str) -> bool:
        return self.path.startswith(folders)


LEXEME = re.compile(
    r"""(?P<comment>//(?:\\\n|[^\n])*|/\*.*?\*/)
      |(?P<raw>R"(?P<mark>[^()\\\s]{0,16})\(.*?\)(?P=mark)")
      |(?P<string>"(?:\\.|[^"\\\n])*")
      |(?P<number>\b\d(?:'?\w)*)
      |(?P<char>'(?:\\.|[^'\\\n])+')""",
    re.VERBOSE | re.DOTALL,
)


def blank_out(text: str, strings: bool) -> str:
    """Replaces comments, and on request the insides of strings, by as many blanks."""

    def blanks(piece: str) -> str:
        return re.sub(r"[^\n]", " ", piece)

    def replacement(match: re.Match) -> str:
        piece = match.group()
        if match.lastgroup == "comment":
            return blanks(piece)
        if match.lastgroup == "number" or not strings:
            return piece
        return piece[0] + blanks(piece[1:-1]) + piece[-1]

    return LEXEME.sub(replacement, text)


class Tree:
    def __init__(self, root: pathlib.Path):
        self.root = root
        self.files = [file for path in self._paths() if (file := self._read(path))]

    def _paths(self) -> list[str]:
        if (self.root / ".git").exists():
            command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
            answer = subprocess.run(command, cwd=self.root, capture_output=True, text=True)
            if answer.returncode == 0:
                return sorted(set(filter(None, answer.stdout.split("\0"))))
        found = []
        for folder, folders, names in os.walk(self.root):
            if "CMakeCache.txt" in names:
                folders.clear()
                continue
            folders[:] = set(folders) - {".git", "build", "out", ".cache", "__pycache__"}
            relative = pathlib.Path(folder).relative_to(self.root)
            found += [(relative / name).as_posix() for name in names]
        return sorted(found)

    def _read(self, path: str) -> SourceFile | None:
        try:
            return SourceFile(path, (self.root / path).read_text(encoding="utf-8"))
        except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
            return None

    def file(self, path: str) -> SourceFile | None:
        return next((file for file in self.files if file.path == path), None)

    def cxx(self, *folders: str) -> Iterator[SourceFile]:
        files = (file for file in self.files if file.is_cxx)
        return (file for file in files if not folders or file.within(*folders))


Rule = Callable[[Tree], Iterator[Finding]]
RULES: list[Rule] = []


def rule(check: Rule) -> Rule:
    RULES.append(check)
    return check


def matches(
    file: SourceFile, text: str, pattern: str | re.Pattern
) -> Iterator[tuple[int, re.Match]]:
    for match in re.finditer(pattern, text):
        yield file.line_of(match.start()), match


# --- The layers -------------------------------------------------------------------------------

VFS = ("include/dcsim/vfs/", "src/vfs/")
KERNEL = ("include/dcsim/kernel/", "src/kernel/")
PRIM = ("include/dcsim/prim/", "src/prim/")
MOCKFS = ("include/dcsim/mockfs/", "src/mockfs/")
EXPLORE = ("include/dcsim/explore/", "src/explore/")

# What brings scenarios to life, once per backend or for the model only; and the scenario files,
# which know no backend.
WORLD = (
    "include/dcsim/scenario/world.h",
    "include/dcsim/scenario/program.h",
    "src/scenario/world/",
    "src/scenario/model/",
)
SCENARIO = ("include/dcsim/scenario/", "src/scenario/")
TESTING = ("include/dcsim/testing/", "src/testing/")

# These are compiled once per backend, so the backend supplies everything that runs or waits.
COMPILED_PER_BACKEND = VFS + KERNEL + MOCKFS

EVERYWHERE = ("dcsim/annotations.h", "dcsim/config.h")
MAY_INCLUDE = (
    (VFS, ("dcsim/vfs/", "dcsim/kernel/")),
    (KERNEL, ("dcsim/kernel/", "dcsim/prim/prim.h", "boost/intrusive/")),
    (MOCKFS, ("dcsim/mockfs/", "dcsim/vfs/", "dcsim/kernel/")),
    (PRIM, ("dcsim/prim/",)),
    (EXPLORE, ("dcsim/explore/", "dcsim/prim/")),
    (
        WORLD,
        (
            "dcsim/scenario/",
            "dcsim/testing/",
            "dcsim/mockfs/",
            "dcsim/vfs/",
            "dcsim/kernel/",
            "dcsim/prim/model/",
        ),
    ),
    (SCENARIO, ("dcsim/scenario/",)),
    (TESTING, ("dcsim/testing/", "dcsim/explore/", "dcsim/vfs/", "dcsim/kernel/", "dcsim/prim/")),
)
EXCEPTIONS = (
    # What the files of vfs/ share: allocation of tables, per-thread counters.
    (("src/vfs/internal.h",), "dcsim/prim/prim.h"),
    (("src/prim/",), "dcsim/kernel/bug.h"),
    # Made by the build: a hash of the port's sources.
    (("src/prim/model/port/static_data.cc",), "port_source_hash.h"),
    # What the port's files share, for whoever looks into it from outside.
    (("src/scenario/world/", "src/scenario/model/", "src/testing/"), "dcache_internal.h"),
)

THREADING_HEADERS = frozenset(
    "atomic barrier condition_variable future latch mutex semaphore shared_mutex stop_token "
    "stdatomic.h thread threads.h pthread.h".split()
)
STANDARD_HEADERS = frozenset(
    "algorithm any array bit bitset charconv chrono cassert cctype cerrno cfloat cinttypes climits "
    "clocale cmath compare complex concepts csetjmp csignal cstdarg cstddef cstdint cstdio cstdlib "
    "cstring ctime cuchar cwchar cwctype deque exception execution expected filesystem "
    "forward_list format fstream functional initializer_list iomanip ios iosfwd iostream istream "
    "iterator limits list locale map memory memory_resource new numbers numeric optional ostream "
    "queue random ranges ratio regex scoped_allocator set source_location span sstream stack "
    "stdexcept streambuf string string_view strstream syncstream system_error tuple type_traits "
    "typeindex typeinfo unordered_map unordered_set utility valarray variant vector version "
    "assert.h ctype.h errno.h fenv.h float.h inttypes.h limits.h locale.h math.h setjmp.h signal.h "
    "stdalign.h stdarg.h stdbool.h stddef.h stdint.h stdio.h stdlib.h string.h time.h uchar.h "
    "wchar.h wctype.h".split()
)

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:<([^>\n]+)>|"([^"\n]+)")', re.MULTILINE)


def includes(file: SourceFile) -> Iterator[tuple[int, str, bool]]:
    """Line, name, and whether it was spelled with quotes."""
    for line, match in matches(file, file.without_comments, INCLUDE):
        yield line, match[1] or match[2], match[2] is not None


def include_breach(tree: Tree, file: SourceFile, name: str, quoted: bool) -> str | None:
    layer, allowed = next((entry for entry in MAY_INCLUDE if file.within(*entry[0])), ((), ()))
    if not layer:
        return None
    if name.startswith(allowed + EVERYWHERE):
        return None
    if any(file.within(*files) and name == exception for files, exception in EXCEPTIONS):
        return None
    if name.startswith("dcsim/") or (quoted and "/" in name):
        return f"{layer[1]} must not include {name}"
    if quoted:
        beside = file.path.rsplit("/", 1)[0] + "/" + name
        return None if tree.file(beside) else f"{layer[1]} must not include {name}, not its own"
    if layer in (VFS, KERNEL) and name not in STANDARD_HEADERS:
        return f"{layer[1]} must not include <{name}>: only the language's own headers"
    if layer == MOCKFS and (name in THREADING_HEADERS or name.startswith("urcu")):
        return f"{layer[1]} must not include <{name}>: threads belong to the backend"
    return None


@rule
def include_direction(tree: Tree) -> Iterator[Finding]:
    for file in tree.cxx():
        for line, name, quoted in includes(file):
            if breach := include_breach(tree, file, name, quoted):
                yield Finding(file.path, line, breach)


@rule
def rcu_library_in_one_file(tree: Tree) -> Iterator[Finding]:
    for file in tree.cxx():
        for line, name, _ in includes(file):
            if re.match(r"urcu\b", name) and file.path != "src/prim/native/rcu.cc":
                message = f"<{name}> belongs in src/prim/native/rcu.cc only: it defines our names"
                yield Finding(file.path, line, message)


@rule
def backend_conditionals(tree: Tree) -> Iterator[Finding]:
    pattern = r"(?m)^[ \t]*#[ \t]*(?:if|ifdef|ifndef|elif)\b(?:\\\n|[^\n])*\bDCSIM_BACKEND_"
    for file in tree.cxx():
        if file.path in ("include/dcsim/config.h", "include/dcsim/prim/prim.h"):
            continue
        for line, _ in matches(file, file.without_comments, pattern):
            yield Finding(file.path, line, "a backend is chosen in config.h and prim/prim.h only")


THREADING = re.compile(
    r"\bstd::(?:j?thread|this_thread|(?:\w+_)?mutex|lock_guard|(?:unique|scoped|shared)_lock"
    r"|condition_variable\w*|atomic\w*|memory_order\w*|(?:shared_)?future|promise|packaged_task"
    r"|async|latch|barrier|\w+_semaphore|call_once|once_flag|stop_\w+)\b"
    r"|\b(?:thread_local|urcu_\w+|pthread_\w+|__atomic_\w+|__sync_\w+|volatile)\b"
)


@rule
def threads_belong_to_the_backend(tree: Tree) -> Iterator[Finding]:
    for file in tree.cxx(*COMPILED_PER_BACKEND):
        for line, match in matches(file, file.bare, THREADING):
            message = f"{match[0]} in code that is compiled per backend: use dcsim/kernel/"
            yield Finding(file.path, line, message)


# --- The ledger -------------------------------------------------------------------------------

LEDGER = "docs/fidelity.md"

ANNOTATION = re.compile(
    r"\b(?:__context_unsafe|__context_lock|__guarded_by|__must_hold|__must_hold_shared"
    r"|__must_not_hold|__acquires|__acquires_shared|__releases|__releases_shared|__cond_acquires"
    r"|__cond_acquires_shared|__assumes_held|__attribute__|alignas|DCSIM_ATTRIBUTE)\s*\("
)


def balanced_end(text: str, opening: int, pair: str) -> int:
    """Offset behind the bracket that closes the one at `opening`."""
    depth = 0
    for offset in range(opening, len(text)):
        depth += (text[offset] == pair[0]) - (text[offset] == pair[1])
        if depth == 0:
            return offset + 1
    return len(text)


def without_annotations(head: str) -> str:
    """Blanks out annotations, attributes and template parameters, keeping every offset."""

    def blank(start: int, end: int) -> None:
        nonlocal head
        head = head[:start] + " " * (end - start) + head[end:]

    while match := ANNOTATION.search(head):
        blank(match.start(), balanced_end(head, match.end() - 1, "()"))
    while match := re.search(r"\[\[.*?\]\]", head, re.DOTALL):
        blank(*match.span())
    while match := re.search(r"\btemplate\s*<", head):
        blank(match.start(), balanced_end(head, match.end() - 1, "<>"))
    return head


FUNCTION = re.compile(r"(?P<before>[^=(]*[\w>*&\s])\b(?P<name>[A-Za-z_]\w*)\s*\(\s*(?P<first>\S)")
NO_FUNCTION = re.compile(r"\s*(?:using|typedef|static_assert|friend|extern\s+template)\b")


def has_body(head: str) -> bool:
    """Whether the braces after `head` are a function's, not a type's or an initialiser's."""
    before_parameters, parenthesis, _ = without_annotations(head).partition("(")
    return bool(parenthesis) and ("=" not in before_parameters or "operator" in before_parameters)


def function_name(head: str) -> tuple[str, int] | None:
    """The function with external linkage that a statement at namespace level introduces, if any:
    its name and where in `head` that stands."""
    head = without_annotations(head)
    match = FUNCTION.match(head)
    if not match or NO_FUNCTION.match(head) or not match["before"].strip():
        return None
    if {"static", "constinit", "operator"} & set(match["before"].split()):
        return None
    # A variable with an initialiser in parentheses: no parameter begins like this.
    if re.match(r"[\d\"'&*!~+-]", match["first"]):
        return None
    return match["name"], match.start("name")


def functions(file: SourceFile) -> Iterator[tuple[str, int]]:
    """Names and lines of the functions declared or defined at namespace level in a file, without
    static ones and those of unnamed namespaces."""
    directive = re.compile(r"^[ \t]*#(?:\\\n|[^\n])*", re.MULTILINE)
    text = directive.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), file.bare)
    unnamed: list[bool] = []  # of the namespaces around `offset`, outermost first
    start = offset = 0
    braced = False  # whether the statement has had a type's body or an initialiser
    while offset < len(text):
        if text[offset] == "(":
            offset = balanced_end(text, offset, "()")
            continue
        head = text[start:offset]
        if text[offset] == "{" and re.search(r'\bnamespace\b|\bextern\s*"', head):
            unnamed.append(head.rstrip().endswith("namespace"))
            start = offset + 1
        elif text[offset] in "{;":
            complete = text[offset] == ";" or has_body(head)
            found = function_name(head) if complete and not braced else None
            if found and not any(unnamed):
                yield found[0], file.line_of(start + found[1])
            if text[offset] == "{":
                offset = balanced_end(text, offset, "{}") - 1
            if complete:
                start = offset + 1
            braced = not complete
        elif text[offset] == "}":
            if unnamed:
                unnamed.pop()
            start = offset + 1
        offset += 1


def ledger_rows(file: SourceFile) -> Iterator[tuple[str, int, str]]:
    """Name, line and status of each row of the ledger's tables of functions."""
    in_table = False
    for number, line in enumerate(file.lines, 1):
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not line.startswith("|"):
            in_table = False
        elif cells[0] == "function":
            in_table = True
        elif in_table:
            for name in re.findall(r"`(\w+)(?:\(\))?`", cells[0]):
                yield name, number, cells[2] if len(cells) > 2 else ""


@rule
def ledger_is_complete(tree: Tree) -> Iterator[Finding]:
    ledger = tree.file(LEDGER)
    wanted = {}
    for file in tree.cxx(*VFS):
        if file.path.startswith("include/") or file.path.endswith(".cc"):
            for name, line in functions(file):
                wanted.setdefault(name, (file.path, line))
    if not ledger:
        if wanted:
            yield Finding(LEDGER, 1, f"missing; it must list {len(wanted)} functions of vfs/")
        return
    rows = list(ledger_rows(ledger))
    listed = {name for name, _, _ in rows}
    for name, (path, line) in sorted(wanted.items(), key=lambda item: item[1]):
        if name not in listed:
            yield Finding(path, line, f"{name}() has no row in {LEDGER}")

    # What the mock file systems took from kernel ones may be listed as well.
    words = {word for file in tree.cxx(*VFS, *MOCKFS) for word in re.findall(r"\w+", file.bare)}
    seen = {}
    for name, line, status in rows:
        if status not in ("faithful", "reduced", "omitted", "own"):
            message = f"status of `{name}` is not faithful, reduced, omitted or own"
            yield Finding(LEDGER, line, message)
        if name not in words and status != "omitted":
            yield Finding(LEDGER, line, f"`{name}` is nowhere in vfs/ or mockfs/")
        if seen.setdefault(name, line) != line:
            yield Finding(LEDGER, line, f"`{name}` has a row already, in line {seen[name]}")


# --- Scenarios --------------------------------------------------------------------------------

SCENARIOS = ("src/scenario/library/", "test/museum/", "test/differential/")

VARIANT = re.compile(r'^\[variant\.(?:"([^"]+)"|([^]]+))\]\n(.*?)(?=^\[|\Z)', re.M | re.S)
ERA_SET = re.compile(r'"dcache\.era"\s*=\s*"([^"]*)"')


KEY_SET = re.compile(r'"([a-z]+\.[^"]+)"\s*=')
ERA_KEYS = {"dcache.era", "explore.preemptions"}


def variant_name_breach(name: str, set_era: str | None, keys: set[str]) -> str | None:
    if set_era and name != f"era-{set_era}" and not name.endswith(f"-era-{set_era}"):
        return f"variant {name} sets era {set_era}: its name is or ends in era-{set_era}"
    if name == f"era-{set_era}" and keys - ERA_KEYS:
        return f"variant {name} sets more than the era: its name says what and ends in {name}"
    words = name.removesuffix(f"era-{set_era}") if set_era else name
    if re.search(r"\bera\b|\d[._-]\d|\bv\d", words):
        return f"variant {name} is called after an era or a version that it does not set"
    if not re.fullmatch(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*-?|", words):
        return f"variant {name}: words with '-' between them"
    return None


@rule
def variants_are_called_after_eras(tree: Tree) -> Iterator[Finding]:
    for file in tree.files:
        if not file.path.endswith(".toml") or not file.within(*SCENARIOS):
            continue
        for line, match in matches(file, file.text, VARIANT):
            era = ERA_SET.search(match[3])
            keys = set(KEY_SET.findall(match[3]))
            if breach := variant_name_breach(match[1] or match[2], era and era[1], keys):
                yield Finding(file.path, line, breach)


# --- Text -------------------------------------------------------------------------------------


def context_unsafe_uses(tree: Tree) -> Iterator[tuple[SourceFile, int, bool]]:
    """File, line, and whether there is a reason, of each use of __context_unsafe."""
    for file in tree.cxx():
        if file.path == "include/dcsim/annotations.h":
            continue
        for line, match in matches(file, file.bare, r"\b__context_unsafe\b"):
            rest = file.without_comments[match.end() :]
            yield file, line, bool(re.match(r'\s*\(\s*"[^"\n]*\w[^"\n]*"', rest))


@rule
def unsafe_contexts_have_reasons(tree: Tree) -> Iterator[Finding]:
    for file, line, has_reason in context_unsafe_uses(tree):
        if not has_reason:
            yield Finding(file.path, line, "__context_unsafe without a reason in words")


@rule
def licence_lines(tree: Tree) -> Iterator[Finding]:
    # The explorer and the viewer hold nothing of Linux and may be given away more freely.
    may_be_mit = EXPLORE + ("tools/viewer/",)
    for file in tree.files:
        if not file.is_code or not file.text:
            continue
        match = re.search(r"SPDX-License-Identifier: ([\w.+-]+)", "\n".join(file.lines[:3]))
        if not match:
            yield Finding(file.path, 1, "no SPDX-License-Identifier in the first three lines")
        elif match[1] != "GPL-2.0-only" and not (match[1] == "MIT" and file.within(*may_be_mit)):
            yield Finding(file.path, 1, f"licence {match[1]}; this file is GPL-2.0-only")


# Spelled in pieces, so that this file does not breach its own rule.
MARKERS = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|X" r"XX|HA" r"CK)\b")
FOREIGN_WORDS = re.compile(
    r"\bhelper[\s_-]session|\bsub-?" r"agent|(?<![\w.~-])/wo" r"rk/", re.IGNORECASE
)


@rule
def no_leftover_markers(tree: Tree) -> Iterator[Finding]:
    for file in tree.files:
        for line, match in matches(file, file.text, MARKERS):
            yield Finding(file.path, line, f"leftover {match[0]}: do it, or open an issue")


@rule
def no_foreign_words(tree: Tree) -> Iterator[Finding]:
    for file in tree.files:
        for line, match in matches(file, file.text, FOREIGN_WORDS):
            yield Finding(file.path, line, f"{match[0]!r} is not a word of this project")


@rule
def layout(tree: Tree) -> Iterator[Finding]:
    for file in tree.files:
        if not (file.is_code or file.path.endswith((".md", ".toml", ".txt"))):
            continue
        for number, line in enumerate(file.lines, 1):
            if file.is_code and len(line) > 100:
                yield Finding(file.path, number, f"{len(line)} columns; the limit is 100")
            if "\t" in line:
                yield Finding(file.path, number, "tab")
            if line != line.rstrip():
                yield Finding(file.path, number, "blanks at the end of the line")
        if file.text and not file.text.endswith("\n"):
            yield Finding(file.path, len(file.lines), "no newline at the end of the file")


# --- Self-test --------------------------------------------------------------------------------

GOOD_TREE = {
    "include/dcsim/config.h": "// SPDX-License-Identifier: GPL-2.0-only\n"
    "#if defined(DCSIM_BACKEND_NATIVE)\n#endif\n",
    "include/dcsim/annotations.h": "// SPDX-License-Identifier: GPL-2.0-only\n"
    "#define __context_unsafe(reason)\n",
    "include/dcsim/prim/prim.h": "// SPDX-License-Identifier: GPL-2.0-only\n"
    "#if defined(DCSIM_BACKEND_NATIVE)\n#endif\n",
    "include/dcsim/vfs/dcache.h": """// SPDX-License-Identifier: GPL-2.0-only
#include <cstddef>
#include "dcsim/annotations.h"
#include "dcsim/kernel/list.h"
namespace dcsim::inline DCSIM_BACKEND
{
// std::mutex thread_local urcu in a comment; "#if DCSIM_BACKEND_NATIVE" as well
struct alignas(64) dentry {
    int (*d_hash)(int);
    int count() const { return 0; }
};
enum { A = 1 };
extern const int table[2];
constinit inline once<int> counter(0);
inline long limit(7);
using callback = void (*)(int);
static_assert(sizeof(dentry) == 64);
template <typename T> inline T *declared(T *one, int two = {}) __context_unsafe("the reason");
dentry *
also_declared(void);
static inline int internal() { return 1; }
bool operator==(const dentry &, const dentry &) { return true; }
inline int defined_inline() { if (true) { return '"'; } return 1'000; }
} // namespace dcsim::inline DCSIM_BACKEND
""",
    "src/vfs/dcache.cc": """// SPDX-License-Identifier: GPL-2.0-only
#include "internal.h"
namespace dcsim
{
const int table[2] = {1, 2};
auto lambda = [](int x) { return x; };
namespace
{
int hidden() { return 1; }
}
int dentry::member() { return 2; }
int in_source(const char *text = "int not_a_function() {") __must_hold(a(b)) { return hidden(); }
}
""",
    "src/vfs/internal.h": "// SPDX-License-Identifier: GPL-2.0-only\n"
    '#include "dcsim/prim/prim.h"\n',
    "src/prim/native/rcu.cc": "// SPDX-License-Identifier: GPL-2.0-only\n"
    '#include <urcu/urcu-memb.h>\n#include "dcsim/kernel/bug.h"\nthread_local int x;\n',
    "src/explore/search.cc": "// SPDX-License-Identifier: MIT\n#include <thread>\n",
    "tools/run": "#!/bin/sh\n# SPDX-License-Identifier: GPL-2.0-only\n",
    "src/scenario/library/a.toml": 'format = 1\n[variant."era-4.7"]\n'
    'set = { "dcache.era" = "4.7" }\n[variant.era-v3]\nset = { "dcache.era" = "v3" }\n'
    '[variant."in-2-steps-era-6.0"]\nset = { "check.never" = [], "dcache.era" = "6.0" }\n'
    '[variant.nfs3]\nset = { "task.A.do" = [] }\n[[note]]\nat = "a"\n',
    "docs/fidelity.md": """| what | kernel | here |
| --- | --- | --- |
| `not_listed` | | |

| function | source | status |
| --- | --- | --- |
| `declared`, `also_declared()` | v7.2 | faithful |
| `defined_inline` | v7.2 | own |
| `in_source` | v7.2 `elsewhere` | reduced |
| `d_prune_aliases` | v7.2 | omitted |
""",
}

SPDX = "// SPDX-License-Identifier: GPL-2.0-only\n"
ROW = "| `{}` | v7.2 | {} |\n"
SCENARIO_A = "src/scenario/library/a.toml"

# What is planted (path, text; "+" in front appends to the good tree's file), and where it must be
# heard of, under which words.
BREACHES: dict[str, list[tuple[str, str, int, str]]] = {
    "include_direction": [
        ("src/vfs/a.cc", SPDX + '#include "dcsim/prim/prim.h"\n', 2, "vfs/ must not include"),
        ("src/vfs/a.cc", SPDX + '#include "dcsim/refs.h"\n', 2, "vfs/ must not include"),
        ("src/vfs/a.cc", SPDX + "#include <dcsim/mockfs/memfs.h>\n", 2, "vfs/ must not include"),
        ("src/vfs/a.cc", SPDX + '#include "../kernel/b.h"\n', 2, "vfs/ must not include"),
        ("src/vfs/a.cc", SPDX + '#include "elsewhere.h"\n', 2, "not its own"),
        ("src/explore/a.cc", SPDX + '#include "dcsim/vfs/vfs.h"\n', 2, "explore/ must not"),
        ("src/scenario/a.cc", SPDX + '#include "dcsim/vfs/vfs.h"\n', 2, "scenario/ must not"),
        ("src/scenario/world/a.cc", SPDX + '#include "dcsim/explore/a.h"\n', 2, "must not"),
        ("src/vfs/a.cc", SPDX + "# include <atomic>\n", 2, "only the language's own"),
        ("include/dcsim/vfs/a.h", SPDX + "\n#include <thread>\n", 3, "only the language's own"),
        ("src/vfs/a.cc", SPDX + "#include <sys/stat.h>\n", 2, "only the language's own"),
        ("src/kernel/a.cc", SPDX + "#include <mutex>\n", 2, "only the language's own"),
        ("src/kernel/a.cc", SPDX + '#include "dcsim/vfs/dcache.h"\n', 2, "kernel/ must not"),
        ("src/kernel/a.cc", SPDX + '#include "dcsim/prim/native/rcu.h"\n', 2, "kernel/ must not"),
        ("src/prim/native/a.cc", SPDX + '#include "dcsim/kernel/list.h"\n', 2, "prim/ must not"),
        ("include/dcsim/prim/a.h", SPDX + '#include "dcsim/kernel/bug.h"\n', 2, "prim/ must not"),
        ("src/mockfs/a.cc", SPDX + '#include "dcsim/explore/x.h"\n', 2, "mockfs/ must not"),
        ("src/mockfs/a.cc", SPDX + "#include <condition_variable>\n", 2, "mockfs/ must not"),
        ("src/explore/a.cc", SPDX + '#include "dcsim/vfs/dcache.h"\n', 2, "explore/ must not"),
    ],
    "rcu_library_in_one_file": [
        ("src/prim/native/a.cc", SPDX + "#include <urcu.h>\n", 2, "rcu.cc only"),
        ("test/unit/a.cc", SPDX + "#include <urcu/urcu-memb.h>\n", 2, "rcu.cc only"),
    ],
    "backend_conditionals": [
        ("src/kernel/a.cc", SPDX + "#ifdef DCSIM_BACKEND_MODEL\n#endif\n", 2, "chosen in"),
        ("test/unit/a.cc", SPDX + "#if A && \\\n    DCSIM_BACKEND_NATIVE\n#endif\n", 2, "chosen"),
        ("tools/a.h", SPDX + "#if A\n#elif defined(DCSIM_BACKEND_NATIVE)\n#endif\n", 3, "chosen"),
    ],
    "threads_belong_to_the_backend": [
        ("src/vfs/a.cc", SPDX + "std::mutex m;\n", 2, "std::mutex in code"),
        ("src/vfs/a.cc", SPDX + "std::atomic<int> m;\n", 2, "std::atomic in code"),
        ("include/dcsim/vfs/a.h", SPDX + "thread_local int x;\n", 2, "thread_local in code"),
        ("src/kernel/a.cc", SPDX + "std::atomic_thread_fence(x);\n", 2, "std::atomic_thread"),
        ("src/kernel/a.cc", SPDX + "int x = __atomic_load_n(&y, 0);\n", 2, "__atomic_load_n in"),
        ("src/mockfs/a.cc", SPDX + "std::this_thread::yield();\n", 2, "std::this_thread in"),
        ("src/mockfs/a.cc", SPDX + "int x = pthread_self();\n", 2, "pthread_self in code"),
    ],
    "ledger_is_complete": [
        ("include/dcsim/vfs/a.h", SPDX + "int fresh(int);\n", 2, "fresh() has no row"),
        ("src/vfs/a.cc", SPDX + "struct dentry *fresh(int a)\n{\n}\n", 2, "fresh() has no row"),
        (
            "src/vfs/a.cc",
            SPDX + "static int old()\n{\n}\n\nint\nfresh() __must_hold(b(c)) { }\n",
            7,
            "fresh() has no row",
        ),
        (
            "src/vfs/a.cc",
            SPDX + "namespace\n{\nint old() { }\n} // namespace\nint fresh() { }\n",
            6,
            "fresh() has no row",
        ),
        ("src/vfs/a.cc", SPDX + "once<int> *fresh() { }\n", 2, "fresh() has no row"),
        ("docs/fidelity.md", "+" + ROW.format("gone", "faithful"), 11, "nowhere in vfs/"),
        ("docs/fidelity.md", "+" + ROW.format("dentry", "perfect"), 11, "is not faithful"),
        ("docs/fidelity.md", "+" + ROW.format("in_source", "own"), 11, "already, in line 9"),
        ("docs/fidelity.md", "", 1, "missing; it must list 4"),
    ],
    "variants_are_called_after_eras": [
        (SCENARIO_A, '+[variant.draft]\nset = { "dcache.era" = "v3" }\n', 12, "ends in era-v3"),
        (SCENARIO_A, '+[variant.v3]\nset = { "dcache.era" = "v3" }\n', 12, "ends in era-v3"),
        (SCENARIO_A, '+[variant.era-4-7]\nset = { "dcache.era" = "4.7" }\n', 12, "ends in era-4.7"),
        (SCENARIO_A, '+[variant."era-4.7"]\nset = { "dcache.era" = "6.0" }\n', 12, "era-6.0"),
        (SCENARIO_A, '+[variant."era-6.0"]\nset = { "setup.do" = [] }\n', 12, "does not set"),
        (
            SCENARIO_A,
            '+[variant."era-6.0"]\nset = { "dcache.era" = "6.0", "setup.do" = [] }\n',
            12,
            "sets more than the era",
        ),
        (SCENARIO_A, '+[variant.fair-v4_17]\nset = { "setup.do" = [] }\n', 12, "does not set"),
        (SCENARIO_A, '+[variant.add_ci]\nset = { "setup.do" = [] }\n', 12, "words with '-'"),
        (
            "test/museum/a.toml",
            '[variant."4.7-patched"]\nset = { "dcache.era" = "4.7" }\n',
            1,
            "ends in era-4.7",
        ),
    ],
    "unsafe_contexts_have_reasons": [
        ("test/unit/a.cc", SPDX + "void f() __context_unsafe();\n", 2, "without a reason"),
        ("src/kernel/a.cc", SPDX + 'void f() __context_unsafe("");\n', 2, "without a reason"),
        ("src/kernel/a.cc", SPDX + 'void f() __context_unsafe(" ");\n', 2, "without a reason"),
        ("src/kernel/a.cc", SPDX + "void f() __context_unsafe /* why */;\n", 2, "without a reason"),
    ],
    "licence_lines": [
        ("src/kernel/a.cc", "int x;\n", 1, "no SPDX"),
        ("include/dcsim/kernel/a.h", "\n\n\n" + SPDX, 1, "no SPDX"),
        ("test/CMakeLists.txt", "project(x)\n", 1, "no SPDX"),
        ("tools/cmake/a.cmake", "set(x 1)\n", 1, "no SPDX"),
        ("tools/script", "#!/bin/sh\necho\n", 1, "no SPDX"),
        ("tools/script.py", "print()\n", 1, "no SPDX"),
        ("src/kernel/a.cc", "// SPDX-License-Identifier: MIT\n", 1, "licence MIT"),
        ("src/explore/a.cc", "// SPDX-License-Identifier: Apache-2.0\n", 1, "licence Apache"),
    ],
    "no_leftover_markers": [
        ("src/kernel/a.cc", SPDX + "// TO" + "DO: later\n", 2, "leftover"),
        ("docs/a.md", "one\n\nX" + "XX\n", 3, "leftover"),
        ("tools/a.py", "#" + SPDX + "# FIX" + "ME(me)\n", 2, "leftover"),
        ("README.md", "a HA" + "CK\n", 1, "leftover"),
    ],
    "no_foreign_words": [
        ("docs/a.md", "see /wo" + "rk/main\n", 1, "is not a word"),
        ("src/kernel/a.cc", SPDX + "// from a sub" + "agent\n", 2, "is not a word"),
        ("docs/a.md", "\nHelper " + "session\n", 2, "is not a word"),
    ],
    "layout": [
        ("src/kernel/a.cc", SPDX + "// " + "x" * 98 + "\n", 2, "101 columns"),
        ("src/kernel/a.cc", SPDX + "\tint x;\n", 2, "tab"),
        ("docs/a.md", "text \n", 1, "blanks at the end"),
        ("src/kernel/a.cc", SPDX + "int x;", 2, "no newline"),
    ],
}


def findings_in(files: dict[str, str]) -> list[Finding]:
    with tempfile.TemporaryDirectory() as folder:
        for path, text in files.items():
            file = pathlib.Path(folder, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        return check(Tree(pathlib.Path(folder)))


def self_test() -> int:
    failures = [f"good tree: {finding}" for finding in findings_in(GOOD_TREE)]
    if missing := {rule.__name__ for rule in RULES} ^ set(BREACHES):
        failures.append(f"rules without a planted breach, or the other way round: {missing}")
    for name, breaches in BREACHES.items():
        for path, text, line, words in breaches:
            files = dict(GOOD_TREE)
            files[path] = files[path] + text[1:] if text.startswith("+") else text
            if not text:
                del files[path]
            found = findings_in(files)
            if len(found) != 1 or found[0][:2] != (path, line) or words not in found[0].message:
                failures.append(f"{name}: {path}:{line}: {words!r} expected, got {found}")
    for failure in failures:
        print(failure)
    planted = sum(map(len, BREACHES.values()))
    print(f"house_rules: {len(RULES)} rules, {planted} planted breaches, {len(failures)} failures")
    return 1 if failures else 0


# --- Command ----------------------------------------------------------------------------------


def check(tree: Tree) -> list[Finding]:
    return sorted(finding for rule in RULES for finding in rule(tree))


def main() -> int:
    parser = argparse.ArgumentParser(description="Checks the rules no compiler checks.")
    parser.add_argument("root", nargs="?", default=".", type=pathlib.Path)
    parser.add_argument("--self-test", action="store_true", help="see each rule fire once")
    arguments = parser.parse_args()
    if arguments.self_test:
        return self_test()

    tree = Tree(arguments.root)
    findings = check(tree)
    for finding in findings:
        print(f"{finding.path}:{finding.line}: {finding.message}")
    unsafe = [file for file, _, _ in context_unsafe_uses(tree)]
    outside_tests = sum(not file.within("test/") for file in unsafe)
    print(
        f"house_rules: {len(tree.files)} files, {len(findings)} findings; __context_unsafe is used "
        f"{outside_tests} times, and {len(unsafe) - outside_tests} times in tests",
        file=sys.stderr,
    )
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
