// SPDX-License-Identifier: GPL-2.0-only
//
// Names as the disks and servers of the mock file systems keep them: bytes and a length.
#pragma once

#include <cstddef>
#include <cstring>
#include <new>

#include "dcsim/kernel/err.h"
#include "dcsim/kernel/slab.h"
#include "dcsim/vfs/dcache.h"

namespace dcsim::inline DCSIM_BACKEND
{

/// What a name is looked up by. Owns nothing.
struct name_key {
    const char *text;
    size_t length;
};

/// The name of a dentry that a directory operation is about. Stable: only positive dentries are
/// renamed, and the directory's i_rwsem keeps those in place. One in lookup is its owner's.
inline name_key key_of(const dentry *dentry)
{
    return {reinterpret_cast<const char *>(READ_ONCE(dentry->d_name.name)), dentry->d_name.len()};
}

/// "", ".", "..", or with a '/' or NUL in it: no name that could be given to anything.
inline bool is_no_name(const name_key &key)
{
    if (key.length == 0 || memchr(key.text, '/', key.length) || memchr(key.text, '\0', key.length))
        return true;
    return key.text[0] == '.' && (key.length == 1 || (key.length == 2 && key.text[1] == '.'));
}

/// Can anything be called so? 0, -ENAMETOOLONG or -EINVAL.
inline int check_name(const name_key &key)
{
    if (key.length > NAME_MAX_LENGTH)
        return -ENAMETOOLONG;
    return is_no_name(key) ? -EINVAL : 0;
}

/// An `Entry` made anew, with its text behind it; nullptr without memory. To be freed by its
/// destructor and kfree().
template <typename Entry>
Entry *new_entry(const name_key &key)
{
    void *memory = kmalloc(sizeof(Entry) + key.length);
    Entry *entry;

    if (!memory)
        return nullptr;
    entry = new (memory) Entry();
    entry->length = key.length;
    memcpy(entry->text(), key.text, key.length);
    return entry;
}

/// Bytewise, a prefix first. `Entry` has a key().
template <typename Entry>
struct name_order {
    bool operator()(const name_key &a, const name_key &b) const
    {
        int order = memcmp(a.text, b.text, a.length < b.length ? a.length : b.length);
        return order ? order < 0 : a.length < b.length;
    }
    bool operator()(const Entry &a, const Entry &b) const
    {
        return (*this)(a.key(), b.key());
    }
    bool operator()(const name_key &a, const Entry &b) const
    {
        return (*this)(a, b.key());
    }
    bool operator()(const Entry &a, const name_key &b) const
    {
        return (*this)(a.key(), b);
    }
};

} // namespace dcsim::inline DCSIM_BACKEND
