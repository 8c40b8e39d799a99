// SPDX-License-Identifier: GPL-2.0-only
//
// What carries the tasks: fibers on Boost.Context, or OS threads that pass a baton.
//
// Both use the tasks' stacks in the arena, so that addresses of objects on them mean the same. A
// task that is left in the middle of something is simply never resumed; a thread goes back to the
// start of its loop by longjmp() for that, without destructors, as a fiber's frames vanish.
#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <semaphore>

#include <pthread.h>

#include <boost/context/detail/fcontext.hpp>

#include "internal.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

namespace context = boost::context::detail;

carrier_kind carrier = carrier_kind::fibers;

// --- Fibers ---

/// Where the search was left, and where those who never come back say they were.
void *host_context;
void *nobodys_context;

/// The context that was left behind is written down by whoever runs next.
void note_departure(context::transfer_t from)
{
    *static_cast<void **>(from.data) = from.fctx;
}

void fiber_main(context::transfer_t from)
{
    note_departure(from);
    task_main(*execution().current);
}

void fiber_switch(void **departure, void *destination)
{
    note_departure(context::jump_fcontext(destination, departure));
}

// --- Threads ---

struct baton_thread {
    pthread_t thread;
    std::binary_semaphore baton{0};
    std::binary_semaphore idle{0};
    bool in_task = false;
    bool abandoned = false;
    bool quit = false;
    jmp_buf start;
};

std::unique_ptr<baton_thread[]> threads;
std::binary_semaphore host_baton{0};

void wait_for_baton(baton_thread &me)
{
    me.baton.acquire();
    if (me.abandoned)
        longjmp(me.start, 1);
}

void *thread_main(void *argument)
{
    const auto number = static_cast<unsigned>(reinterpret_cast<uintptr_t>(argument));
    baton_thread &me = threads[number];

    if (setjmp(me.start)) {
        arena_forget_frames(number);
        me.abandoned = false;
        me.in_task = false;
        me.idle.release();
    }
    me.baton.acquire();
    if (me.quit)
        return nullptr;
    me.in_task = true;
    task_main(execution().task[number]);
    return nullptr;
}

void create_thread(unsigned number)
{
    pthread_attr_t attributes;

    pthread_attr_init(&attributes);
    // The page below is the guard: arena.cc makes it inaccessible.
    pthread_attr_setstack(&attributes, reinterpret_cast<void *>(task_slot(number) + 4096),
                          task_stack_bytes - 4096);
    if (pthread_create(&threads[number].thread, &attributes, thread_main,
                       reinterpret_cast<void *>(static_cast<uintptr_t>(number)))) {
        fprintf(stderr, "dcsim: no thread could be created\n");
        abort();
    }
    pthread_attr_destroy(&attributes);
}

void pass_baton(task_control *to)
{
    if (to)
        threads[to->id].baton.release();
    else
        host_baton.release();
}

} // namespace

void carrier_start(carrier_kind kind)
{
    carrier_stop();
    carrier = kind;
    if (kind == carrier_kind::fibers)
        return;
    threads = std::make_unique<baton_thread[]>(max_tasks);
    for (unsigned i = 0; i < max_tasks; i++)
        create_thread(i);
}

void carrier_stop()
{
    if (!threads)
        return;
    carrier_reset();
    for (unsigned i = 0; i < max_tasks; i++) {
        threads[i].quit = true;
        threads[i].baton.release();
        pthread_join(threads[i].thread, nullptr);
    }
    threads.reset();
}

void carrier_reset()
{
    if (carrier == carrier_kind::fibers)
        return;
    for (unsigned i = 0; i < max_tasks; i++)
        if (threads[i].in_task) {
            threads[i].abandoned = true;
            threads[i].baton.release();
            threads[i].idle.acquire();
        }
}

void carrier_prepare(task_control &task)
{
    if (carrier == carrier_kind::threads) {
        // Clean-up runs in the thread that ran the set-up.
        if (threads[task.id].in_task) {
            threads[task.id].abandoned = true;
            threads[task.id].baton.release();
            threads[task.id].idle.acquire();
        }
        return;
    }
    task.context = context::make_fcontext(reinterpret_cast<void *>(task_stack_top(task.id)),
                                          task_stack_bytes - 4096, fiber_main);
}

void carrier_switch(task_control *from, task_control *to)
{
    if (carrier == carrier_kind::fibers) {
        if (to)
            execution().current = to;
        fiber_switch(from ? &from->context : &host_context, to ? to->context : host_context);
        return;
    }
    pass_baton(to);
    if (from)
        wait_for_baton(threads[from->id]);
    else
        host_baton.acquire();
}

void carrier_leave(task_control *from, task_control *to)
{
    if (carrier == carrier_kind::fibers) {
        if (to)
            execution().current = to;
        fiber_switch(&nobodys_context, to ? to->context : host_context);
    } else {
        pass_baton(to);
        for (;;)
            wait_for_baton(threads[from->id]);
    }
    __builtin_unreachable();
}

} // namespace dcsim::inline DCSIM_BACKEND
