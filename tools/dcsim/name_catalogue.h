// SPDX-License-Identifier: GPL-2.0-only
//
// The names of the tree a run works on: what the threads choose their targets from. Filled before
// the threads start, constant afterwards. Compact, because there may be millions of names.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace dcsim::cli
{

class name_catalogue
{
  public:
    /// Leaves room below PATH_MAX for one more short component.
    static constexpr size_t longest_path = 4000;

    /// Adds a path relative to the root of the tree, without a leading '/'. One that is too long to
    /// be walked in a single call is left out, and counted.
    void add(std::string_view path, bool is_directory)
    {
        if (path.size() > longest_path) {
            ++left_out_;
            return;
        }
        const size_t slash = path.rfind('/');

        (is_directory ? directories_ : files_).push_back(static_cast<uint32_t>(entries_.size()));
        entries_.push_back({text_.size(), static_cast<uint16_t>(path.size()),
                            static_cast<uint16_t>(slash == path.npos ? 0 : slash), is_directory});
        text_.append(path);
    }

    size_t size() const
    {
        return entries_.size();
    }
    /// How many were too long.
    size_t left_out() const
    {
        return left_out_;
    }
    std::string_view path(size_t index) const
    {
        const entry &entry = entries_[index];
        return std::string_view(text_).substr(entry.offset, entry.length);
    }
    /// The path of the directory that holds a name; "" for the root.
    std::string_view parent_path(size_t index) const
    {
        return path(index).substr(0, entries_[index].parent_length);
    }
    std::string_view name(size_t index) const
    {
        const uint32_t parent_length = entries_[index].parent_length;
        return path(index).substr(parent_length ? parent_length + 1 : 0);
    }

    bool is_directory(size_t index) const
    {
        return entries_[index].is_directory;
    }

    /// Indices of everything that is no directory, and of the directories. The root is in neither.
    const std::vector<uint32_t> &files() const
    {
        return files_;
    }
    const std::vector<uint32_t> &directories() const
    {
        return directories_;
    }

  private:
    struct entry {
        uint64_t offset;
        uint16_t length;
        uint16_t parent_length;
        bool is_directory;
    };

    std::string text_;
    std::vector<entry> entries_;
    std::vector<uint32_t> files_;
    std::vector<uint32_t> directories_;
    size_t left_out_ = 0;
};

} // namespace dcsim::cli
