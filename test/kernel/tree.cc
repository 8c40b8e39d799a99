// SPDX-License-Identifier: GPL-2.0-only
#include "tree.h"

#include <algorithm>
#include <cstdio>
#include <sys/stat.h>

namespace dcsim::against_kernel
{

bool inode_pairs::match(const inode_key &first, const inode_key &second)
{
    const uint64_t number = numbers_.emplace(first, second.number).first->second;

    if (number != second.number)
        return false;
    if (!second.device)
        return true;
    return forward_.emplace(first, second).first->second == second &&
           backward_.emplace(second, first).first->second == first;
}

namespace
{

const char *type_name(uint32_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
        return "file";
    case S_IFDIR:
        return "directory";
    case S_IFLNK:
        return "link";
    case S_IFIFO:
        return "fifo";
    case S_IFSOCK:
        return "socket";
    case S_IFCHR:
        return "character device";
    case S_IFBLK:
        return "block device";
    }
    return "thing of no type";
}

bool equal_but_for_key(const file_status &a, const file_status &b)
{
    return a.mode == b.mode && a.links == b.links && a.uid == b.uid && a.gid == b.gid &&
           a.device == b.device && a.size == b.size;
}

std::string text_of(const tree_node &node)
{
    std::string text = text_of(node.status);

    if (S_ISLNK(node.status.mode))
        text += " -> " + quoted(node.body);
    if (node.listing)
        text += ", not to be listed: " + name_of_errno(static_cast<int>(-node.listing));
    if (node.parent >= 0)
        text += ", entry of type " + std::to_string(node.entry_type);
    return text;
}

std::string both(const std::string &where, const char *first, const std::string &a,
                 const char *second, const std::string &b)
{
    return where + "\n    " + first + ": " + a + "\n    " + second + ": " + b;
}

std::string node_difference(const tree_node &a, const tree_node &b, inode_pairs &pairs,
                            const char *first, const char *second)
{
    if (!equal_but_for_key(a.status, b.status) || a.body != b.body ||
        a.entry_type != b.entry_type || a.listing != b.listing)
        return both(quoted(a.path), first, text_of(a), second, text_of(b));
    if (!pairs.match(a.status.key, b.status.key))
        return quoted(a.path) + ": the sides disagree on which inode this is (" + text_of(a) + ")";
    return "";
}

} // namespace

std::string text_of(const file_status &status)
{
    char buffer[160];

    snprintf(buffer, sizeof(buffer), "%s %04o %u:%u, %u link%s", type_name(status.mode),
             status.mode & 07777, status.uid, status.gid, status.links,
             status.links == 1 ? "" : "s");
    std::string text = buffer;
    if (status.device)
        text += ", device " + std::to_string(status.device);
    if (status.size)
        text += ", size " + std::to_string(status.size);
    return text;
}

std::string text_of(const tree &tree)
{
    std::string text;

    for (const tree_node &node : tree.nodes)
        text += "    " + quoted(node.path) + ": " + text_of(node) + "\n";
    return text;
}

std::string difference_of(const file_status &a, const file_status &b, inode_pairs &pairs)
{
    if (!equal_but_for_key(a, b))
        return text_of(a) + " and " + text_of(b);
    if (!pairs.match(a.key, b.key))
        return "the sides disagree on which inode this is (" + text_of(a) + ")";
    return "";
}

std::string difference_of(const tree &a, const tree &b, inode_pairs &pairs, const char *first,
                          const char *second)
{
    for (size_t i = 0; i < std::max(a.nodes.size(), b.nodes.size()); i++) {
        const bool ended = i >= a.nodes.size() || i >= b.nodes.size();
        if (ended || a.nodes[i].path != b.nodes[i].path) {
            const bool first_has_it =
                i >= b.nodes.size() || (i < a.nodes.size() && a.nodes[i].path < b.nodes[i].path);
            const tree_node &node = first_has_it ? a.nodes[i] : b.nodes[i];
            return quoted(node.path) + ": only in " + (first_has_it ? first : second) + ": " +
                   text_of(node);
        }
        std::string text = node_difference(a.nodes[i], b.nodes[i], pairs, first, second);
        if (!text.empty())
            return text;
    }
    for (size_t slot = 0; slot < std::min(a.slots.size(), b.slots.size()); slot++) {
        const std::string where = "what fd" + std::to_string(slot) + " has open";
        if (a.slots[slot].has_value() != b.slots[slot].has_value())
            return where + ": only " + (a.slots[slot] ? first : second) + " has it";
        if (!a.slots[slot])
            continue;
        std::string text = difference_of(*a.slots[slot], *b.slots[slot], pairs);
        if (!text.empty())
            return where + ": " + text;
    }
    return "";
}

} // namespace dcsim::against_kernel
