// SPDX-License-Identifier: GPL-2.0-only
#include "fuzz.h"

#include "generator.h"
#include "shrink.h"

namespace dcsim::against_kernel
{

namespace
{

using clock = std::chrono::steady_clock;

template <typename Counts>
void add(Counts &sum, const Counts &more)
{
    for (const auto &[key, times] : more)
        sum[key] += times;
}

/// One seed. False when the sides differ, which the result then tells.
bool sequence(uint64_t seed, const fuzz_options &options, backend &first, backend &second,
              fuzz_result &result)
{
    std::vector<std::string> reasons;
    generator generator(seed, kernel_limits(reasons));
    program program{generator.plan(), {}};
    session session(first, second, program.plan);
    std::optional<difference> found;

    for (unsigned step = 0; step < options.operations && !found; step++) {
        const operation op = generator.next(session.current());
        if (options.watch)
            options.watch(seed, step, op, nullptr);
        program.operations.push_back(op);
        found = session.step(op);
        generator.answered(op, session.last());
        if (options.watch)
            options.watch(seed, step, op, &session.last());
        result.operations++;
    }
    if (!found)
        found = session.finish();
    result.sequences++;
    add(result.explained, session.explained());
    add(result.coverage, session.coverage());
    if (!found)
        return true;
    first.end();
    second.end();
    const size_t original = program.operations.size();
    const shrunk small = shrink(std::move(program), std::move(*found), first, second);
    result.smallest = small.smallest.operations.size();
    result.found = small.smallest;
    result.report = report(small, original, first, second);
    return false;
}

} // namespace

fuzz_result fuzz(const fuzz_options &options, backend &first, backend &second)
{
    fuzz_result result;
    const clock::time_point begin = clock::now();

    for (uint64_t seed = options.first_seed; seed <= options.last_seed; seed++)
        if (!sequence(seed, options, first, second, result) || clock::now() - begin >= options.time)
            break;
    result.seconds = std::chrono::duration<double>(clock::now() - begin).count();
    return result;
}

std::string text_of(const coverage &coverage)
{
    std::string text;
    std::string last;

    for (const auto &[key, times] : coverage) {
        const std::string call = name_of(key.first);
        text += call == last ? ", " : (text.empty() ? "" : "\n") + call + ": ";
        text += std::to_string(times) + " " + (key.second ? name_of_errno(key.second) : "ok");
        last = call;
    }
    return text + "\n";
}

} // namespace dcsim::against_kernel
