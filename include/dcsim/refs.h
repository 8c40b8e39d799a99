// SPDX-License-Identifier: GPL-2.0-only
//
// References and locks as C++ objects that give back what they hold. For tests, mock file systems
// and tools. Ported code makes the calls itself: where a lock is dropped is what it is there to
// show.
#pragma once

#include <boost/smart_ptr/intrusive_ptr.hpp>

#include "dcsim/annotations.h"
#include "dcsim/kernel/err.h"
#include "dcsim/kernel/rcupdate.h"
#include "dcsim/kernel/spinlock.h"
#include "dcsim/vfs/dcache.h"

namespace dcsim::inline DCSIM_BACKEND
{

inline void intrusive_ptr_add_ref(dentry *dentry)
{
    if (!IS_ERR(dentry))
        dget(dentry);
}

inline void intrusive_ptr_release(dentry *dentry)
{
    if (!IS_ERR(dentry))
        dput(dentry);
}

/// A reference on a dentry, or an error pointer, which is no reference. Dropping it may sleep.
/// dentry_ref(dentry) takes a reference of its own; see adopt_dentry() for one the caller has.
using dentry_ref = boost::intrusive_ptr<dentry>;

/// Takes over the reference that a function returned.
inline dentry_ref adopt_dentry(dentry *dentry)
{
    return dentry_ref(dentry, false);
}

/// Holds a spinlock for the length of a block.
class DCSIM_ATTRIBUTE(scoped_lockable) spin_guard
{
  public:
    explicit spin_guard(spinlock_t *lock) __acquires(lock) : lock_(lock)
    {
        spin_lock(lock_);
    }
    ~spin_guard() __releases()
    {
        spin_unlock(lock_);
    }
    spin_guard(const spin_guard &) = delete;
    spin_guard &operator=(const spin_guard &) = delete;

  private:
    spinlock_t *lock_;
};

/// An RCU read-side section for the length of a block.
class DCSIM_ATTRIBUTE(scoped_lockable) rcu_read_guard
{
  public:
    rcu_read_guard() __acquires_shared(rcu)
    {
        rcu_read_lock();
    }
    ~rcu_read_guard() __releases()
    {
        rcu_read_unlock();
    }
    rcu_read_guard(const rcu_read_guard &) = delete;
    rcu_read_guard &operator=(const rcu_read_guard &) = delete;
};

} // namespace dcsim::inline DCSIM_BACKEND
