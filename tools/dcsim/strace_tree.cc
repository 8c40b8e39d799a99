// SPDX-License-Identifier: GPL-2.0-only
//
// What can be known of a trace before it is carried out; rounds until nothing new is learned; and
// the tree that comes out.
#include "strace_tree.h"

#include <algorithm>
#include <cerrno>

#include <sys/stat.h>
#include <unistd.h>

#include "strace_round.h"

namespace dcsim::cli
{

namespace
{

/// Each round may learn of links behind the links of the last one.
constexpr unsigned most_rounds = 12;
constexpr uint32_t ordinary_user = 1000;
constexpr const char *made_up_working_directory = "/cwd";

bool is_absolute(std::string_view path)
{
    return path.starts_with('/');
}

/// The directories of a path that the kernel told, so that none of them is a link.
void add_directories(path_set &directories, std::string_view path, bool itself)
{
    if (!is_absolute(path))
        return;
    for (size_t slash = path.find('/', 1); slash != std::string_view::npos;
         slash = path.find('/', slash + 1))
        if (!directories.contains(path.substr(0, slash)))
            directories.emplace(path.substr(0, slash));
    if (itself && !directories.contains(path))
        directories.emplace(path);
}

path_set real_directories(const strace_trace &trace)
{
    path_set directories;

    for (const traced_operation &operation : trace.operations) {
        // A file may have been renamed while it was open: what is above it was a directory anyway.
        add_directories(directories, operation.place, false);
        add_directories(directories, operation.at.place, !operation.at.name.empty());
        add_directories(directories, operation.to.place, !operation.to.name.empty());
        if (operation.kind == path_operation::getcwd && operation.succeeded())
            add_directories(directories, operation.text, true);
    }
    return directories;
}

/// Where the first process began, by the first thing that tells.
std::string first_working_directory(const strace_trace &trace)
{
    for (const traced_operation &operation : trace.operations) {
        if (operation.process != 0)
            continue;
        if (operation.at.descriptor == at_working_directory && is_absolute(operation.at.place))
            return operation.at.place;
        if (operation.kind == path_operation::getcwd && operation.succeeded() &&
            is_absolute(operation.text))
            return operation.text;
        if (operation.kind == path_operation::chdir && operation.succeeded())
            break;
    }
    return "";
}

/// Was anything refused that root may do?
bool was_refused(const strace_trace &trace)
{
    return std::any_of(
        trace.operations.begin(), trace.operations.end(), [](const traced_operation &one) {
            const bool of_files = one.kind == path_operation::execute ||
                                  (one.kind == path_operation::access && one.mode & X_OK);
            return !one.skipped && !of_files && (one.error == EACCES || one.error == EPERM);
        });
}

unsigned type_of(const plain_node &node)
{
    if (node.type)
        return node.type;
    const bool parent = std::any_of(node.children.begin(), node.children.end(),
                                    [](const auto &child) { return child.second != nullptr; });
    return parent ? S_IFDIR : S_IFREG;
}

unsigned permissions_of(const plain_node &node, unsigned type)
{
    if (node.permissions_known)
        return node.permissions;
    if (type == S_IFLNK)
        return 0777;
    if (type == S_IFDIR)
        return node.unreadable ? 0700 : 0755;
    if (node.unreadable)
        return 0600;
    return node.executable && !node.not_executable ? 0755 : 0644;
}

/// The part of the plain tree that was there at first.
void write_down(const plain_tree &plain, const round_knowledge &knowledge, first_tree &tree)
{
    std::unordered_map<std::string_view, size_t> numbers;

    for (const plain_node *node : plain.first_nodes())
        numbers[node->first_path] = node->number;
    for (const plain_node *node : plain.first_nodes()) {
        const std::string_view path = node->first_path;
        const size_t slash = path.rfind('/');
        const unsigned type = type_of(*node);
        first_node fresh;

        fresh.parent = node->number ? numbers.at(slash ? path.substr(0, slash) : "/") : 0;
        fresh.name = path.substr(slash + 1);
        fresh.mode = type | permissions_of(*node, type);
        fresh.body = node->body;
        if (type == S_IFLNK && fresh.body.empty())
            fresh.body.append(unseen_targets).append(path);
        fresh.uid = node->owner_known ? node->uid : node->refused ? 0 : tree.uid;
        fresh.gid = node->owner_known ? node->gid : node->refused ? 0 : tree.gid;
        tree.nodes.push_back(std::move(fresh));
        const auto link = knowledge.links.find(path);
        tree.links_made_up += link != knowledge.links.end() && !link->second.certain;
    }
}

} // namespace

first_tree rebuild_tree(const strace_trace &trace, const tree_request &request)
{
    round_knowledge knowledge;
    first_tree tree;
    bool again = true;

    knowledge.no_links = real_directories(trace);
    knowledge.working_directory = first_working_directory(trace);
    tree.working_directory_known = !knowledge.working_directory.empty();
    if (!tree.working_directory_known)
        knowledge.working_directory = request.working_directory.empty() ? made_up_working_directory
                                                                        : request.working_directory;
    tree.working_directory = knowledge.working_directory;
    if (trace.uid > 0)
        tree.uid = static_cast<uint32_t>(trace.uid);
    else if (trace.uid < 0 && was_refused(trace))
        tree.uid = ordinary_user;
    tree.gid = tree.uid;
    knowledge.as_user = tree.uid != 0;
    while (again) {
        trace_round round(trace, request, knowledge);
        again = round.run() && ++tree.rounds < most_rounds;
        if (again)
            continue;
        tree.skipped = round.take_skipped();
        tree.reordered = round.reordered();
        tree.events = round.take_events();
        write_down(round.tree(), knowledge, tree);
    }
    return tree;
}

} // namespace dcsim::cli
