// SPDX-License-Identifier: GPL-2.0-only
//
// Filling the disk, the passes, and the comparison of answers.
#include "strace_replay.h"

#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>
#include <new>
#include <stdexcept>
#include <unordered_map>

#include <fmt/format.h>

#include "dcsim/kernel/err.h"
#include "dcsim/mockfs/memfs.h"
#include "simulation.h"
#include "strace_process.h"
#include "text.h"

namespace dcsim::cli
{

namespace
{

using clock = std::chrono::steady_clock;

/// Puts the tree on the disk.
void fill(super_block *sb, const first_tree &tree)
{
    std::vector<memfs_node *> nodes;

    for (const first_node &one : tree.nodes) {
        memfs_node *node = memfs_root_node(sb);
        if (!nodes.empty())
            node = memfs_add_node(sb, nodes[one.parent], one.name.data(), one.name.size(),
                                  static_cast<umode_t>(one.mode),
                                  S_ISLNK_mode(static_cast<umode_t>(one.mode)) ? one.body.c_str()
                                                                               : nullptr);
        if (IS_ERR(node) && PTR_ERR(node) != -ENOMEM)
            throw std::runtime_error(fmt::format("the name '{}' cannot be put into the tree: {}",
                                                 printable(one.name), strerror(-PTR_ERR(node))));
        if (IS_ERR(node))
            throw std::bad_alloc();
        memfs_set_attributes(sb, node, static_cast<umode_t>(one.mode & S_IALLUGO_BITS), one.uid,
                             one.gid);
        nodes.push_back(node);
    }
}

std::string error_name(int64_t error)
{
    const char *name = strerrorname_np(static_cast<int>(error));

    return name ? name : fmt::format("errno {}", error);
}

const char *type_name(unsigned type)
{
    switch (type) {
    case S_IFDIR_TYPE:
        return "a directory";
    case S_IFREG_TYPE:
        return "a regular file";
    case S_IFLNK_TYPE:
        return "a symbolic link";
    case S_IFCHR_TYPE:
        return "a character device";
    case S_IFBLK_TYPE:
        return "a block device";
    case S_IFIFO_TYPE:
        return "a pipe";
    default:
        return "a socket";
    }
}

bool compares_text(const traced_operation &operation)
{
    return operation.kind == path_operation::readlink || operation.kind == path_operation::getcwd;
}

/// The answer in words; descriptors and the like, which only the machine decides, as "success".
std::string recorded_answer(const traced_operation &operation)
{
    if (!operation.succeeded())
        return error_name(operation.error);
    if (compares_text(operation))
        return fmt::format("\"{}\"{}", operation.text, operation.text_cut ? "..." : "");
    return operation.type ? type_name(operation.type) : "success";
}

std::string given_answer(const traced_operation &operation, const replay_outcome &outcome)
{
    if (outcome.value < 0)
        return error_name(-outcome.value);
    if (compares_text(operation))
        return fmt::format("\"{}\"", outcome.text);
    return operation.kind == path_operation::stat && operation.succeeded() ? type_name(outcome.type)
                                                                           : "success";
}

bool is_equal(const traced_operation &operation, const replay_outcome &outcome)
{
    if (!operation.succeeded() || outcome.value < 0)
        return operation.error == (outcome.value < 0 ? -outcome.value : 0);
    if (operation.kind == path_operation::stat && operation.type)
        return operation.type == outcome.type;
    if (!compares_text(operation))
        return true;
    return operation.text_cut
               ? outcome.value == operation.value && outcome.text.starts_with(operation.text)
               : outcome.text == operation.text;
}

std::string path_in_words(const traced_path &path)
{
    const std::string name = path.named ? fmt::format("\"{}\"", path.name) : "";

    if (path.name.starts_with('/') || path.descriptor == at_working_directory)
        return name;
    return fmt::format("{}{}{}", path.descriptor,
                       path.place.empty() ? "" : fmt::format("<{}>", path.place),
                       path.named ? ", " + name : name);
}

bool changes_something(const traced_operation &operation)
{
    using enum path_operation;

    switch (operation.kind) {
    case mkdir:
    case mknod:
    case unlink:
    case rmdir:
    case symlink:
    case link:
    case rename:
    case chmod:
    case chown:
        return true;
    default:
        return false;
    }
}

/// Not answered by the file system: bookkeeping of the processes.
bool is_bookkeeping(const traced_operation &operation)
{
    using enum path_operation;

    return operation.kind == close || operation.kind == duplicate || operation.kind == umask ||
           operation.kind == new_process;
}

class replayer
{
  public:
    replayer(const strace_trace &trace, const first_tree &tree)
        : trace_(trace), tree_(tree), simulation_(run_options())
    {
        const path root = {simulation_.mnt(), simulation_.sb()->s_root};

        cred_ = init_cred;
        if (tree.uid) {
            cred_.fsuid = tree.uid;
            cred_.fsgid = tree.gid;
            cred_.cap_effective = 0;
        }
        set_fs_root(&init_fs, &root);
        set_fs_pwd(&init_fs, &root);
        WRITE_ONCE(init_fs.umask, static_cast<umode_t>(022));
        result_.calls.resize(trace.names.size());
    }

    replay_result run(unsigned repeat)
    {
        fill(simulation_.sb(), tree_);
        for (unsigned pass = 0; pass < repeat; ++pass)
            result_.passes.push_back(run_pass(pass == 0));
        result_.descriptors_from_places = places_.descriptors;
        result_.directories_from_places = places_.directories;
        result_.dentries = static_cast<uint64_t>(get_nr_dentry());
        return std::move(result_);
    }

    std::vector<std::string> shut_down()
    {
        leave();
        return simulation_.shut_down();
    }

    ~replayer()
    {
        leave();
    }
    replayer(const replayer &) = delete;
    replayer &operator=(const replayer &) = delete;

  private:
    /// Nobody is anywhere in the tree any more.
    void leave()
    {
        const path nowhere = {nullptr, nullptr};

        processes_.clear();
        set_fs_root(&init_fs, &nowhere);
        set_fs_pwd(&init_fs, &nowhere);
    }

    replay_pass run_pass(bool compare)
    {
        std::array<long, VFS_COUNTERS> before;
        replay_pass pass;

        for (unsigned counter = 0; counter < VFS_COUNTERS; ++counter)
            before[counter] = vfs_counter_value(static_cast<vfs_counter>(counter));
        const clock::time_point begin = clock::now();
        for (const trace_event &event : tree_.events) {
            if (event.kind == trace_event_kind::start)
                start(event);
            else if (event.kind == trace_event_kind::end)
                processes_.erase(event.process);
            else
                perform(event.operation, compare, pass);
        }
        processes_.clear();
        pass.seconds = std::chrono::duration<double>(clock::now() - begin).count();
        for (unsigned counter = 0; counter < VFS_COUNTERS; ++counter)
            pass.counters[counter] =
                vfs_counter_value(static_cast<vfs_counter>(counter)) - before[counter];
        return pass;
    }

    void start(const trace_event &event)
    {
        if (event.parent != event.process) {
            processes_[event.process] = std::make_unique<replayed_process>(
                *processes_.at(event.parent), event.share_directories, event.share_files);
            return;
        }
        auto first = std::make_unique<replayed_process>(&init_task, &cred_, places_);
        sys_chdir(first->task(), tree_.working_directory.c_str());
        processes_[event.process] = std::move(first);
    }

    void perform(unsigned index, bool compare, replay_pass &pass)
    {
        const traced_operation &operation = trace_.operations[index];
        const char *skipped = tree_.skipped[index];
        replayed_process &actor = *processes_.at(operation.process);

        if (skipped && operation.kind != path_operation::close) {
            if (compare)
                skip(operation, skipped);
            return;
        }
        if (!compare && changes_something(operation))
            return;
        const long lookups = vfs_counter_of_this_task(FS_LOOKUPS);
        const replay_outcome outcome = actor.perform(operation, !compare);
        if (is_bookkeeping(operation)) {
            if (compare)
                skip(operation, "it is not answered by the path walk; carried out in passing");
            return;
        }
        pass.calls++;
        if (vfs_counter_of_this_task(FS_LOOKUPS) == lookups) {
            pass.cached++;
            pass.negative += outcome.value == -ENOENT;
        }
        if (compare)
            judge(operation, outcome);
    }

    void skip(const traced_operation &operation, const char *reason)
    {
        result_.calls[operation.call].skipped++;
        result_.skipped[reason][trace_.names[operation.call]]++;
    }

    void judge(const traced_operation &operation, const replay_outcome &outcome)
    {
        call_counts &counts = result_.calls[operation.call];

        if (is_equal(operation, outcome)) {
            counts.equal++;
            return;
        }
        counts.different++;
        const bool two = operation.to.named;
        result_.differences.push_back(
            {operation.line,
             fmt::format("{}({}{})", trace_.names[operation.call], path_in_words(operation.at),
                         two ? ", " + path_in_words(operation.to) : ""),
             recorded_answer(operation), given_answer(operation, outcome)});
    }

    const strace_trace &trace_;
    const first_tree &tree_;
    simulation simulation_;
    cred cred_;
    place_counts places_;
    std::unordered_map<unsigned, std::unique_ptr<replayed_process>> processes_;
    replay_result result_;
};

} // namespace

replay_result replay_trace(const strace_trace &trace, const first_tree &tree, unsigned repeat)
{
    replayer replayer(trace, tree);
    replay_result result = replayer.run(repeat);

    result.problems = replayer.shut_down();
    return result;
}

} // namespace dcsim::cli
