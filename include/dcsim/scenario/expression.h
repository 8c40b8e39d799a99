// SPDX-License-Identifier: GPL-2.0-only
//
// The expressions of a scenario, compiled: what `always`, `never`, `sometimes` and await() say
// about the steps and the cache. Evaluating one allocates nothing; whoever runs the steps supplies
// the facts.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace dcsim::scenario
{

/// A place in a scenario file. Both count from 1, columns in characters; 0 is "nowhere in it".
struct source_position {
    unsigned line = 0;
    unsigned column = 0;

    auto operator<=>(const source_position &) const = default;
};

/// Stands for [setup] where a task is expected.
inline constexpr int setup_task = -1;
/// In an operand: over all tasks, all paths, all causes.
inline constexpr int all_tasks = -1;
inline constexpr int all_paths = -1;
inline constexpr int all_causes = -1;

/// What a fact_source answers when there is nothing to tell yet: the step that assigns the variable
/// has not returned. An expression about such a fact does not hold, whatever it compares.
inline constexpr int64_t no_fact = INT64_MIN;

/// Why a lookup started over; the statistics of the port count by the same causes.
enum class retry_cause : int { seq, rename_lock, dir_seq, dying, mismatch };
inline constexpr int retry_causes = 5;
const char *retry_cause_name(retry_cause cause);

/// A number an expression looks at. Only the fields its kind mentions mean anything.
struct operand {
    enum class kind {
        constant, ///< `constant`: a number, true, false, or an errno as its negative value
        // About the step that assigned `variable` in `task`, as things were when it returned.
        result,           ///< identity of a dentry (positive), or a number; negative: the errno
        error,            ///< 0, or the negative errno
        inode,            ///< identity of the dentry's inode; 0: none, or the step failed
        negative,         ///< 1 when the dentry had no inode
        hashed_attribute, ///< 1 when the dentry was hashed
        // What has happened so far, for one task or `all_tasks`.
        lookups,            ///< ->lookup() calls for `path` or `all_paths`
        waits,              ///< times `task` waited for somebody else's ->lookup()
        retries,            ///< times a lookup of `task` started over because of `cause`
        blocked,            ///< times `task` had to wait for a lock, or slept
        rcu_walks,          ///< path walks of `task` that stayed in RCU mode to their end
        unlazied,           ///< those that went on in ref mode
        fallbacks,          ///< those that left RCU mode with -ECHILD and began again
        failed_allocations, ///< allocations that were made to fail
        // The cache as it is now.
        hashed,     ///< hashed dentries that have the name `path`
        positive,   ///< those of them that have an inode
        dentries,   ///< dentries there are
        references, ///< count of the dentry in `variable` of `task`; -1 when it is dead or freed
    };

    kind what = kind::constant;
    int64_t constant = 0;
    int task = all_tasks;   ///< index into scenario::tasks, setup_task or all_tasks
    int variable = -1;      ///< index into task::variables
    int path = all_paths;   ///< index into scenario::paths
    int cause = all_causes; ///< a retry_cause
};

enum class comparison {
    truth, ///< the left operand alone is not 0
    equal,
    not_equal,
    less,
    less_equal,
    greater,
    greater_equal,
    in, ///< the left operand is one of `set`
};

/// A compiled expression.
struct expression {
    operand left;
    comparison op = comparison::truth;
    operand right;
    std::vector<int64_t> set;
    std::string text; ///< as it stands in the file
    source_position where;
};

/// Whoever executes the steps implements this.
class fact_source
{
  public:
    virtual ~fact_source() = default;
    /// The value of an operand of any kind but constant, or no_fact.
    virtual int64_t fact(const operand &wanted) const = 0;
};

/// Is it true now? Does not allocate, does not throw unless `facts` does.
bool holds(const expression &stated, const fact_source &facts);

/// The negative value of an errno name ("ENOENT"), or 0 when there is none of that name.
int errno_value(const std::string &name);
/// "ENOENT" for -2; "" for a value that has no name here.
std::string errno_name(int64_t negative_value);
/// The errno names that scenarios may use.
const std::vector<std::string> &errno_names();

} // namespace dcsim::scenario
