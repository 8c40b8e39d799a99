// SPDX-License-Identifier: GPL-2.0-only
//
// Linux v6.13 kernel/sched/wait_bit.c, the wait_var half.
#include "dcsim/kernel/wait_bit.h"

#include "dcsim/kernel/hash.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

constexpr unsigned WAIT_TABLE_BITS = 8;

wait_queue_head bit_wait_table[1 << WAIT_TABLE_BITS];

bool var_wake_function(wait_queue_entry *entry, void *key)
{
    auto *waiter = container_of(entry, wait_var_entry, wait);

    if (waiter->var != key)
        return false;
    return autoremove_wake_function(entry, key);
}

} // namespace

void wait_bit_init()
{
    for (wait_queue_head &wq : bit_wait_table)
        init_waitqueue_head(&wq, "bit_wait_table");
}

wait_queue_head *__var_waitqueue(const void *var)
{
    return &bit_wait_table[hash_64(reinterpret_cast<unsigned long>(var), WAIT_TABLE_BITS)];
}

void init_wait_var_entry(wait_var_entry *entry, const void *var)
{
    entry->var = var;
    init_wait(&entry->wait);
    entry->wait.func = var_wake_function;
}

void wake_up_var(const void *var)
{
    wait_queue_head *wq = __var_waitqueue(var);

    if (waitqueue_active(wq))
        __wake_up(wq, const_cast<void *>(var));
}

} // namespace dcsim::inline DCSIM_BACKEND
