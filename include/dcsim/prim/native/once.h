// SPDX-License-Identifier: GPL-2.0-only
//
// Native backend: shared fields and memory barriers on the machine's own atomics.
//
// Strength against the kernel's memory model: a shim may be stronger than the primitive it stands
// for, never weaker. READ_ONCE of a pointer is an acquire load, because C++ has no usable form of
// the address dependency that the kernel relies on, and WRITE_ONCE of a pointer is its release
// partner; on x86 both are plain moves. Scalars are relaxed.
//
// ThreadSanitizer does not understand fences. Under it every access is acquire or release, so a
// reader that sees a value also sees what was written before it. That can hide a missing fence; it
// cannot hide an access that lacks its lock, which is what the sanitizer run is for.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <sched.h>

#include "dcsim/config.h"

#if defined(__SANITIZE_THREAD__)
#define DCSIM_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define DCSIM_TSAN 1
#endif
#endif
#ifndef DCSIM_TSAN
#define DCSIM_TSAN 0
#endif

namespace dcsim::inline DCSIM_BACKEND
{

template <typename T>
inline constexpr int once_load_order = (std::is_pointer_v<T> || DCSIM_TSAN) ? __ATOMIC_ACQUIRE
                                                                            : __ATOMIC_RELAXED;
template <typename T>
inline constexpr int once_store_order = (std::is_pointer_v<T> || DCSIM_TSAN) ? __ATOMIC_RELEASE
                                                                             : __ATOMIC_RELAXED;

/// A field that one task may read while another writes it.
///
/// It has no implicit conversion and no comparison: only the access functions of this header touch
/// it, so a forgotten READ_ONCE does not compile. The compound operators are what they are in the
/// kernel, a load and a store, and need a lock that excludes other writers. Trivial, so it may live
/// in a union and in zeroed memory.
template <typename T>
class once
{
    static_assert(std::is_integral_v<T> || std::is_pointer_v<T>);

  public:
    once() = default;
    constexpr explicit once(T initial) : value_(initial) {}
    once(const once &) = delete;

    T operator|=(T bits)
    {
        return store_plain(static_cast<T>(load_plain() | bits));
    }
    T operator&=(T bits)
    {
        return store_plain(static_cast<T>(load_plain() & bits));
    }
    T operator+=(T step)
    {
        return store_plain(static_cast<T>(load_plain() + step));
    }
    T operator++()
    {
        return store_plain(static_cast<T>(load_plain() + 1));
    }
    T operator--()
    {
        return store_plain(static_cast<T>(load_plain() - 1));
    }

    /// The raw word, for the backend's own functions. Everybody else uses those.
    T *word()
    {
        return &value_;
    }
    const T *word() const
    {
        return &value_;
    }

  private:
    // Never called: it keeps the type trivially copyable, so that it may live in raw memory.
    once &operator=(const once &) = default;

    T load_plain() const
    {
        return __atomic_load_n(&value_, once_load_order<T>);
    }
    T store_plain(T value)
    {
        __atomic_store_n(&value_, value, once_store_order<T>);
        return value;
    }

    T value_;
};

template <typename T>
inline T READ_ONCE(const once<T> &field)
{
    return __atomic_load_n(field.word(), once_load_order<T>);
}

template <typename T>
inline void WRITE_ONCE(once<T> &field, std::type_identity_t<T> value)
{
    __atomic_store_n(field.word(), value, once_store_order<T>);
}

/// Access to a once<> field under the lock that excludes all its writers (read) or all other tasks
/// that could act on it (write). Not a schedule point in the model: the lock already was one.
template <typename T>
inline T READ_LOCKED(const once<T> &field)
{
    return __atomic_load_n(field.word(), once_load_order<T>);
}

template <typename T>
inline void WRITE_LOCKED(once<T> &field, std::type_identity_t<T> value)
{
    __atomic_store_n(field.word(), value, once_store_order<T>);
}

template <typename T>
inline T smp_load_acquire(const once<T> *field)
{
    return __atomic_load_n(field->word(), __ATOMIC_ACQUIRE);
}

template <typename T>
inline void smp_store_release(once<T> *field, std::type_identity_t<T> value)
{
    __atomic_store_n(field->word(), value, __ATOMIC_RELEASE);
}

/// Store followed by a full barrier.
template <typename T>
inline void smp_store_mb(once<T> &field, std::type_identity_t<T> value)
{
    (void)__atomic_exchange_n(field.word(), value, __ATOMIC_SEQ_CST);
}

template <typename T>
inline T xchg(once<T> *field, std::type_identity_t<T> value)
{
    return __atomic_exchange_n(field->word(), value, __ATOMIC_SEQ_CST);
}

/// Full barrier when it succeeds. On failure *expected holds the value found.
template <typename T>
inline bool try_cmpxchg(once<T> *field, std::type_identity_t<T> *expected,
                        std::type_identity_t<T> desired)
{
    return __atomic_compare_exchange_n(field->word(), expected, desired, false, __ATOMIC_SEQ_CST,
                                       __ATOMIC_RELAXED);
}

/// Returns the value found; the exchange took place when that equals `expected`.
template <typename T>
inline T cmpxchg(once<T> *field, std::type_identity_t<T> expected, std::type_identity_t<T> desired)
{
    try_cmpxchg(field, &expected, desired);
    return expected;
}

/// Atomic addition with full barriers, returning the new value.
template <typename T>
inline T add_return(once<T> *field, std::type_identity_t<T> step)
{
    return static_cast<T>(__atomic_add_fetch(field->word(), step, __ATOMIC_SEQ_CST));
}

/// Aligned machine word out of memory that another task may be rewriting. The value may be torn
/// between two names; the caller's sequence check decides whether it counts.
inline unsigned long read_word_at_a_time(const void *address)
{
    using aliased_word = unsigned long __attribute__((__may_alias__));
    return __atomic_load_n(static_cast<const aliased_word *>(address),
                           once_load_order<unsigned long>);
}

#pragma GCC diagnostic push
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wtsan"
#endif
inline void smp_mb()
{
    std::atomic_thread_fence(std::memory_order_seq_cst);
}
inline void smp_rmb()
{
    std::atomic_thread_fence(std::memory_order_acquire);
}
inline void smp_wmb()
{
    std::atomic_thread_fence(std::memory_order_release);
}
#pragma GCC diagnostic pop

/// One turn of a loop that waits for another task to make progress.
inline void cpu_relax()
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield" ::: "memory");
#endif
}

/// Spinning turns before a waiting task offers its processor to the task it waits for.
inline constexpr int spin_turns_before_yield = 128;

/// A retry loop's pause before attempt number `attempt`, for loops whose condition no single field
/// holds. The processor is offered to others once spinning has not helped.
inline void retry_relax(int attempt)
{
    if (attempt < spin_turns_before_yield)
        cpu_relax();
    else
        sched_yield();
}

/// Waits until `condition(value)` holds for the field, and returns that value with acquire
/// semantics. There is no wake-up: the writer only stores.
template <typename T, typename Condition>
inline T smp_cond_load_acquire(const once<T> *field, Condition condition)
{
    for (int turns = 0;; turns++) {
        T value = smp_load_acquire(field);
        if (condition(value))
            return value;
        retry_relax(turns);
    }
}

} // namespace dcsim::inline DCSIM_BACKEND
