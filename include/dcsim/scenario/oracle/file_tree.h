// SPDX-License-Identifier: GPL-2.0-only
//
// What path names mean, in plain containers: directories that map names to nodes, mounts, and where
// each process stands. No cache, no locks, no threads. The oracle runs operations on it one at a
// time and compares; it shares nothing with the port, so that both do not err in the same way.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "dcsim/scenario/scenario.h"

namespace dcsim::scenario::oracle
{

/// A name on a disk, as somebody found it there.
struct listed_name {
    int64_t directory; ///< inode number
    std::string name;
    int64_t inode;
    file_kind kind;
    unsigned links;
    std::string body; ///< of a symbolic link
};

/// One file system: everything that is on it.
struct disk_listing {
    int64_t root; ///< inode number of its root directory
    std::vector<listed_name> names;
};

/// A file, directory or link. Nodes are never taken away: somebody may still stand on one.
struct tree_node {
    file_kind kind = file_kind::directory;
    int parent = -1;      ///< of a directory: where ".." leads, after its removal as well
    int links = 0;        ///< of what is no directory: its names
    bool removed = false; ///< a directory that has no name any more: nothing can be made in it
    bool locked = false;  ///< some operation is half-way through changing the names in it
    int64_t inode = 0;    ///< number of its inode; 0: nobody has told yet
    std::string body;     ///< of a symbolic link
    std::map<std::string, int> names; ///< of a directory
};

/// A visible tree. The first one is the top of the namespace.
struct tree_mount {
    int root;
    int parent; ///< mount that it is attached to, -1: to none
    int at;     ///< node that it covers
};

/// A node as seen through a mount.
struct tree_place {
    int mount = -1;
    int node = -1;

    bool operator==(const tree_place &) const = default;
};

/// Where a process's paths begin; several may share one.
struct tree_directories {
    tree_place root;
    tree_place cwd;
};

struct tree_process {
    int directories = 0;
    std::vector<std::pair<int, tree_place>> files; ///< what is open, by the variable it is in
};

/// The state of everything that operations on paths can see.
struct file_tree {
    std::vector<tree_node> nodes;
    std::vector<tree_mount> mounts;
    std::vector<tree_directories> directories;
    std::vector<tree_process> processes;

    /// Nothing but an empty root directory, which is mounted, and one process that is there.
    explicit file_tree(int64_t root_inode = 0);
    /// What is on a disk, and one process.
    explicit file_tree(const disk_listing &disk);

    int add_node(file_kind kind, int parent);
    /// Puts a new or known node into a directory.
    void add_name(int directory, const std::string &name, int node);
    /// One more process, at the root, or sharing the directories of another.
    int add_process(int shares = -1);

    bool is_directory(int node) const
    {
        return nodes[static_cast<size_t>(node)].kind == file_kind::directory;
    }
    /// The node of a name, or -1.
    int find(int directory, const std::string &name) const;
    /// Is `node` the same as `above`, or somewhere below it?
    bool is_below(int node, int above) const;
    /// Is something that is attached mounted on it?
    bool is_mountpoint(int node) const;
    /// From a place down to what is mounted there.
    tree_place down(tree_place from) const;
    /// What ".." leads to, for somebody whose root is `root`.
    tree_place up(tree_place from, tree_place root) const;
    /// Does a process stand in this mount, has it a file open there, is something mounted on it?
    bool in_use(int mount) const;

    /// The node is found to have this inode number. False when it has another one, or when that is
    /// somebody else's.
    bool identify(int node, int64_t inode);
    /// Is this what is on the disks? Learns the numbers that it did not know.
    bool matches(const std::vector<disk_listing> &disks);
    /// Equal for equal trees, and for no others.
    void append_to(std::string &text) const;

  private:
    bool matches(int directory, const disk_listing &disk);
};

} // namespace dcsim::scenario::oracle
