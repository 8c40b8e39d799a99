// SPDX-License-Identifier: GPL-2.0-only
#include "directory_streams.h"

#include <algorithm>

namespace dcsim::against_kernel
{

int64_t directory_streams::position(int slot, int64_t entries) const
{
    const stream &stream = streams_[static_cast<size_t>(slot)];

    if (entries == 0)
        return 0;
    if (stream.state != reading || stream.changed ||
        entries > static_cast<int64_t>(stream.reported.size()))
        return -1;
    return stream.reported[static_cast<size_t>(entries - 1)].next;
}

void directory_streams::went_back(int slot, int64_t entries)
{
    if (entries == 0)
        rewind(slot);
    else
        streams_[static_cast<size_t>(slot)].reported.resize(static_cast<size_t>(entries));
}

/// The names in a directory. False when the tree does not show them.
bool directory_streams::children(const tree &tree, const inode_key &directory,
                                 std::map<std::string, inode_key> &names)
{
    const auto is_it = [&](const tree_node &node) { return node.status.key == directory; };
    const auto found = std::find_if(tree.nodes.begin(), tree.nodes.end(), is_it);

    if (found == tree.nodes.end() || found->listing)
        return false;
    const int index = static_cast<int>(found - tree.nodes.begin());
    for (auto node = found + 1; node != tree.nodes.end() && node->parent >= index; ++node)
        if (node->parent == index)
            names[node->name] = node->status.key;
    return true;
}

void directory_streams::start(stream &stream, int slot, const tree &now)
{
    const auto &status = now.slots[static_cast<size_t>(slot)];

    stream.state = lost;
    if (!status || !children(now, status->key, stream.steady))
        return;
    stream.state = reading;
    stream.directory = status->key;
    for (const auto &[name, key] : stream.steady)
        stream.seen.insert(name);
    for (const char *dots : {".", ".."}) {
        stream.steady[dots] = {};
        stream.seen.insert(dots);
    }
}

void directory_streams::tree_changed(const tree &now)
{
    for (stream &stream : streams_) {
        std::map<std::string, inode_key> names;
        if (stream.state != reading)
            continue;
        if (!children(now, stream.directory, names)) {
            stream = {.state = lost};
            continue;
        }
        for (const auto &[name, key] : names)
            if (stream.seen.insert(name).second)
                stream.changed = true;
        const size_t changed = std::erase_if(stream.steady, [&](const auto &entry) {
            const auto found = names.find(entry.first);
            const bool dots = entry.first == "." || entry.first == "..";
            return !dots && (found == names.end() || found->second != entry.second);
        });
        if (changed)
            stream.changed = true;
        if (stream.changed && !steady_)
            stream = {.state = lost};
    }
}

std::string directory_streams::report(stream &stream, const directory_entry &entry)
{
    const auto is_it = [&](const directory_entry &other) { return other.name == entry.name; };
    const bool again = std::any_of(stream.reported.begin(), stream.reported.end(), is_it);

    stream.reported.push_back(entry);
    if (!stream.seen.contains(entry.name))
        return "reports " + quoted(entry.name) + ", which was never there in this pass";
    if (again && stream.steady.contains(entry.name))
        return "reports " + quoted(entry.name) + " twice, which was there all the time";
    return "";
}

std::string directory_streams::read(int slot, const std::vector<directory_entry> &entries,
                                    const tree &now)
{
    stream &stream = streams_[static_cast<size_t>(slot)];

    if (stream.state == fresh)
        start(stream, slot, now);
    if (stream.state != reading)
        return "";
    for (const directory_entry &entry : entries) {
        std::string text = report(stream, entry);
        if (!text.empty())
            return text;
    }
    if (!entries.empty())
        return "";
    for (const auto &steady : stream.steady) {
        const std::string &name = steady.first;
        const auto is_it = [&name](const directory_entry &entry) { return entry.name == name; };
        if (std::none_of(stream.reported.begin(), stream.reported.end(), is_it))
            return "comes to the end without " + quoted(name) + ", which was there all the time";
    }
    return "";
}

} // namespace dcsim::against_kernel
