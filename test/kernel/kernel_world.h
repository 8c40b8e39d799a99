// SPDX-License-Identifier: GPL-2.0-only
//
// Where the real system calls are made: a mount namespace of our own whose top is an empty tmpfs,
// and in it a thread for each task, with a root, a working directory, an umask and rights of its
// own. All of it belongs to this process and ends with it; files outside are never touched.
//
// Without the rights for that, a directory in some tmpfs, and one task.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "operation.h"

namespace dcsim::against_kernel
{

/// System calls by number that this C library may not know yet.
inline constexpr long fchmodat2_number = 452;

/// A thread that does what it is told, one thing at a time.
class worker
{
  public:
    worker();
    ~worker();
    worker(const worker &) = delete;
    worker &operator=(const worker &) = delete;

    /// Runs `work` in the thread, and returns when it is done.
    void run(const std::function<void()> &work);

  private:
    void loop();

    const std::function<void()> *work_ = nullptr;
    std::atomic<uint32_t> turn_ = 0; ///< odd while there is work
    std::atomic<bool> end_ = false;
    std::thread thread_;
};

class kernel_world
{
  public:
    /// An empty world, its tasks at their root. Throws std::runtime_error, naming the call that
    /// failed.
    kernel_world(const plan &plan, const limits &limits);
    ~kernel_world();
    kernel_world(const kernel_world &) = delete;
    kernel_world &operator=(const kernel_world &) = delete;

    /// Makes the task `index` do something.
    void run(unsigned index, const std::function<void()> &work)
    {
        tasks_[index]->run(work);
    }
    /// The top, open for everybody of this process.
    int top() const
    {
        return top_;
    }
    /// What a task's paths begin with when seen from outside; empty in a namespace of our own.
    const std::string &prefix() const
    {
        return prefix_;
    }

  private:
    void make_namespace(const plan &plan);
    void make_directory();
    void become(const identity &who, const plan &plan, const limits &limits);

    std::vector<std::unique_ptr<worker>> tasks_;
    int top_ = -1;
    int start_ = -1; ///< keeps its file system in being, and so its device number
    std::string prefix_;
    bool directory_ = false;
};

/// What can be done on this machine, tried once; a sentence for each thing that cannot.
limits probe_limits(std::vector<std::string> &reasons);
/// A directory on a tmpfs where we may write, or "".
std::string writable_tmpfs();

} // namespace dcsim::against_kernel
