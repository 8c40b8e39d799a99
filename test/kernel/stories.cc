// SPDX-License-Identifier: GPL-2.0-only
//
// Sequences of calls that belong together and that chance alone rarely makes.
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "generator.h"

namespace dcsim::against_kernel
{

namespace
{

/// Links of a chain: more than may be followed.
constexpr unsigned chain_length = 42;

} // namespace

/// l00 is ".", l01 leads to l00, and so on: the n-th takes n + 1 links.
void generator::link_chain()
{
    operation op;

    op.what = call::symlinkat;
    for (unsigned i = 0; i < chain_length; i++) {
        op.body = i ? "l" + std::to_string(i - 1) : ".";
        op.first.path = "l" + std::to_string(i);
        queue_.push_back(op);
    }
    for (unsigned i : {38u, 39u, 40u, 41u, 19u}) {
        const std::string link = "l" + std::to_string(i);
        operation look;
        look.what = call::fstatat;
        for (const std::string &path : {link, link + "/", link + "/l0", "l19/" + link}) {
            look.first.path = path;
            queue_.push_back(look);
        }
        queue_open(0, 0, link, O_RDONLY);
        queue_open(0, 0, link + "/x", O_RDWR | O_CREAT);
    }
}

void generator::queue_open(unsigned task, int slot, const std::string &path, unsigned flags)
{
    operation op;

    op.what = call::openat;
    op.task = task;
    op.slot = slot;
    op.first.path = path;
    op.flags = flags | O_NONBLOCK;
    op.mode = flags & O_CREAT ? 0644 : 0;
    queue_.push_back(op);
}

void generator::queue(call what, unsigned task, const std::string &first, const std::string &second,
                      unsigned flags)
{
    operation op;

    op.what = what;
    op.task = task;
    op.first.path = first;
    op.second.path = second;
    op.flags = flags;
    op.mode = what == call::mknodat ? S_IFREG | 0666 : 0777;
    op.size = 4096;
    queue_.push_back(op);
}

/// What a task finds that stands somewhere, or has it open, where paths do not lead any more.
void generator::queue_looks(unsigned task, int slot)
{
    for (const char *path : {"..", ".", "../..", "x", "../x", "../."}) {
        operation op;
        op.what = one_in(3) ? call::openat : call::fstatat;
        op.task = task;
        op.slot = (slot + 1) % static_cast<int>(slot_count);
        op.first.path = path;
        op.first.descriptor = one_in(2) ? slot : at_cwd;
        op.flags = op.what == call::openat ? O_RDONLY | O_NONBLOCK : 0;
        if (!one_in(3))
            queue_.push_back(op);
    }
    queue(call::getcwd, task, "");
    queue(call::mkdirat, task, one_in(2) ? "x" : "../x");
    queue(call::chdir, task, one_in(2) ? ".." : "../..");
    queue(call::getcwd, task, "");
}

/// A directory that is open and somebody's working directory when it is removed.
void generator::doomed_directory(const tree &now)
{
    const std::string path = paths_.fresh(now, plan_.start);
    const std::string seen = limits_.whole_paths ? path : path.substr(1);
    const int slot = any_slot();

    queue(call::mkdirat, 0, seen);
    queue_open(0, slot, seen, O_RDONLY | O_DIRECTORY);
    queue(call::chdir, task_, seen);
    queue(call::unlinkat, 0, seen, "", AT_REMOVEDIR);
    if (limits_.whole_paths && one_in(2))
        queue_looks(task_, slot);
}

/// A directory that is reached through a bind mount and moved out of what that shows.
void generator::escaping_directory(const tree &now)
{
    const std::string source = paths_.fresh(now, plan_.start);
    const std::string view = paths_.fresh(now, plan_.start);
    const std::string away = paths_.fresh(now, plan_.start);
    const std::string below = one_in(2) ? "/a" : "/a/b";
    const int slot = any_slot();

    for (const std::string &directory : {source, source + "/a", source + "/a/b", view})
        queue(call::mkdirat, 0, directory);
    queue(call::bind, 0, source, view);
    queue_open(0, slot, view + below, O_RDONLY | O_DIRECTORY);
    queue(call::chdir, task_, view + below);
    queue(call::renameat2, 0, source + "/a", away);
    queue_looks(task_, slot);
    if (one_in(2)) {
        queue(call::renameat2, 0, away, source + "/a");
        queue_looks(task_, slot);
    }
    queue(call::umount, 0, view, "", one_in(2) ? unsigned{MNT_DETACH} : 0);
}

/// A mount that is taken out of the namespace while somebody is in it.
void generator::detached_mount(const tree &now)
{
    const std::string path = paths_.fresh(now, plan_.start);
    const int slot = any_slot();

    queue(call::mkdirat, 0, path);
    queue(call::mount, 0, path);
    for (const char *directory : {"/a", "/a/b", "/m"})
        queue(call::mkdirat, 0, path + directory);
    if (one_in(2))
        queue(call::mount, 0, path + "/m");
    const std::string inside = path + (one_in(3) ? "" : one_in(2) ? "/a" : "/m");
    queue_open(0, slot, inside, O_RDONLY | O_DIRECTORY);
    queue(call::chdir, task_, inside);
    queue(call::umount, 0, path, "", one_in(5) ? 0 : unsigned{MNT_DETACH});
    queue_looks(task_, slot);
    queue(one_in(2) ? call::mount : call::bind, task_, ".", "b");
    queue_looks(task_, slot);
}

/// A file that is mounted on a file.
void generator::mounted_file(const tree &now)
{
    const std::string source = paths_.fresh(now, plan_.start);
    const std::string target = paths_.fresh(now, plan_.start);

    queue(call::mknodat, 0, source);
    queue(call::mknodat, 0, target);
    queue(call::bind, 0, source, target);
    queue(call::fstatat, task_, target);
    queue(call::unlinkat, 0, one_in(2) ? target : source);
    queue(call::renameat2, 0, one_in(2) ? target : source, paths_.fresh(now, plan_.start));
    queue_open(task_, any_slot(), target, O_RDWR | O_CREAT);
    queue(call::linkat, 0, target, paths_.fresh(now, plan_.start));
    if (one_in(2))
        queue(call::umount, 0, target);
}

/// Begins one of the stories that single calls rarely come to.
void generator::story(const tree &now)
{
    const uint64_t which =
        random_.below(limits_.mounts && mount_points_.size() < most_mounts ? 4 : 1);

    switch (which) {
    case 0:
        return doomed_directory(now);
    case 1:
        return escaping_directory(now);
    case 2:
        return detached_mount(now);
    default:
        return mounted_file(now);
    }
}

} // namespace dcsim::against_kernel
