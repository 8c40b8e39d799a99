// SPDX-License-Identifier: GPL-2.0-only
//
// The steps that use a primitive of the dcache by itself, as a file system would, and those in
// which somebody else acts: the server, or the one who answers what was put off.
#include <new>

#include "dcsim/kernel/err.h"
#include "dcsim/mockfs/mock_filesystem.h"
#include "dcsim/vfs/namei.h"
#include "dcsim/vfs/proposed.h"
#include "parts.h"
#include "state.h"

namespace dcsim::inline DCSIM_BACKEND
{

using scenario::verb;

// --- Somebody else ---

int64_t scenario_world::change_server(const scenario::step &step) const
{
    constexpr int first = static_cast<int>(verb::server_create);
    static constexpr remote_change changes[] = {remote_change::create, remote_change::mkdir,
                                                remote_change::remove, remote_change::replace,
                                                remote_change::rename};
    const std::string &path = parts_[static_cast<size_t>(step.path)].path;
    const char *second =
        step.second_path < 0 ? nullptr : parts_[static_cast<size_t>(step.second_path)].path.c_str();

    return file_system_->remote(mounted(), changes[static_cast<int>(step.what) - first],
                                path.c_str(), second);
}

/// Waits for work that was put off and carries out one piece: 1, or 0 when somebody else was
/// faster.
int64_t scenario_world::carry_out_pending() const
{
    super_block *sb = mounted();

    // As in await(): where the work comes from is the file system's affair.
    smp_cond_load_acquire(&state_->unmounted, [&](bool) { return file_system_->has_pending(sb); });
    return file_system_->run_pending(sb);
}

dentry *scenario_world::obtain(int path) const
{
    // Consumes the inode, and hands an error through.
    return d_obtain_alias(
        file_system_->inode_by_path(mounted(), parts_[static_cast<size_t>(path)].path.c_str()));
}

// --- Lookups in pieces ---

namespace
{

/// The part of __lookup_slow() that is behind d_alloc_parallel(): asks the file system. Consumes
/// the reference and returns one. The directory's i_rwsem is held shared.
dentry *ask_file_system(inode *dir, dentry *dentry)
{
    struct dentry *old = ERR_PTR(-ENOENT);

    if (!IS_DEADDIR(dir))
        old = dir->i_op->lookup(dir, dentry, LOOKUP_SHARED);
    d_lookup_done(dentry);
    if (!old)
        return dentry;
    dput(dentry);
    return old;
}

/// d_duplicate() of what the cache has by this name. Without an error, the directory stays locked
/// for writing, as the twin demands.
dentry *make_twin(dentry *parent, const qstr *name)
    __context_unsafe("returns with the directory locked, unless it fails")
{
    inode *dir = d_inode(parent);
    dentry *twin;

    inode_lock(dir);
    dentry *found = d_lookup(parent, name);
    if (!found || d_is_negative(found))
        twin = ERR_PTR(-ENOENT);
    else
        twin = d_duplicate(found);
    if (found)
        dput(found);
    if (IS_ERR(twin))
        inode_unlock(dir);
    return twin;
}

} // namespace

/// The queue that eras with a caller's queue want lives as long as the variable, so that the lookup
/// may end in a later step.
dentry *scenario_world::allocate_in_lookup(dentry *parent, qstr *name, world_variable &into,
                                           bool locked) const
    __context_unsafe("how the directory is locked is the scenario's choice")
{
    const auto index = static_cast<size_t>(&into - state_->variables.data());
    auto *wq = new (&state_->wait_queues[index]) caller_wait_queue;
    inode *dir = d_inode(parent);
    dentry *found;

    if (locked)
        inode_lock(dir);
    else if (!lookup_outside_rwsem)
        inode_lock_shared(dir);
    found = d_alloc_parallel(parent, name, wq->head());
    if (locked)
        inode_unlock(dir);
    else if (!lookup_outside_rwsem)
        inode_unlock_shared(dir);
    return found;
}

/// For noblock() and noblock_return(). In the order that is proposed with them the lock comes
/// second.
dentry *scenario_world::look_up_without_waiting(dentry *parent, qstr *name,
                                                const scenario::step &step) const
    __context_unsafe("when the directory is locked depends on the order")
{
    inode *dir = d_inode(parent);
    dentry *blocker = nullptr;
    dentry *found;

    if (!lookup_outside_rwsem)
        inode_lock_shared(dir);
    found = step.what == verb::noblock ? d_alloc_noblock(parent, name)
                                       : d_alloc_noblock_return(parent, name, &blocker);
    if (lookup_outside_rwsem)
        inode_lock_shared(dir);
    if (!IS_ERR(found) && d_in_lookup(found))
        found = ask_file_system(dir, found);
    inode_unlock_shared(dir);
    if (step.what == verb::noblock)
        return found;
    if (!IS_ERR(found))
        dput(found);
    else if (PTR_ERR(found) == -EWOULDBLOCK && !(step.flags & scenario::forget_flag))
        dput(blocker);
    return found;
}

/// A primitive applied to the last name of the step's path. noblock_return() gives no reference.
dentry *scenario_world::find_in_parent(int owner, const scenario::step &step)
{
    const std::string &text = parts_[static_cast<size_t>(step.path)].name;
    dentry *parent = walk_parent(step.path);
    dentry *found;

    if (IS_ERR(parent))
        return parent;
    qstr name = make_qstr(text.data(), static_cast<u32>(text.size()));
    const int error = d_is_dir(parent) ? lookup_noperm_common(&name, parent) : -ENOTDIR;
    if (error) {
        found = ERR_PTR(error);
    } else if (step.what == verb::alloc) {
        found = allocate_in_lookup(parent, &name, variable(owner, step.result_slot),
                                   step.flags & scenario::locked_flag);
    } else if (step.what == verb::lookup_one) {
        inode_lock_shared(d_inode(parent));
        found = lookup_one_qstr(&name, parent, step.flags);
        inode_unlock_shared(d_inode(parent));
    } else if (step.what == verb::duplicate) {
        found = make_twin(parent, &name);
        if (!IS_ERR(found))
            variable(owner, step.result_slot).locked = d_inode(parent);
    } else {
        found = look_up_without_waiting(parent, &name, step);
    }
    dput(parent);
    return found;
}

void scenario_world::finish_lookup(const scenario::step &step)
    __context_unsafe("unlocks what duplicate() locked")
{
    world_variable &target = variable(step.variable_task, step.variable_slot);
    dentry *dentry = READ_LOCKED(target.found);

    // The step that should have found it failed.
    if (!dentry)
        return;
    d_lookup_done(dentry);
    // The twin's parent, which the twin has a reference on.
    if (target.locked)
        inode_unlock(target.locked);
    target.locked = nullptr;
}

} // namespace dcsim::inline DCSIM_BACKEND
