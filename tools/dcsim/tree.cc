// SPDX-License-Identifier: GPL-2.0-only
//
// Importing and generating trees.
#include "tree.h"

#include <algorithm>
#include <new>
#include <vector>

#include <fmt/format.h>

#include "dcsim/kernel/err.h"
#include "dcsim/mockfs/import.h"
#include "dcsim/vfs/inode.h"
#include "random.h"
#include "usage_error.h"

namespace dcsim::cli
{

namespace
{

constexpr uint64_t names_per_directory = 100;
constexpr uint64_t subdirectories_per_directory = 10;
/// One name in so many is longer than what fits into a dentry.
constexpr uint64_t long_name_period = 40;

struct generated_directory {
    mock_node *node;
    std::string path; ///< with a '/' at the end, or "" for the root
};

/// The seed, the kind and the number of a name decide its spelling; the number makes it unique.
std::string generated_name(const char *stem, uint64_t number, uint64_t seed)
{
    static constexpr char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789_-";
    random_stream random(mix_numbers(seed, number * 2 + (stem[0] == 'd')));
    std::string name = fmt::format("{}{}-", stem, number);
    size_t extra = 2 + random.below(12);

    if (random.one_in(long_name_period))
        extra += DNAME_INLINE_LEN + random.below(40);
    while (extra-- > 0)
        name += letters[random.below(sizeof(letters) - 1)];
    return name;
}

mock_node *add_generated(const mock_filesystem &filesystem, super_block *sb,
                         const generated_directory &directory, const std::string &name,
                         umode_t mode, name_catalogue &catalogue)
{
    mock_node *node =
        filesystem.add_node(sb, directory.node, name.data(), name.size(), mode, nullptr);

    if (IS_ERR(node))
        throw std::bad_alloc();
    catalogue.add(directory.path + name, (mode & S_IFMT_MASK) == S_IFDIR_TYPE);
    return node;
}

/// The directories, breadth first; the first one is the root.
std::vector<generated_directory> generate_directories(const mock_filesystem &filesystem,
                                                      super_block *sb, uint64_t count,
                                                      uint64_t seed, name_catalogue &catalogue)
{
    std::vector<generated_directory> directories = {{filesystem.root_node(sb), ""}};

    directories.reserve(count);
    while (directories.size() < count) {
        const uint64_t number = directories.size();
        const generated_directory &parent =
            directories[(number - 1) / subdirectories_per_directory];
        const std::string name = generated_name("dir", number, seed);
        mock_node *node =
            add_generated(filesystem, sb, parent, name, S_IFDIR_TYPE | 0755, catalogue);

        directories.push_back({node, parent.path + name + "/"});
    }
    return directories;
}

} // namespace

tree_description generate_tree(const mock_filesystem &filesystem, super_block *sb, uint64_t names,
                               uint64_t seed, name_catalogue &catalogue)
{
    const uint64_t directory_count = (names + names_per_directory) / names_per_directory;
    const auto directories = generate_directories(filesystem, sb, directory_count, seed, catalogue);
    const uint64_t files = names - (directory_count - 1);
    const uint64_t files_per_directory = (files + directory_count - 1) / directory_count;
    tree_description tree;

    for (uint64_t number = 0; number < files; ++number)
        add_generated(filesystem, sb, directories[number / files_per_directory],
                      generated_name("file", number, seed), S_IFREG_TYPE | 0644, catalogue);
    tree.source = "generated";
    tree.directories = static_cast<long>(directory_count);
    tree.files = static_cast<long>(files);
    return tree;
}

tree_description import_tree(super_block *sb, const std::string &directory,
                             name_catalogue &catalogue)
{
    bool out_of_memory = false;
    import_options options;
    tree_description tree;

    // The import is not ours: no exception may pass through it.
    options.on_entry = [&](std::string_view path, umode_t mode) {
        try {
            catalogue.add(path, S_ISDIR_mode(mode));
        } catch (const std::bad_alloc &) {
            out_of_memory = true;
        }
    };
    const import_result result = memfs_import(sb, directory.c_str(), options);

    if (!result.error.empty())
        throw usage_error(fmt::format("--import '{}': {}", directory, result.error));
    if (out_of_memory)
        throw std::bad_alloc();
    if (catalogue.size() == 0)
        throw usage_error(fmt::format("--import '{}': there is nothing in it that could be looked "
                                      "up; choose a directory with some names",
                                      directory));
    tree.source = "import";
    tree.directory = directory;
    tree.directories = result.directories;
    tree.files = result.files;
    tree.symlinks = result.symlinks;
    tree.others = result.others;
    tree.skipped = result.skipped;
    tree.vanished = result.vanished;
    tree.first_skipped = result.first_skipped;
    return tree;
}

} // namespace dcsim::cli
