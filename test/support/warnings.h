// SPDX-License-Identifier: GPL-2.0-only
//
// Catches what the code under test reports with WARN.
//
// One capture at a time. A test that holds one and takes nothing out of it asserts "no warning";
// a test that expects some takes them and compares:
//
//     warning_capture warnings;
//     up_read(&sem);
//     EXPECT_THAT(warnings.take(), ElementsAre(HasSubstr("READER")));
#pragma once

#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "dcsim/prim/prim.h"

namespace dcsim::inline DCSIM_BACKEND
{

class warning_capture
{
  public:
    warning_capture() : previous_(set_warning_handler(record))
    {
        take();
    }

    /// Every warning nobody took is a failure of the test.
    ~warning_capture()
    {
        set_warning_handler(previous_);
        for (const std::string &warning : take())
            ADD_FAILURE() << "unexpected warning: " << warning;
    }

    warning_capture(const warning_capture &) = delete;
    warning_capture &operator=(const warning_capture &) = delete;

    /// The messages so far, which the capture then forgets.
    std::vector<std::string> take()
    {
        std::lock_guard guard(lock_);
        return std::exchange(messages_, {});
    }

  private:
    static void record(const char *what, const char *, int, const char *)
    {
        std::lock_guard guard(lock_);
        messages_.emplace_back(what);
    }

    static inline std::mutex lock_;
    static inline std::vector<std::string> messages_;
    warning_handler previous_;
};

} // namespace dcsim::inline DCSIM_BACKEND
