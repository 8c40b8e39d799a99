// SPDX-License-Identifier: GPL-2.0-only
//
// An open directory that is read as getdents64(2) does it, in pieces of a chosen size.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "dcsim/vfs/file.h"
#include "dcsim/vfs/inode.h"

namespace dcsim::inline DCSIM_BACKEND
{

class directory_reader
{
  public:
    struct entry {
        std::string name;
        int64_t offset; ///< of the entry itself
        ino_t ino;
        unsigned type;
    };
    static constexpr size_t ALL = SIZE_MAX;

    explicit directory_reader(dentry *directory)
        : file_(alloc_empty_file(OPEN_RDONLY | OPEN_DIRECTORY, &init_cred))
    {
        const path path = {nullptr, directory};
        EXPECT_EQ(vfs_open(&path, file_), 0);
    }
    ~directory_reader()
    {
        fput(file_);
    }
    directory_reader(const directory_reader &) = delete;
    directory_reader &operator=(const directory_reader &) = delete;

    /// The next entries, at most so many; none at the end.
    std::vector<entry> read(size_t most = ALL)
    {
        collector found = {{take, file_->f_pos}, most, {}};

        inode_lock_shared(file_->f_inode);
        EXPECT_EQ(file_->f_op->iterate_shared(file_, &found), 0);
        inode_unlock_shared(file_->f_inode);
        file_->f_pos = found.pos;
        return std::move(found.entries);
    }
    /// Their names, those of `.` and `..` left out but counted.
    std::vector<std::string> names(size_t most = ALL)
    {
        std::vector<std::string> result;

        for (const entry &entry : read(most)) {
            if (entry.name != "." && entry.name != "..")
                result.push_back(entry.name);
        }
        return result;
    }
    int64_t seek(int64_t offset, int whence = 0)
    {
        mutex_lock(&file_->f_pos_lock);
        int64_t result = file_->f_op->llseek(file_, offset, whence);
        mutex_unlock(&file_->f_pos_lock);
        return result;
    }
    int64_t position() const
    {
        return file_->f_pos;
    }
    file *get() const
    {
        return file_;
    }

  private:
    struct collector : dir_context {
        size_t room;
        std::vector<entry> entries;

        collector(dir_context context, size_t most, std::vector<entry> none)
            : dir_context(context), room(most), entries(std::move(none))
        {
        }
    };

    static bool take(dir_context *context, const char *name, int length, int64_t offset, ino_t ino,
                     unsigned type)
    {
        auto *found = static_cast<collector *>(context);

        if (found->entries.size() == found->room)
            return false;
        found->entries.push_back(
            {std::string(name, static_cast<size_t>(length)), offset, ino, type});
        return true;
    }

    file *file_;
};

} // namespace dcsim::inline DCSIM_BACKEND
