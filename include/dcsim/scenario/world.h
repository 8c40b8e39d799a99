// SPDX-License-Identifier: GPL-2.0-only
//
// A scenario brought to life: its disk, its cache, its tasks' steps, and the facts that its checks
// look at. Compiled once per backend, like the port it runs on. Everything that the steps change
// lies in one object from the backend's memory, so that the model can restore it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "dcsim/config.h"
#include "dcsim/scenario/scenario.h"
#include "dcsim/vfs/vfs.h"

namespace dcsim::inline DCSIM_BACKEND
{

struct mock_filesystem;
struct mock_mount_options;
struct mock_option;
struct vfs_task;
struct world_operation;
struct world_variable;
struct world_state;
class world_judge;

/// What the world tells whoever runs it. `text` is in words, for people.
struct world_reports {
    void *argument = nullptr;
    /// A check of the scenario does not hold, or something is left at the end. May not return.
    void (*broken)(void *argument, const char *text) = nullptr;
    /// Called at rest, after the tasks and before anything is cleaned up. May be nullptr.
    void (*at_rest)(void *argument) = nullptr;
    /// Times the calling task had to wait. May be nullptr: then nothing is known.
    int64_t (*blocked)() = nullptr;
    /// Allocations that the search let fail. May be nullptr.
    int64_t (*failed_allocations)() = nullptr;
    /// Called around every look at dentries that the caller holds no reference on. Where other
    /// tasks run meanwhile, it must keep the memory of freed ones in place. May be nullptr: nobody
    /// runs.
    void (*begin_look)() = nullptr;
    void (*end_look)() = nullptr;
};

class scenario_world final : public scenario::fact_source
{
  public:
    /// `scenario` must outlive the world.
    scenario_world(const scenario::scenario &scenario, const world_reports &reports);
    ~scenario_world() override;

    /// Starts the VFS, fills the disk, runs the steps of [setup]. Alone.
    void set_up();
    /// All steps of one task. Each task in its own thread or fiber.
    void run_task(unsigned task);
    /// Evaluates the checks, notes the final state, gives everything back and checks that nothing
    /// is left. Alone.
    void finish();
    /// The same in two parts, for many rounds on native threads, where waiting for RCU takes longer
    /// than the rest: after finish_round() the VFS stays up, and may be set_up() again.
    void finish_round();
    void shut_down();

    /// How the variables and the names stood when finish() was last called: one line, the same for
    /// equal outcomes on every backend.
    const std::string &final_state() const
    {
        return final_state_;
    }
    /// finish() notes the final state; off by default, because it takes time.
    void record_final_states(bool wanted)
    {
        record_final_states_ = wanted;
    }
    /// Times the n-th `sometimes` of the scenario held, over all executions.
    uint64_t times_reached(size_t n) const
    {
        return reached_[n];
    }
    /// Step that a task is at, or nullptr before its first and after its last.
    const scenario::step *current_step(unsigned task) const;
    /// Is this where tasks in await() wait? The field itself says nothing.
    bool is_waiting_place(const void *address) const;

    int64_t fact(const scenario::operand &wanted) const override;

    // Called by the file system it mounted.
    int before_lookup(inode *dir, dentry *dentry);
    void released(const dentry *dentry);

    super_block *mounted() const;

  private:
    struct path_parts;
    class look;

    const scenario::task &task(int number) const;
    world_variable &variable(int task, int slot) const;
    void allocate_state();
    void free_state();
    super_block *mount_file_system(mock_mount_options options, const char *id) const;
    void fill_disk();
    void run_step(int task, const scenario::step &step, world_operation &outcome);
    void run_setup();
    dentry *walk(int path) const;
    dentry *walk_parent(int path) const;
    dentry *look_in_cache(int path) const;
    bool makes_system_calls() const;
    vfs_task *acting(int owner) const;
    void mount_root();
    void create_tasks();
    void leave_namespace();
    int64_t mount_another(int owner, const char *name, int64_t *inode);
    int64_t find_by_call(int owner, const scenario::step &step, int64_t *inode) const;
    int64_t change_names(int owner, const scenario::step &step) const;
    int64_t system_call(int owner, const scenario::step &step, int64_t *inode);
    void keep_dentry(int owner, const scenario::step &step, dentry *found,
                     world_operation &outcome);
    int64_t change_server(const scenario::step &step) const;
    int64_t carry_out_pending() const;
    dentry *obtain(int path) const;
    dentry *find_in_parent(int owner, const scenario::step &step);
    dentry *allocate_in_lookup(dentry *parent, qstr *name, world_variable &into, bool locked) const;
    dentry *look_up_without_waiting(dentry *parent, qstr *name, const scenario::step &step) const;
    void finish_lookup(const scenario::step &step);
    void look_up(int owner, const scenario::step &step, world_operation &outcome);
    void judge();
    void use_variable(const scenario::step &step);
    int64_t read_inode_under_rcu(const scenario::step &step);
    int64_t act_on_cache(const scenario::step &step);
    int64_t unmount();
    void note_dentry(world_variable &into, dentry *dentry) const;
    void identify(world_variable &into, dentry *dentry) const;
    void put_what_is_held();
    int path_of(const dentry *dentry) const;
    int injected_error(const scenario::tree_entry &entry) const;
    bool names_path(const dentry *dentry, int path) const;
    dentry *cached_directory(int path) const;
    int64_t count_names(int path, bool positive_only) const;
    int64_t attribute(const scenario::operand &wanted) const;
    int64_t task_counter(const scenario::operand &wanted) const;
    void check(const std::vector<scenario::expression> &expressions, bool wanted, const char *rule);
    void describe_final_state();

    const scenario::scenario &scenario_;
    world_reports reports_;
    const mock_filesystem *file_system_;
    std::vector<mock_option> settings_; ///< of the file system
    world_state *state_ = nullptr;
    std::vector<path_parts> parts_;
    std::vector<uint64_t> reached_;
    std::unique_ptr<world_judge> judge_; ///< nullptr: any outcome will do
    std::string final_state_;
    bool record_final_states_ = false;
    bool vfs_is_up_ = false; ///< after finish_round()
};

} // namespace dcsim::inline DCSIM_BACKEND
