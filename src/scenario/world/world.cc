// SPDX-License-Identifier: GPL-2.0-only
//
// The life of a scenario: set-up, checks, clean-up.
#include "dcsim/scenario/world.h"

#include <algorithm>
#include <cstdio>

#include "dcsim/kernel/err.h"
#include "dcsim/mockfs/mock_filesystem.h"
#include "dcsim/vfs/namei.h"
#include "judge.h"
#include "parts.h"
#include "state.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

/// A violation has room for this much.
constexpr size_t world_report_bytes = 1300;

constexpr umode_t mode_of(scenario::file_kind kind)
{
    switch (kind) {
    case scenario::file_kind::directory:
        return S_IFDIR_TYPE | 0755;
    case scenario::file_kind::symlink:
        return S_IFLNK_TYPE | 0777;
    case scenario::file_kind::file:
        break;
    }
    return S_IFREG_TYPE | 0644;
}

/// Both tables have the same order.
lookup_era era_of(const scenario::scenario &scenario)
{
    return static_cast<lookup_era>(scenario::find_era(scenario.era) - scenario::eras().data());
}

size_t count_mounts(const scenario::task &one)
{
    return static_cast<size_t>(
        std::ranges::count(one.steps, scenario::verb::mount, &scenario::step::what));
}

template <typename T>
std::span<T> allocate_zeroed(size_t count)
{
    // At least one: an empty table must not look like a failure.
    return {static_cast<T *>(memory_alloc_zeroed(count ? count : 1, sizeof(T))), count};
}

int call_before_lookup(void *world, inode *dir, dentry *dentry)
{
    return static_cast<scenario_world *>(world)->before_lookup(dir, dentry);
}

void call_released(void *world, dentry *dentry)
{
    static_cast<scenario_world *>(world)->released(dentry);
}

} // namespace

scenario_world::scenario_world(const scenario::scenario &scenario, const world_reports &reports)
    : scenario_(scenario), reports_(reports),
      file_system_(find_mock_filesystem(scenario.file_system.c_str())),
      reached_(scenario.sometimes.size())
{
    for (const scenario::scenario::setting &one : scenario.settings)
        settings_.push_back({one.option->name, one.value});
    for (const std::string &path : scenario.paths)
        parts_.emplace_back(path);
    if (scenario.not_linearizable.empty())
        judge_ = std::make_unique<world_judge>(scenario);
}

scenario_world::~scenario_world() = default;

const scenario::task &scenario_world::task(int number) const
{
    return number == scenario::setup_task ? scenario_.setup
                                          : scenario_.tasks[static_cast<size_t>(number)];
}

world_variable &scenario_world::variable(int owner, int slot) const
{
    size_t index = static_cast<size_t>(slot);

    if (owner != scenario::setup_task) {
        index += scenario_.setup.variables.size();
        for (int before = 0; before < owner; before++)
            index += task(before).variables.size();
    }
    return state_->variables[index];
}

super_block *scenario_world::mounted() const
{
    return state_ ? READ_LOCKED(state_->sb) : nullptr;
}

void scenario_world::allocate_state()
{
    size_t variables = scenario_.setup.variables.size();
    size_t mounts = count_mounts(scenario_.setup);
    size_t steps = 0;

    for (const scenario::task &one : scenario_.tasks) {
        variables += one.variables.size();
        mounts += count_mounts(one);
        steps += one.steps.size();
    }
    state_ = allocate_zeroed<world_state>(1).data();
    state_->lookups = allocate_zeroed<int>(scenario_.paths.size());
    state_->failures_left = allocate_zeroed<int>(scenario_.paths.size());
    state_->tasks = allocate_zeroed<world_task>(scenario_.tasks.size());
    state_->variables = allocate_zeroed<world_variable>(variables);
    state_->wait_queues = allocate_zeroed<caller_wait_queue>(variables);
    state_->operations = allocate_zeroed<world_operation>(steps);
    state_->mounted = allocate_zeroed<once<super_block *>>(mounts);
    for (world_task &one : state_->tasks)
        WRITE_LOCKED(one.step, -1);
}

void scenario_world::free_state()
{
    memory_free(state_->lookups.data());
    memory_free(state_->failures_left.data());
    memory_free(state_->tasks.data());
    memory_free(state_->variables.data());
    memory_free(state_->wait_queues.data());
    memory_free(state_->operations.data());
    memory_free(state_->mounted.data());
    memory_free(state_);
}

void scenario_world::set_up()
{
    vfs_config config;
    mock_mount_options options;
    super_block *sb;

    allocate_state();
    config.dhash_entries = scenario_.hash_buckets;
    config.ihash_entries = scenario_.hash_buckets;
    config.in_lookup_shift = scenario_.in_lookup_bits;
    config.era = era_of(scenario_);
    config.splice_hashed = scenario_.splice_hashed;
    config.lookup_outside_rwsem = scenario_.lookup_outside_rwsem;
    if (!vfs_is_up_)
        vfs_init(config);
    options.before_lookup = call_before_lookup;
    options.released = call_released;
    options.argument = this;
    sb = mount_file_system(options, "scenario");
    if (IS_ERR(sb)) {
        reports_.broken(reports_.argument,
                        (scenario_.file_system + " cannot be mounted with these options").c_str());
        return;
    }
    WRITE_LOCKED(state_->sb, sb);
    fill_disk();
    run_setup();
    std::fill(state_->lookups.begin(), state_->lookups.end(), 0);
    state_->all_lookups = 0;
}

super_block *scenario_world::mount_file_system(mock_mount_options options, const char *id) const
{
    options.options = settings_;
    return file_system_ ? file_system_->mount(options, id) : ERR_PTR(-ENODEV);
}

void scenario_world::run_setup()
{
    if (judge_)
        judge_->begin(mounted());
    if (makes_system_calls())
        mount_root();
    for (const scenario::step &step : scenario_.setup.steps) {
        world_operation outcome = {};

        run_step(scenario::setup_task, step, outcome);
        if (!judge_ || judge_->setup_step(step, outcome))
            continue;
        char text[400];
        snprintf(text, sizeof(text), "setup: '%s' cannot come to %lld, says the oracle",
                 step.text.c_str(), static_cast<long long>(outcome.number));
        reports_.broken(reports_.argument, text);
    }
    create_tasks();
    if (judge_)
        judge_->begin_tasks();
}

void scenario_world::fill_disk()
{
    std::vector<mock_node *> nodes;

    for (const scenario::tree_entry &entry : scenario_.tree) {
        const path_parts &path = parts_[static_cast<size_t>(entry.path)];
        mock_node *parent = file_system_->root_node(mounted());

        for (size_t i = 0; i < nodes.size(); i++)
            if (scenario_.paths[static_cast<size_t>(scenario_.tree[i].path)] == path.parent)
                parent = nodes[i];
        if (entry.same_as >= 0) {
            mock_node *node = nodes[static_cast<size_t>(entry.same_as)];
            file_system_->add_directory_name(mounted(), parent, path.name.data(), path.name.size(),
                                             node);
            nodes.push_back(node);
        } else {
            nodes.push_back(file_system_->add_node(
                mounted(), parent, path.name.data(), path.name.size(), mode_of(entry.kind),
                entry.kind == scenario::file_kind::symlink ? entry.target.c_str() : nullptr));
        }
        for (const std::string &flag : entry.flags)
            file_system_->set_node_flag(mounted(), nodes.back(), flag.c_str());
        state_->failures_left[static_cast<size_t>(entry.path)] = entry.lookup_failures;
    }
}

int scenario_world::before_lookup(inode *, dentry *dentry)
{
    const int path = path_of(dentry);

    __atomic_fetch_add(&state_->all_lookups, 1, __ATOMIC_RELAXED);
    if (path < 0)
        return 0;
    __atomic_fetch_add(&state_->lookups[static_cast<size_t>(path)], 1, __ATOMIC_RELAXED);
    for (const scenario::tree_entry &entry : scenario_.tree) {
        if (entry.path != path)
            continue;
        for (int point = 0; point < entry.lookup_points; point++)
            cond_resched();
        return injected_error(entry);
    }
    return 0;
}

/// The path that a dentry is looked up for, or -1.
int scenario_world::path_of(const dentry *dentry) const
{
    const look look(*this);

    for (size_t path = 0; path < parts_.size(); path++)
        if (names_path(dentry, static_cast<int>(path)))
            return static_cast<int>(path);
    return -1;
}

/// What this call of ->lookup() fails with, or 0.
int scenario_world::injected_error(const scenario::tree_entry &entry) const
{
    int *left = &state_->failures_left[static_cast<size_t>(entry.path)];
    int seen = __atomic_load_n(left, __ATOMIC_RELAXED);

    while (seen > 0 && !__atomic_compare_exchange_n(left, &seen, seen - 1, false, __ATOMIC_RELAXED,
                                                    __ATOMIC_RELAXED))
        continue;
    return seen ? entry.lookup_error : 0;
}

void scenario_world::released(const dentry *dentry)
{
    for (world_variable &one : state_->variables)
        if (READ_LOCKED(one.found) == dentry)
            WRITE_LOCKED(one.gone, true);
}

void scenario_world::check(const std::vector<scenario::expression> &expressions, bool wanted,
                           const char *rule)
{
    for (const scenario::expression &one : expressions) {
        if (scenario::holds(one, *this) == wanted)
            continue;
        const int64_t value =
            one.left.what == scenario::operand::kind::constant ? one.left.constant : fact(one.left);
        char text[400];
        snprintf(text, sizeof(text), "%s '%s', but the left side is %s%s", rule, one.text.c_str(),
                 value == scenario::no_fact ? "not known" : std::to_string(value).c_str(),
                 scenario::errno_name(value).empty()
                     ? ""
                     : (" (" + scenario::errno_name(value) + ")").c_str());
        reports_.broken(reports_.argument, text);
    }
}

void scenario_world::judge()
{
    // Nothing may be left on the stack when the report does not return.
    char text[world_report_bytes];

    snprintf(text, sizeof(text), "%s", judge_->judge(*state_).c_str());
    if (*text)
        reports_.broken(reports_.argument, text);
}

void scenario_world::put_what_is_held()
{
    for (world_variable &one : state_->variables)
        if (READ_LOCKED(one.held)) {
            WRITE_LOCKED(one.held, false);
            dput(READ_LOCKED(one.found));
        }
}

void scenario_world::finish()
{
    finish_round();
    shut_down();
}

void scenario_world::finish_round()
{
    check(scenario_.always, true, "always");
    check(scenario_.never, false, "never");
    for (size_t i = 0; i < scenario_.sometimes.size(); i++)
        reached_[i] += scenario::holds(scenario_.sometimes[i], *this);
    if (record_final_states_)
        describe_final_state();
    if (reports_.at_rest)
        reports_.at_rest(reports_.argument);
    if (judge_)
        judge();

    put_what_is_held();
    if (mounted())
        unmount();
    free_state();
    vfs_is_up_ = true;
}

void scenario_world::shut_down()
{
    if (!vfs_is_up_)
        return;
    vfs_is_up_ = false;
    const vfs_leaks leaks = vfs_exit();
    if (!leaks.none()) {
        char text[200];
        snprintf(text, sizeof(text),
                 "left at the end: %ld dentries, %ld inodes, %ld files, %ld mounts, %ld pieces of "
                 "memory, %ld hash entries; %ld counters are not back at zero",
                 leaks.dentries, leaks.inodes, leaks.files, leaks.mounts, leaks.kmalloc_objects,
                 leaks.hash_entries, leaks.counters);
        reports_.broken(reports_.argument, text);
    }
}

int64_t scenario_world::unmount()
{
    super_block *sb = mounted();
    long left = 0;

    if (makes_system_calls())
        leave_namespace();
    WRITE_LOCKED(state_->sb, nullptr);
    WRITE_LOCKED(state_->unmounted, true);
    for (once<super_block *> &one : state_->mounted)
        if (super_block *other = READ_LOCKED(one)) {
            WRITE_LOCKED(one, nullptr);
            left += file_system_->unmount(other);
        }
    return left + file_system_->unmount(sb);
}

} // namespace dcsim::inline DCSIM_BACKEND
