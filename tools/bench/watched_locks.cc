// SPDX-License-Identifier: GPL-2.0-only
//
// The functions in between. Their names are those that the compiler gives the library's, with a
// prefix of the linker's.
#include "watched_locks.h"

#include <atomic>

#include "dcsim/kernel/wait.h"
#include "dcsim/prim/prim.h"

namespace dcsim::bench
{

thread_local lock_encounters encounters;

namespace
{

std::atomic<const spinlock_t *> watched_lock = nullptr;
std::atomic<bool> kernels_finish_wait = false;

/// Both links, because whoever takes the entry off the queue writes both: only then is it done.
bool is_off_the_queue(const wait_queue_entry *entry)
{
    const list_head *links = &entry->entry;

    return smp_load_acquire(&links->next) == links && smp_load_acquire(&links->prev) == links;
}

} // namespace

void watch_lock(const spinlock_t *lock)
{
    watched_lock = lock;
}

void finish_wait_as_the_kernel(bool wanted)
{
    kernels_finish_wait = wanted;
}

} // namespace dcsim::bench

extern "C" {

void __real__ZN5dcsim6native19spin_lock_contendedEPNS0_8spinlockE(dcsim::spinlock_t *lock);
void __wrap__ZN5dcsim6native19spin_lock_contendedEPNS0_8spinlockE(dcsim::spinlock_t *lock)
{
    using namespace dcsim;
    const spinlock_t *watched = bench::watched_lock.load(std::memory_order_relaxed);
    const uint64_t begin = watched ? monotonic_nanoseconds() : 0;

    __real__ZN5dcsim6native19spin_lock_contendedEPNS0_8spinlockE(lock);
    if (lock == watched) {
        bench::encounters.watched++;
        bench::encounters.watched_nanoseconds += monotonic_nanoseconds() - begin;
    } else if (watched) {
        bench::encounters.others++;
    }
}

void __real__ZN5dcsim6native11finish_waitEPNS0_15wait_queue_headEPNS0_16wait_queue_entryE(
    dcsim::wait_queue_head *wq, dcsim::wait_queue_entry *entry);
void __wrap__ZN5dcsim6native11finish_waitEPNS0_15wait_queue_headEPNS0_16wait_queue_entryE(
    dcsim::wait_queue_head *wq, dcsim::wait_queue_entry *entry)
{
    using namespace dcsim;

    if (bench::kernels_finish_wait.load(std::memory_order_relaxed) &&
        bench::is_off_the_queue(entry)) {
        set_running();
        return;
    }
    __real__ZN5dcsim6native11finish_waitEPNS0_15wait_queue_headEPNS0_16wait_queue_entryE(wq, entry);
}
}
