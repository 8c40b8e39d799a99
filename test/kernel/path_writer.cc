// SPDX-License-Identifier: GPL-2.0-only
#include <algorithm>
#include <sys/stat.h>

#include "generator.h"

namespace dcsim::against_kernel
{

namespace
{

constexpr size_t longest_path = 4095;

} // namespace

std::string path_writer::name()
{
    if (random_.one_in(150))
        return std::string(random_.one_in(2) ? 255 : 256, 'n');
    if (random_.one_in(60))
        return limits_.whole_paths ? ".." : ".";
    if (random_.one_in(200))
        return "...";
    return std::string(1, static_cast<char>('a' + random_.below(6)));
}

std::string path_writer::below_start(const std::string &path, const std::string &start)
{
    if (start.size() > 1 && path.starts_with(start + "/"))
        return path.substr(start.size());
    // Outside of its root: a task there has left it by a descriptor or its working directory.
    return start.size() > 1 ? "/.." + path : path;
}

std::string path_writer::any(const tree &now, const std::string &start)
{
    if (now.nodes.empty() || random_.one_in(12)) {
        std::string path;
        for (uint64_t left = 1 + random_.below(3); left > 0; left--)
            path += "/" + name();
        return path;
    }
    // The top, whose name is no name, less often.
    uint64_t index = random_.below(now.nodes.size());
    for (unsigned tries = 0; tries < 3 && now.nodes[index].path.size() <= start.size(); tries++)
        index = random_.below(now.nodes.size());
    std::string path = below_start(now.nodes[index].path, start);
    if (random_.one_in(8))
        path += (path == "/" ? "" : "/") + name();
    return path;
}

std::string path_writer::fresh(const tree &now, const std::string &start)
{
    for (unsigned tries = 0; tries < 6 && !now.nodes.empty(); tries++) {
        const tree_node &node = now.nodes[random_.below(now.nodes.size())];
        if (S_ISDIR(node.status.mode) && std::count(node.path.begin(), node.path.end(), '/') < 5) {
            const std::string path = below_start(node.path, start);
            return (path == "/" ? "" : path) + "/" + name();
        }
    }
    return any(now, start);
}

std::string path_writer::relative(const std::string &path, const std::string &base, bool absolute)
{
    if (!limits_.whole_paths || !absolute) {
        if (base.size() > 1 && path.starts_with(base + "/"))
            return path.substr(base.size() + 1);
        if (base.size() > 1 && path == base)
            return ".";
        if (base.size() > 1 && limits_.whole_paths && !random_.one_in(3)) {
            std::string up;
            for (char c : base)
                if (c == '/')
                    up += "../";
            return up + path.substr(1);
        }
        return path.size() > 1 ? path.substr(1) : ".";
    }
    return path;
}

/// Goes up again after a step that may lead anywhere.
std::string path_writer::detour(const std::string &path)
{
    const size_t slash = path.find('/', random_.below(path.size() + 1));
    const std::string there_and_back = limits_.whole_paths ? name() + "/../" : "./";

    if (slash == std::string::npos)
        return path.starts_with("/") ? path : there_and_back + path;
    return path.substr(0, slash + 1) + there_and_back + path.substr(slash + 1);
}

/// As long as paths may be, or one byte longer.
std::string path_writer::stretched(const std::string &path)
{
    const size_t length = longest_path + random_.below(2);
    std::string padding;

    while (path.size() + padding.size() + 2 <= length)
        padding += "./";
    if (path.size() + padding.size() < length)
        padding += "/";
    return path.starts_with("/") ? "/" + padding + path.substr(1) : padding + path;
}

std::string path_writer::decorate(std::string path)
{
    if (random_.one_in(10))
        path = detour(path);
    if (random_.one_in(14) && path.find('/') != std::string::npos)
        path.insert(path.find('/', random_.below(path.find('/') + 1)),
                    random_.one_in(2) ? "/" : "/.");
    if (random_.one_in(9))
        path += "/";
    if (random_.one_in(30))
        path += "//";
    if (random_.one_in(30))
        path += "/.";
    if (random_.one_in(60) && limits_.whole_paths)
        path += "/..";
    if (random_.one_in(250))
        path = stretched(path);
    return path;
}

std::string path_writer::special()
{
    switch (random_.below(limits_.whole_paths ? 9 : 3)) {
    case 0:
        return "";
    case 1:
        return ".";
    case 2:
        return "./";
    case 3:
        return "/";
    case 4:
        return "..";
    case 5:
        return "../..";
    case 6:
        return "/..";
    case 7:
        return "//";
    default:
        return "/../" + name();
    }
}

} // namespace dcsim::against_kernel
