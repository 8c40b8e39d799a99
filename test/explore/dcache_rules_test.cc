// SPDX-License-Identifier: GPL-2.0-only
//
// Rules of the dcache that take two tasks and one moment between two stores: real threads meet it
// too seldom for a test. Each program is small enough to be searched whole, and each search was
// seen to find the port with its rule broken.
#include "dcsim/testing/explore_gtest.h"

#include <cstring>
#include <initializer_list>
#include <string>

#include "dcsim/kernel/err.h"
#include "dcsim/mockfs/memfs.h"
#include "dcsim/vfs/mount.h"
#include "dcsim/vfs/namei.h"
#include "dcsim/vfs/vfs.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

constexpr char name[] = "a";
constexpr char long_name[] = "a name that has no room inside a dentry of 192 bytes";

// What the set-up made. Constant from then on: it is made once for all executions.
super_block *sb;
dentry *held; ///< with a reference that is the end's to drop
dentry *last; ///< with one that is for a task to drop
inode *owned; ///< with one that is the end's

u32 length_of(const char *text)
{
    return static_cast<u32>(strlen(text));
}

dentry *find(const char *text)
{
    return lookup_path(sb->s_root, text, length_of(text));
}

/// A file on the disk, not in the cache.
void mount_with(const char *text)
{
    vfs_init({.dhash_entries = 2, .ihash_entries = 2, .in_lookup_shift = 0});
    sb = memfs_mount({}, "test");
    memfs_add_node(sb, memfs_root_node(sb), text, length_of(text), S_IFREG_TYPE | 0644, nullptr);
    held = nullptr;
    owned = nullptr;
}

void unmount()
{
    dput(held);
    iput(owned);
    explore_check(memfs_unmount(sb) == 0, "nothing is in use");
    explore_check(vfs_exit().none(), "nothing is left");
}

dentry *allocate(const char *text)
{
    qstr q = make_hashed_qstr(sb->s_root, text, length_of(text));
    return d_alloc(sb->s_root, &q);
}

/// The inode of the only file, with a reference.
inode *file_inode()
{
    dentry *file = find(name);
    inode *inode = d_inode(file);

    ihold(inode);
    dput(file);
    return inode;
}

// An entry that was hashed first and got its inode afterwards would be a file that does not exist
// to a walker who comes in between: its d_seq does not move.
EXPLORE(Publishing, AnEntryIsNotFoundBeforeItHasItsInode)
{
    program.setup = [] { mount_with(name); };
    program.tasks = {{"publisher", [] { dput(find(name)); }},
                     {"walker", [] {
                          qstr q = make_hashed_qstr(sb->s_root, name, length_of(name));
                          unsigned seq;

                          rcu_read_lock();
                          dentry *found = __d_lookup_rcu(sb->s_root, &q, &seq);
                          if (found) {
                              inode *inode = d_inode_rcu(found);
                              explore_check(read_seqcount_retry(&found->d_seq, seq) || inode,
                                            "a file that exists is not found negative");
                          }
                          rcu_read_unlock();
                      }}};
    program.finally = unmount;
}

// Whoever asks the type first, and then follows the inode.
EXPLORE(TypeAndInode, TurningPositiveTheInodeComesFirst)
{
    program.setup = [] {
        mount_with(name);
        held = allocate("another");
    };
    program.tasks = {{"A", [] { d_instantiate(held, file_inode()); }},
                     {"B", [] {
                          bool positive = d_is_positive(held);
                          explore_check(!positive || d_inode_rcu(held),
                                        "what has a type has an inode");
                      }}};
    program.finally = unmount;
}

EXPLORE(TypeAndInode, TurningNegativeTheTypeGoesFirst)
{
    program.setup = [] {
        mount_with(name);
        held = find(name);
    };
    program.tasks = {{"A", [] { d_delete(held); }},
                     {"B", [] {
                          bool has_inode = d_inode_rcu(held);
                          explore_check(has_inode || d_is_negative(held),
                                        "what lost its inode has lost its type");
                      }}};
    program.finally = unmount;
}

// The reader may have the pointer to a long name when a move takes the name away.
EXPLORE(LongName, StaysInMemoryUnderASnapshot)
{
    program.setup = [] {
        mount_with(long_name);
        held = find(long_name);
    };
    program.tasks = {{"mover",
                      [] {
                          dentry *target = allocate(name);
                          d_move(held, target);
                          dput(target);
                      }},
                     {"reader", [] {
                          name_snapshot snapshot;

                          take_dentry_name_snapshot(&snapshot, held);
                          explore_check(snapshot.name.len == length_of(name) ||
                                            snapshot.name.len == length_of(long_name),
                                        "the name is one of the two");
                          release_dentry_name_snapshot(&snapshot);
                      }}};
    program.finally = unmount;
}

// Between the count that has become zero and the lock, a dentry is anybody's to kill.
EXPLORE(LastReference, IsDroppedWhileOthersKill)
{
    program.setup = [] {
        mount_with(name);
        dput(find(name)); // on the LRU
    };
    program.tasks = {{"user",
                      [] {
                          qstr q = make_hashed_qstr(sb->s_root, name, length_of(name));
                          dput(d_lookup(sb->s_root, &q));
                      }},
                     {"shrinker", [] { shrink_dcache_parent(sb->s_root); }}};
    program.finally = unmount;
}

// --- From one lock to the next: what keeps the dentry in memory in between is RCU ---

/// d_alloc_parallel() of a name that nobody publishes.
void look_up_in_vain()
{
    qstr q = make_hashed_qstr(sb->s_root, name, length_of(name));
    dentry *fresh = d_alloc_parallel(sb->s_root, &q);

    d_lookup_done(fresh);
    dput(fresh);
}

EXPLORE(StepToTheNextLock, FromTheBucketOfTheInLookupTable)
{
    program.setup = [] { mount_with(long_name); };
    program.tasks = {{"A", look_up_in_vain}, {"B", look_up_in_vain}};
    program.finally = unmount;
}

// dput() has the d_lock, wants the i_lock too, and must let go of the first to wait for the second.
EXPLORE(StepToTheNextLock, FromTheInodeBackToTheDentry)
{
    program.setup = [] {
        mount_with(name);
        owned = file_inode();
        last = find(name);
        d_drop(last);
    };
    program.tasks = {{"user", [] { dput(last); }}, {"pruner", [] { d_prune_aliases(owned); }}};
    program.finally = unmount;
}

// A walk leaves a directory that is killed behind its back, and goes on with its next sibling.
EXPLORE(StepToTheNextLock, FromAChildBackToItsParent)
{
    program.setup = [] {
        mount_with(name);
        mkdir_at(sb->s_root, "d", 1, 0755);
        dentry *directory = find("d");
        create_at(directory, "x", 1, 0644);
        last = find("d/x");
        d_drop(last);
        d_drop(directory);
        dput(directory);
    };
    program.tasks = {{"user", [] { dput(last); }},
                     {"walker", [] { shrink_dcache_parent(sb->s_root); }}};
    program.options.preemptions = 1; // two take twenty seconds
    program.finally = unmount;
}

/// By path, each after those above it.
void make_directories(std::initializer_list<const char *> paths)
{
    for (const char *path : paths) {
        const char *slash = strrchr(path, '/');
        const char *text = slash ? slash + 1 : path;
        const std::string above(path, slash ? static_cast<size_t>(slash - path) : 0);
        dentry *parent = slash ? find(above.c_str()) : dget(sb->s_root);

        mkdir_at(parent, text, length_of(text), 0755);
        dput(parent);
    }
}

// A walk comes up from a directory that was moved meanwhile: its parent leads out of the tree that
// is to be walked, up to the root and never back to the start.
EXPLORE(Walk, DoesNotLeaveItsTreeWithWhatMovesAway)
{
    static dentry *start, *target;
    static mount *top;

    program.setup = [] {
        mount_with(name);
        make_directories({"from", "to", "from/moving", "from/moving/x", "from/moving/x/y"});
        held = find("from/moving/x");
        start = find("from");
        dentry *to = find("to");
        qstr q = make_hashed_qstr(to, name, length_of(name));
        target = d_alloc(to, &q);
        dput(to);
        top = vfs_create_mount(sb);
    };
    program.tasks = {{"mover", [] { d_move(READ_ONCE(held->d_parent), target); }},
                     {"walker", [] {
                          const path tree = {&top->mnt, start};
                          explore_check(!path_has_submounts(&tree), "nothing is mounted");
                      }}};
    program.options.preemptions = 1;
    program.finally = [] {
        dput(start);
        dput(target);
        mntput(&top->mnt);
        unmount();
    };
}

// "leaf" is below "inside" at every moment, though not on one path: first at the end of the chain,
// and directly in "inside" by the time the chain leaves.
EXPLORE(Walk, UpwardsMissesNoAncestor)
{
    static dentry *inside, *leaf, *chain, *twin_of_leaf, *twin_of_chain;

    program.setup = [] {
        mount_with(name);
        make_directories({"inside", "outside", "inside/chain", "inside/chain/leaf", "inside/twin",
                          "outside/twin"});
        inside = find("inside");
        chain = find("inside/chain");
        leaf = find("inside/chain/leaf");
        twin_of_leaf = find("inside/twin");
        twin_of_chain = find("outside/twin");
    };
    program.tasks = {
        {"mover",
         [] {
             d_exchange(leaf, twin_of_leaf);
             d_exchange(chain, twin_of_chain);
         }},
        {"reader", [] { explore_check(is_subdir(leaf, inside), "it is below at every moment"); }}};
    program.finally = [] {
        for (dentry *dentry : {inside, leaf, chain, twin_of_leaf, twin_of_chain})
            dput(dentry);
        unmount();
    };
}

EXPLORE(Walk, UpwardsGivesAPathOfOneMoment)
{
    static dentry *from, *moving, *target;

    program.setup = [] {
        mount_with(name);
        make_directories({"from", "to", "from/old", "from/old/x"});
        from = find("from");
        moving = find("from/old");
        held = find("from/old/x");
        dentry *to = find("to");
        qstr q = make_hashed_qstr(to, "new", 3);
        target = d_alloc(to, &q);
        dput(to);
    };
    program.tasks = {{"mover", [] { d_move(moving, target); }},
                     {"reader", [] {
                          char buffer[64];
                          const char *path = dentry_path_raw(held, buffer, sizeof(buffer));

                          explore_check(!strcmp(path, "/from/old/x") || !strcmp(path, "/to/new/x"),
                                        "the path is one of the two");
                      }}};
    program.finally = [] {
        dput(from);
        dput(moving);
        dput(target);
        unmount();
    };
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
