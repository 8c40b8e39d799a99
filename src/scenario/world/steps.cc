// SPDX-License-Identifier: GPL-2.0-only
//
// The verbs of a scenario, carried out.
#include "dcsim/kernel/err.h"
#include "dcsim/vfs/namei.h"
#include "parts.h"
#include "state.h"

namespace dcsim::inline DCSIM_BACKEND
{

using scenario::verb;

namespace
{

constexpr unsigned long a_whole_cache = 1ul << 30;

} // namespace

// --- Finding things ---

dentry *scenario_world::walk(int path) const
{
    const std::string &text = parts_[static_cast<size_t>(path)].path;

    return lookup_path(mounted()->s_root, text.data(), text.size());
}

/// The directory that a path's last component is in, referenced, or ERR_PTR.
dentry *scenario_world::walk_parent(int path) const
{
    const std::string &text = parts_[static_cast<size_t>(path)].parent;

    if (text == "/")
        return dget(mounted()->s_root);
    return lookup_path(mounted()->s_root, text.data(), text.size());
}

/// What the cache alone knows of a path: a reference, or ERR_PTR(-ENOENT).
dentry *scenario_world::look_in_cache(int path) const
{
    const std::string &name = parts_[static_cast<size_t>(path)].name;
    dentry *parent = walk_parent(path);
    dentry *found;

    if (IS_ERR(parent))
        return parent;
    qstr q = make_qstr(name.data(), static_cast<u32>(name.size()));
    lookup_noperm_common(&q, parent);
    found = d_lookup(parent, &q);
    dput(parent);
    return found ? found : ERR_PTR(-ENOENT);
}

/// Is this the dentry of the path, by name and parents? Somebody may move one of the parents
/// meanwhile, hence only their hashes; then it is either, or none.
bool scenario_world::names_path(const dentry *dentry, int path) const
{
    const path_parts &parts = parts_[static_cast<size_t>(path)];
    const auto *parent = READ_LOCKED(dentry->d_parent);
    const qstr name =
        make_hashed_qstr(parent, parts.name.data(), static_cast<u32>(parts.name.size()));

    if (READ_LOCKED(dentry->d_name.hash_len) != name.hash_len)
        return false;
    if (parts.parent == "/")
        return READ_LOCKED(parent->d_parent) == parent;
    for (size_t i = 0; i < parts_.size(); i++)
        if (parts_[i].path == parts.parent)
            return READ_LOCKED(parent->d_parent) != parent &&
                   names_path(parent, static_cast<int>(i));
    return false;
}

// --- Steps ---

void scenario_world::run_task(unsigned number)
{
    const scenario::task &what = scenario_.tasks[number];
    world_task &progress = state_->tasks[number];
    const long waits = vfs_counter_of_this_task(LOOKUP_WAITS);
    static constexpr vfs_counter causes[] = {RETRY_SEQ, RETRY_RENAME_LOCK, RETRY_DIR_SEQ,
                                             RETRY_DYING, RETRY_MISMATCH};
    static constexpr vfs_counter walk_counters[world_walk_counters] = {RCU_WALKS, RCU_UNLAZY,
                                                                       RCU_RESTARTS};
    long retries[scenario::retry_causes];
    long walks[world_walk_counters];
    size_t first = 0;

    for (unsigned before = 0; before < number; before++)
        first += scenario_.tasks[before].steps.size();
    for (int cause = 0; cause < scenario::retry_causes; cause++)
        retries[cause] = vfs_counter_of_this_task(causes[cause]);
    for (int counter = 0; counter < world_walk_counters; counter++)
        walks[counter] = vfs_counter_of_this_task(walk_counters[counter]);
    for (size_t i = 0; i < what.steps.size(); i++) {
        world_operation &outcome = state_->operations[first + i];

        WRITE_LOCKED(progress.step, static_cast<int>(i));
        outcome.begin = __atomic_add_fetch(&state_->clock, 1, __ATOMIC_SEQ_CST);
        run_step(static_cast<int>(number), what.steps[i], outcome);
        outcome.end = __atomic_add_fetch(&state_->clock, 1, __ATOMIC_SEQ_CST);
        for (int counter = 0; counter < world_walk_counters; counter++)
            WRITE_LOCKED(progress.walks[counter],
                         vfs_counter_of_this_task(walk_counters[counter]) - walks[counter]);
        WRITE_LOCKED(progress.waits, vfs_counter_of_this_task(LOOKUP_WAITS) - waits);
        for (int cause = 0; cause < scenario::retry_causes; cause++)
            WRITE_LOCKED(progress.retries[cause],
                         vfs_counter_of_this_task(causes[cause]) - retries[cause]);
        if (reports_.blocked)
            WRITE_LOCKED(progress.blocked, reports_.blocked());
    }
    WRITE_LOCKED(progress.step, static_cast<int>(what.steps.size()));
}

bool scenario_world::is_waiting_place(const void *address) const
{
    return state_ && address == &state_->unmounted;
}

const scenario::step *scenario_world::current_step(unsigned number) const
{
    const int step = state_ ? READ_LOCKED(state_->tasks[number].step) : -1;
    const auto &steps = scenario_.tasks[number].steps;

    return step >= 0 && static_cast<size_t>(step) < steps.size() ? &steps[static_cast<size_t>(step)]
                                                                 : nullptr;
}

void scenario_world::look_up(int owner, const scenario::step &step, world_operation &outcome)
{
    dentry *found = step.what == verb::lookup ? look_in_cache(step.path) : walk(step.path);

    keep_dentry(owner, step, found, outcome);
}

/// `found` is referenced or ERR_PTR; the reference goes into the step's variable, or is put.
void scenario_world::keep_dentry(int owner, const scenario::step &step, dentry *found,
                                 world_operation &outcome)
{
    if (IS_ERR(found))
        outcome.number = PTR_ERR(found);
    else if (const inode *inode = READ_LOCKED(found->d_inode))
        outcome.inode = static_cast<int64_t>(inode->i_ino);
    if (step.result_slot >= 0)
        note_dentry(variable(owner, step.result_slot), found);
    else if (!IS_ERR(found))
        dput(found);
}

void scenario_world::run_step(int owner, const scenario::step &step, world_operation &outcome)
{
    int64_t number = 0;

    if ((scenario::is_system_call(step.what) || step.path >= 0 || step.what == verb::shrink ||
         step.what == verb::reply) &&
        !mounted()) {
        reports_.broken(reports_.argument, ("'" + step.text + "' runs after umount()").c_str());
        return;
    }
    switch (step.what) {
    case verb::walk:
    case verb::warm:
    case verb::lookup:
        return look_up(owner, step, outcome);
    case verb::put:
    case verb::drop:
    case verb::invalidate:
        return use_variable(step);
    case verb::lookup_done:
        return finish_lookup(step);
    case verb::obtain:
        return keep_dentry(owner, step, obtain(step.path), outcome);
    case verb::alloc:
    case verb::noblock:
    case verb::lookup_one:
    case verb::duplicate:
        return keep_dentry(owner, step, find_in_parent(owner, step), outcome);
    case verb::noblock_return:
        // Whoever looked the name up has put what there was.
        if (const dentry *found = find_in_parent(owner, step); IS_ERR(found))
            number = PTR_ERR(found);
        break;
    case verb::server_create:
    case verb::server_mkdir:
    case verb::server_remove:
    case verb::server_replace:
    case verb::server_rename:
        number = change_server(step);
        break;
    case verb::reply:
        number = carry_out_pending();
        break;
    case verb::rcu_inode:
        number = read_inode_under_rcu(step);
        break;
    case verb::shrink:
    case verb::shrink_tree:
    case verb::umount:
    case verb::sync_rcu:
    case verb::await:
        number = act_on_cache(step);
        break;
    default:
        number = system_call(owner, step, &outcome.inode);
        // Which descriptor it is does not matter to the oracle.
        outcome.number = step.what == verb::open && number > 0 ? 0 : number;
        break;
    }
    if (step.result_slot >= 0) {
        world_variable &into = variable(owner, step.result_slot);
        into.number = number;
        into.inode = outcome.inode;
        smp_wmb();
        WRITE_LOCKED(into.assigned, true);
    }
}

/// Gives the variable a dentry that is referenced, with the number of the variables that have it
/// already, or a new one. An address alone would not do: it is used again where freed memory is.
void scenario_world::identify(world_variable &into, dentry *found) const
{
    // No primitive of the backend's: in the model this is no place where tasks change.
    for (int turn = 0; __atomic_test_and_set(&state_->identifying, __ATOMIC_ACQUIRE); turn++)
        retry_relax(turn);
    into.identity = 0;
    for (const world_variable &one : state_->variables)
        if (READ_LOCKED(one.found) == found && !READ_LOCKED(one.gone))
            into.identity = one.identity;
    if (!into.identity)
        into.identity = ++state_->dentries_identified;
    WRITE_LOCKED(into.found, found);
    __atomic_clear(&state_->identifying, __ATOMIC_RELEASE);
}

void scenario_world::note_dentry(world_variable &into, dentry *found) const
{
    if (IS_ERR(found)) {
        into.number = PTR_ERR(found);
    } else {
        inode *inode = READ_LOCKED(found->d_inode);

        identify(into, found);
        into.inode = inode ? static_cast<int64_t>(inode->i_ino) : 0;
        into.negative = !inode;
        into.hashed = READ_LOCKED(found->d_hash.pprev) != nullptr;
        WRITE_LOCKED(into.held, true);
    }
    smp_wmb();
    WRITE_LOCKED(into.assigned, true);
}

void scenario_world::use_variable(const scenario::step &step)
{
    world_variable &target = variable(step.variable_task, step.variable_slot);
    dentry *dentry = READ_LOCKED(target.found);

    // The step that should have found it failed.
    if (!dentry)
        return;
    switch (step.what) {
    case verb::put:
        WRITE_LOCKED(target.held, false);
        dput(dentry);
        break;
    case verb::drop:
        d_drop(dentry);
        break;
    default:
        d_invalidate(dentry);
        break;
    }
}

/// What path_init() and the first lookup_fast() do with a working directory that another task may
/// leave at any moment: the variable stands for fs->pwd, and its `held` for what fs->seq protects.
int64_t scenario_world::read_inode_under_rcu(const scenario::step &step)
{
    const world_variable &target = variable(step.variable_task, step.variable_slot);
    const dentry *dentry = READ_LOCKED(target.found);
    int64_t number = -ENOENT;

    rcu_read_lock();
    if (dentry && READ_LOCKED(target.held)) {
        const unsigned seq = read_seqcount_begin(&dentry->d_seq);
        const inode *inode = READ_ONCE(dentry->d_inode);

        // Still held: both were read while the dentry was in use. What comes now may be later.
        if (READ_LOCKED(target.held)) {
            const struct inode *again = READ_ONCE(dentry->d_inode);

            if (read_seqcount_retry(&dentry->d_seq, seq))
                number = -ECHILD;
            else
                number = again && again == inode ? static_cast<int64_t>(inode->i_ino) : 0;
        }
    }
    rcu_read_unlock();
    return number;
}

int64_t scenario_world::act_on_cache(const scenario::step &step)
{
    switch (step.what) {
    case verb::shrink: {
        shrink_control sc = {step.count == scenario::everything
                                 ? a_whole_cache
                                 : static_cast<unsigned long>(step.count)};
        return prune_dcache_sb(mounted(), &sc);
    }
    case verb::shrink_tree: {
        dentry *top = walk(step.path);
        if (IS_ERR(top))
            return PTR_ERR(top);
        shrink_dcache_parent(top);
        dput(top);
        return 0;
    }
    case verb::umount:
        return unmount();
    case verb::sync_rcu:
        synchronize_rcu();
        return 0;
    default: {
        const scenario::expression &condition =
            scenario_.awaited[static_cast<size_t>(step.expression)];
        // What the condition looks at is in many places; the field is only there to wait at.
        smp_cond_load_acquire(&state_->unmounted, [&](bool) {
            const look look(*this);
            return scenario::holds(condition, *this);
        });
        return 0;
    }
    }
}

} // namespace dcsim::inline DCSIM_BACKEND
