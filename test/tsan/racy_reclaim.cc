// SPDX-License-Identifier: GPL-2.0-only
//
// Reclaims an object without the grace period that would order it after a reader's plain read. Each
// way is a race that ThreadSanitizer must report.
#include "reclaim.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

unordered_signal was_reclaimed;

void read_in_section(const object *shared)
{
    rcu_read_lock();
    use(shared);
    was_reclaimed.wait();
    rcu_read_unlock();
}

/// Holds on to the pointer when the section is over.
void read_after_section(const object *shared)
{
    rcu_read_lock();
    rcu_read_unlock();
    use(shared);
    was_reclaimed.wait();
}

void overwrite_at_once(object *shared)
{
    shared->payload = 0;
    was_reclaimed.set();
}

void free_at_once(object *shared)
{
    kfree(shared);
    was_reclaimed.set();
}

void overwrite_after_grace_period(object *shared)
{
    synchronize_rcu();
    shared->payload = 0;
    was_reclaimed.set();
}

constexpr way_to_reclaim ways[] = {
    {"overwrite", read_in_section, overwrite_at_once},
    {"free", read_in_section, free_at_once},
    {"late_read", read_after_section, overwrite_after_grace_period},
};

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND

int main(int argc, char **argv)
{
    return dcsim::run(argc, argv, dcsim::ways);
}
