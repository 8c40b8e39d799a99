// SPDX-License-Identifier: GPL-2.0-only
//
// The plain tree: names, the walk, and looks at the machine.
#include "strace_plain_tree.h"

#include <algorithm>
#include <climits>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace dcsim::cli
{

namespace
{

constexpr int most_links = 40;
constexpr const char *in_proc = "it is in /proc, which looks different to every process";
constexpr const char *not_imported = "it is outside of the imported directories";

bool starts_below(std::string_view path, std::string_view directory)
{
    return path == directory || directory == "/" ||
           (path.starts_with(directory) && path[directory.size()] == '/');
}

std::string read_body(const std::string &path)
{
    char buffer[PATH_MAX];
    const ssize_t length = readlink(path.c_str(), buffer, sizeof(buffer));

    return length > 0 ? std::string(buffer, static_cast<size_t>(length)) : "";
}

/// Names in a directory of this machine, sorted; none when it cannot be read.
std::vector<std::string> names_in(const std::string &path)
{
    std::vector<std::string> names;
    DIR *directory = opendir(path.c_str());

    if (!directory)
        return names;
    while (const dirent *entry = readdir(directory)) {
        const std::string_view name = entry->d_name;
        if (name != "." && name != "..")
            names.emplace_back(name);
    }
    closedir(directory);
    std::sort(names.begin(), names.end());
    return names;
}

} // namespace

plain_tree::plain_tree(const tree_request &request, const known_links &links)
    : request_(request), links_(links)
{
    root_ = &nodes_.emplace_back();
    root_->parent = root_;
    root_->first_path = "/";
    root_->first = true;
    root_->type = S_IFDIR;
    first_.push_back(root_);
}

bool plain_tree::is_imported(std::string_view path) const
{
    return std::any_of(request_.directories.begin(), request_.directories.end(),
                       [path](const std::string &one) {
                           return starts_below(path, one) || starts_below(one, path);
                       });
}

plain_tree::entry plain_tree::look_at_machine(plain_node *directory, std::string_view name)
{
    const std::string path = first_path_of(directory, name);
    struct stat status;

    if (request_.source == tree_source::imported && !is_imported(path))
        return {knowledge::outside, nullptr, not_imported};
    if (lstat(path.c_str(), &status)) {
        directory->children.emplace(name, nullptr);
        return {knowledge::absent, nullptr, nullptr};
    }
    plain_node *node = add_first(directory, name, status.st_mode & S_IFMT);
    node->permissions = status.st_mode & 07777;
    node->permissions_known = node->owner_known = true;
    node->uid = status.st_uid;
    node->gid = status.st_gid;
    if (S_ISLNK(status.st_mode))
        node->body = read_body(path);
    return {knowledge::node, node, nullptr};
}

plain_tree::entry plain_tree::look(plain_node *directory, std::string_view name, bool last)
{
    if (directory->first_path == "/proc" || (directory == root_ && name == "proc" && !last))
        return {knowledge::outside, nullptr, in_proc};
    if (const auto found = directory->children.find(name); found != directory->children.end())
        return {found->second ? knowledge::node : knowledge::absent, found->second, nullptr};
    // Whoever made a directory knows that it was empty.
    if (!directory->first)
        return {knowledge::absent, nullptr, nullptr};
    // Too long for any directory.
    if (name.size() > NAME_MAX)
        return {knowledge::absent, nullptr, nullptr};
    if (request_.source != tree_source::trace)
        return look_at_machine(directory, name);
    if (const auto link = links_.find(first_path_of(directory, name)); link != links_.end()) {
        plain_node *node = add_first(directory, name, S_IFLNK);
        node->body = link->second.body;
        return {knowledge::node, node, nullptr};
    }
    return {knowledge::unknown, nullptr, nullptr};
}

plain_node *plain_tree::add_first(plain_node *parent, std::string_view name, unsigned type)
{
    plain_node *node = add_new(parent, name, type);

    node->first = true;
    node->first_path = first_path_of(parent, name);
    node->number = first_.size();
    first_.push_back(node);
    return node;
}

plain_node *plain_tree::add_new(plain_node *parent, std::string_view name, unsigned type)
{
    plain_node *node = &nodes_.emplace_back();

    node->type = type;
    put(parent, std::string(name), node);
    return node;
}

void plain_tree::remove(plain_node *parent, const std::string &name)
{
    plain_node *&place = parent->children[name];

    if (place && place->parent == parent && place->name == name)
        place->parent = nullptr;
    place = nullptr;
}

void plain_tree::put(plain_node *parent, const std::string &name, plain_node *node)
{
    remove(parent, name);
    parent->children[name] = node;
    node->parent = parent;
    node->name = name;
}

void plain_tree::read_whole(plain_node *node)
{
    std::vector<plain_node *> left = {node};

    while (!left.empty()) {
        plain_node *directory = left.back();

        left.pop_back();
        for (const std::string &name : names_in(directory->first_path)) {
            const entry found = look(directory, name, true);
            if (found.what == knowledge::node && found.node->type == S_IFDIR)
                left.push_back(found.node);
        }
    }
}

std::string plain_tree::first_path_of(const plain_node *directory, std::string_view name)
{
    std::string path = directory->first_path;

    if (path != "/")
        path += '/';
    return path.append(name);
}

std::string plain_tree::path_of(const plain_node *node)
{
    std::vector<const plain_node *> way;
    std::string path;

    for (; node && node->parent != node; node = node->parent)
        way.push_back(node);
    if (!node)
        return "";
    if (way.empty())
        return "/";
    for (size_t left = way.size(); left-- > 0;)
        path.append("/").append(way[left]->name);
    return path;
}

/// One walk: what is left of the path, and where it has come to.
class plain_walker
{
  public:
    plain_walker(plain_tree &tree, plain_node *root, bool follow, bool make)
        : tree_(tree), root_(root), follow_(follow), make_(make)
    {
    }

    plain_walk run(plain_node *start, std::string_view path)
    {
        left_ = path;
        at_ = path.starts_with('/') ? root_ : start;
        while (next_component())
            if (!step())
                return std::move(walk_);
        walk_.result = plain_result::found;
        walk_.node = at_;
        return std::move(walk_);
    }

  private:
    /// False at the end of the path.
    bool next_component()
    {
        position_ = std::min(left_.find_first_not_of('/', position_), left_.size());
        const size_t end = std::min(left_.find('/', position_), left_.size());

        walk_.name.assign(left_, position_, end - position_);
        walk_.last = left_.find_first_not_of('/', end) == std::string::npos;
        slash_ = end < left_.size();
        position_ = end;
        return !walk_.name.empty();
    }

    bool stop(plain_result result, plain_node *node)
    {
        walk_.result = result;
        walk_.node = node;
        return false;
    }

    /// False when the walk is over.
    bool step()
    {
        if (at_->type == 0 && make_)
            at_->type = S_IFDIR;
        if (at_->type != S_IFDIR) {
            walk_.last = false;
            return stop(at_->type ? plain_result::not_directory : plain_result::unknown, at_);
        }
        walk_.parent = at_;
        if (walk_.name == "." || walk_.name == "..") {
            if (walk_.name == ".." && at_ != root_)
                at_ = at_->parent;
            return at_ || stop(plain_result::absent, nullptr);
        }
        plain_tree::entry found = tree_.look(at_, walk_.name, walk_.last);
        if (found.what == plain_tree::knowledge::unknown && make_ && !walk_.last)
            found = {plain_tree::knowledge::node, tree_.add_first(at_, walk_.name, S_IFDIR),
                     nullptr};
        walk_.reason = found.reason;
        switch (found.what) {
        case plain_tree::knowledge::node:
            return step_into(found.node);
        case plain_tree::knowledge::absent:
            return stop(plain_result::absent, nullptr);
        case plain_tree::knowledge::unknown:
            return stop(plain_result::unknown, nullptr);
        default:
            return stop(plain_result::outside, nullptr);
        }
    }

    bool step_into(plain_node *node)
    {
        if (node->type == S_IFLNK && (!walk_.last || follow_ || slash_)) {
            if (++links_ > most_links)
                return stop(plain_result::loop, nullptr);
            left_ = node->body + left_.substr(position_);
            position_ = 0;
            if (left_.starts_with('/'))
                at_ = root_;
            return true;
        }
        at_ = node;
        if (!walk_.last)
            return true;
        if (slash_ && node->type == 0 && make_)
            node->type = S_IFDIR;
        return stop(slash_ && node->type && node->type != S_IFDIR ? plain_result::not_directory
                                                                  : plain_result::found,
                    node);
    }

    plain_tree &tree_;
    plain_node *root_;
    const bool follow_;
    const bool make_;
    std::string left_;
    size_t position_ = 0; ///< in left_
    bool slash_ = false;  ///< behind the component
    int links_ = 0;
    plain_node *at_ = nullptr;
    plain_walk walk_;
};

plain_walk plain_tree::walk(plain_node *start, plain_node *root, std::string_view path, bool follow,
                            bool make)
{
    return plain_walker(*this, root, follow, make).run(start, path);
}

} // namespace dcsim::cli
