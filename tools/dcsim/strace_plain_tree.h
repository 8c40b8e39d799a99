// SPDX-License-Identifier: GPL-2.0-only
//
// A plain tree of names that knows what is there, what is not, and what nobody knows yet; and a
// path walk over it. Part of rebuilding the tree that a trace began with.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "strace_tree.h"

namespace dcsim::cli
{

/// Where links are taken to lead that nobody read.
inline constexpr const char *unseen_targets = "/.unseen";

struct hash_of_text {
    using is_transparent = void;
    size_t operator()(std::string_view text) const
    {
        return std::hash<std::string_view>()(text);
    }
};

struct plain_node {
    unsigned type = 0;            ///< S_IFMT bits; 0: not known
    std::string body;             ///< of a symbolic link
    plain_node *parent = nullptr; ///< nullptr: it has no name any more
    std::string name;

    bool first = false;     ///< was there when the trace began
    size_t number = 0;      ///< of a first one: its place among them
    std::string first_path; ///< of a first one
    /// Of one that an open with O_CREAT is taken to have made: where it is in the first tree if it
    /// was there before.
    std::string maybe_first_path;
    bool changed = false; ///< its permissions are not those of the beginning any more
    bool permissions_known = false;
    unsigned permissions = 0;
    bool owner_known = false;
    uint32_t uid = 0;
    uint32_t gid = 0;
    bool executable = false;
    bool not_executable = false;
    bool refused = false;    ///< to the traced program: it was somebody else's
    bool unreadable = false; ///< and neither to be read nor, if a directory, to be searched

    /// nullptr: known not to be there.
    std::unordered_map<std::string, plain_node *, hash_of_text, std::equal_to<>> children;
};

/// What is known of a symbolic link, by its path in the first tree.
struct known_link {
    std::string body;
    bool certain; ///< read, not concluded
};
using known_links = std::map<std::string, known_link, std::less<>>;

enum class plain_result {
    found,
    absent,        ///< known not to be there
    unknown,       ///< nobody knows: may be added with add_first()
    not_directory, ///< `node` is in the way
    loop,
    outside, ///< `reason` says of what
};

struct plain_walk {
    plain_result result = plain_result::absent;
    bool last = false;            ///< of absent and unknown: it is the last component
    plain_node *parent = nullptr; ///< the directory of the component the walk ended with
    std::string name;             ///< of that component
    plain_node *node = nullptr;
    const char *reason = nullptr;
};

class plain_walker;

class plain_tree
{
  public:
    plain_tree(const tree_request &request, const known_links &links);

    plain_node *root()
    {
        return root_;
    }
    /// Walks from `start`, or from `root` for an absolute path. With `make`, directories on the way
    /// that nobody knows are taken to be there.
    plain_walk walk(plain_node *start, plain_node *root, std::string_view path, bool follow,
                    bool make);
    /// Adds what a walk ended at with plain_result::unknown.
    plain_node *add_first(plain_node *parent, std::string_view name, unsigned type);
    /// A node that the trace itself makes.
    plain_node *add_new(plain_node *parent, std::string_view name, unsigned type);
    void remove(plain_node *parent, const std::string &name);
    void put(plain_node *parent, const std::string &name, plain_node *node);
    /// Everything on this machine below a first node.
    void read_whole(plain_node *node);
    /// The path that a name in a first directory has in the first tree.
    static std::string first_path_of(const plain_node *directory, std::string_view name);
    static std::string path_of(const plain_node *node);
    const std::vector<plain_node *> &first_nodes() const
    {
        return first_;
    }

  private:
    friend class plain_walker;

    enum class knowledge { node, absent, unknown, outside };
    struct entry {
        knowledge what;
        plain_node *node;
        const char *reason;
    };

    /// What is known of a name; `last` if the walk ends there.
    entry look(plain_node *directory, std::string_view name, bool last);
    entry look_at_machine(plain_node *directory, std::string_view name);
    bool is_imported(std::string_view path) const;

    const tree_request &request_;
    const known_links &links_;
    std::deque<plain_node> nodes_;
    std::vector<plain_node *> first_;
    plain_node *root_;
};

} // namespace dcsim::cli
