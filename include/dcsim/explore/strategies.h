// SPDX-License-Identifier: GPL-2.0-only
//
// Ways to go through the interleavings of a program. Each is a scheduler (prim/model/scheduler.h).
//
//   round robin              everybody in turn, with a longer turn in each execution
//   uniform                  every enabled task equally likely at every step
//   PCT                      random priorities with few random changes (Burckhardt et al. 2010):
//                            one run finds a bug that needs d ordering constraints with a
//                            probability of at least 1 / (tasks * steps^(d-1))
//   preemption bounding      every execution with at most c preemptions, for c = 0, 1, 2, ...
//                            (Musuvathi and Qadeer 2007): the first failure has the fewest possible
//   depth first              every execution up to the order of independent steps (sleep sets,
//                            Godefroid 1996)
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "dcsim/prim/model/scheduler.h"

namespace dcsim::inline DCSIM_BACKEND
{

enum class strategy : uint8_t {
    round_robin,
    uniform,
    pct,
    preemption_bounding,
    depth_first,
};
const char *strategy_name(strategy which);
/// The strategy of this name; false when there is none.
bool strategy_by_name(std::string_view name, strategy *which);

/// A fast generator with a period of 2^64 - 1, for choices at every step (xorshift64*, Vigna 2016).
class xorshift
{
  public:
    explicit xorshift(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15 + 0x1234567) {}

    uint64_t next()
    {
        state_ ^= state_ >> 12;
        state_ ^= state_ << 25;
        state_ ^= state_ >> 27;
        return state_ * 0x2545f4914f6cdd1d;
    }
    /// Below `bound`, which is small.
    uint32_t below(uint32_t bound)
    {
        return static_cast<uint32_t>((next() >> 32) * bound >> 32);
    }

  private:
    uint64_t state_;
};

/// Decides how to search, for the searches that end by themselves: what has been covered.
class search_scheduler : public scheduler
{
  public:
    /// Everything the strategy promises has been covered.
    bool exhausted() const
    {
        return exhausted_;
    }
    /// What has been covered completely so far, in words; "" for sampling.
    virtual std::string covered() const
    {
        return "";
    }
    /// Preemptions that the execution under way may have, for strategies that bound them.
    virtual int bound() const
    {
        return -1;
    }
    /// How the execution under way may have come out differently is not of interest any more.
    virtual void execution_ended(uint32_t steps)
    {
        (void)steps;
    }

  protected:
    bool exhausted_ = false;
};

std::unique_ptr<search_scheduler> make_round_robin(uint64_t executions);
std::unique_ptr<search_scheduler> make_uniform(uint64_t seed);
/// `depth` 1 to 8; 0 draws 1 to 4 anew for each execution.
std::unique_ptr<search_scheduler> make_pct(uint64_t seed, unsigned depth);
std::unique_ptr<search_scheduler> make_preemption_bounding(unsigned largest_bound);
std::unique_ptr<search_scheduler> make_depth_first();

} // namespace dcsim::inline DCSIM_BACKEND
