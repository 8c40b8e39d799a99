// SPDX-License-Identifier: GPL-2.0-only
//
// What callers of the proposed primitives still have to do, and who they were.
//
// A lookup that was left open, or a dentry that was handed out and never dropped, is noticed long
// after the mistake: when the dentry dies or when its file system is unmounted. So whoever takes on
// such an obligation is noted here, and the complaint can say the function and the task. Only
// dentries with DCACHE_OBLIGATION have a note, so others cost a test of a bit when they die, and
// dput() a look at a word of the task's own. The notes are few, and when all are in use one of them
// goes: then the complaint names the rule alone.
//
// A complaint must not name somebody who did his part. A lookup to end is owed for as long as the
// dentry is in lookup. A reference is owed until its task drops one on that dentry, whichever: a
// task that had two may go unnamed, but none is named for what somebody else keeps.
#include <cstdio>
#include <cstring>

#include "dcache_internal.h"
#include "dcsim/kernel/bug.h"
#include "dcsim/vfs/lookup_era.h"
#include "dcsim/vfs/proposed.h"
#include "dcsim/vfs/task.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

struct note {
    const dentry *about; ///< nullptr: free
    obligation what;
    const char *function;
    const task_struct *who;
    char task[24]; ///< the name of `who`
};

constexpr unsigned max_notes = 64;

/// Guards the notes. Taken under a d_lock or none; nothing is taken under it.
spinlock_t notes_lock;
note notes[max_notes] __guarded_by(notes_lock);
unsigned next_note __guarded_by(notes_lock);

/// The lookup is over, and the dentry has lived on. It is in lookup only once.
bool is_done(const note &note) __must_hold(&notes_lock)
{
    return note.what == OWES_LOOKUP_DONE && !d_in_lookup(note.about);
}

/// A free place, else that of a lookup that is done, else the next one in turn.
note *place_for_note() __must_hold(&notes_lock)
{
    for (note &note : notes)
        if (!note.about)
            return &note;
    for (note &note : notes)
        if (is_done(note))
            return &note;
    next_note = (next_note + 1) % max_notes;
    return &notes[next_note];
}

/// Whether the dentry is in the in-lookup table: a spare one of d_alloc_parallel() never was.
bool in_lookup_table(const dentry *dentry) __must_hold(&dentry->d_lock)
{
    return (d_flags_locked(dentry) & DCACHE_PAR_LOOKUP) &&
           !hlist_bl_unhashed(&dentry->d_in_lookup_hash);
}

} // namespace

void obligations_init() __context_unsafe("there is nobody else yet")
{
    spin_lock_init(&notes_lock, "notes of obligations");
    memset(notes, 0, sizeof(notes));
    next_note = 0;
}

void note_obligation(dentry *dentry, obligation what, const char *function)
{
    note fresh = {dentry, what, function, get_current(), {}};

    name_current_task(fresh.task, sizeof(fresh.task));
    spin_lock(&dentry->d_lock);
    dentry->d_flags |= DCACHE_OBLIGATION;
    spin_lock(&notes_lock);
    *place_for_note() = fresh;
    spin_unlock(&notes_lock);
    spin_unlock(&dentry->d_lock);
    if (what == OWES_DPUT)
        task_private(TASK_PRIVATE_BLOCKER) = reinterpret_cast<void *>(1);
}

void blocker_is_dropped(const dentry *dentry)
{
    note *ended = nullptr;
    bool more = false;

    spin_lock(&notes_lock);
    for (note &note : notes) {
        if (!note.about || note.what != OWES_DPUT || note.who != get_current())
            continue;
        if (!ended && note.about == dentry)
            ended = &note;
        else
            more = true;
    }
    if (ended)
        ended->about = nullptr;
    spin_unlock(&notes_lock);
    if (!more)
        task_private(TASK_PRIVATE_BLOCKER) = nullptr;
}

namespace
{

/// Appends what `note` says, after `used` bytes of `text`. How many are used then.
size_t append_note(const note &note, char *text, size_t bytes, size_t used) __must_hold(&notes_lock)
{
    if (used < bytes)
        used += static_cast<size_t>(
            snprintf(text + used, bytes - used,
                     note.what == OWES_DPUT
                         ? "%s handed to %s by %s(): whoever gets a blocker drops it, with dput()"
                         : "%s %s got it from %s(): d_lookup_done() must follow",
                     used && text[used - 1] == ':' ? "" : ";", note.task, note.function));
    return used;
}

/// What is owed for `dentry`, of the kinds that `asked` says.
void describe_notes(const dentry *dentry, bool (*asked)(obligation), char *text, size_t bytes)
    __must_hold(&dentry->d_lock, &notes_lock)
{
    size_t used = 0;

    text[0] = '\0';
    for (const note &note : notes) {
        if (note.about != dentry || !asked(note.what))
            continue;
        // Done, and the dentry has lived on.
        if (note.what == OWES_LOOKUP_DONE && !in_lookup_table(dentry))
            continue;
        used = append_note(note, text, bytes, used);
    }
}

} // namespace

void describe_obligations(const dentry *dentry, char *text, size_t bytes)
{
    spin_lock(&notes_lock);
    describe_notes(
        dentry, [](obligation) { return true; }, text, bytes);
    spin_unlock(&notes_lock);
}

void describe_owed_lookup(const dentry *dentry, char *text, size_t bytes)
    __context_unsafe("the model's reports, while every task stands still")
{
    size_t used = 0;

    text[0] = '\0';
    for (const note &note : notes)
        if (note.about == dentry && note.what == OWES_LOOKUP_DONE)
            used = append_note(note, text, bytes, used);
}

void describe_open_obligations(char *text, size_t bytes)
{
    size_t used = 0;

    text[0] = '\0';
    spin_lock(&notes_lock);
    for (const note &note : notes) {
        // Its d_lock comes before that of the notes, so these may be a moment old. The dentry is
        // there: it does not die before its notes are taken off.
        if (!note.about || is_done(note))
            continue;
        if (used < bytes)
            used += static_cast<size_t>(snprintf(
                text + used, bytes - used,
                "; \"%s\":", reinterpret_cast<const char *>(READ_ONCE(note.about->d_name.name))));
        used = append_note(note, text, bytes, used);
    }
    spin_unlock(&notes_lock);
}

namespace
{

/// Complains, and repairs the table, if nobody ended the lookup of a dying dentry.
void check_lookup_is_over(dentry *dentry) __must_hold(&dentry->d_lock)
{
    char by_whom[200], task[24];
    hlist_bl_head *b;

    if (likely(!in_lookup_table(dentry)))
        return;
    // Most often whoever dropped the last reference: the owner, or somebody who dropped one too
    // many. Now and then a shrinker that came in between.
    name_current_task(task, sizeof(task));
    // Reported with the lock of the notes held: the model looks at every dentry when a lock is
    // released, and would name a consequence instead.
    spin_lock(&notes_lock);
    describe_notes(
        dentry, [](obligation what) { return what == OWES_LOOKUP_DONE; }, by_whom, sizeof(by_whom));
    WARN(true,
         "dentry \"%s\" dies in lookup, killed by %s: its owner ends a lookup, with "
         "d_lookup_done(), before it drops its last reference%s",
         reinterpret_cast<const char *>(READ_ONCE(dentry->d_name.name)), task, by_whom);
    spin_unlock(&notes_lock);
    // The table must not keep what is about to be freed.
    b = in_lookup_hash(READ_LOCKED(dentry->d_parent), dentry->d_name.hash());
    hlist_bl_lock(b);
    dentry->d_flags &= ~DCACHE_PAR_LOOKUP;
    __hlist_bl_del(&dentry->d_in_lookup_hash);
    hlist_bl_unlock(b);
    dentry->waiters = nullptr;
    // Where d_wait was, d_lru is again, unless a shrinker has come between the last reference and
    // d_lock and linked it. The queue is not looked at: its owner may be gone, and nobody sleeps on
    // it, for who waits has a reference.
    if (lookup_era_has_caller_queue(current_lookup_era()) &&
        !(d_flags_locked(dentry) & DCACHE_SHRINK_LIST))
        INIT_LIST_HEAD(&dentry->d_lru);
}

} // namespace

void settle_obligations(dentry *dentry)
{
    check_lookup_is_over(dentry);
    if (likely(!(d_flags_locked(dentry) & DCACHE_OBLIGATION)))
        return;
    spin_lock(&notes_lock);
    for (note &note : notes)
        if (note.about == dentry)
            note.about = nullptr;
    spin_unlock(&notes_lock);
}

void check_nothing_locked(const dentry *parent, const qstr *name)
{
    char task[24];

    if (likely(!rwsem_held_by_caller(&d_inode(parent)->i_rwsem)))
        return;
    name_current_task(task, sizeof(task));
    WARN(true,
         "%s calls d_alloc_parallel() for \"%.*s\" with the i_rwsem of the directory held: in this "
         "order names are allocated before it is taken and never under it, because the owner of an "
         "in-lookup dentry may be waiting for it",
         task, static_cast<int>(name->len), reinterpret_cast<const char *>(name->name));
}

} // namespace dcsim::inline DCSIM_BACKEND
