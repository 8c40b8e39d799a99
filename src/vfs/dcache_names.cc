// SPDX-License-Identifier: GPL-2.0-only
//
// Names of dentries. Up to 39 bytes live in the dentry; longer ones in a block of their own that is
// never changed once published, so a reader that got hold of the pointer under RCU reads one name
// or the other, never a mixture. Renames rewrite inline names word by word inside a d_seq section.
//
// Locking: writers hold d_lock and a d_seq write section of every dentry concerned. Readers hold
// d_lock, or RCU and check d_seq.
#include "dcache_internal.h"

#include <utility>

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

qstr static_name(const char *text)
{
    return make_qstr(text, static_cast<u32>(strlen(text)));
}

struct external_name *external_name_of(const unsigned char *text)
{
    return reinterpret_cast<struct external_name *>(const_cast<unsigned char *>(text)) - 1;
}

void copy_shortname(shortname_store *to, const shortname_store *from)
{
    for (unsigned i = 0; i < DNAME_INLINE_WORDS; i++)
        WRITE_ONCE(to->words[i], READ_ONCE(from->words[i]));
}

template <typename T>
void swap_fields(once<T> &a, once<T> &b)
{
    T value = READ_LOCKED(a);

    WRITE_ONCE(a, READ_LOCKED(b));
    WRITE_ONCE(b, value);
}

} // namespace

const qstr empty_name = static_name("");
const qstr slash_name = static_name("/");
const qstr dotdot_name = static_name("..");

// Linux v7.2 fs/dcache.c dname_external().
bool dname_external(const dentry *dentry)
{
    return READ_ONCE(dentry->d_name.name) != dentry->d_shortname.string();
}

// Linux v7.2 fs/dcache.c external_name().
struct external_name *external_name(const dentry *dentry)
{
    return external_name_of(READ_ONCE(dentry->d_name.name));
}

// Linux v7.2 fs/dcache.c dentry_string_cmp(), word-at-a-time form.
//
// `cs` is a dentry's name: aligned, and readable up to the end of the word that holds its NUL. `ct`
// is anybody's memory and is not read beyond tcount bytes.
static int dentry_string_cmp(const unsigned char *cs, const unsigned char *ct, unsigned tcount)
{
    while (tcount >= sizeof(unsigned long)) {
        if (read_word_at_a_time(cs) != load_word(ct))
            return 1;
        cs += sizeof(unsigned long);
        ct += sizeof(unsigned long);
        tcount -= sizeof(unsigned long);
    }
    if (!tcount)
        return 0;

    unsigned long mask = (1ul << (tcount * 8)) - 1;
    return ((read_word_at_a_time(cs) ^ load_partial_word(ct, tcount)) & mask) != 0;
}

// Linux v7.2 fs/dcache.c dentry_cmp().
//
// The caller may have paired a length with the wrong name if a rename is under way. That is
// harmless: the name pointer is loaded once, every name ends in a NUL inside its own storage, and
// `ct` holds no NUL, so a comparison that runs too long stops there. d_seq rejects the rest.
int dentry_cmp(const dentry *dentry, const unsigned char *ct, unsigned tcount)
{
    return dentry_string_cmp(READ_ONCE(dentry->d_name.name), ct, tcount);
}

// Linux v7.2 fs/dcache.c take_dentry_name_snapshot().
void take_dentry_name_snapshot(name_snapshot *snapshot, dentry *dentry)
{
    const unsigned char *name;
    unsigned seq;

    rcu_read_lock();
retry:
    seq = read_seqcount_begin(&dentry->d_seq);
    name = READ_ONCE(dentry->d_name.name);
    snapshot->name.hash_len = READ_ONCE(dentry->d_name.hash_len);
    snapshot->name.name = snapshot->inline_name.string();
    if (likely(name == dentry->d_shortname.string())) {
        copy_shortname(&snapshot->inline_name, &dentry->d_shortname);
    } else {
        // A count of zero means that a rename has just thrown this name away: RCU keeps the block
        // readable, but its last reference is gone for good.
        if (unlikely(!atomic_inc_not_zero(&external_name_of(name)->count)))
            goto retry;
        snapshot->name.name = name;
    }
    if (read_seqcount_retry(&dentry->d_seq, seq)) {
        release_dentry_name_snapshot(snapshot);
        goto retry;
    }
    rcu_read_unlock();
}

// Linux v7.2 fs/dcache.c release_dentry_name_snapshot().
void release_dentry_name_snapshot(name_snapshot *snapshot)
{
    if (likely(snapshot->name.name == snapshot->inline_name.string()))
        return;

    struct external_name *name = external_name_of(snapshot->name.name);
    if (unlikely(atomic_dec_and_test(&name->count)))
        kfree_rcu(name);
}

void set_inline_name(dentry *dentry, const qstr *name)
{
    shortname_store text = {};

    memcpy(text.string(), name->name, name->len);
    copy_shortname(&dentry->d_shortname, &text);
    WRITE_ONCE(dentry->d_name.hash_len, hashlen_create(dentry->d_name.hash(), name->len));
}

// Linux v7.2 fs/dcache.c swap_names().
void swap_names(dentry *dentry, struct dentry *target)
{
    if (unlikely(dname_external(target))) {
        if (unlikely(dname_external(dentry))) {
            swap_fields(target->d_name.name, dentry->d_name.name);
        } else {
            // The external block changes hands; target gets the inline text.
            WRITE_ONCE(dentry->d_name.name, READ_LOCKED(target->d_name.name));
            copy_shortname(&target->d_shortname, &dentry->d_shortname);
            WRITE_ONCE(target->d_name.name, target->d_shortname.string());
        }
    } else if (unlikely(dname_external(dentry))) {
        WRITE_ONCE(target->d_name.name, READ_LOCKED(dentry->d_name.name));
        copy_shortname(&dentry->d_shortname, &target->d_shortname);
        WRITE_ONCE(dentry->d_name.name, dentry->d_shortname.string());
    } else {
        for (unsigned i = 0; i < DNAME_INLINE_WORDS; i++)
            swap_fields(dentry->d_shortname.words[i], target->d_shortname.words[i]);
    }
    swap_fields(dentry->d_name.hash_len, target->d_name.hash_len);
}

// Linux v7.2 fs/dcache.c copy_name().
void copy_name(dentry *dentry, struct dentry *target)
{
    struct external_name *old_name = nullptr;

    if (unlikely(dname_external(dentry)))
        old_name = external_name(dentry);
    if (unlikely(dname_external(target))) {
        atomic_inc(&external_name(target)->count);
        WRITE_ONCE(dentry->d_name.hash_len, READ_LOCKED(target->d_name.hash_len));
        WRITE_ONCE(dentry->d_name.name, READ_LOCKED(target->d_name.name));
    } else {
        copy_shortname(&dentry->d_shortname, &target->d_shortname);
        WRITE_ONCE(dentry->d_name.name, dentry->d_shortname.string());
        WRITE_ONCE(dentry->d_name.hash_len, READ_LOCKED(target->d_name.hash_len));
    }
    if (old_name && likely(atomic_dec_and_test(&old_name->count)))
        kfree_rcu(old_name);
}

} // namespace dcsim::inline DCSIM_BACKEND
