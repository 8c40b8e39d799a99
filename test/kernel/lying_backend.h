// SPDX-License-Identifier: GPL-2.0-only
//
// A side that tells a lie, to see that the comparison can fail.
#pragma once

#include <functional>
#include <utility>

#include "backend.h"

namespace dcsim::against_kernel
{

class lying_backend : public backend
{
  public:
    using lie_about_call = std::function<void(const operation &op, answer &answer)>;
    using lie_about_tree = std::function<void(tree &tree)>;

    lying_backend(backend &honest, lie_about_call about_call, lie_about_tree about_tree = {})
        : honest_(honest), about_call_(std::move(about_call)), about_tree_(std::move(about_tree))
    {
    }
    const char *name() const override
    {
        return "liar";
    }
    bool keeps_positions() const override
    {
        return honest_.keeps_positions();
    }
    void begin(const plan &plan) override
    {
        honest_.begin(plan);
    }
    answer execute(const operation &op, int64_t offset) override
    {
        answer result = honest_.execute(op, offset);

        if (about_call_)
            about_call_(op, result);
        return result;
    }
    tree snapshot() override
    {
        tree result = honest_.snapshot();

        if (about_tree_)
            about_tree_(result);
        return result;
    }
    std::vector<std::optional<file_status>> open_slots() override
    {
        return honest_.open_slots();
    }
    std::vector<std::string> end() override
    {
        return honest_.end();
    }

  private:
    backend &honest_;
    lie_about_call about_call_;
    lie_about_tree about_tree_;
};

} // namespace dcsim::against_kernel
