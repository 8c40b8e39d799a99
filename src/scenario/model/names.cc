// SPDX-License-Identifier: GPL-2.0-only
//
// Names for addresses, in the words of the port's own structures.
//
// Two dentries of one name are told apart by who allocated them: the spare that task B brought to
// d_alloc_parallel() is "/a[B]". What the set-up made has no such mark.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <iterator>

#include "dcache_internal.h"
#include "dcsim/scenario/program.h"
#include "dcsim/testing/dcache_checker.h"
#include "dcsim/vfs/lookup_era.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

/// How a field's value is written.
enum class field_form : uint8_t { number, flags, pointer, name_pointer, lock, none };

struct field_name {
    uint16_t offset;
    uint8_t bytes;
    field_form form;
    const char *name;
};

#define DCSIM_FIELD(type, field, form)                                                             \
    {                                                                                              \
        static_cast<uint16_t>(offsetof(type, field)), sizeof(type::field), field_form::form,       \
            #field                                                                                 \
    }

constexpr field_name dentry_fields[] = {
    DCSIM_FIELD(dentry, d_flags, flags),
    DCSIM_FIELD(dentry, d_seq, number),
    {static_cast<uint16_t>(offsetof(dentry, d_hash)), 8, field_form::pointer, "d_hash.next"},
    {static_cast<uint16_t>(offsetof(dentry, d_hash) + 8), 8, field_form::pointer, "d_hash.pprev"},
    DCSIM_FIELD(dentry, d_parent, pointer),
    {static_cast<uint16_t>(offsetof(dentry, d_name)), 8, field_form::none, "d_name.hash_len"},
    {static_cast<uint16_t>(offsetof(dentry, d_name) + 8), 8, field_form::name_pointer,
     "d_name.name"},
    DCSIM_FIELD(dentry, d_inode, pointer),
    DCSIM_FIELD(dentry, d_shortname, none),
    DCSIM_FIELD(dentry, d_op, pointer),
    DCSIM_FIELD(dentry, d_sb, pointer),
    DCSIM_FIELD(dentry, d_time, none),
    DCSIM_FIELD(dentry, d_fsdata, pointer),
    {static_cast<uint16_t>(offsetof(dentry, d_lockref)), 4, field_form::lock, "d_lock"},
    {static_cast<uint16_t>(offsetof(dentry, d_lockref) + 4), 4, field_form::number, "d_count"},
    DCSIM_FIELD(dentry, d_lru, none),
    DCSIM_FIELD(dentry, d_sib, none),
    DCSIM_FIELD(dentry, d_children, pointer),
    DCSIM_FIELD(dentry, d_alias, none),
};

// What else there is in the room of d_lru and of d_alias.
constexpr field_name d_wait_field = DCSIM_FIELD(dentry, d_wait, pointer);
constexpr field_name d_in_lookup_hash_field = DCSIM_FIELD(dentry, d_in_lookup_hash, none);
constexpr field_name d_rcu_field = DCSIM_FIELD(dentry, d_rcu, none);
constexpr field_name waiters_field = DCSIM_FIELD(dentry, waiters, none);

constexpr field_name inode_fields[] = {
    DCSIM_FIELD(inode, i_mode, flags),   DCSIM_FIELD(inode, i_opflags, flags),
    DCSIM_FIELD(inode, i_uid, none),     DCSIM_FIELD(inode, i_gid, none),
    DCSIM_FIELD(inode, i_flags, flags),  DCSIM_FIELD(inode, i_link, none),
    DCSIM_FIELD(inode, i_size, none),    DCSIM_FIELD(inode, i_nlink, number),
    DCSIM_FIELD(inode, i_count, number), DCSIM_FIELD(inode, i_lock, lock),
    DCSIM_FIELD(inode, i_state, flags),  DCSIM_FIELD(inode, i_dentry, pointer),
    DCSIM_FIELD(inode, i_rwsem, none),   DCSIM_FIELD(inode, i_dir_seq, number),
    DCSIM_FIELD(inode, i_hash, none),    DCSIM_FIELD(inode, i_sb_list, none),
    DCSIM_FIELD(inode, i_rcu, none),
};

constexpr field_name super_block_fields[] = {
    DCSIM_FIELD(super_block, s_umount, none),
    DCSIM_FIELD(super_block, s_vfs_rename_mutex, none),
    DCSIM_FIELD(super_block, s_dentry_lru, none),
    DCSIM_FIELD(super_block, s_roots_lock, lock),
    DCSIM_FIELD(super_block, s_roots, pointer),
    DCSIM_FIELD(super_block, s_inode_list_lock, lock),
    DCSIM_FIELD(super_block, s_inodes, none),
};

#undef DCSIM_FIELD

template <size_t Count>
const field_name *field_at(const field_name (&fields)[Count], size_t offset)
{
    for (const field_name &field : fields)
        if (offset >= field.offset && offset < field.offset + size_t{field.bytes})
            return &field;
    return nullptr;
}

/// In its unions a dentry has what its state says (include/dcsim/vfs/dcache.h).
const field_name *field_of(const dentry *dentry, size_t offset)
{
    const field_name *field = field_at(dentry_fields, offset);
    const unsigned flags = *dentry->d_flags.word();

    if (field && field->offset == d_wait_field.offset)
        return flags & DCACHE_PAR_LOOKUP && lookup_era_has_caller_queue(current_lookup_era())
                   ? &d_wait_field
                   : field;
    if (!field || field->offset != d_rcu_field.offset)
        return field;
    if (flags & DCACHE_PAR_LOOKUP)
        return &d_in_lookup_hash_field;
    if (flags & DCACHE_DENTRY_KILLED)
        return &d_rcu_field;
    return *dentry->d_inode.word() ? field : &waiters_field;
}

enum class object_kind : uint8_t { unknown, dentry, inode, super_block };

/// What an address lies in.
struct port_object {
    object_kind kind = object_kind::unknown;
    const allocation *memory = nullptr;
    const field_name *field = nullptr;
};

port_object find_object(super_block *sb, const void *address)
{
    port_object found;

    found.memory = in_arena(address) ? arena_find(address) : nullptr;
    if (!found.memory)
        return found;
    const auto offset = static_cast<size_t>(static_cast<const char *>(address) -
                                            static_cast<const char *>(found.memory->object));
    if (!strcmp(found.memory->pool, "dentry")) {
        found.kind = object_kind::dentry;
        found.field = found.memory->freed
                          ? field_at(dentry_fields, offset)
                          : field_of(static_cast<const dentry *>(found.memory->object), offset);
    } else if (!strcmp(found.memory->pool, "inode_cache")) {
        found.kind = object_kind::inode;
        found.field = field_at(inode_fields, offset);
    } else if (sb && found.memory->object == sb) {
        found.kind = object_kind::super_block;
        found.field = field_at(super_block_fields, offset);
    }
    return found;
}

/// Path of a dentry as far as its names go. Raw reads: whoever is being traced may be changing it.
void write_path(const dentry *dentry, char *text, size_t bytes)
{
    const struct dentry *chain[16];
    size_t depth = 0;
    size_t used = 0;

    // A dentry that is being set up has no name yet.
    if (!in_arena(*dentry->d_name.name.word())) {
        snprintf(text, bytes, "(new)");
        return;
    }
    for (const struct dentry *at = dentry; depth < std::size(chain); at = *at->d_parent.word()) {
        if (!in_arena(at) || *shadow_of(at) || !in_arena(*at->d_name.name.word()))
            break;
        if (*at->d_parent.word() == at)
            break;
        chain[depth++] = at;
    }
    *text = 0;
    if (!depth)
        snprintf(text, bytes, "/");
    while (depth-- && used < bytes) {
        const dentry_name &name = chain[depth]->d_name;
        used += static_cast<size_t>(
            snprintf(text + used, bytes - used, "/%.*s",
                     static_cast<int>(hashlen_len(*name.hash_len.word()) & 0xff),
                     reinterpret_cast<const char *>(*name.name.word())));
    }
}

void write_object(const port_object &object, char *text, size_t bytes)
{
    const allocation &memory = *object.memory;
    char path[80] = "";
    char owner[24] = "";

    if (memory.allocated_by != main_task)
        snprintf(owner, sizeof(owner), "[%s]", task_name(memory.allocated_by));
    switch (object.kind) {
    case object_kind::dentry:
        if (memory.freed)
            snprintf(path, sizeof(path), "(freed)");
        else
            write_path(static_cast<const dentry *>(memory.object), path, sizeof(path));
        snprintf(text, bytes, "dentry %s%s", path, owner);
        return;
    case object_kind::inode:
        if (memory.freed)
            snprintf(text, bytes, "inode (freed)%s", owner);
        else
            snprintf(text, bytes, "inode %lu%s",
                     static_cast<unsigned long>(static_cast<const inode *>(memory.object)->i_ino),
                     owner);
        return;
    case object_kind::super_block:
        snprintf(text, bytes, "super block");
        return;
    case object_kind::unknown:
        snprintf(text, bytes, "%s%s", memory.pool, owner);
        return;
    }
}

/// Whether the memory is a hash table, and which.
const char *table_name(super_block *sb, const allocation &memory)
{
    if (strcmp(memory.pool, "table") != 0)
        return nullptr;
    const auto inside = [&](const void *address) {
        return address >= memory.object &&
               address < static_cast<const char *>(memory.object) + memory.bytes;
    };
    if (inside(d_hash(0)))
        return "hash chain";
    if (sb && inside(in_lookup_hash(sb->s_root, 0)))
        return "in-lookup chain";
    return "inode hash chain";
}

/// Is it the wait queue that a task lends to those who wait for its lookup?
bool is_lent_queue(const task_control &owner, const void *address)
{
    const uintptr_t *end = owner.stack_object + owner.stack_objects;
    const auto *lock = static_cast<const spinlock_t *>(address);

    return std::find(owner.stack_object, end, reinterpret_cast<uintptr_t>(address)) != end &&
           lock->lock_class == lock_class_number(in_lookup_wait_queue_class);
}

bool describe_task_memory(const void *address, char *text, size_t bytes)
{
    const execution_state &x = execution();

    for (unsigned i = 0; i < max_tasks; i++) {
        if (address == &x.task[i].state) {
            snprintf(text, bytes, "%s's state", task_name(static_cast<task_id>(i)));
            return true;
        }
        if (in_stack_of(i, address)) {
            snprintf(text, bytes, "%s%s's stack",
                     is_lent_queue(x.task[i], address) ? "d_wait queue on " : "",
                     task_name(static_cast<task_id>(i)));
            return true;
        }
    }
    return false;
}

template <typename T>
T read_as(const void *address)
{
    T value;
    memcpy(&value, address, sizeof(value));
    return value;
}

} // namespace

bool describe_port_address(super_block *sb, const void *address, char *text, size_t bytes)
{
    const port_object object = find_object(sb, address);
    char name[140];

    if (!object.memory)
        return in_arena(address) && describe_task_memory(address, text, bytes);
    if (const char *table = table_name(sb, *object.memory)) {
        snprintf(text, bytes, "%s %td", table,
                 (static_cast<const char *>(address) -
                  static_cast<const char *>(object.memory->object)) /
                     static_cast<ptrdiff_t>(sizeof(hlist_bl_head)));
        return true;
    }
    write_object(object, name, sizeof(name));
    if (object.field)
        snprintf(text, bytes, "%s %s", name, object.field->name);
    else if (object.memory->object == address)
        snprintf(text, bytes, "%s", name);
    else
        snprintf(text, bytes, "%s+%td", name,
                 static_cast<const char *>(address) -
                     static_cast<const char *>(object.memory->object));
    return true;
}

bool describe_port_sleep(super_block *sb, const task_control &task, char *text, size_t bytes)
{
    const dentry *dentry = lookup_waited_for(task);
    char name[140], owed[200];

    if (!dentry)
        return false;
    write_object(find_object(sb, dentry), name, sizeof(name));
    describe_owed_lookup(dentry, owed, sizeof(owed));
    snprintf(text, bytes, "%s is in lookup%s", name, owed);
    return true;
}

bool describe_port_value(super_block *sb, const void *address, char *text, size_t bytes)
{
    const port_object object = find_object(sb, address);
    const field_name *field = object.field;

    if (!field) {
        if (address == &rename_lock.seqcount)
            return snprintf(text, bytes, "%u", read_as<unsigned>(address)) > 0;
        return false;
    }
    switch (field->form) {
    case field_form::number:
        snprintf(text, bytes, "%d", read_as<int>(address));
        return true;
    case field_form::flags:
        snprintf(text, bytes, "%#x",
                 field->bytes == 2 ? read_as<uint16_t>(address) : read_as<unsigned>(address));
        return true;
    case field_form::pointer: {
        const auto *pointer = read_as<const void *>(address);
        if (!pointer)
            snprintf(text, bytes, "NULL");
        else if (port_object target = find_object(sb, pointer); target.memory)
            write_object(target, text, bytes);
        else
            return false;
        return true;
    }
    case field_form::lock:
        if (const auto holder = read_as<uint8_t>(address))
            snprintf(text, bytes, "held by %s", task_name(static_cast<task_id>(holder - 1)));
        else
            snprintf(text, bytes, "free");
        return true;
    case field_form::name_pointer:
    case field_form::none:
        return false;
    }
    return false;
}

} // namespace dcsim::inline DCSIM_BACKEND
