// SPDX-License-Identifier: GPL-2.0-only
//
// The long form of the comparison with the kernel:
//
//     kernel_fuzz --seeds 1-2500 --operations 400
//
// Prints the first difference as a short program, and how to see it again. Exit code 0: none, 1:
// one was found, 2: usage, 3: nothing can be compared on this machine.
#include <csignal>
#include <cstdio>
#include <exception>
#include <unistd.h>

#include <CLI/CLI.hpp>

#include "fuzz.h"
#include "known_differences.h"

using namespace dcsim::against_kernel;

namespace
{

/// Where the program is, for a message if it dies.
volatile uint64_t current_seed;
volatile unsigned current_step;

void died(int signal)
{
    char text[160];
    const int length =
        snprintf(text, sizeof(text),
                 "kernel_fuzz: died of signal %d at seed %llu, operation %u; "
                 "--trace shows the calls before it\n",
                 signal, static_cast<unsigned long long>(current_seed), current_step + 1);

    [[maybe_unused]] const ssize_t ignored =
        write(STDERR_FILENO, text, static_cast<size_t>(length));
    std::signal(signal, SIG_DFL);
    raise(signal);
}

struct settings {
    std::string seeds = "1-100";
    unsigned operations = 400;
    unsigned seconds = 0;
    bool kernel_twice = false;
    bool trace = false;
    bool coverage = false;
};

bool read_seeds(const std::string &text, fuzz_options &options)
{
    unsigned long long first = 0;
    unsigned long long last = 0;
    int length = 0;

    if (sscanf(text.c_str(), "%llu-%llu%n", &first, &last, &length) != 2) {
        if (sscanf(text.c_str(), "%llu%n", &first, &length) != 1)
            return false;
        last = first;
    }
    options.first_seed = first;
    options.last_seed = last;
    return static_cast<size_t>(length) == text.size() && first <= last;
}

void watch(uint64_t seed, unsigned step, bool trace, const operation &op, const answer *result)
{
    current_seed = seed;
    current_step = step;
    if (!trace)
        return;
    if (!result)
        printf("%llu/%u task %u: %s", static_cast<unsigned long long>(seed), step + 1, op.task,
               text_of(op).c_str());
    else if (result->value < 0)
        printf(" = -%s\n", name_of_errno(static_cast<int>(-result->value)).c_str());
    else
        printf(" = %ld %s\n", result->value, result->text.c_str());
    fflush(stdout);
}

int compare(const settings &settings, fuzz_options &options)
{
    std::vector<std::string> reasons;
    const limits limits = kernel_limits(reasons);
    const std::unique_ptr<backend> first = make_kernel_backend();
    const std::unique_ptr<backend> second =
        settings.kernel_twice ? make_kernel_backend() : make_memfs_backend(limits);

    for (const std::string &reason : reasons)
        fprintf(stderr, "kernel_fuzz: %s\n", reason.c_str());
    const fuzz_result result = fuzz(options, *first, *second);
    printf("%lu operations in %lu sequences, %.1f s, %.0f operations/s\n", result.operations,
           result.sequences, result.seconds,
           static_cast<double>(result.operations) / result.seconds);
    for (const known_difference &known : known_differences())
        if (const auto found = result.explained.find(known.what); found != result.explained.end())
            printf("  differs on purpose %lu times: %s: %s\n", found->second, known.what,
                   known.why);
    if (settings.coverage)
        printf("%s", text_of(result.coverage).c_str());
    if (result.report.empty())
        return 0;
    printf("%s  again: kernel_fuzz --seeds %llu --operations %u\n", result.report.c_str(),
           static_cast<unsigned long long>(result.found.plan.seed), options.operations);
    return 1;
}

} // namespace

int main(int argc, char **argv)
{
    CLI::App app("Compares memfs under the port's path walk with this machine's kernel on tmpfs");
    settings settings;
    fuzz_options options;

    app.add_option("--seeds", settings.seeds, "Sequences to try: A-B, or one number")
        ->capture_default_str();
    app.add_option("--operations", settings.operations, "Operations in each")
        ->capture_default_str();
    app.add_option("--seconds", settings.seconds, "Begin no sequence after so many");
    app.add_flag("--kernel-twice", settings.kernel_twice,
                 "Compare the kernel with itself: shows what the comparison itself gets wrong");
    app.add_flag("--trace", settings.trace, "Print every operation");
    app.add_flag("--coverage", settings.coverage, "Print how often each call gave which result");
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError &error) {
        return app.exit(error) ? 2 : 0;
    }
    if (!read_seeds(settings.seeds, options)) {
        fprintf(stderr, "kernel_fuzz: --seeds %s: not a number or A-B with A up to B\n",
                settings.seeds.c_str());
        return 2;
    }
    if (const std::string why = kernel_unusable(); !why.empty()) {
        fprintf(stderr, "kernel_fuzz: nothing to compare with: %s\n", why.c_str());
        return 3;
    }
    options.operations = settings.operations;
    if (settings.seconds)
        options.time = std::chrono::seconds(settings.seconds);
    options.watch = [&](uint64_t seed, unsigned step, const operation &op, const answer *result) {
        watch(seed, step, settings.trace, op, result);
    };
    for (int signal : {SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGFPE})
        std::signal(signal, died);
    try {
        return compare(settings, options);
    } catch (const std::exception &error) {
        fprintf(stderr, "kernel_fuzz: seed %llu, operation %u: %s\n",
                static_cast<unsigned long long>(current_seed), current_step + 1, error.what());
        return 70;
    }
}
