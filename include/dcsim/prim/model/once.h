// SPDX-License-Identifier: GPL-2.0-only
//
// Model backend: shared fields. Sequentially consistent: an access takes effect at once and for
// everybody, in the order the scheduler chose. Each is a schedule point of its own; a compound
// operator is two, a load and a store.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "dcsim/prim/model/execution.h"

namespace dcsim::inline DCSIM_BACKEND
{

/// A field that one task may read while another writes it. See prim/native/once.h for the rules:
/// no implicit conversion, no comparison, trivial.
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
        return store(static_cast<T>(load() | bits));
    }
    T operator&=(T bits)
    {
        return store(static_cast<T>(load() & bits));
    }
    T operator+=(T step)
    {
        return store(static_cast<T>(load() + step));
    }
    T operator++()
    {
        return store(static_cast<T>(load() + 1));
    }
    T operator--()
    {
        return store(static_cast<T>(load() - 1));
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
    once &operator=(const once &) = default;

    T load() const
    {
        schedule_point(operation::load, &value_, false);
        return value_;
    }
    T store(T value)
    {
        schedule_point(operation::store, &value_, true);
        value_ = value;
        return value;
    }

    T value_;
};

template <typename T>
inline T READ_ONCE(const once<T> &field)
{
    schedule_point(operation::load, field.word(), false);
    return *field.word();
}

template <typename T>
inline void WRITE_ONCE(once<T> &field, std::type_identity_t<T> value)
{
    schedule_point(operation::store, field.word(), true);
    *field.word() = value;
}

template <typename T>
inline T READ_LOCKED(const once<T> &field)
{
    locked_access(field.word(), false);
    return *field.word();
}

template <typename T>
inline void WRITE_LOCKED(once<T> &field, std::type_identity_t<T> value)
{
    locked_access(field.word(), true);
    *field.word() = value;
}

template <typename T>
inline T smp_load_acquire(const once<T> *field)
{
    return READ_ONCE(*field);
}

template <typename T>
inline void smp_store_release(once<T> *field, std::type_identity_t<T> value)
{
    WRITE_ONCE(*field, value);
}

template <typename T>
inline void smp_store_mb(once<T> &field, std::type_identity_t<T> value)
{
    WRITE_ONCE(field, value);
}

template <typename T>
inline T xchg(once<T> *field, std::type_identity_t<T> value)
{
    schedule_point(operation::exchange, field->word(), true);
    T found = *field->word();
    *field->word() = value;
    return found;
}

template <typename T>
inline bool try_cmpxchg(once<T> *field, std::type_identity_t<T> *expected,
                        std::type_identity_t<T> desired)
{
    schedule_point(operation::exchange, field->word(), true);
    if (*field->word() == *expected) {
        *field->word() = desired;
        return true;
    }
    *expected = *field->word();
    return false;
}

template <typename T>
inline T cmpxchg(once<T> *field, std::type_identity_t<T> expected, std::type_identity_t<T> desired)
{
    try_cmpxchg(field, &expected, desired);
    return expected;
}

template <typename T>
inline T add_return(once<T> *field, std::type_identity_t<T> step)
{
    schedule_point(operation::exchange, field->word(), true);
    return *field->word() = static_cast<T>(*field->word() + step);
}

inline unsigned long read_word_at_a_time(const void *address)
{
    using aliased_word = unsigned long __attribute__((__may_alias__));
    schedule_point(operation::load, address, false);
    return *static_cast<const aliased_word *>(address);
}

// One order for everybody: nothing to do.
inline void smp_mb() {}
inline void smp_rmb() {}
inline void smp_wmb() {}

/// Lets another task run before this one goes on, if any can.
void cpu_relax();

inline void retry_relax(int attempt)
{
    (void)attempt;
    cpu_relax();
}

template <typename T, typename Condition>
inline T smp_cond_load_acquire(const once<T> *field, Condition condition)
{
    struct wait {
        const once<T> *field;
        Condition condition;
    } context = {field, condition};

    schedule_point_guarded(
        operation::wait, field->word(), false,
        [](const task_control &task) {
            auto *wanted = static_cast<const wait *>(task.guard_context);
            return static_cast<bool>(wanted->condition(*wanted->field->word()));
        },
        &context);
    return *field->word();
}

} // namespace dcsim::inline DCSIM_BACKEND
