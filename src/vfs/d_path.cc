// SPDX-License-Identifier: GPL-2.0-only
//
// From a dentry back to its path. Names are written into the buffer from its end towards its start,
// the last component first.
//
// The walk upwards is optimistic: under RCU, without locks, and checked against rename_lock and,
// when it crosses mounts, mount_lock. A second pass takes what the first one found moving,
// exclusively; so there are at most two passes for each of the two. Order: mount_lock, rename_lock.
//
// A pass that races with a rename may pair the length of one name with the text of another. The
// kernel copies all the same and lets a fault handler stop it; here the copy reads a word at a
// time, stops at the NUL that every name carries inside its own storage, and fills the rest with
// 'x'. The check at the end of the pass throws the result away.
#include <bit>
#include <cstdarg>
#include <cstdio>
#include <cstring>

#include "dcache_internal.h"
#include "dcsim/vfs/mount.h"
#include "dcsim/vfs/syscalls.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

/// The free part of a buffer that is filled from its end.
struct prepend_buffer {
    char *buf; ///< one past the free part: where the text written so far begins
    int len;   ///< bytes still free; negative once something did not fit
};

prepend_buffer whole_buffer(char *buffer, int length)
{
    return {buffer + length, length};
}

// Linux v6.12 fs/d_path.c extract_string().
char *extract_string(const prepend_buffer *p)
{
    if (likely(p->len >= 0))
        return p->buf;
    return ERR_PTR(-ENAMETOOLONG);
}

// Linux v6.12 fs/d_path.c prepend_char().
bool prepend_char(prepend_buffer *p, char c)
{
    if (likely(p->len > 0)) {
        p->len--;
        *--p->buf = c;
        return true;
    }
    p->len = -1;
    return false;
}

/// Bytes of a little-endian word before its first NUL, at most all eight.
unsigned bytes_before_nul(unsigned long word)
{
    constexpr unsigned long ones = 0x0101010101010101ul;

    // A borrow can mark a byte above the first NUL by mistake, never one below it.
    unsigned long nuls = (word - ones) & ~word & (ones << 7);
    return nuls ? static_cast<unsigned>(std::countr_zero(nuls)) / 8 : sizeof(word);
}

// Linux v6.12 fs/d_path.c prepend_copy().
//
// Copies `count` bytes of a dentry's name, beginning with byte `skip`. False when the name ends
// before that: length and text are not of one name.
bool prepend_copy(char *to, const unsigned char *name, unsigned skip, unsigned count)
{
    unsigned end = skip + count;

    for (unsigned at = 0; at < end; at += sizeof(unsigned long)) {
        unsigned long word = read_word_at_a_time(name + at);
        unsigned usable = bytes_before_nul(word);
        unsigned from = skip > at ? skip - at : 0;
        unsigned upto = end - at < sizeof(word) ? end - at : sizeof(word);

        if (unlikely(usable < upto)) {
            memset(to, 'x', count);
            return false;
        }
        if (from < upto)
            memcpy(to + at + from - skip, reinterpret_cast<char *>(&word) + from, upto - from);
    }
    return true;
}

// Linux v6.12 fs/d_path.c prepend(), for text that does not move.
void prepend(prepend_buffer *p, const char *text, int length)
{
    int fits = length;

    if (p->len < 0)
        return;
    if (unlikely(fits > p->len))
        fits = p->len;
    p->buf -= fits;
    memcpy(p->buf, text + length - fits, static_cast<size_t>(fits));
    p->len = fits < length ? -1 : p->len - length;
}

// Linux v6.12 fs/d_path.c prepend_name(), with prepend() for names in it.
//
// False: stop, the buffer is full or the name was moving.
bool prepend_name(prepend_buffer *p, const dentry_name *name)
{
    // Pairs with the release in __d_alloc(): whoever has the pointer has the text and its NUL.
    const unsigned char *dname = smp_load_acquire(&name->name);
    int dlen = static_cast<int>(name->len());

    if (p->len < 0)
        return false;
    if (unlikely(p->len < dlen)) {
        // As much as fits, from the end of the name.
        p->buf -= p->len;
        prepend_copy(p->buf, dname, static_cast<unsigned>(dlen - p->len),
                     static_cast<unsigned>(p->len));
        p->len = -1;
        return false;
    }
    p->len -= dlen;
    p->buf -= dlen;
    return prepend_copy(p->buf, dname, 0, static_cast<unsigned>(dlen)) && prepend_char(p, '/');
}

/// Where a walk upwards ended.
enum path_end {
    AT_ROOT,       ///< at the root it was given, or it was told to stop
    ABSOLUTE_ROOT, ///< at the top of the namespace
    DETACHED,      ///< at the top of a mount that belongs to no namespace
    ESCAPED,       ///< at the root of the file system, outside the part that is mounted
};

// Linux v6.12 fs/d_path.c __prepend_path().
path_end __prepend_path(const dentry *dentry, const mount *mnt, const path *root, prepend_buffer *p)
{
    while (dentry != root->dentry || &mnt->mnt != root->mnt) {
        const struct dentry *parent = READ_ONCE(dentry->d_parent);

        if (dentry == mnt->mnt.mnt_root) {
            const mount *m = READ_ONCE(mnt->mnt_parent);

            if (likely(mnt != m)) {
                dentry = READ_ONCE(mnt->mnt_mountpoint);
                mnt = m;
                continue;
            }
            return READ_ONCE(mnt->mnt_ns) ? ABSOLUTE_ROOT : DETACHED;
        }

        if (unlikely(dentry == parent))
            return ESCAPED;

        if (!prepend_name(p, &dentry->d_name))
            break;
        dentry = parent;
    }
    return AT_ROOT;
}

// Linux v6.12 fs/d_path.c prepend_path().
//
// RCU keeps what an optimistic pass walks over. A pass with rename_lock held does not need it: each
// dentry holds its parent, and no parent changes. The same for mounts and mount_lock.
path_end prepend_path(const path *path, const struct path *root, prepend_buffer *p)
    __context_unsafe("RCU and the two locks are held or not as seq and m_seq say")
{
    unsigned seq, m_seq = 0;
    prepend_buffer b;
    path_end end;

    rcu_read_lock();
restart_mnt:
    read_seqbegin_or_lock(&mount_lock, &m_seq);
    seq = 0;
    rcu_read_lock();
restart:
    b = *p;
    read_seqbegin_or_lock(&rename_lock, &seq);
    end = __prepend_path(path->dentry, real_mount(path->mnt), root, &b);
    if (!(seq & 1))
        rcu_read_unlock();
    if (need_seqretry(&rename_lock, seq)) {
        seq = 1;
        goto restart;
    }
    done_seqretry(&rename_lock, seq);

    if (!(m_seq & 1))
        rcu_read_unlock();
    if (need_seqretry(&mount_lock, m_seq)) {
        m_seq = 1;
        goto restart_mnt;
    }
    done_seqretry(&mount_lock, m_seq);

    if (unlikely(end == ESCAPED))
        b = *p;
    if (b.len == p->len)
        prepend_char(&b, '/');
    *p = b;
    return end;
}

// Linux v6.12 fs/d_path.c __dentry_path().
char *__dentry_path(const dentry *d, const prepend_buffer *p)
    __context_unsafe("RCU and rename_lock are held or not as seq says")
{
    const dentry *dentry;
    prepend_buffer b;
    unsigned seq = 0;

    rcu_read_lock();
restart:
    dentry = d;
    b = *p;
    read_seqbegin_or_lock(&rename_lock, &seq);
    while (!IS_ROOT(dentry)) {
        const struct dentry *parent = READ_ONCE(dentry->d_parent);

        if (!prepend_name(&b, &dentry->d_name))
            break;
        dentry = parent;
    }
    if (!(seq & 1))
        rcu_read_unlock();
    if (need_seqretry(&rename_lock, seq)) {
        seq = 1;
        goto restart;
    }
    done_seqretry(&rename_lock, seq);
    if (b.len == p->len)
        prepend_char(&b, '/');
    return extract_string(&b);
}

} // namespace

// Linux v6.12 fs/d_path.c __d_path().
char *__d_path(const path *path, const struct path *root, char *buffer, int length)
{
    prepend_buffer b = whole_buffer(buffer, length);

    prepend_char(&b, '\0');
    if (unlikely(prepend_path(path, root, &b) != AT_ROOT))
        return nullptr;
    return extract_string(&b);
}

// Linux v6.12 fs/d_path.c d_absolute_path().
char *d_absolute_path(const path *path, char *buffer, int length)
{
    const struct path no_root = {nullptr, nullptr};
    prepend_buffer b = whole_buffer(buffer, length);
    path_end end;

    prepend_char(&b, '\0');
    end = prepend_path(path, &no_root, &b);
    if (unlikely(end == DETACHED || end == ESCAPED))
        return ERR_PTR(-EINVAL);
    return extract_string(&b);
}

// Linux v6.12 fs/d_path.c d_path().
char *d_path(const path *path, char *buffer, int length)
{
    prepend_buffer b = whole_buffer(buffer, length);
    struct path root;

    // Objects that are never looked up make a name up on demand; a mounted one has a path.
    if (path->dentry->d_op && path->dentry->d_op->d_dname &&
        (!IS_ROOT(path->dentry) || path->dentry != path->mnt->mnt_root))
        return path->dentry->d_op->d_dname(path->dentry, buffer, length);

    // One section for both: the walk compares with a root it has no reference on.
    rcu_read_lock();
    get_fs_root_rcu(current_vfs_task()->fs, &root);
    if (unlikely(d_unlinked(path->dentry)))
        prepend(&b, " (deleted)", sizeof(" (deleted)"));
    else
        prepend_char(&b, '\0');
    prepend_path(path, &root, &b);
    rcu_read_unlock();
    return extract_string(&b);
}

// Linux v6.12 fs/d_path.c dynamic_dname().
char *dynamic_dname(char *buffer, int length, const char *format, ...)
{
    va_list arguments;
    char text[64];
    int size;

    va_start(arguments, format);
    size = vsnprintf(text, sizeof(text), format, arguments) + 1;
    va_end(arguments);

    if (size > static_cast<int>(sizeof(text)) || size > length)
        return ERR_PTR(-ENAMETOOLONG);
    buffer += length - size;
    memcpy(buffer, text, static_cast<size_t>(size));
    return buffer;
}

// Linux v6.12 fs/d_path.c simple_dname(). Such dentries are never renamed, hence no locks.
char *simple_dname(dentry *dentry, char *buffer, int length)
{
    prepend_buffer b = whole_buffer(buffer, length);

    prepend(&b, " (deleted)", sizeof(" (deleted)"));
    prepend(&b, reinterpret_cast<const char *>(READ_ONCE(dentry->d_name.name)),
            static_cast<int>(dentry->d_name.len()));
    prepend_char(&b, '/');
    return extract_string(&b);
}

// Linux v6.12 fs/d_path.c dentry_path_raw().
char *dentry_path_raw(const dentry *dentry, char *buffer, int length)
{
    prepend_buffer b = whole_buffer(buffer, length);

    prepend_char(&b, '\0');
    return __dentry_path(dentry, &b);
}

// Linux v6.12 fs/d_path.c dentry_path().
char *dentry_path(const dentry *dentry, char *buffer, int length)
{
    prepend_buffer b = whole_buffer(buffer, length);

    if (unlikely(d_unlinked(dentry)))
        prepend(&b, "//deleted", sizeof("//deleted"));
    else
        prepend_char(&b, '\0');
    return __dentry_path(dentry, &b);
}

// Linux v6.12 fs/d_path.c get_fs_root_and_pwd_rcu().
static void get_fs_root_and_pwd_rcu(fs_struct *fs, path *root, path *pwd) __must_hold_shared(rcu)
{
    unsigned seq;

    do {
        seq = read_seqcount_begin(&fs->seq);
        *root = {READ_ONCE(fs->root.mnt), READ_ONCE(fs->root.dentry)};
        *pwd = {READ_ONCE(fs->pwd.mnt), READ_ONCE(fs->pwd.dentry)};
    } while (read_seqcount_retry(&fs->seq, seq));
}

/// getcwd(2) into `page`, PATH_MAX_LENGTH bytes: the path, or ERR_PTR.
static char *write_pwd(fs_struct *fs, char *page)
{
    prepend_buffer b = whole_buffer(page, static_cast<int>(PATH_MAX_LENGTH));
    path root, pwd;

    rcu_read_lock();
    get_fs_root_and_pwd_rcu(fs, &root, &pwd);
    if (unlikely(d_unlinked(pwd.dentry))) {
        rcu_read_unlock();
        return ERR_PTR(-ENOENT);
    }
    prepend_char(&b, '\0');
    if (unlikely(prepend_path(&pwd, &root, &b) != AT_ROOT))
        prepend(&b, "(unreachable)", sizeof("(unreachable)") - 1);
    rcu_read_unlock();
    return extract_string(&b);
}

// Linux v6.12 fs/d_path.c getcwd(2).
int sys_getcwd(vfs_task *task, char *buffer, size_t size)
{
    char *page = static_cast<char *>(kmalloc(PATH_MAX_LENGTH));
    const char *text;
    int result;

    if (!page)
        return -ENOMEM;
    text = write_pwd(task->fs, page);
    if (IS_ERR(text)) {
        result = PTR_ERR(text);
    } else {
        result = static_cast<int>(page + PATH_MAX_LENGTH - text);
        if (static_cast<size_t>(result) > size)
            result = -ERANGE;
        else
            memcpy(buffer, text, static_cast<size_t>(result));
    }
    kfree(page);
    return result;
}

} // namespace dcsim::inline DCSIM_BACKEND
