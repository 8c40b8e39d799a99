// SPDX-License-Identifier: GPL-2.0-only
//
// The rules of path_resolution(7).
#include "path_walk.h"

#include <algorithm>
#include <cerrno>

namespace dcsim::scenario::oracle
{

namespace
{

constexpr size_t longest_path = 4095;
constexpr size_t longest_name = 255;
constexpr int most_links = 40;

/// The next component, taken off the rest.
struct component {
    std::string name;
    bool last;
    bool slash; ///< there is one behind it
};

bool has_component(const path_walk &path)
{
    return path.rest.find_first_not_of('/') != path.rest.npos;
}

component take_component(path_walk &path)
{
    const size_t begin = path.rest.find_first_not_of('/');
    const size_t end = std::min(path.rest.find('/', begin), path.rest.size());
    component taken = {path.rest.substr(begin, end - begin), false, end < path.rest.size()};

    path.rest.erase(0, end);
    taken.last = !has_component(path);
    return taken;
}

int begin(const tree_directories &from, path_walk &path)
{
    if (const int error = path.plain ? 0 : text_error(path.rest))
        return error;
    path.began = true;
    path.at = path.rest[0] == '/' ? from.root : from.cwd;
    path.done = !has_component(path);
    return 0;
}

void stop_before(path_walk &path, const component &last)
{
    path.last = last.name;
    path.slash = last.slash;
    path.kind = last.name == "."    ? path_walk::last_component::dot
                : last.name == ".." ? path_walk::last_component::dotdot
                                    : path_walk::last_component::name;
    path.done = true;
}

} // namespace

int text_error(const std::string &text)
{
    if (text.empty())
        return -ENOENT;
    return text.size() > longest_path ? -ENAMETOOLONG : 0;
}

int name_error(const file_tree &tree, int directory, const std::string &name)
{
    // Who has locked a removed directory does not ask the file system any more.
    if (tree.nodes[static_cast<size_t>(directory)].removed)
        return -ENOENT;
    return name.size() > longest_name ? -ENAMETOOLONG : 0;
}

int absent_error(const file_tree &tree, int directory, const std::string &name)
{
    const int error = name_error(tree, directory, name);

    return error ? error : -ENOENT;
}

int follow_link(const file_tree &tree, const tree_directories &from, path_walk &path, int link)
{
    const std::string &body = tree.nodes[static_cast<size_t>(link)].body;

    if (path.links++ >= most_links)
        return -ELOOP;
    path.rest = body + path.rest;
    if (body.starts_with('/'))
        path.at = from.root;
    path.done = !has_component(path);
    path.kind = path_walk::last_component::root;
    return 0;
}

int walk_one(const file_tree &tree, const tree_directories &from, path_walk &path)
{
    if (!path.began)
        return begin(from, path);
    const component next = take_component(path);
    if (!tree.is_directory(path.at.node))
        return -ENOTDIR;
    if (path.to_parent && next.last) {
        stop_before(path, next);
        return 0;
    }
    path.done = next.last;
    if (next.name == ".")
        return 0;
    if (next.name == "..") {
        path.at = tree.up(path.at, from.root);
        return 0;
    }
    const int node = tree.find(path.at.node, next.name);
    if (node < 0)
        return absent_error(tree, path.at.node, next.name);
    const bool is_link = tree.nodes[static_cast<size_t>(node)].kind == file_kind::symlink;
    if (is_link && !path.plain && (!next.last || next.slash || path.follow))
        return follow_link(tree, from, path, node);
    path.at = {path.at.mount, node};
    if (!path.plain)
        path.at = tree.down(path.at);
    return next.slash && !tree.is_directory(path.at.node) ? -ENOTDIR : 0;
}

} // namespace dcsim::scenario::oracle
