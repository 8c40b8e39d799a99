// SPDX-License-Identifier: GPL-2.0-only
//
// The state of one path walk, and what the files namei_*.cc share.
//
//   namei_path.cc      whole walks: the ladder RCU, ref, REVAL; path_init, link_path_walk
//   namei_step.cc      one component: lookup_fast, step_into, dots
//   namei_lookup.cc    one name in one directory, asking the file system
//   namei_unlazy.cc    from RCU mode to ref mode; the end of a walk
//   namei_symlink.cc   following symbolic links
//   namei_mounts.cc    crossing mounts, down and up
//   namei_open.cc      the last component of an open
//   namei_outside.cc   the proposed order: names are found before their directory is locked
//   permission.cc      who may do what
//   attributes.cc      reading, changing, choosing modes and owners
//   directory_operations.cc   changes of directories, locks held
//   directory_names.cc        the same by parent and name: start_creating() and its family
//   directory_paths.cc        the same by path: the system calls
#pragma once

#include "dcsim/kernel/bug.h"
#include "dcsim/kernel/err.h"
#include "dcsim/vfs/namei.h"
#include "dcsim/vfs/proposed.h"
#include "dcsim/vfs/task.h"
#include "internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

/// A path name that passed getname_flags(). Owns nothing.
struct filename {
    const char *name;
};

/// Links whose saved state fits into nameidata itself.
inline constexpr unsigned EMBEDDED_LEVELS = 2;

/// nameidata::state
enum nameidata_state : unsigned {
    ND_ROOT_PRESET = 1,  ///< the caller chose the root and keeps its references
    ND_ROOT_GRABBED = 2, ///< `root` holds references
    ND_JUMPED = 4,       ///< the last step was no ordinary lookup: ask ->d_weak_revalidate()
};

/// Flags of walk_component() and step_into().
enum walk_flags : unsigned {
    WALK_TRAILING = 1, ///< the last component of the path
    WALK_MORE = 2,     ///< the link this component came from has more
    WALK_NOFOLLOW = 4, ///< do not follow whatever it is
};

/// A symbolic link that is being followed.
struct saved_link {
    path link; ///< references in ref mode; checked against `seq` in RCU mode
    delayed_call done;
    const char *name; ///< what is left of the path that the link was met in
    unsigned seq;
};

/// One walk. On the stack of whoever walks; nobody else sees it.
///
/// RCU mode (LOOKUP_RCU in `flags`): no references anywhere; `seq` is the d_seq of path.dentry when
/// it was reached, `next_seq` that of the dentry about to be stepped into, `root_seq` that of
/// root.dentry. Ref mode: `path`, `root` (if ND_ROOT_GRABBED) and the links hold references.
struct nameidata {
    struct path path;
    qstr last;
    struct path root;    ///< mnt is nullptr until somebody needs it
    struct inode *inode; ///< path.dentry's
    unsigned flags, state;
    unsigned seq, next_seq;
    unsigned m_seq; ///< mount_lock at the start
    unsigned r_seq; ///< rename_lock at the start
    last_component last_type;
    unsigned depth;
    int total_link_count;
    saved_link *stack; ///< `internal`, or MAXSYMLINKS of them from kmalloc()
    saved_link internal[EMBEDDED_LEVELS];
    const filename *name;
    nameidata *saved; ///< the walk that this one interrupts
    unsigned root_seq;
    int dfd;
    kuid_t dir_uid; ///< owner of the last directory, for rules about sticky ones
    umode_t dir_mode;
};

/// The calling thread's innermost walk, or nullptr.
inline nameidata *current_nameidata()
{
    return static_cast<nameidata *>(task_private(TASK_PRIVATE_NAMEIDATA));
}

/// Says to the lock analysis, and checks, that the walk is in RCU mode.
inline void assert_rcu_mode(const nameidata *nd) __assumes_held_shared(rcu)
{
    BUG_ON(!(nd->flags & LOOKUP_RCU));
}

/// Should a system call that got `error` try once more, with LOOKUP_REVAL?
inline bool retry_estale(int error, unsigned flags)
{
    return unlikely(error == -ESTALE && !(flags & LOOKUP_REVAL));
}

// --- namei_path.cc ---

/// Checks the length of a path name. 0, -ENOENT for "" without LOOKUP_EMPTY, -ENAMETOOLONG.
int getname_flags(const char *name, unsigned flags, filename *result);
/// For names that do not come from a system call: "" is the start. 0 or -ENAMETOOLONG.
int getname_kernel(const char *name, filename *result);
void set_nameidata(nameidata *nd, int dfd, const filename *name, const path *root);
void restore_nameidata();
/// Begins a walk: samples the locks' counts and finds the start. The path to walk or ERR_PTR. Must
/// be followed by terminate_walk(). Returns inside RCU when `flags` has LOOKUP_RCU (and the name is
/// not empty).
const char *path_init(nameidata *nd, unsigned flags);
/// Walks all but the last component of `name`, which ends up in nd->last. 0 or a negative errno.
int link_path_walk(const char *name, nameidata *nd);
/// One whole walk in the mode that `flags` say. 0 and references on `path`, or a negative errno.
int path_lookupat(nameidata *nd, unsigned flags, path *path);
/// 0 and references on `result`, or a negative errno. `root` nullptr: the task's.
int filename_lookup(int dfd, const filename *name, unsigned flags, path *result, const path *root);
/// The directory of the last component, referenced, and that component. `last` points into the
/// name.
int filename_parentat(int dfd, const filename *name, unsigned flags, path *parent, qstr *last,
                      last_component *type);
/// getname_flags() and filename_lookup().
int user_path_at(int dfd, const char *name, unsigned flags, path *result);

// --- namei_lookup.cc ---

/// >0: the cached entry is good; 0: it is stale; negative errno. -ECHILD, with LOOKUP_RCU in
/// `flags`: ask again in ref mode.
int d_revalidate(inode *dir, const qstr *name, dentry *dentry, unsigned flags);

// --- namei_step.cc ---

/// nd->last in nd->path.dentry from the cache. RCU mode: without a reference, nd->next_seq sampled.
/// nullptr: not cached, and in ref mode now. ERR_PTR.
dentry *lookup_fast(nameidata *nd);
/// One component. nullptr, or the body of a symbolic link to go on with, or ERR_PTR.
const char *walk_component(nameidata *nd, unsigned flags);
/// Steps into `dentry`, which nd->next_seq belongs to (RCU mode) or whose reference it consumes.
/// As walk_component().
const char *step_into(nameidata *nd, unsigned flags, dentry *dentry);
const char *handle_dots(nameidata *nd, last_component type);
int may_lookup(nameidata *nd);

// --- namei_unlazy.cc ---

/// RCU mode to ref mode, for nd->path, nd->root and the links. False: something moved; RCU is left
/// all the same and only terminate_walk() may follow.
bool try_to_unlazy(nameidata *nd);
/// The same, together with `dentry`, which nd->next_seq belongs to and which is referenced on
/// success.
bool try_to_unlazy_next(nameidata *nd, dentry *dentry);
/// The end of a successful walk: ref mode, still below the root if scoped, still valid if reached
/// by a jump. 0 or a negative errno.
int complete_walk(nameidata *nd);
/// Gives back everything the walk holds, and leaves RCU.
void terminate_walk(nameidata *nd);
/// References on what an RCU walk saw when d_seq was `seq` and mount_lock `mseq`. False: not all of
/// them; halves without one are nullptr. path_put() either way, outside RCU.
bool __legitimize_path(path *path, unsigned seq, unsigned mseq) __must_hold_shared(rcu);
bool legitimize_path(nameidata *nd, path *path, unsigned seq) __must_hold_shared(rcu);
bool nd_alloc_stack(nameidata *nd);

// --- namei_symlink.cc ---

/// Begins to follow `link` (its references are consumed in ref mode). As walk_component().
const char *pick_link(nameidata *nd, path *link, inode *inode, unsigned flags);
void put_link(nameidata *nd);
/// 0 or a negative errno; nd->root is the task's, if it has one.
int set_root(nameidata *nd);
/// To nd->root. 0; -EXDEV where the walk may not go there; -ENOENT for a task without a root;
/// -ECHILD in RCU mode.
int nd_jump_root(nameidata *nd);

// --- namei_mounts.cc ---

/// From `dentry` down to the root of what is mounted on it. 0 and `path`, or a negative errno with
/// the dentry's reference dropped (ref mode).
int handle_mounts(nameidata *nd, dentry *dentry, path *path);
/// Crosses all mounts at `path`, whose references it takes over. 0 or a negative errno.
int traverse_mounts(path *path, bool *jumped, int *count, unsigned lookup_flags);
/// One mount down. 1 when there was one, else 0.
int follow_down_one(path *path);
/// All mounts down. 0 or a negative errno.
int follow_down(path *path, unsigned flags);
/// From a mount's root to its mountpoint. 1, or 0 at the top.
int follow_up(path *path);
/// What ".." leads to. RCU form: nd->next_seq sampled, no reference; else referenced. ERR_PTR.
dentry *follow_dotdot_rcu(nameidata *nd) __must_hold_shared(rcu);
dentry *follow_dotdot(nameidata *nd);
bool path_connected(vfsmount *mnt, dentry *dentry);

// --- namei_open.cc ---

/// Opens `name` for the calling task, relative to descriptor `dfd`: the ladder of three passes. A
/// file with one reference, or ERR_PTR. Sleeps.
file *do_filp_open(int dfd, const filename *name, const open_flags *how);

/// lookup_open() once the name is found: `dentry`, whose reference it consumes, is in lookup or
/// negative, and the directory locked: for writing if op->open_flag has O_CREAT, else shared.
dentry *lookup_or_create(nameidata *nd, dentry *dentry, file *file, const open_flags *op,
                         bool got_write);

// --- namei_outside.cc: vfs_config::lookup_outside_rwsem. Nothing is locked on entry. ---

/// lookup_slow().
dentry *lookup_slow_outside(const qstr *name, dentry *dir, unsigned flags);
/// lookup_open(), with the locking of its caller.
dentry *lookup_open_outside(nameidata *nd, file *file, const open_flags *op, bool got_write);
/// __start_dirop(). The result may be in lookup: end_dirop() ends that.
dentry *start_dirop_outside(dentry *parent, const qstr *name, unsigned flags, const char *function);
/// lock_for_renaming(). The target may be in lookup: end_renaming() ends that.
int lock_for_renaming_outside(renamedata *rd, unsigned lookup_flags, const qstr *old_last,
                              const qstr *new_last, dentry **trap, const char *function);
/// start_renaming_dentry() once the new name is checked, likewise.
int start_renaming_dentry_outside(renamedata *rd, unsigned lookup_flags, dentry *old_dentry,
                                  const qstr *new_last);

// --- proposed.cc ---

/// Asks the file system if `dentry` is in lookup, and checks what came out: the second half of
/// lookup_one_qstr(), whose result it returns. The directory is locked. Consumes the reference.
/// `function` is what the caller is to be reminded of if it forgets that the result is in lookup.
dentry *lookup_one_found(inode *dir, dentry *dentry, unsigned flags, const char *function);

// --- permission.cc ---

/// Does the sticky bit of `dir` keep the calling task from removing names of `inode`?
bool check_sticky(const inode *dir, const inode *inode);
/// May the calling task give what `link` leads to another name? 0 or -EPERM.
int may_linkat(const path *link);

// --- attributes.cc ---

/// The mode of a new object in `dir`: umask and the rules of set-group-id directories applied,
/// reduced to `mask_perms`, with the file type of `type`.
umode_t vfs_prepare_mode(const inode *dir, umode_t mode, umode_t mask_perms, umode_t type);

// --- directory_names.cc ---

/// The lookup flags of a rename's target, for rename_flags: for an exchange it has to be there.
unsigned rename_target_flags(unsigned flags);
/// A directory must not become its own descendant, nor replace an ancestor of its own. `trap` is
/// what lock_rename() said. 0, -EINVAL or -ENOTEMPTY.
int check_trap(const dentry *trap, const dentry *source, const dentry *target, unsigned flags);
/// Is the dentry that is to move still hashed, and in rd->old_parent if that is given?
bool is_where_it_was(const renamedata *rd, const dentry *old_dentry);
/// start_dirop() for others of its family: `function` is the one that its user called, by whose
/// name a lookup that is never ended is reported.
dentry *__start_dirop(dentry *parent, const qstr *name, unsigned flags, const char *function);
/// Locks both parents of `rd` and finds both names: old_dentry and new_dentry, referenced. 0, or a
/// negative errno with nothing held. *trap is lock_rename()'s, for check_trap(). `function` as for
/// __start_dirop().
int lock_for_renaming(renamedata *rd, unsigned lookup_flags, const qstr *old_last,
                      const qstr *new_last, dentry **trap, const char *function);

// --- directory_paths.cc ---

/// The last component of a path that is to be made, with its parent locked (done_path_create()).
/// Referenced and negative, or ERR_PTR with nothing held. Linux v6.12 filename_create().
dentry *filename_create(int dfd, const filename *name, path *path, unsigned lookup_flags);
/// Linux v6.12 done_path_create().
void done_path_create(path *path, dentry *dentry);
int do_mknodat(int dfd, const char *name, umode_t mode, unsigned device);
int do_mkdirat(int dfd, const char *name, umode_t mode);
int do_rmdir(int dfd, const char *name);
int do_unlinkat(int dfd, const char *name);
int do_symlinkat(const char *body, int dfd, const char *name);
int do_linkat(int old_dfd, const char *old_name, int new_dfd, const char *new_name, unsigned flags);
int do_renameat2(int old_dfd, const char *old_name, int new_dfd, const char *new_name,
                 unsigned flags);

} // namespace dcsim::inline DCSIM_BACKEND
