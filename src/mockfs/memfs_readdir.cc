// SPDX-License-Identifier: GPL-2.0-only
//
// Reading memfs's directories, from the newest name to the oldest.
#include "dcsim/vfs/file.h"
#include "dcsim/vfs/libfs.h"
#include "memfs_internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

/// Positions that no name has, as in tmpfs.
constexpr int64_t DIR_OFFSET_FIRST = 2;        ///< the first name, whichever it is
constexpr int64_t DIR_OFFSET_EOD = 0x7fffffff; ///< behind the last: new names do not change that

// As Linux v6.12 fs/libfs.c offset_readdir(), by position where the kernel goes by siblings.
int memfs_readdir(file *file, dir_context *context)
{
    memfs_offset_set &offsets = memfs_node_of(file->f_inode)->offsets;
    memfs_offset_set::iterator next;

    if (!dir_emit_dots(file, context))
        return 0;
    if (context->pos == DIR_OFFSET_EOD)
        return 0;

    next = context->pos == DIR_OFFSET_FIRST ? offsets.end() : offsets.upper_bound(context->pos);
    while (next != offsets.begin()) {
        --next;
        context->pos = next->offset;
        if (!dir_emit(context, next->text(), static_cast<int>(next->length), next->node->ino,
                      fs_umode_to_dtype(next->node->type)))
            return 0;
    }
    context->pos = DIR_OFFSET_EOD;
    return 0;
}

} // namespace

const file_operations memfs_dir_operations = {
    .iterate_shared = memfs_readdir,
    .llseek = offset_dir_llseek,
};

} // namespace dcsim::inline DCSIM_BACKEND
