// SPDX-License-Identifier: GPL-2.0-only
//
// What the expressions of a scenario look at. Nothing here is a schedule point: a guard may ask.
#include "dcache_internal.h"
#include "dcsim/kernel/err.h"
#include "parts.h"
#include "state.h"

namespace dcsim::inline DCSIM_BACKEND
{

using kind = scenario::operand::kind;

namespace
{

bool is_hashed(const dentry *dentry)
{
    return READ_LOCKED(dentry->d_hash.pprev) != nullptr;
}

} // namespace

int64_t scenario_world::fact(const scenario::operand &wanted) const
{
    switch (wanted.what) {
    case kind::constant:
        return wanted.constant;
    case kind::result:
    case kind::error:
    case kind::inode:
    case kind::negative:
    case kind::hashed_attribute:
    case kind::references:
        return attribute(wanted);
    case kind::lookups:
        return __atomic_load_n(wanted.path == scenario::all_paths
                                   ? &state_->all_lookups
                                   : &state_->lookups[static_cast<size_t>(wanted.path)],
                               __ATOMIC_RELAXED);
    case kind::waits:
    case kind::retries:
    case kind::blocked:
    case kind::rcu_walks:
    case kind::unlazied:
    case kind::fallbacks:
        return task_counter(wanted);
    case kind::failed_allocations:
        return reports_.failed_allocations ? reports_.failed_allocations() : 0;
    case kind::hashed:
        return count_names(wanted.path, false);
    case kind::positive:
        return count_names(wanted.path, true);
    case kind::dentries:
        return vfs_counter_value(NR_DENTRY);
    }
    return scenario::no_fact;
}

int64_t scenario_world::attribute(const scenario::operand &wanted) const
{
    const world_variable &from = variable(wanted.task, wanted.variable);

    if (!READ_LOCKED(from.assigned))
        return scenario::no_fact;
    smp_rmb();
    const dentry *dentry = READ_LOCKED(from.found);
    switch (wanted.what) {
    case kind::result:
        return dentry ? from.identity : from.number;
    case kind::error:
        return dentry || from.number > 0 ? 0 : from.number;
    case kind::inode:
        return from.inode;
    case kind::negative:
        return from.negative;
    case kind::hashed_attribute:
        return from.hashed;
    default:
        break;
    }
    if (!dentry || READ_LOCKED(from.gone))
        return -1;
    const int count = READ_LOCKED(dentry->d_lockref.count);
    return count < 0 ? -1 : count;
}

int64_t scenario_world::task_counter(const scenario::operand &wanted) const
{
    int64_t sum = 0;

    for (size_t i = 0; i < scenario_.tasks.size(); i++) {
        const world_task &task = state_->tasks[i];

        if (wanted.task != scenario::all_tasks && wanted.task != static_cast<int>(i))
            continue;
        if (wanted.what == kind::waits)
            sum += READ_LOCKED(task.waits);
        else if (wanted.what == kind::blocked)
            sum += READ_LOCKED(task.blocked);
        else if (wanted.what >= kind::rcu_walks && wanted.what <= kind::fallbacks)
            sum += READ_LOCKED(
                task.walks[static_cast<int>(wanted.what) - static_cast<int>(kind::rcu_walks)]);
        else
            for (int cause = 0; cause < scenario::retry_causes; cause++)
                if (wanted.cause == scenario::all_causes || wanted.cause == cause)
                    sum += READ_LOCKED(task.retries[cause]);
    }
    return sum;
}

/// The hashed dentry of a directory in the cache, without a reference; nullptr when not cached.
dentry *scenario_world::cached_directory(int path) const
{
    const path_parts &parts = parts_[static_cast<size_t>(path)];
    dentry *parent = mounted()->s_root;

    if (parts.name.empty())
        return parent;
    if (parts.parent != "/") {
        parent = nullptr;
        for (size_t i = 0; i < parts_.size() && !parent; i++)
            if (parts_[i].path == parts.parent)
                parent = cached_directory(static_cast<int>(i));
    }
    for (dentry *child = parent ? d_first_child(parent) : nullptr; child;
         child = d_next_sibling(child))
        if (is_hashed(child) && has_name(child, parts.name))
            return child;
    return nullptr;
}

int64_t scenario_world::count_names(int path, bool positive_only) const
{
    const path_parts &parts = parts_[static_cast<size_t>(path)];
    int64_t count = 0;

    if (!mounted())
        return 0;
    const dentry *parent = mounted()->s_root;
    if (parts.parent != "/") {
        parent = nullptr;
        for (size_t i = 0; i < parts_.size() && !parent; i++)
            if (parts_[i].path == parts.parent)
                parent = cached_directory(static_cast<int>(i));
    }
    for (dentry *child = parent ? d_first_child(parent) : nullptr; child;
         child = d_next_sibling(child))
        count += is_hashed(child) && has_name(child, parts.name) &&
                 (!positive_only || READ_LOCKED(child->d_inode));
    return count;
}

void scenario_world::describe_final_state()
{
    std::vector<int64_t> seen;

    final_state_.clear();
    for (size_t t = 0; t < scenario_.tasks.size(); t++) {
        const scenario::task &owner = scenario_.tasks[t];
        for (size_t v = 0; v < owner.variables.size(); v++) {
            const world_variable &from = variable(static_cast<int>(t), static_cast<int>(v));

            final_state_ += owner.name + "." + owner.variables[v].name + "=";
            if (!READ_LOCKED(from.assigned)) {
                final_state_ += "? ";
            } else if (!READ_LOCKED(from.found)) {
                final_state_ += std::to_string(from.number) +
                                (from.inode ? ":" + std::to_string(from.inode) : "") + " ";
            } else {
                size_t n = 0;
                while (n < seen.size() && seen[n] != from.identity)
                    n++;
                if (n == seen.size())
                    seen.push_back(from.identity);
                final_state_ += "d" + std::to_string(n) + ":" + std::to_string(from.inode) + " ";
            }
        }
    }
    for (size_t i = 0; i < parts_.size(); i++)
        if (!parts_[i].name.empty())
            final_state_ += parts_[i].path + "=" +
                            std::to_string(count_names(static_cast<int>(i), false)) + "/" +
                            std::to_string(count_names(static_cast<int>(i), true)) + " ";
    if (!final_state_.empty())
        final_state_.pop_back();
}

} // namespace dcsim::inline DCSIM_BACKEND
