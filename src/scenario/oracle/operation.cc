// SPDX-License-Identifier: GPL-2.0-only
//
// What the system calls do to the plain tree, with the errors of Linux.
//
// Between taking a victim's last link away and taking its name away Linux has a moment in which a
// lockless walk still finds the name, and nothing can be made in it or linked to it. Hence remove()
// and rename() have a second half; what locks the directory waits for it.
#include "dcsim/scenario/oracle/operation.h"

#include <algorithm>
#include <cerrno>

#include "path_walk.h"

namespace dcsim::scenario::oracle
{

namespace
{

using last_component = path_walk::last_component;

// As in enum open_flag (vfs/file.h).
constexpr unsigned access_mode = 3;
constexpr unsigned o_creat = 0100;
constexpr unsigned o_excl = 0200;
constexpr unsigned o_trunc = 01000;
constexpr unsigned o_directory = 0200000;
constexpr unsigned o_nofollow = 0400000;

tree_node &node_at(file_tree &tree, int node)
{
    return tree.nodes[static_cast<size_t>(node)];
}

const tree_node &node_at(const file_tree &tree, int node)
{
    return tree.nodes[static_cast<size_t>(node)];
}

bool has_two_paths(verb what)
{
    return what == verb::rename || what == verb::exchange || what == verb::link;
}

/// Does its first path stop at the parent?
bool needs_parent(const call &call)
{
    switch (call.what) {
    case verb::create:
    case verb::mkdir:
    case verb::symlink:
    case verb::unlink:
    case verb::rmdir:
    case verb::rename:
    case verb::exchange:
        return true;
    case verb::open:
        return call.flags & o_creat;
    default:
        return false;
    }
}

bool follows(const call &call)
{
    switch (call.what) {
    case verb::walk:
    case verb::lstat:
    case verb::readlink:
    case verb::link:
        return false;
    case verb::open:
        return !(call.flags & o_nofollow);
    default:
        return true;
    }
}

tree_directories &directories_of(file_tree &tree, const call &call)
{
    const tree_process &process = tree.processes[static_cast<size_t>(call.process)];

    return tree.directories[static_cast<size_t>(process.directories)];
}

/// What is wrong with the call, whatever its path leads to. 0 or a negative errno.
int argument_error(const call &call)
{
    if (call.what == verb::symlink)
        return text_error(call.second_path);
    if (call.what == verb::open && call.flags & o_creat && call.flags & o_directory)
        return -EINVAL;
    return 0;
}

} // namespace

bool is_operation(verb what)
{
    return what == verb::walk || needs_parent({what, 0, "", "", 0, -1}) ||
           (what >= verb::link && what <= verb::umount_path && what != verb::bind);
}

bool is_understood(verb what)
{
    switch (what) {
    case verb::lookup:
    case verb::shrink:
    case verb::shrink_tree:
    case verb::put:
    case verb::drop:
    case verb::warm:
    case verb::rcu_inode:
    case verb::sync_rcu:
    case verb::await:
        return true;
    default:
        return is_operation(what);
    }
}

operation::operation(const call &call, const answer &observed, bool contended)
    : call_(&call), observed_(observed), contended_(contended)
{
    first_.rest = call.path;
    first_.to_parent = needs_parent(call);
    first_.follow = follows(call);
    first_.plain = call.what == verb::walk;
    second_.rest = call.second_path;
    second_.to_parent = true;
    if (call.what == verb::close)
        stage_ = stage::act;
}

void operation::finish(int64_t number, int node)
{
    result_.number = number;
    found_ = number < 0 ? -1 : node;
    stage_ = stage::finished;
}

/// Does the walk of another operation stand in this mount?
bool operation::stands_in(int mount) const
{
    return stage_ != stage::finished && (first_.at.mount == mount || second_.at.mount == mount);
}

bool operation::walk(file_tree &tree, path_walk &path, stage next)
{
    tree_directories from = directories_of(tree, *call_);

    if (path.plain)
        from = {{0, tree.mounts[0].root}, {0, tree.mounts[0].root}};
    int error = has_begun() ? 0 : argument_error(*call_);
    if (!error)
        error = walk_one(tree, from, path);
    if (error) {
        finish(error);
    } else if (path.done) {
        // umount() means what is mounted on the place, even where a path does not cross by itself.
        if (call_->what == verb::umount_path)
            path.at = tree.down(path.at);
        stage_ = next;
    }
    return true;
}

bool operation::step(file_tree &tree, std::span<const operation> all)
{
    switch (stage_) {
    case stage::first_walk:
        return walk(tree, first_, has_two_paths(call_->what) ? stage::second_walk : stage::act);
    case stage::second_walk:
        return walk(tree, second_, stage::act);
    case stage::act:
        return act(tree, all);
    case stage::second_half:
        second_half(tree);
        return true;
    case stage::finished:
        break;
    }
    return false;
}

bool operation::act(file_tree &tree, std::span<const operation> all)
{
    switch (call_->what) {
    case verb::create:
    case verb::mkdir:
    case verb::symlink:
        return create(tree);
    case verb::link:
        return link(tree);
    case verb::unlink:
    case verb::rmdir:
        return remove(tree);
    case verb::rename:
    case verb::exchange:
        return rename(tree);
    case verb::open:
        return call_->flags & o_creat ? open_or_create(tree) : open(tree);
    case verb::readdir:
        return read_directory(tree);
    case verb::chdir:
    case verb::chroot:
        return change_directory(tree);
    case verb::mount:
        return mount(tree);
    case verb::umount_path:
        return umount(tree, all);
    case verb::close: {
        auto &files = tree.processes[static_cast<size_t>(call_->process)].files;
        std::erase_if(files, [this](const auto &one) { return one.first == call_->variable; });
        finish(0);
        return true;
    }
    case verb::readlink: {
        const tree_node &node = node_at(tree, first_.at.node);
        finish(node.kind == file_kind::symlink ? static_cast<int64_t>(node.body.size()) : -EINVAL);
        return true;
    }
    default:
        finish(0, first_.at.node);
        return true;
    }
}

// --- Names come -------------------------------------------------------------------------------

bool operation::create(file_tree &tree)
{
    const int directory = first_.at.node;

    if (node_at(tree, directory).locked)
        return false;
    if (first_.kind != last_component::name || tree.find(directory, first_.last) >= 0)
        finish(-EEXIST);
    else if (const int error = name_error(tree, directory, first_.last))
        finish(error);
    else if (first_.slash && call_->what != verb::mkdir)
        finish(-ENOENT);
    if (finished())
        return true;

    const file_kind kind = call_->what == verb::mkdir     ? file_kind::directory
                           : call_->what == verb::symlink ? file_kind::symlink
                                                          : file_kind::file;
    const int made = tree.add_node(kind, directory);
    if (kind == file_kind::symlink)
        node_at(tree, made).body = call_->second_path;
    tree.add_name(directory, first_.last, made);
    finish(0);
    return true;
}

bool operation::link(file_tree &tree)
{
    const int directory = second_.at.node;
    const int source = first_.at.node;

    if (node_at(tree, directory).locked)
        return false;
    if (second_.kind != last_component::name || tree.find(directory, second_.last) >= 0)
        finish(-EEXIST);
    else if (const int error = name_error(tree, directory, second_.last))
        finish(error);
    else if (second_.slash)
        finish(-ENOENT);
    else if (first_.at.mount != second_.at.mount)
        finish(-EXDEV);
    else if (tree.is_directory(source))
        finish(-EPERM);
    else if (!node_at(tree, source).links)
        finish(-ENOENT);
    if (finished())
        return true;
    tree.add_name(directory, second_.last, source);
    finish(0);
    return true;
}

// --- Names go ---------------------------------------------------------------------------------

bool operation::remove(file_tree &tree)
{
    const int directory = first_.at.node;
    const bool wants_directory = call_->what == verb::rmdir;
    const int victim = tree.find(directory, first_.last);
    int64_t error = 0;

    if (first_.kind != last_component::name) {
        finish(!wants_directory                        ? -EISDIR
               : first_.kind == last_component::dot    ? -EINVAL
               : first_.kind == last_component::dotdot ? -ENOTEMPTY
                                                       : -EBUSY);
        return true;
    }
    if (node_at(tree, directory).locked || (victim >= 0 && node_at(tree, victim).locked))
        return false;
    if (victim < 0)
        error = absent_error(tree, directory, first_.last);
    else if (tree.is_directory(victim) != wants_directory)
        error = wants_directory ? -ENOTDIR : -EISDIR;
    else if (first_.slash && !wants_directory)
        error = -ENOTDIR;
    else if (tree.is_mountpoint(victim))
        error = -EBUSY;
    else if (!node_at(tree, victim).names.empty())
        error = -ENOTEMPTY;
    if (error) {
        finish(error);
        return true;
    }
    node_at(tree, victim).links--;
    node_at(tree, victim).removed = wants_directory;
    node_at(tree, directory).locked = true;
    stage_ = stage::second_half;
    return true;
}

/// In the order in which renameat2() looks; 0 when the rename is to be done.
int64_t operation::rename_error(const file_tree &tree, int source, int target) const
{
    const bool exchange = call_->what == verb::exchange;

    if (source < 0)
        return absent_error(tree, first_.at.node, first_.last);
    if (target < 0 && exchange)
        return absent_error(tree, second_.at.node, second_.last);
    if (const int error = name_error(tree, second_.at.node, second_.last); target < 0 && error)
        return error;
    if (exchange && !tree.is_directory(target) && second_.slash)
        return -ENOTDIR;
    if (!tree.is_directory(source) && (first_.slash || (!exchange && second_.slash)))
        return -ENOTDIR;
    if (first_.at.node != second_.at.node) {
        if (tree.is_below(second_.at.node, source))
            return -EINVAL;
        if (target >= 0 && tree.is_below(first_.at.node, target))
            return exchange ? -EINVAL : -ENOTEMPTY;
    }
    if (source == target)
        return 0;
    if (target >= 0 && !exchange && tree.is_directory(source) != tree.is_directory(target))
        return tree.is_directory(source) ? -ENOTDIR : -EISDIR;
    if (tree.is_mountpoint(source) || (target >= 0 && tree.is_mountpoint(target)))
        return -EBUSY;
    if (target >= 0 && !exchange && !node_at(tree, target).names.empty())
        return -ENOTEMPTY;
    return 0;
}

bool operation::rename(file_tree &tree)
{
    const int source = tree.find(first_.at.node, first_.last);
    const int target = tree.find(second_.at.node, second_.last);
    int64_t error = 0;

    if (first_.at.mount != second_.at.mount)
        error = -EXDEV;
    else if (first_.kind != last_component::name || second_.kind != last_component::name)
        error = -EBUSY;
    if (error) {
        finish(error);
        return true;
    }
    if (node_at(tree, first_.at.node).locked || node_at(tree, second_.at.node).locked ||
        (target >= 0 && node_at(tree, target).locked))
        return false;
    error = rename_error(tree, source, target);
    if (error || source == target) {
        finish(error);
        return true;
    }
    if (target >= 0 && call_->what == verb::rename) {
        node_at(tree, target).links--;
        node_at(tree, target).removed = tree.is_directory(target);
    }
    node_at(tree, first_.at.node).locked = true;
    node_at(tree, second_.at.node).locked = true;
    stage_ = stage::second_half;
    return true;
}

void operation::second_half(file_tree &tree)
{
    const int directory = first_.at.node;
    const auto put = [&tree](int into, const std::string &name, int node) {
        node_at(tree, into).names[name] = node;
        if (tree.is_directory(node))
            node_at(tree, node).parent = into;
    };

    node_at(tree, directory).locked = false;
    if (call_->what == verb::unlink || call_->what == verb::rmdir) {
        node_at(tree, directory).names.erase(first_.last);
        return finish(0);
    }
    const int source = tree.find(directory, first_.last);
    const int target = tree.find(second_.at.node, second_.last);
    node_at(tree, second_.at.node).locked = false;
    if (call_->what == verb::exchange)
        put(directory, first_.last, target);
    else
        node_at(tree, directory).names.erase(first_.last);
    put(second_.at.node, second_.last, source);
    finish(0);
}

// --- Opening ----------------------------------------------------------------------------------

bool operation::open(file_tree &tree)
{
    const tree_node &node = node_at(tree, first_.at.node);
    const bool is_directory = node.kind == file_kind::directory;

    if (call_->flags & o_directory && !is_directory)
        finish(-ENOTDIR);
    else if (node.kind == file_kind::symlink)
        finish(-ELOOP);
    else if (is_directory && call_->flags & (access_mode | o_creat | o_trunc))
        finish(-EISDIR);
    if (finished())
        return true;
    tree.processes[static_cast<size_t>(call_->process)].files.emplace_back(call_->variable,
                                                                           first_.at);
    finish(0, first_.at.node);
    return true;
}

bool operation::open_or_create(file_tree &tree)
{
    const int directory = first_.at.node;
    const bool exclusive = call_->flags & o_excl;
    const int node = tree.find(directory, first_.last);

    if (first_.kind != last_component::name)
        finish(exclusive ? -EEXIST : -EISDIR);
    else if (first_.slash)
        finish(-EISDIR);
    if (finished())
        return true;
    // What is there already is found without the directory's lock.
    if (node_at(tree, directory).locked && (node < 0 || exclusive))
        return false;
    if (node >= 0 && exclusive) {
        finish(-EEXIST);
    } else if (node >= 0 && node_at(tree, node).kind == file_kind::symlink && first_.follow) {
        const int error = follow_link(tree, directories_of(tree, *call_), first_, node);
        if (error)
            finish(error);
        else
            stage_ = first_.done ? stage::act : stage::first_walk;
    } else if (node >= 0) {
        first_.at = tree.down({first_.at.mount, node});
        return open(tree);
    } else if (const int error = name_error(tree, directory, first_.last)) {
        finish(error);
    } else {
        const int made = tree.add_node(file_kind::file, directory);
        tree.add_name(directory, first_.last, made);
        first_.at.node = made;
        return open(tree);
    }
    return true;
}

bool operation::read_directory(file_tree &tree)
{
    const tree_node &node = node_at(tree, first_.at.node);

    if (node.locked)
        return false;
    finish(node.kind != file_kind::directory ? -ENOTDIR
           : node.removed                    ? -ENOENT
                                             : static_cast<int64_t>(node.names.size()));
    return true;
}

// --- Places -----------------------------------------------------------------------------------

bool operation::change_directory(file_tree &tree)
{
    tree_directories &directories = directories_of(tree, *call_);

    if (!tree.is_directory(first_.at.node)) {
        finish(-ENOTDIR);
        return true;
    }
    (call_->what == verb::chdir ? directories.cwd : directories.root) = first_.at;
    finish(0);
    return true;
}

bool operation::mount(file_tree &tree)
{
    const tree_place where = tree.down(first_.at);
    const bool is_detached =
        where.mount > 0 && tree.mounts[static_cast<size_t>(where.mount)].parent < 0;

    if (node_at(tree, where.node).removed || is_detached)
        finish(-ENOENT);
    else if (!tree.is_directory(where.node))
        finish(-ENOTDIR);
    if (finished())
        return true;
    const int root = tree.add_node(file_kind::directory, -1);
    node_at(tree, root).parent = root;
    tree.mounts.push_back({root, where.mount, where.node});
    finish(0, root);
    return true;
}

bool operation::umount(file_tree &tree, std::span<const operation> all)
{
    const tree_place at = first_.at;
    const int mount = at.mount;
    const bool detach = call_->flags & detach_flag;
    tree_mount &found = tree.mounts[static_cast<size_t>(mount)];

    if (at.node != found.root || found.parent < 0) {
        // Detached since the walk: whether that is an error depends on when umount() looks.
        finish(at.node == found.root && mount > 0 && contended_ && !observed_.number ? 0 : -EINVAL);
        return true;
    }
    // Whoever is on its way through holds it for a moment, or has to begin again if it goes.
    if (!detach && contended_ && observed_.number == -EBUSY) {
        finish(-EBUSY);
        return true;
    }
    if (!detach && tree.in_use(mount)) {
        finish(-EBUSY);
        return true;
    }
    if (!detach && std::ranges::any_of(all, [this, mount](const operation &other) {
            return other.call_ != call_ && other.stands_in(mount);
        }))
        return false;
    std::vector<int> going = {mount};
    for (size_t i = 0; i < going.size(); i++)
        for (size_t below = 0; below < tree.mounts.size(); below++)
            if (tree.mounts[below].parent == going[i])
                going.push_back(static_cast<int>(below));
    for (const int one : going)
        tree.mounts[static_cast<size_t>(one)].parent = -1;
    finish(0);
    return true;
}

// --- State ------------------------------------------------------------------------------------

void operation::append_to(std::string &text) const
{
    text += std::to_string(static_cast<int>(stage_));
    for (const path_walk *path : {&first_, &second_}) {
        text += ' ' + std::to_string(path->at.mount) + ' ' + std::to_string(path->at.node) + ' ' +
                std::to_string(path->began + 2 * path->done) + ' ' + std::to_string(path->links) +
                ' ';
        text += path->rest + '\0' + path->last + '\0';
    }
}

} // namespace dcsim::scenario::oracle
