// SPDX-License-Identifier: GPL-2.0-only
//
// A scenario as a program for the model backend's searches.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "dcsim/prim/model/engine.h"
#include "dcsim/scenario/scenario.h"
#include "dcsim/scenario/world.h"

namespace dcsim::inline DCSIM_BACKEND
{

/// Owns what a model_program of a scenario points to. One at a time in a process. Abstract, because
/// the port under it may be another than the one this program was linked with: see load_port().
class scenario_program
{
  public:
    virtual ~scenario_program() = default;

    virtual const model_program &program() const = 0;
    /// Times the n-th `sometimes` of the scenario held, over all executions.
    virtual uint64_t times_reached(size_t n) const = 0;
    /// How the last execution left things; see scenario_world::final_state().
    virtual const std::string &final_state() const = 0;
    virtual void record_final_states(bool wanted) = 0;
    /// What a task is at, in the scenario's words; "" between steps.
    virtual std::string scenario_step(task_id task) const = 0;
    /// Hash of the port's sources, for tokens.
    virtual uint64_t port_hash() const = 0;

    /// scenario_step() for record_trace(): `argument` is the program's.
    static std::string scenario_step_of(void *argument, task_id task)
    {
        return static_cast<scenario_program *>(argument)->scenario_step(task);
    }
};

/// `scenario` must outlive the program.
using scenario_program_factory = std::unique_ptr<scenario_program> (*)(const scenario::scenario &);

/// On the port that is linked in.
std::unique_ptr<scenario_program> make_scenario_program(const scenario::scenario &scenario);

/// On a port in a module of its own, built with a patch (dcsim_add_patched_port in CMake). Throws
/// std::runtime_error when the file cannot be loaded or is no such module. The module stays loaded.
scenario_program_factory load_port(const std::string &file);

/// Names an address as somebody who knows the port would: "dentry /a d_flags". `sb` may be nullptr.
bool describe_port_address(super_block *sb, const void *address, char *text, size_t bytes);
/// The value there, in the same way.
bool describe_port_value(super_block *sb, const void *address, char *text, size_t bytes);
/// Whose lookup a task sleeps for, and who has to end it; false when it sleeps for something else.
bool describe_port_sleep(super_block *sb, const task_control &task, char *text, size_t bytes);

} // namespace dcsim::inline DCSIM_BACKEND
