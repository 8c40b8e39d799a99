// SPDX-License-Identifier: GPL-2.0-only
//
// Scenario files: a tree, tasks with one-line steps, and what must come of it. docs/scenarios.md is
// the reference for their authors. Here they are plain data, checked and compiled, the same for
// every backend.
#pragma once

#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "dcsim/scenario/expression.h"

namespace dcsim::scenario
{

// --- Verbs ------------------------------------------------------------------------------------

enum class verb {
    walk,
    lookup,
    create,
    mkdir,
    unlink,
    rmdir,
    rename,
    exchange,
    whiteout,
    link,
    symlink,
    stat,
    lstat,
    access,
    readlink,
    open,
    close,
    readdir,
    chdir,
    chroot,
    mount,
    bind,
    umount_path,
    shrink,
    shrink_tree,
    umount,
    put,
    drop,
    invalidate,
    warm,
    rcu_inode,
    sync_rcu,
    server_create,
    server_mkdir,
    server_remove,
    server_replace,
    server_rename,
    reply,
    obtain,
    alloc,
    lookup_done,
    noblock,
    noblock_return,
    lookup_one,
    duplicate,
    await,
};

/// What a step leaves in the variable it assigns.
enum class value_kind {
    none,       ///< nothing: it cannot be assigned
    dentry,     ///< a dentry with a reference, or a negative errno
    number,     ///< 0 or a count, or a negative errno
    status,     ///< 0 and the inode of what was found, or a negative errno
    descriptor, ///< an open file and its inode, or a negative errno
};

/// What a verb takes.
enum class parameter_kind {
    none,
    path,            ///< a path from the top of the file system, without "." and ".."
    name,            ///< likewise, with a parent: not "/"
    pathname,        ///< what a system call takes
    entry,           ///< likewise, of a name in a directory: not "/"
    body,            ///< of a symbolic link
    variable,        ///< one that holds a dentry
    descriptor,      ///< a variable that holds one
    optional_count,  ///< a number, or nothing at all
    optional_flags,  ///< "O_CREAT|O_EXCL", or nothing at all
    optional_detach, ///< 'detach', or nothing at all
    optional_locked, ///< 'locked', or nothing at all
    optional_forget, ///< 'forget', or nothing at all
    optional_intent, ///< "LOOKUP_CREATE|LOOKUP_EXCL", or nothing at all
    expression,
};

/// A row of the table of verbs.
struct verb_description {
    verb what;
    const char *name;
    value_kind value;
    parameter_kind parameters[2];
    const char *signature; ///< for people: "d = walk(path)"
    const char *purpose;   ///< one line
};

/// Every verb, in the order of the enum.
std::span<const verb_description> verbs();
const verb_description &describe(verb what);
/// Does it change the other side of a file system, behind the kernel's back?
bool is_server_change(verb what);
/// Is it carried out as one or more system calls, by a task with a root and a working directory?
bool is_system_call(verb what);

// --- Eras and documents -----------------------------------------------------------------------

/// A kernel whose wait protocol the in-lookup dentries can follow; include/dcsim/vfs/lookup_era.h
/// has the same ones, in the same order.
struct era_description {
    const char *name;
    bool caller_queue; ///< waiters sleep on a queue that d_alloc_parallel()'s caller provides
    const char *purpose;
};

std::span<const era_description> eras();
/// nullptr when there is none of that name.
const era_description *find_era(std::string_view name);

/// A knob of a file system.
struct file_system_option {
    const char *name;
    int64_t smallest; ///< 0 and 1: true and false will do as well
    int64_t largest;
    const char *purpose; ///< one line, with the default
};

/// What scenarios need to know of a mock file system before there is one. The port's own table is
/// in include/dcsim/mockfs/mock_filesystem.h.
struct file_system_description {
    const char *name;
    const char *purpose;
    std::span<const file_system_option> options;
    std::span<const char *const> flags; ///< of an object on its disk
    bool second_names;                  ///< a directory can have two
    bool server;                        ///< somebody else can change it
    bool handles;                       ///< an inode can be found without a name
    bool pending;                       ///< some of its work waits until it is told to go on

    const file_system_option *find_option(std::string_view option) const;
};

std::span<const file_system_description> file_systems();
/// nullptr when there is none of that name.
const file_system_description *find_file_system(std::string_view name);

/// One of the public documents that dcsim began with; docs/seeds.md tells what became of each.
struct seed_description {
    const char *number;
    const char *title;
};

std::span<const seed_description> seed_documents();

// --- A compiled scenario ----------------------------------------------------------------------

/// No scenario has more of these, so whoever runs one can use arrays.
inline constexpr size_t most_tasks = 8;
inline constexpr size_t most_paths = 64;     ///< in scenario::paths
inline constexpr size_t most_variables = 96; ///< of [setup] and all tasks together

/// step::flags of umount(path, 'detach'), alloc(path, 'locked') and noblock_return(path, 'forget').
inline constexpr unsigned detach_flag = 1;
inline constexpr unsigned locked_flag = 1;
inline constexpr unsigned forget_flag = 1;

/// step::count of shrink() without an argument.
inline constexpr int64_t everything = -1;

/// One step of a task. Fields its verb does not take keep their defaults.
struct step {
    verb what = verb::walk;
    int result_slot = -1;           ///< index into the task's variables; -1: not assigned
    int variable_task = setup_task; ///< whose variable it takes: index into tasks, or setup_task
    int variable_slot = -1;         ///< index into that task's variables; -1: takes none
    int path = -1;                  ///< index into scenario::paths
    int second_path = -1;           ///< likewise
    std::string pathname;           ///< as a system call takes it; `path` only if it is one
    std::string second_pathname;    ///< likewise; or the body of a link
    unsigned flags = 0;             ///< of open(): O_*; of lookup_one(): LOOKUP_*; or as above
    int64_t count = everything;
    int expression = -1; ///< index into scenario::awaited
    std::string text;    ///< as it stands in the file
    source_position where;
};

struct variable {
    std::string name;
    value_kind kind = value_kind::none;
};

struct task {
    std::string name; ///< "setup" for [setup]
    std::vector<step> steps;
    std::vector<variable> variables;
    int shares = -1; ///< index into tasks: the one whose root and working directory it uses
};

enum class file_kind { file, directory, symlink };

/// tree_entry::lookup_failures: every call fails.
inline constexpr int every_time = -1;

/// A name on the disk.
struct tree_entry {
    int path = -1; ///< index into scenario::paths
    file_kind kind = file_kind::file;
    std::string target;             ///< body of a symlink
    std::vector<std::string> flags; ///< of the file system's
    int same_as = -1;               ///< index into scenario::tree: a second name of that directory
    int lookup_error = 0;    ///< negative errno that ->lookup() of this name returns; 0: none
    int lookup_failures = 0; ///< how many calls fail before it works, or every_time
    int lookup_points = 0;   ///< extra schedule points inside ->lookup() of this name
    source_position where;
};

/// What is expected of the search over a scenario or a variant.
struct expectation {
    bool violated = false;
    std::string words; ///< occur in the report of the rule that breaks; empty: any rule
};

/// What `explain` and `list` tell about a variant. Its changes are applied by parse_scenario().
struct variant {
    struct change {
        std::string key;  ///< "task.B.do"
        std::string text; ///< the new value, as TOML
    };

    std::string name;
    std::string title;
    std::vector<change> changes;
    expectation expect;
    std::string era;         ///< it runs in
    std::string file_system; ///< it runs on
    source_position where;
};

/// A sentence for a reader who arrives at a function.
struct note {
    int task = all_tasks; ///< index into tasks: only when this one arrives
    std::string function;
    std::string text;
    source_position where;
};

struct scenario {
    std::string file;         ///< as messages name it
    std::string variant_name; ///< empty: the file as it is
    uint64_t hash = 0;        ///< see scenario_hash()

    std::string title;
    std::vector<std::string> teaches;
    std::vector<std::string> seeds; ///< numbers of seed_documents()
    std::string source;             ///< "fs/namei.c": where else its race is from, or ""
    std::string notes;

    unsigned hash_buckets = 2;
    unsigned in_lookup_bits = 0;
    std::string era = "7.2"; ///< of eras()
    bool splice_hashed = false;
    bool lookup_outside_rwsem = false;
    std::string file_system = "memfs"; ///< of file_systems()
    struct setting {
        const file_system_option *option;
        int64_t value;
    };
    std::vector<setting> settings; ///< of the file system; in its table's order
    /// Parents before their children, targets of same_as before their second names.
    std::vector<tree_entry> tree;

    task setup;
    std::vector<task> tasks;

    unsigned failing_allocations = 0;
    std::vector<std::string> allowed_warnings;

    std::vector<expression> always;
    std::vector<expression> never;
    std::vector<expression> sometimes;
    std::vector<expression> awaited; ///< of the await() steps
    /// Why results and the tree at the end need not fit an order of the operations; "" when they
    /// must (oracle/linearize.h).
    std::string not_linearizable;

    unsigned preemptions = 2;
    bool starvation = false; ///< who waits for a bit lock may lose it for ever
    expectation expect;      ///< of the chosen variant; the file itself is expected to hold
    std::vector<variant> variants;
    std::vector<note> narration;
    /// Every path that is mentioned anywhere, and the directories above it but for "/".
    std::vector<std::string> paths;
};

// --- Reading ----------------------------------------------------------------------------------

/// Something wrong with a scenario file.
struct finding {
    std::string file;
    source_position where; ///< nowhere, when the file itself is the trouble
    std::string message;
    std::string suggestion; ///< what may have been meant, or ""

    /// "file:line:column: message (did you mean 'x'?)"
    std::string text() const;
};

/// Everything that is wrong with a scenario file; what() has a line for each finding.
class scenario_error : public std::runtime_error
{
  public:
    explicit scenario_error(std::vector<finding> findings);

    const std::vector<finding> &findings() const
    {
        return findings_;
    }

  private:
    std::vector<finding> findings_;
};

/// Checks a file with all its variants and compiles the chosen one; "" is the file as it is. `era`
/// replaces the one that file and variant say, unless it is "". Throws scenario_error.
scenario parse_scenario(std::string_view toml, const std::string &file_name,
                        const std::string &variant_name = "", const std::string &era = "");

/// Identifies what was explored: FNV-1a, 64 bits, over the bytes of the file, a NUL and the name of
/// the variant; and over another NUL and the era, if that is not the one which the two say. In
/// hexadecimal it is always 16 digits.
uint64_t scenario_hash(std::string_view toml, std::string_view variant_name,
                       std::string_view other_era = "");
std::string hash_text(uint64_t hash);

/// An expression in words, for people: "the number of ->lookup() calls for /a equals 1".
std::string in_words(const expression &stated, const scenario &of);
/// As it stands in a file: "violated: lost wake-up".
std::string in_words(const expectation &expected);

} // namespace dcsim::scenario
