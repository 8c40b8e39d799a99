// SPDX-License-Identifier: GPL-2.0-only
//
// The plain tree: looking around in it, and comparing it.
#include "dcsim/scenario/oracle/file_tree.h"

#include <algorithm>

namespace dcsim::scenario::oracle
{

namespace
{

void append(std::string &text, int64_t number)
{
    text += std::to_string(number);
    text += ' ';
}

} // namespace

file_tree::file_tree(int64_t root_inode)
{
    const int root = add_node(file_kind::directory, -1);

    nodes[0].parent = root;
    nodes[0].inode = root_inode;
    mounts.push_back({root, -1, -1});
    add_process();
}

file_tree::file_tree(const disk_listing &disk) : file_tree(disk.root)
{
    std::map<int64_t, int> known = {{disk.root, 0}};

    // A directory's own entry may come after those in it.
    for (const listed_name &one : disk.names)
        if (!known.contains(one.inode)) {
            known[one.inode] = add_node(one.kind, -1);
            nodes.back().inode = one.inode;
            nodes.back().body = one.body;
        }
    for (const listed_name &one : disk.names)
        add_name(known.at(one.directory), one.name, known.at(one.inode));
}

int file_tree::add_node(file_kind kind, int parent)
{
    tree_node added;

    added.kind = kind;
    added.parent = parent;
    nodes.push_back(std::move(added));
    return static_cast<int>(nodes.size()) - 1;
}

void file_tree::add_name(int directory, const std::string &name, int node)
{
    tree_node &target = nodes[static_cast<size_t>(node)];

    nodes[static_cast<size_t>(directory)].names[name] = node;
    target.links++;
    if (target.kind == file_kind::directory)
        target.parent = directory;
}

int file_tree::add_process(int shares)
{
    tree_process added;

    if (shares >= 0) {
        added.directories = processes[static_cast<size_t>(shares)].directories;
    } else {
        added.directories = static_cast<int>(directories.size());
        directories.push_back({{0, mounts[0].root}, {0, mounts[0].root}});
    }
    processes.push_back(std::move(added));
    return static_cast<int>(processes.size()) - 1;
}

int file_tree::find(int directory, const std::string &name) const
{
    const auto &names = nodes[static_cast<size_t>(directory)].names;
    const auto found = names.find(name);

    return found == names.end() ? -1 : found->second;
}

bool file_tree::is_below(int node, int above) const
{
    for (;;) {
        if (node == above)
            return true;
        const int parent = nodes[static_cast<size_t>(node)].parent;
        if (parent == node || parent < 0)
            return false;
        node = parent;
    }
}

bool file_tree::is_mountpoint(int node) const
{
    return std::ranges::any_of(
        mounts, [node](const tree_mount &one) { return one.parent >= 0 && one.at == node; });
}

tree_place file_tree::down(tree_place from) const
{
    for (;;) {
        const auto covers = std::ranges::find_if(mounts, [from](const tree_mount &one) {
            return one.parent == from.mount && one.parent >= 0 && one.at == from.node;
        });

        if (covers == mounts.end())
            return from;
        from = {static_cast<int>(covers - mounts.begin()), covers->root};
    }
}

tree_place file_tree::up(tree_place from, tree_place root) const
{
    const tree_place start = from;

    for (;;) {
        const tree_mount &through = mounts[static_cast<size_t>(from.mount)];

        // What stays where it is crosses what is mounted there all the same.
        if (from == root)
            return down(start);
        if (from.node != through.root)
            break;
        if (through.parent < 0)
            return down(start);
        from = {through.parent, through.at};
    }
    return down({from.mount, nodes[static_cast<size_t>(from.node)].parent});
}

bool file_tree::in_use(int mount) const
{
    for (const tree_directories &one : directories)
        if (one.cwd.mount == mount || one.root.mount == mount)
            return true;
    for (const tree_process &one : processes)
        for (const auto &[variable, place] : one.files)
            if (place.mount == mount)
                return true;
    return std::ranges::any_of(mounts,
                               [mount](const tree_mount &one) { return one.parent == mount; });
}

// --- Comparing --------------------------------------------------------------------------------

bool file_tree::identify(int node, int64_t inode)
{
    tree_node &found = nodes[static_cast<size_t>(node)];

    if (found.inode)
        return found.inode == inode;
    if (std::ranges::any_of(nodes, [inode](const tree_node &one) { return one.inode == inode; }))
        return false;
    found.inode = inode;
    return true;
}

bool file_tree::matches(int directory, const disk_listing &disk)
{
    const int64_t inode = nodes[static_cast<size_t>(directory)].inode;
    size_t listed = 0;

    for (const listed_name &one : disk.names) {
        if (one.directory != inode)
            continue;
        const int node = find(directory, one.name);
        if (node < 0 || !identify(node, one.inode))
            return false;
        const tree_node &found = nodes[static_cast<size_t>(node)];
        const bool is_directory = found.kind == file_kind::directory;
        if (found.kind != one.kind || found.body != one.body)
            return false;
        if (is_directory ? !matches(node, disk) : found.links != static_cast<int>(one.links))
            return false;
        listed++;
    }
    return listed == nodes[static_cast<size_t>(directory)].names.size();
}

bool file_tree::matches(const std::vector<disk_listing> &disks)
{
    for (const disk_listing &disk : disks) {
        const auto root = std::ranges::find(nodes, disk.root, &tree_node::inode);

        if (root == nodes.end() || !matches(static_cast<int>(root - nodes.begin()), disk))
            return false;
    }
    return true;
}

void file_tree::append_to(std::string &text) const
{
    for (const tree_node &one : nodes) {
        append(text, one.parent);
        append(text, one.links);
        append(text, one.removed + 2 * one.locked);
        append(text, one.inode);
        for (const auto &[name, node] : one.names) {
            // A name has no slash.
            text += name + '/';
            append(text, node);
        }
        text += ';';
    }
    for (const tree_mount &one : mounts) {
        append(text, one.root);
        append(text, one.parent);
        append(text, one.at);
    }
    for (const tree_directories &one : directories)
        for (const tree_place &place : {one.root, one.cwd}) {
            append(text, place.mount);
            append(text, place.node);
        }
    for (const tree_process &one : processes) {
        for (const auto &[variable, place] : one.files) {
            append(text, variable);
            append(text, place.mount);
            append(text, place.node);
        }
        text += ';';
    }
}

} // namespace dcsim::scenario::oracle
