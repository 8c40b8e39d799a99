// SPDX-License-Identifier: GPL-2.0-only
//
// Error numbers carried in pointers: the last 4095 addresses are errors.
#pragma once

#include <cerrno>

#include "dcsim/kernel/types.h"

namespace dcsim::inline DCSIM_BACKEND
{

inline constexpr unsigned long MAX_ERRNO = 4095;

/// A negative errno disguised as any pointer.
class error_pointer
{
  public:
    explicit constexpr error_pointer(long error) : error_(error) {}
    template <typename T>
    operator T *() const
    {
        return reinterpret_cast<T *>(error_);
    }

  private:
    long error_;
};

inline constexpr error_pointer ERR_PTR(long error)
{
    return error_pointer(error);
}

inline bool IS_ERR(const void *pointer)
{
    return unlikely(reinterpret_cast<unsigned long>(pointer) >= -MAX_ERRNO);
}

inline bool IS_ERR_OR_NULL(const void *pointer)
{
    return unlikely(!pointer) || IS_ERR(pointer);
}

inline int PTR_ERR(const void *pointer)
{
    return static_cast<int>(reinterpret_cast<long>(pointer));
}

inline error_pointer ERR_CAST(const void *pointer)
{
    return error_pointer(reinterpret_cast<long>(pointer));
}

} // namespace dcsim::inline DCSIM_BACKEND
