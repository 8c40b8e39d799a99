// SPDX-License-Identifier: GPL-2.0-only
//
// Histories, disks and caches, as the oracle wants them.
#include "judge.h"

#include <cstring>

#include "dcache_internal.h"
#include "dcsim/mockfs/memfs.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace oracle = scenario::oracle;

namespace
{

scenario::file_kind kind_of(umode_t type)
{
    switch (type & S_IFMT_MASK) {
    case S_IFDIR_TYPE:
        return scenario::file_kind::directory;
    case S_IFLNK_TYPE:
        return scenario::file_kind::symlink;
    default:
        return scenario::file_kind::file;
    }
}

void list_disk(super_block *sb, oracle::disk_listing &into)
{
    into.root = static_cast<int64_t>(memfs_root_ino(sb));
    into.names.clear();
    memfs_for_each_entry(
        sb,
        [](void *argument, const memfs_entry &entry) {
            static_cast<oracle::disk_listing *>(argument)->names.push_back(
                {static_cast<int64_t>(entry.directory), std::string(entry.name, entry.length),
                 static_cast<int64_t>(entry.ino), kind_of(entry.type), entry.nlink,
                 entry.body ? entry.body : ""});
        },
        &into);
}

void append(std::string &key, int64_t number)
{
    key.append(reinterpret_cast<const char *>(&number), sizeof(number));
}

const oracle::listed_name *find(const oracle::disk_listing &disk, int64_t directory,
                                std::string_view name)
{
    for (const oracle::listed_name &one : disk.names)
        if (one.directory == directory && one.name == name)
            return &one;
    return nullptr;
}

std::string number_text(int64_t number)
{
    const std::string name = scenario::errno_name(number);

    return name.empty() ? std::to_string(number) : name;
}

/// What the cache says below a directory and the disk does not.
std::string compare_cache(dentry *directory, const oracle::disk_listing &disk)
{
    const auto number = static_cast<int64_t>(READ_LOCKED(directory->d_inode)->i_ino);
    std::string wrong;

    for (dentry *child = d_first_child(directory); child && wrong.empty();
         child = d_next_sibling(child)) {
        if (!READ_LOCKED(child->d_hash.pprev))
            continue;
        const std::string_view name(reinterpret_cast<const char *>(READ_LOCKED(child->d_name.name)),
                                    hashlen_len(READ_LOCKED(child->d_name.hash_len)));
        const oracle::listed_name *listed = find(disk, number, name);
        const inode *inode = READ_LOCKED(child->d_inode);
        const int64_t cached = inode ? static_cast<int64_t>(inode->i_ino) : 0;

        if (cached != (listed ? listed->inode : 0))
            wrong = "the cache says that '" + std::string(name) + "' in directory " +
                    std::to_string(number) + " is inode " + std::to_string(cached) +
                    ", the disk says " + std::to_string(listed ? listed->inode : 0) +
                    " (0: nothing)";
        else if (inode && d_is_dir(child))
            wrong = compare_cache(child, disk);
    }
    return wrong;
}

} // namespace

oracle::call call_of(const scenario::scenario &scenario, const scenario::step &step, int process)
{
    oracle::call call;

    call.what = step.what;
    call.process = process;
    call.path = step.what == scenario::verb::walk ? scenario.paths[static_cast<size_t>(step.path)]
                                                  : step.pathname;
    call.second_path = step.second_pathname;
    call.flags = step.flags;
    call.variable = step.what == scenario::verb::close ? step.variable_slot : step.result_slot;
    return call;
}

world_judge::world_judge(const scenario::scenario &scenario) : scenario_(scenario)
{
    size_t index = 0;

    // Process 0 is that of [setup].
    for (size_t task = 0; task < scenario.tasks.size(); task++)
        for (const scenario::step &step : scenario.tasks[task].steps) {
            if (oracle::is_operation(step.what))
                calls_.push_back(
                    {call_of(scenario, step, static_cast<int>(task) + 1), &step, index});
            index++;
        }
}

void world_judge::begin(super_block *sb)
{
    oracle::disk_listing disk;

    list_disk(sb, disk);
    tree_ = oracle::file_tree(disk);
}

bool world_judge::setup_step(const scenario::step &step, const world_operation &outcome)
{
    const oracle::call call = call_of(scenario_, step, 0);

    return !oracle::is_operation(step.what) ||
           oracle::carry_out(tree_, call, {outcome.number, outcome.inode});
}

void world_judge::begin_tasks()
{
    const oracle::tree_directories start = tree_.directories[0];

    // Owners first: a task may share with one that comes later.
    for (size_t task = 0; task < scenario_.tasks.size(); task++) {
        tree_.add_process();
        tree_.directories.back() = start;
    }
    for (size_t task = 0; task < scenario_.tasks.size(); task++)
        if (const int owner = scenario_.tasks[task].shares; owner >= 0)
            tree_.processes[task + 1].directories =
                tree_.processes[static_cast<size_t>(owner) + 1].directories;
    // Nobody is in [setup]'s directories any more, and those that sharers do not use are nowhere.
    for (size_t index = 0; index < tree_.directories.size(); index++) {
        bool used = false;
        for (size_t task = 1; task < tree_.processes.size(); task++)
            used |= tree_.processes[task].directories == static_cast<int>(index);
        if (!used)
            tree_.directories[index] = {};
    }
}

void world_judge::list_disks(const world_state &state)
{
    disks_.resize(1);
    list_disk(READ_LOCKED(state.sb), disks_[0]);
    for (const once<super_block *> &one : state.mounted)
        if (super_block *sb = READ_LOCKED(one))
            list_disk(sb, disks_.emplace_back());
}

/// Equal keys: the same answers, the same order, the same disks.
void world_judge::write_key(const world_state &state)
{
    key_.clear();
    for (const known_call &one : calls_) {
        const world_operation &outcome = state.operations[one.index];

        append(key_, outcome.number);
        append(key_, outcome.inode);
        for (const known_call &other : calls_)
            key_ += state.operations[other.index].end < outcome.begin ? '<' : '|';
    }
    for (const oracle::disk_listing &disk : disks_) {
        append(key_, disk.root);
        for (const oracle::listed_name &one : disk.names) {
            append(key_, one.directory);
            append(key_, one.inode);
            append(key_, one.links);
            key_ += one.name;
            key_ += '/';
            key_ += one.body;
            key_ += '\0';
        }
    }
}

std::vector<oracle::event> world_judge::events(const world_state &state) const
{
    std::vector<oracle::event> found;

    for (const known_call &one : calls_) {
        const world_operation &outcome = state.operations[one.index];
        found.push_back({&one.call, {outcome.number, outcome.inode}, outcome.begin, outcome.end});
    }
    return found;
}

std::string world_judge::cache_complaint(const world_state &state) const
{
    std::string wrong = compare_cache(READ_LOCKED(state.sb)->s_root, disks_[0]);
    size_t disk = 1;

    for (const once<super_block *> &one : state.mounted)
        if (super_block *sb = READ_LOCKED(one); sb && wrong.empty())
            wrong = compare_cache(sb->s_root, disks_[disk++]);
    return wrong;
}

std::string world_judge::complaint(const world_state &state) const
{
    std::string text = "not linearizable: no order of the operations explains what came of them\n";

    for (const known_call &one : calls_) {
        const world_operation &outcome = state.operations[one.index];
        const size_t task = static_cast<size_t>(one.call.process) - 1;

        text += "  " + scenario_.tasks[task].name + ": " + one.step->text + " -> " +
                number_text(outcome.number);
        if (outcome.inode)
            text += ", inode " + std::to_string(outcome.inode);
        text += " (from " + std::to_string(outcome.begin) + " to " + std::to_string(outcome.end) +
                ")\n";
    }
    text += "  at the end:";
    for (const oracle::disk_listing &disk : disks_)
        for (const oracle::listed_name &one : disk.names)
            text += " " + std::to_string(one.directory) + "/" + one.name + "=" +
                    std::to_string(one.inode);
    return text;
}

std::string world_judge::judge(const world_state &state)
{
    list_disks(state);
    std::string wrong = cache_complaint(state);
    if (!wrong.empty())
        return wrong;
    write_key(state);
    if (explained_.contains(key_))
        return "";
    if (!oracle::is_explained(tree_, events(state), &disks_))
        return complaint(state);
    explained_.insert(key_);
    return "";
}

} // namespace dcsim::inline DCSIM_BACKEND
