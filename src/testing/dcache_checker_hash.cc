// SPDX-License-Identifier: GPL-2.0-only
//
// Rules about hash chains and names.
//
// While a dentry is on a chain, of the hash or of the in-lookup table, its parent and name do not
// change: renames take it off first. So others on the chain may be compared with, locked or not.
#include <cstring>

#include "dcache_checker_internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

/// Whether the other one has the dentry's parent and the text of its name. Says nothing about file
/// systems with an equality of their own.
bool is_twin(const dentry_facts &dentry, const struct dentry *other)
{
    if (other == dentry.dentry || glance(other->d_parent) != dentry.parent ||
        glance(other->d_name.hash_len) != dentry.hash_len || dentry.killed())
        return false;
    return !memcmp(glance(other->d_name.name), dentry.name, dentry.name_length()) &&
           !(glance(dentry.parent->d_flags) & DCACHE_OP_COMPARE);
}

/// How many of the dentries that are not killed point at this text.
struct text_users {
    const unsigned char *text;
    int found;
};

void count_text_user(void *argument, const allocation &found)
{
    auto *users = static_cast<text_users *>(argument);
    const auto *dentry = static_cast<const struct dentry *>(found.object);

    users->found += glance(dentry->d_name.name) == users->text &&
                    !(glance(dentry->d_flags) & DCACHE_DENTRY_KILLED);
}

int users_of_text(const unsigned char *text)
{
    text_users users = {text, 0};

    arena_for_each_live("dentry", count_text_user, &users);
    return users.found;
}

bool is_external(const dentry_facts &dentry)
{
    return dentry.name != dentry.dentry->d_shortname.string();
}

int external_count(const dentry_facts &dentry)
{
    return glance(reinterpret_cast<const struct external_name *>(dentry.name)[-1].count);
}

/// The hash value that a lookup of this name below this parent comes with.
u32 expected_hash(const dentry_facts &dentry)
{
    const auto *text = reinterpret_cast<const char *>(dentry.name);
    qstr name = make_hashed_qstr(dentry.parent, text, dentry.name_length());

    if (glance(dentry.parent->d_flags) & DCACHE_OP_HASH)
        dentry.parent->d_op->d_hash(dentry.parent, &name);
    return name.hash;
}

} // namespace

chain_position walk_chain(const hlist_bl_head *head, size_t offset, const dentry_facts &dentry)
{
    chain_position position = {};
    const hlist_bl_node *node = hlist_bl_pointer(glance(head->first));

    for (; node && position.length < endless; node = glance(node->next)) {
        const auto *found =
            reinterpret_cast<const struct dentry *>(reinterpret_cast<const char *>(node) - offset);
        position.length++;
        position.times += found == dentry.dentry;
        if (is_twin(dentry, found))
            position.twin = found;
    }
    return position;
}

void look_at_hash_chain(dentry_facts *dentry)
{
    dentry->hash =
        walk_chain(d_hash(dentry->name_hash()), offsetof(struct dentry, d_hash), *dentry);
}

bool hashed_can_be_found(const dentry_facts &dentry, broken_invariant *broken)
{
    if (dentry.hash.length == endless)
        return fails(broken, dentry, "its hash chain has no end");
    if (dentry.hash.times == dentry.hashed)
        return true;
    return fails(broken, dentry, "%s, and %u times on the chain of hash value %#x",
                 dentry.hashed ? "hashed" : "unhashed", dentry.hash.times, dentry.name_hash());
}

bool one_dentry_per_name(const dentry_facts &dentry, broken_invariant *broken)
{
    if (!dentry.hash.times || !dentry.hash.twin)
        return true;
    return fails(broken, dentry, "%p is hashed under the same name",
                 static_cast<const void *>(dentry.hash.twin));
}

// With ->d_compare(): may be asked at rest only, because it comes with schedule points.
bool one_dentry_per_spelling(const dentry_facts &dentry, rest_totals *, broken_invariant *broken)
{
    const qstr name = {{.hash_len = dentry.hash_len}, dentry.name};
    const hlist_bl_node *node;

    if (!dentry.hash.times || !(glance(dentry.parent->d_flags) & DCACHE_OP_COMPARE))
        return true;
    node = hlist_bl_pointer(glance(d_hash(dentry.name_hash())->first));
    for (; node; node = glance(node->next)) {
        const auto *other = container_of(const_cast<hlist_bl_node *>(node), struct dentry, d_hash);
        if (other != dentry.dentry && glance(other->d_parent) == dentry.parent &&
            d_same_name(other, dentry.parent, &name))
            return fails(broken, dentry, "%p is hashed under a name that counts as equal",
                         static_cast<const void *>(other));
    }
    return true;
}

bool name_in_order(const dentry_facts &dentry, broken_invariant *broken)
{
    const u32 length = dentry.name_length();

    if (dentry.dead())
        return true;
    if (is_external(dentry) != (length >= DNAME_INLINE_LEN))
        return fails(broken, dentry, "%u bytes long and %s the dentry", length,
                     is_external(dentry) ? "outside" : "inside");
    if (is_external(dentry) && external_count(dentry) <= 0)
        return fails(broken, dentry, "its name has count %d", external_count(dentry));
    if (dentry.name[length] || dentry.dentry->d_shortname.string()[DNAME_INLINE_LEN - 1])
        return fails(broken, dentry, "a name without its NUL");
    // A name that is only in use elsewhere may have been hashed for another purpose.
    if (!dentry.hashed || glance(dentry.parent->d_flags) & DCACHE_OP_HASH)
        return true;
    if (dentry.name_hash() != expected_hash(dentry))
        return fails(broken, dentry, "hash value %#x, its text has %#x", dentry.name_hash(),
                     expected_hash(dentry));
    return true;
}

bool name_in_order_at_rest(const dentry_facts &dentry, rest_totals *, broken_invariant *broken)
{
    if (dentry.dead())
        return true;
    if (dentry.hashed && dentry.name_hash() != expected_hash(dentry))
        return fails(broken, dentry, "hash value %#x, d_hash says %#x", dentry.name_hash(),
                     expected_hash(dentry));
    if (is_external(dentry) && external_count(dentry) != users_of_text(dentry.name))
        return fails(broken, dentry, "its name has count %d and %d users", external_count(dentry),
                     users_of_text(dentry.name));
    return true;
}

bool sequence_even(const dentry_facts &dentry, broken_invariant *broken)
{
    if (!(dentry.sequence & 1))
        return true;
    return fails(broken, dentry, "d_seq is %u and d_lock free", dentry.sequence);
}

} // namespace dcsim::inline DCSIM_BACKEND
