// SPDX-License-Identifier: GPL-2.0-only
//
// The five kinds of operation.
//
// Threads must meet to be worth anything: cold lookups of all threads aim at one small window of
// neighbouring names that wanders through the tree, so that several ask for the same name, or for
// names of the same directory, at the same time.
#include "operations.h"

#include <algorithm>
#include <cerrno>

#include <fmt/format.h>

#include "dcsim/kernel/err.h"
#include "dcsim/vfs/namei.h"

namespace dcsim::cli
{

namespace
{

constexpr uint64_t cold_window = 8;
/// Cold lookups between two moves of the window.
constexpr uint64_t cold_lookups_per_window = 64;
/// Names that most hot lookups choose from, spread evenly over the tree. The others take any name,
/// as in real life, and bring back what was reclaimed.
constexpr uint64_t hot_names = 4096;
constexpr uint64_t one_hot_in_any = 8;
/// Absent names for each directory: few enough that most lookups find a negative dentry.
constexpr uint64_t absent_names = 16;

constexpr uint64_t one_rename_in_exchanges = 4;
constexpr uint64_t one_move_in_directories = 16;

constexpr uint64_t smallest_reclaim = 64;
constexpr uint64_t reclaim_spread = 192;
constexpr uint64_t one_pressure_in_subtrees = 16;
constexpr uint64_t one_pressure_in_whole = 1024;

} // namespace

operations::operations(shared_tree &tree, unsigned thread)
    : tree_(tree), random_(mix_numbers(tree.seed, thread)),
      // Every other thread uses a name that does not fit into the dentry.
      away_name_(
          fmt::format("~dcsim-{}{}", thread,
                      thread % 2 ? "-moved-to-a-name-that-is-too-long-for-the-dentry-itself" : "")),
      moved_()
{
}

int operations::perform(operation_kind kind)
{
    switch (kind) {
    case operation_kind::cold:
        return cold();
    case operation_kind::hot:
        return hot();
    case operation_kind::negative:
        return negative();
    case operation_kind::rename:
        return rename();
    case operation_kind::pressure:
        return pressure();
    }
    return -EINVAL;
}

int operations::find(std::string_view path, dentry_ref &found)
{
    dcsim::path result;

    // The walk wants a NUL at the end. An empty path stays where it is: at the root.
    path_.assign(path);
    const int error =
        vfs_path_lookup(tree_.sb->s_root, tree_.mnt, path_.c_str(), LOOKUP_EMPTY, &result);

    if (error)
        return error;
    mntput(result.mnt);
    found = adopt_dentry(result.dentry);
    return 0;
}

int operations::look_up(std::string_view path)
{
    dentry_ref found;
    return find(path, found);
}

/// Somebody may be asking the file system about the name at this moment; then it is not in the hash
/// and the lookup that follows waits for their answer.
void operations::make_uncached(dentry *parent, std::string_view name, bool keep_children)
{
    const qstr hashed = make_hashed_qstr(parent, name.data(), static_cast<u32>(name.size()));
    const dentry_ref cached = adopt_dentry(d_lookup(parent, &hashed));

    if (!cached)
        return;
    if (keep_children || random_.one_in(2))
        d_drop(cached.get());
    else
        d_invalidate(cached.get());
}

int operations::cold()
{
    const uint64_t turn = tree_.cold_lookups.fetch_add(1, std::memory_order_relaxed);
    const uint64_t window = mix_numbers(tree_.seed, turn / cold_lookups_per_window);
    const size_t target = (window + random_.below(cold_window)) % tree_.names.size();
    const std::string_view path = tree_.names.path(target);
    dentry_ref parent;

    if (const int error = find(tree_.names.parent_path(target), parent))
        return error;
    // A directory comes back with its children: ->lookup() finds the old dentry by its inode and
    // d_splice_alias() moves it into place. Invalidating it would empty the cache below.
    make_uncached(parent.get(), tree_.names.name(target), tree_.names.is_directory(target));
    parent.reset();
    return look_up(path);
}

int operations::hot()
{
    const uint64_t names = tree_.names.size();
    const uint64_t candidates =
        random_.one_in(one_hot_in_any) ? names : std::min<uint64_t>(hot_names, names);
    const size_t target = random_.below(candidates) * names / candidates;

    return look_up(tree_.names.path(target));
}

int operations::negative()
{
    absent_path_.assign(random_directory());
    if (!absent_path_.empty())
        absent_path_ += '/';
    fmt::format_to(std::back_inserter(absent_path_), ".dcsim-absent-{}",
                   random_.below(absent_names));
    const int error = look_up(absent_path_);

    if (error == -ENOENT)
        return 0;
    return error ? error : -EEXIST;
}

int operations::rename()
{
    if (moved_.home)
        return move_back();
    if (tree_.names.files().size() >= 2 && random_.one_in(one_rename_in_exchanges))
        return exchange();
    return move_away();
}

size_t operations::random_file()
{
    return tree_.names.files()[random_.below(tree_.names.files().size())];
}

/// The path of any directory; the root is one of them.
std::string_view operations::random_directory()
{
    const auto &directories = tree_.names.directories();
    const uint64_t choice = random_.below(directories.size() + 1);

    return choice == directories.size() ? "" : tree_.names.path(directories[choice]);
}

int operations::move_away()
{
    const auto &directories = tree_.names.directories();
    const bool move_directory = tree_.names.files().empty() ||
                                (!directories.empty() && random_.one_in(one_move_in_directories));
    const size_t target =
        move_directory ? directories[random_.below(directories.size())] : random_file();
    // A directory stays where it is: moved below itself it would be refused.
    const std::string_view to =
        move_directory || random_.one_in(2) ? tree_.names.parent_path(target) : random_directory();
    moved_name moving = {nullptr, nullptr, tree_.names.name(target)};

    if (const int error = find(tree_.names.parent_path(target), moving.home))
        return error;
    if (const int error = find(to, moving.away))
        return error;
    if (const int error =
            rename_at(moving.home.get(), moving.name.data(), moving.name.size(), moving.away.get(),
                      away_name_.data(), away_name_.size(), RENAME_NOREPLACE_FLAG))
        return error;
    moved_ = std::move(moving);
    return 0;
}

int operations::move_back()
{
    // Nobody else moves a name they have not moved away, so it is there and its place is free.
    if (const int error =
            rename_at(moved_.away.get(), away_name_.data(), away_name_.size(), moved_.home.get(),
                      moved_.name.data(), moved_.name.size(), RENAME_NOREPLACE_FLAG))
        return error == -ENOENT ? -EIO : error;
    moved_ = moved_name();
    return 0;
}

int operations::restore()
{
    return moved_.home ? move_back() : 0;
}

int operations::exchange()
{
    const size_t first = random_file();
    const size_t second = random_file();
    const std::string_view first_name = tree_.names.name(first);
    const std::string_view second_name = tree_.names.name(second);
    dentry_ref first_parent;
    dentry_ref second_parent;

    if (const int error = find(tree_.names.parent_path(first), first_parent))
        return error;
    if (const int error = find(tree_.names.parent_path(second), second_parent))
        return error;
    return rename_at(first_parent.get(), first_name.data(), first_name.size(), second_parent.get(),
                     second_name.data(), second_name.size(), RENAME_EXCHANGE_FLAG);
}

int operations::pressure()
{
    if (tree_.whole_cache_shrinks && random_.one_in(one_pressure_in_whole)) {
        shrink_dcache_sb(tree_.sb);
        return 0;
    }
    if (random_.one_in(one_pressure_in_subtrees)) {
        dentry_ref directory;

        if (const int error = find(random_directory(), directory))
            return error;
        shrink_dcache_parent(directory.get());
        return 0;
    }
    shrink_control control = {smallest_reclaim + random_.below(reclaim_spread)};
    const long reclaimed = prune_dcache_sb(tree_.sb, &control);

    tree_.reclaimed.fetch_add(static_cast<uint64_t>(reclaimed), std::memory_order_relaxed);
    return 0;
}

} // namespace dcsim::cli
