// SPDX-License-Identifier: GPL-2.0-only
//
// When two names are one: casefs's dentry operations.
//
// Whether a directory folds is a flag of its inode, so d_hash and d_compare, which get dentries, go
// by the parent's d_inode. They may not look at the inode of the dentry they compare: one in lookup
// has none, and must be found all the same.
#include "casefs.h"

#include <cstring>

#include "dcsim/kernel/hash.h"
#include "dcsim/vfs/namei.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

constexpr unsigned char folded(unsigned char c)
{
    return c >= 'A' && c <= 'Z' ? static_cast<unsigned char>(c - 'A' + 'a') : c;
}

/// Do the names in this directory fold? RCU or a reference keeps the dentry.
bool directory_folds(const dentry *directory)
{
    const inode *dir = READ_ONCE(directory->d_inode);

    return dir && IS_CASEFOLDED(dir);
}

// As Linux v6.12 fs/libfs.c generic_ci_d_hash(), with ASCII for UTF-8.
int casefs_d_hash(const dentry *dir, qstr *name)
{
    char text[NAME_MAX_LENGTH];

    if (!directory_folds(dir))
        return 0;
    // Not the name of anything; the walk hashes before anybody looks at the length.
    if (name->len > NAME_MAX_LENGTH)
        return -ENAMETOOLONG;
    for (u32 i = 0; i < name->len; i++)
        text[i] = static_cast<char>(folded(name->name[i]));
    name->hash = full_name_hash(dir, text, name->len);
    return 0;
}

// As Linux v6.12 fs/libfs.c generic_ci_d_compare(). `text` may be rewritten meanwhile, so each of
// its words is read once.
int casefs_d_compare(const dentry *dentry, unsigned length, const char *text, const qstr *name)
{
    bool spelled_otherwise = false;

    if (length != name->len)
        return 1;
    for (unsigned at = 0; at < length; at += sizeof(unsigned long)) {
        unsigned long word = read_word_at_a_time(text + at);

        for (unsigned i = at; i < length && i < at + sizeof(word); i++, word >>= 8) {
            const auto have = static_cast<unsigned char>(word);

            if (have == name->name[i])
                continue;
            if (folded(have) != folded(name->name[i]))
                return 1;
            spelled_otherwise = true;
        }
    }
    return spelled_otherwise && !directory_folds(READ_ONCE(dentry->d_parent));
}

/// A missing name that is about to be made is asked for again, so that what is made has the
/// spelling of who makes it and not of who once missed it. As cifs_d_revalidate() says it; without
/// flags nobody knows what the name is wanted for.
bool missing_name_is_good(unsigned flags)
{
    return flags && !(flags & (LOOKUP_CREATE | LOOKUP_RENAME_TARGET));
}

// As generic_ci_d_revalidate() of the series that wanted negative dentries in folding directories
// (G. Krisman Bertazi, 2022 and 2023, not merged), without the check for directories that began to
// fold later: here they cannot.
int casefs_d_revalidate_negative(inode *dir, const qstr *name, dentry *dentry, unsigned flags)
{
    if (d_is_positive(dentry) || !IS_CASEFOLDED(dir))
        return 1;
    if (!flags)
        return 0;
    if (missing_name_is_good(flags))
        return 1;
    if (flags & LOOKUP_RCU)
        return -ECHILD;
    // It may have become a file meanwhile, and be renamed.
    spin_lock(&dentry->d_lockref.lock);
    const name_key known = key_of(dentry);
    const bool exact = known.length == name->len && memcmp(known.text, name->name, name->len) == 0;
    spin_unlock(&dentry->d_lockref.lock);
    return exact;
}

/// Is the inode still what the server has under this name? As ->d_revalidate(); the server's
/// attributes go into the inode.
int ask_the_server(const inode *dir, const qstr *name, inode *inode)
{
    casefs_disk *disk = casefs_disk_of(dir->i_sb);
    const auto *text = reinterpret_cast<const char *>(name->name);
    server_entry found;
    int error;

    if (IS_CASEFOLDED(dir))
        error = server_lookup_nocase(disk->server, dir->i_ino, text, name->len, &found);
    else
        error = server_lookup(disk->server, dir->i_ino, text, name->len, &found.attributes);
    if (error == -ENOENT || error == -ESTALE)
        return 0;
    if (error)
        return error;
    if (found.attributes.fileid != inode->i_ino)
        return 0;
    casefs_update(inode, found.attributes);
    return 1;
}

// As Linux v6.12 fs/smb/client/dir.c cifs_d_revalidate(). Nothing is cached for a time: the server
// is asked whenever somebody comes by.
int casefs_d_revalidate(inode *dir, const qstr *name, dentry *dentry, unsigned flags)
{
    struct inode *inode;

    if (flags & LOOKUP_RCU)
        return -ECHILD;
    inode = d_inode(dentry);
    if (inode)
        return ask_the_server(dir, name, inode);
    // `negatives` is lookupCacheEnabled; the second for which a missing name is believed has no end
    // here.
    return casefs_disk_of(dir->i_sb)->options.negatives && missing_name_is_good(flags);
}

void casefs_d_release(dentry *dentry)
{
    casefs_disk_of(dentry->d_sb)->watcher.released(dentry);
}

constexpr dentry_operations exact_operations = {.d_release = casefs_d_release};

constexpr dentry_operations exact_revalidate_operations = {.d_revalidate = casefs_d_revalidate,
                                                           .d_release = casefs_d_release};

// generic_ci_dentry_ops
constexpr dentry_operations ci_operations = {
    .d_hash = casefs_d_hash, .d_compare = casefs_d_compare, .d_release = casefs_d_release};

constexpr dentry_operations ci_negative_operations = {.d_revalidate = casefs_d_revalidate_negative,
                                                      .d_hash = casefs_d_hash,
                                                      .d_compare = casefs_d_compare,
                                                      .d_release = casefs_d_release};

// cifs_ci_dentry_ops
constexpr dentry_operations ci_revalidate_operations = {.d_revalidate = casefs_d_revalidate,
                                                        .d_hash = casefs_d_hash,
                                                        .d_compare = casefs_d_compare,
                                                        .d_release = casefs_d_release};

} // namespace

const dentry_operations *casefs_dentry_operations(const casefs_options &options)
{
    if (!options.compare)
        return options.revalidate ? &exact_revalidate_operations : &exact_operations;
    if (options.revalidate)
        return &ci_revalidate_operations;
    return options.negatives ? &ci_negative_operations : &ci_operations;
}

} // namespace dcsim::inline DCSIM_BACKEND
