// SPDX-License-Identifier: GPL-2.0-only
//
// A recorded process, brought to life: a task of the port that makes the system calls of the trace,
// with the trace's descriptors mapped to its own.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "dcsim/vfs/syscalls.h"
#include "strace_operation.h"

namespace dcsim::cli
{

/// What the port answered.
struct replay_outcome {
    int64_t value = 0; ///< 0 or more, or a negative errno
    unsigned type = 0; ///< of stat: S_IFMT bits
    std::string text;  ///< of readlink and getcwd
};

/// How often only -y told where a path begins.
struct place_counts {
    uint64_t descriptors = 0;
    uint64_t directories = 0;
};

class replayed_process
{
  public:
    /// A process with the rights of `cred`, which must outlive it, at the root of `like`. Throws
    /// std::bad_alloc.
    replayed_process(const vfs_task *like, const cred *cred, place_counts &counts);
    /// A copy of `parent`, sharing with it what clone(2) was told to share.
    replayed_process(const replayed_process &parent, bool share_directories, bool share_files);
    ~replayed_process();
    replayed_process(const replayed_process &) = delete;
    replayed_process &operator=(const replayed_process &) = delete;

    vfs_task *task()
    {
        return task_;
    }
    /// Makes the call. With `only_look`, a file that does not exist is not made.
    replay_outcome perform(const traced_operation &operation, bool only_look);

  private:
    struct descriptor {
        int number;        ///< the port's
        std::string place; ///< what -y last told of it
    };
    using descriptors = std::unordered_map<int64_t, descriptor>;

    int start_of(const traced_path &path);
    int descriptor_of(const traced_path &path);
    void go_to(const std::string &place);
    std::string place_of(int number);
    void remember(int64_t recorded, int number, const std::string &place);
    void forget(int64_t recorded);

    int64_t open(const traced_operation &operation, bool only_look);
    int64_t stat(const traced_operation &operation, replay_outcome &outcome);
    int64_t read_link(const traced_operation &operation, replay_outcome &outcome);
    int64_t working_directory(const traced_operation &operation, replay_outcome &outcome);
    int64_t execute(const traced_operation &operation);
    int64_t list(const traced_operation &operation);
    int64_t duplicate(const traced_operation &operation);
    int64_t change_name(const traced_operation &operation);

    vfs_task *task_;
    place_counts &counts_;
    std::shared_ptr<descriptors> files_;
    std::string told_; ///< where -y last told that the process is
};

} // namespace dcsim::cli
