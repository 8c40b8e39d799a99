// SPDX-License-Identifier: GPL-2.0-only
//
// Reclaims an object after a reader's plain read of it, waiting for a grace period in each of the
// ways there are. Nothing here is a race; a report means that src/prim/native/rcu.cc does not tell
// ThreadSanitizer what a grace period orders.
#include "reclaim.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

unordered_signal may_leave;
spinlock_t lock;

void read_in_section(const object *shared)
{
    rcu_read_lock();
    use(shared);
    may_leave.wait();
    rcu_read_unlock();
}

/// Holding a spinlock is a read-side section as well.
void read_under_spinlock(const object *shared)
{
    spin_lock(&lock);
    use(shared);
    may_leave.wait();
    spin_unlock(&lock);
}

void overwrite_and_free(rcu_head *head)
{
    object *shared = container_of(head, object, head);

    shared->payload = 0;
    kfree(shared);
}

void reclaim_by_call_rcu(object *shared)
{
    call_rcu(&shared->head, overwrite_and_free);
    may_leave.set();
    rcu_barrier();
}

void reclaim_by_kfree_rcu(object *shared)
{
    kfree_rcu(shared);
    may_leave.set();
    rcu_barrier();
}

void reclaim_by_synchronize_rcu(object *shared)
{
    may_leave.set();
    synchronize_rcu();
    shared->payload = 0;
    kfree(shared);
}

/// The callback writes what the caller of rcu_barrier() then reads.
void reclaim_by_barrier(object *shared)
{
    call_rcu(&shared->head, [](rcu_head *head) { container_of(head, object, head)->payload = 0; });
    may_leave.set();
    rcu_barrier();
    if (shared->payload != 0)
        abort();
    kfree(shared);
}

constexpr way_to_reclaim ways[] = {
    {"call_rcu", read_in_section, reclaim_by_call_rcu},
    {"kfree_rcu", read_in_section, reclaim_by_kfree_rcu},
    {"synchronize_rcu", read_in_section, reclaim_by_synchronize_rcu},
    {"spinlock", read_under_spinlock, reclaim_by_call_rcu},
    {"barrier", read_in_section, reclaim_by_barrier},
};

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND

int main(int argc, char **argv)
{
    return dcsim::run(argc, argv, dcsim::ways);
}
