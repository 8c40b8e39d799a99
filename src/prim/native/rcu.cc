// SPDX-License-Identifier: GPL-2.0-only
//
// RCU over liburcu, the only file that includes its headers.
//
// Flavours: memb registers every reader and makes the grace period pay for ordering; qsbr makes
// readers free and asks threads to announce when they hold nothing. In the qsbr build a thread is
// offline outside its read-side sections, which costs two barriers at the outermost one but lets
// any thread of a program that links this library sleep or exit without asking.
//
// ThreadSanitizer: Debian's liburcu is not instrumented, so a grace period is told to the sanitizer
// here. Every outermost read-side section releases into `grace_period`, every callback and every
// return from synchronize_rcu() acquires from it; rcu_barrier() also acquires what callbacks
// release when they are done. That orders readers before the free, and nothing else: a free without
// a grace period is still reported (test/tsan/). The library's inline functions would be compiled
// here, and instrumented here alone, so under TSan its compiled ones are called.
#include "dcsim/prim/native/once.h"
#if !DCSIM_TSAN
#define _LGPL_SOURCE
#endif
#if defined(DCSIM_RCU_QSBR)
#include <urcu/static/urcu-qsbr.h>
#include <urcu/urcu-qsbr.h>
#define DCSIM_URCU(name) urcu_qsbr_##name
#else
#include <urcu/static/urcu-memb.h>
#include <urcu/urcu-memb.h>
#define DCSIM_URCU(name) urcu_memb_##name
#endif
// Left behind by liburcu; ours are functions of the same name.
#undef rcu_dereference
#undef rcu_assign_pointer

#include "dcsim/prim/native/rcu.h"

#include <cstdlib>

#include "dcsim/prim/native/report.h"
#include "dcsim/prim/native/task.h"

#if DCSIM_TSAN
#include <sanitizer/tsan_interface.h>

// ThreadSanitizer's dynamic annotations; no header declares them.
extern "C" void AnnotateIgnoreWritesBegin(const char *file, int line);
extern "C" void AnnotateIgnoreWritesEnd(const char *file, int line);
#endif

namespace dcsim::inline DCSIM_BACKEND
{

constinit thread_local rcu_reader_state rcu_reader = {0, false};

namespace
{

static_assert(sizeof(rcu_head) == sizeof(::rcu_head));
static_assert(alignof(rcu_head) == alignof(::rcu_head));

[[maybe_unused]] char grace_period;
[[maybe_unused]] char callbacks_run;

void annotate_release([[maybe_unused]] void *address)
{
#if DCSIM_TSAN
    __tsan_release(address);
#endif
}

void annotate_acquire([[maybe_unused]] void *address)
{
#if DCSIM_TSAN
    __tsan_acquire(address);
#endif
}

/// Registers this thread with liburcu, and unregisters it when it exits.
struct thread_registration {
    thread_registration()
    {
        DCSIM_URCU(register_thread)();
#if defined(DCSIM_RCU_QSBR)
        DCSIM_URCU(thread_offline)();
#endif
    }
    ~thread_registration()
    {
        rcu_reader.registered = false;
        DCSIM_URCU(unregister_thread)();
    }
};

void register_this_thread()
{
    // liburcu registers its callback threads itself, and so may the program that links us. A second
    // registration would corrupt its list of readers.
    if (!URCU_TLS(DCSIM_URCU(reader)).registered) {
        static thread_local thread_registration registration;
        (void)registration;
        if (!URCU_TLS(DCSIM_URCU(reader)).registered)
            report_bug(__FILE__, __LINE__, __func__,
                       "used by a destructor of a thread_local after this thread left RCU");
    }
    rcu_reader.registered = true;
}

#if defined(DCSIM_RCU_QSBR)
/// A program may run its own threads online; they come back from us as they were.
thread_local bool was_online;
#endif

} // namespace

void rcu_outermost_read_lock()
{
    if (__builtin_expect(!rcu_reader.registered, 0))
        register_this_thread();
#if defined(DCSIM_RCU_QSBR)
    was_online = DCSIM_URCU(read_ongoing)();
    if (!was_online)
        DCSIM_URCU(thread_online)();
#endif
    DCSIM_URCU(read_lock)();
}

void rcu_outermost_read_unlock()
{
    annotate_release(&grace_period);
    DCSIM_URCU(read_unlock)();
#if defined(DCSIM_RCU_QSBR)
    if (!was_online)
        DCSIM_URCU(thread_offline)();
#endif
}

#if DCSIM_TSAN
namespace
{

// The callback thread is liburcu's own. It must acquire what the readers and the caller released
// before our function runs, and a head has no room for a second function, hence the detour.
struct annotated_callback {
    ::rcu_head head;
    rcu_head *callers_head;
    rcu_callback_t callback;
};

void run_annotated_callback(::rcu_head *head)
{
    auto *pending = reinterpret_cast<annotated_callback *>(head);

    annotate_acquire(pending);
    annotate_acquire(&grace_period);
    pending->callback(pending->callers_head);
    annotate_release(&callbacks_run);
    free(pending);
}

void queue_callback(rcu_head *head, rcu_callback_t callback)
{
    auto *pending = static_cast<annotated_callback *>(malloc(sizeof(annotated_callback)));

    if (!pending)
        abort();
    pending->callers_head = head;
    pending->callback = callback;
    annotate_release(pending);
    DCSIM_URCU(call_rcu)(&pending->head, run_annotated_callback);
}

} // namespace
#else
namespace
{

void queue_callback(rcu_head *head, rcu_callback_t callback)
{
    // The two types have one layout, and a callback takes a pointer and returns nothing on both
    // sides of the language border.
    DCSIM_URCU(call_rcu)
    (reinterpret_cast<::rcu_head *>(head), reinterpret_cast<void (*)(::rcu_head *)>(callback));
}

} // namespace
#endif

void call_rcu(rcu_head *head, rcu_callback_t callback)
{
    // liburcu queues from inside a read-side section of its own: the thread must be registered, and
    // online under qsbr.
    rcu_read_lock();
    queue_callback(head, callback);
    rcu_read_unlock();
}

void synchronize_rcu()
{
    might_sleep();
    DCSIM_URCU(synchronize_rcu)();
    annotate_acquire(&grace_period);
}

void rcu_barrier()
{
    might_sleep();
    // The library allocates here what its callback thread frees, with a hand-over that the
    // sanitizer cannot see. Only what this thread writes inside the call is exempt.
#if DCSIM_TSAN
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
#endif
    DCSIM_URCU(barrier)();
#if DCSIM_TSAN
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
#endif
    annotate_acquire(&grace_period);
    annotate_acquire(&callbacks_run);
}

const char *rcu_flavour()
{
#if defined(DCSIM_RCU_QSBR)
    return "qsbr";
#else
    return "memb";
#endif
}

} // namespace dcsim::inline DCSIM_BACKEND
