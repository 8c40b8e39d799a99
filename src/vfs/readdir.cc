// SPDX-License-Identifier: GPL-2.0-only
//
// Reading directories, and seeking in them.
//
// The position is the file's, so f_pos_lock is held from reading it to writing it back: two readers
// of one open directory share the entries out between them.
#include <cstring>

#include "dcsim/kernel/err.h"
#include "dcsim/vfs/dcache.h"
#include "dcsim/vfs/file.h"
#include "dcsim/vfs/inode.h"
#include "dcsim/vfs/syscalls.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

// --- A file together with its position ---

// Linux v6.12 fs/file.c file_needs_f_pos_lock().
//
// Always true where there is a position at all, because fget() took a reference.
bool file_needs_f_pos_lock(const file *file)
{
    return (file->f_mode & FMODE_ATOMIC_POS) &&
           (READ_ONCE(file->f_count) > 1 || file->f_op->iterate_shared);
}

/// fget(), and f_pos_lock held if the file has a position. Given back by fdput_pos().
struct fd_pos {
    struct file *file; ///< nullptr: there is none
    bool locked;
};

// Linux v6.12 fs/file.c fdget_pos().
fd_pos fdget_pos(unsigned fd) __context_unsafe("locks what needs a lock")
{
    fd_pos f = {fget(fd), false};

    if (f.file && file_needs_f_pos_lock(f.file)) {
        f.locked = true;
        mutex_lock(&f.file->f_pos_lock);
    }
    return f;
}

// Linux v6.12 include/linux/file.h fdput_pos().
void fdput_pos(const fd_pos &f) __context_unsafe("unlocks what fdget_pos() locked")
{
    if (f.locked)
        mutex_unlock(&f.file->f_pos_lock);
    fput(f.file);
}

} // namespace

// Linux v6.12 fs/readdir.c iterate_dir().
int iterate_dir(file *file, dir_context *context)
{
    inode *inode = file->f_inode;
    int res = -ENOENT;

    if (!file->f_op->iterate_shared)
        return -ENOTDIR;

    inode_lock_shared(inode);
    if (!IS_DEADDIR(inode)) {
        context->pos = file->f_pos;
        res = file->f_op->iterate_shared(file, context);
        file->f_pos = context->pos;
    }
    inode_unlock_shared(inode);
    return res;
}

namespace
{

// --- getdents64 ---

/// A reading into the caller's buffer.
struct getdents_callback64 {
    dir_context ctx;
    char *current_dir; ///< where the next entry goes
    int prev_reclen;   ///< bytes of the entry before it; 0: there is none
    int count;         ///< bytes left
    int error;
};

constexpr int NAME_OFFSET = offsetof(linux_dirent64, d_name);

// Linux v6.12 fs/readdir.c verify_dirent_name().
int verify_dirent_name(const char *name, int length)
{
    if (length <= 0 || length >= static_cast<int>(PATH_MAX_LENGTH))
        return -EIO;
    if (memchr(name, '/', static_cast<size_t>(length)))
        return -EIO;
    return 0;
}

/// Stores one field of an entry: the buffer may be aligned to anything.
template <typename T>
void put_field(char *entry, size_t offset, T value)
{
    memcpy(entry + offset, &value, sizeof(value));
}

// Linux v6.12 fs/readdir.c filldir64().
//
// Where an entry ends is known when the next one comes: d_off of the one before is written here.
bool filldir64(dir_context *ctx, const char *name, int length, int64_t offset, ino_t ino,
               unsigned type)
{
    auto *buf = container_of(ctx, getdents_callback64, ctx);
    const int reclen = (NAME_OFFSET + length + 1 + 7) & ~7;
    char *entry = buf->current_dir;

    buf->error = verify_dirent_name(name, length);
    if (unlikely(buf->error))
        return false;
    buf->error = -EINVAL; // if nothing fits at all
    if (reclen > buf->count)
        return false;

    if (buf->prev_reclen)
        put_field<int64_t>(entry - buf->prev_reclen, offsetof(linux_dirent64, d_off), offset);
    put_field<u64>(entry, offsetof(linux_dirent64, d_ino), ino);
    put_field<int64_t>(entry, offsetof(linux_dirent64, d_off), offset);
    put_field(entry, offsetof(linux_dirent64, d_reclen), static_cast<unsigned short>(reclen));
    put_field(entry, offsetof(linux_dirent64, d_type), static_cast<unsigned char>(type));
    memcpy(entry + NAME_OFFSET, name, static_cast<size_t>(length));
    memset(entry + NAME_OFFSET + length, 0, static_cast<size_t>(reclen - NAME_OFFSET - length));

    buf->prev_reclen = reclen;
    buf->current_dir = entry + reclen;
    buf->count -= reclen;
    return true;
}

} // namespace

// Linux v6.12 fs/readdir.c getdents64(2).
int sys_getdents64(vfs_task *task, int fd, void *buffer, size_t size)
{
    constexpr size_t most = 0x7fffffff;
    const int count = static_cast<int>(size < most ? size : most);
    task_scope scope(task);
    fd_pos f = fdget_pos(static_cast<unsigned>(fd));
    getdents_callback64 buf = {{filldir64, 0}, static_cast<char *>(buffer), 0, count, 0};
    int error;

    if (!f.file)
        return -EBADF;
    error = iterate_dir(f.file, &buf.ctx);
    if (error >= 0)
        error = buf.error;
    // What was read counts, whatever came after it.
    if (buf.prev_reclen) {
        put_field<int64_t>(buf.current_dir - buf.prev_reclen, offsetof(linux_dirent64, d_off),
                           buf.ctx.pos);
        error = count - buf.count;
    }
    fdput_pos(f);
    return error;
}

namespace
{

// Linux v6.12 fs/read_write.c vfs_llseek().
int64_t vfs_llseek(file *file, int64_t offset, int whence)
{
    if (!(file->f_mode & FMODE_LSEEK))
        return -ESPIPE;
    return file->f_op->llseek(file, offset, whence);
}

} // namespace

// Linux v6.12 fs/read_write.c lseek(2).
int64_t sys_lseek(vfs_task *task, int fd, int64_t offset, int whence)
{
    constexpr int SEEK_MAX_WHENCE = 4;
    task_scope scope(task);
    fd_pos f = fdget_pos(static_cast<unsigned>(fd));
    int64_t res = -EINVAL;

    if (!f.file)
        return -EBADF;
    if (whence >= 0 && whence <= SEEK_MAX_WHENCE)
        res = vfs_llseek(f.file, offset, whence);
    fdput_pos(f);
    return res;
}

} // namespace dcsim::inline DCSIM_BACKEND
