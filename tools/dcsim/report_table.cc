// SPDX-License-Identifier: GPL-2.0-only
//
// The table at the end of a run.
#include "report.h"

#include <algorithm>
#include <iterator>

#include <fmt/format.h>

namespace dcsim::cli
{

namespace
{

/// Text under construction, with the few styles the table knows.
class table_text
{
  public:
    explicit table_text(bool colour) : colour_(colour) {}

    template <typename... Arguments>
    void line(fmt::format_string<Arguments...> format, Arguments &&...arguments)
    {
        fmt::format_to(std::back_inserter(text_), format, std::forward<Arguments>(arguments)...);
        text_ += '\n';
    }
    void heading(std::string_view text)
    {
        line("\n{}", styled("1", text));
    }
    /// A quantity with its meaning behind it.
    void quantity(std::string_view name, uint64_t value, std::string_view meaning)
    {
        line("  {:<20}{:>14}  {}", name, grouped(value), styled("2", meaning));
    }
    std::string styled(const char *code, std::string_view text) const
    {
        return colour_ ? fmt::format("\033[{}m{}\033[0m", code, text) : std::string(text);
    }
    std::string take()
    {
        return std::move(text_);
    }

  private:
    std::string text_;
    bool colour_;
};

uint64_t not_negative(long value)
{
    return static_cast<uint64_t>(std::max(value, 0L));
}

std::string duration(double nanoseconds)
{
    if (nanoseconds < 1e3)
        return fmt::format("{:.0f} ns", nanoseconds);
    if (nanoseconds < 1e6)
        return fmt::format("{:.1f} µs", nanoseconds / 1e3);
    if (nanoseconds < 1e9)
        return fmt::format("{:.1f} ms", nanoseconds / 1e6);
    return fmt::format("{:.1f} s", nanoseconds / 1e9);
}

void add_setting(table_text &table, const run_options &options, const run_result &result)
{
    const tree_description &tree = result.tree;
    const workload_options &workload = options.workload;
    std::string links;

    if (tree.symlinks + tree.others)
        links = fmt::format(", {} symbolic links, {} others", grouped(not_negative(tree.symlinks)),
                            grouped(not_negative(tree.others)));
    table.line("{}", table.styled("1", fmt::format("dcsim run: {}", tree.source == "import"
                                                                        ? printable(tree.directory)
                                                                        : "a generated tree")));
    table.line("  {} names: {} directories, {} files{}", grouped(result.names),
               grouped(not_negative(tree.directories)), grouped(not_negative(tree.files)), links);
    if (tree.skipped + tree.vanished)
        table.line("  not imported: {} unreadable{}, {} vanished meanwhile",
                   grouped(not_negative(tree.skipped)),
                   tree.first_skipped.empty()
                       ? ""
                       : fmt::format(" (first: {})", printable(tree.first_skipped)),
                   grouped(not_negative(tree.vanished)));
    if (result.names_left_out)
        table.line("  imported, but not walked: {} names at paths of more than {} bytes",
                   grouped(result.names_left_out), grouped(name_catalogue::longest_path));
    table.line("  {}, lookups wait as in era {}", result.filesystem, result.era);
    table.line("  {} thread{}, mix {}, lookup delay {} µs, seed {}", workload.threads,
               workload.threads == 1 ? "" : "s", workload.mix.text(), options.lookup_delay_us,
               workload.seed);
    table.line("  warm-up: {} names in {:.2f} s; run: {:.2f} s{}",
               grouped(result.warm_up.found + result.warm_up.failed), result.warm_up.seconds,
               result.workload.seconds, result.interrupted ? " (interrupted)" : "");
}

void add_row(table_text &table, std::string_view name, const kind_result &kind, double seconds)
{
    const double rate = seconds > 0 ? static_cast<double>(kind.operations) / seconds : 0;
    const double mean = kind.operations ? static_cast<double>(kind.nanoseconds) /
                                              static_cast<double>(kind.operations)
                                        : 0;
    // Width by hand: "µ" is one column and two bytes, which fmt knows and printf does not.
    table.line("  {:<9}{:>13}{:>11}{:>11}{:>11}{:>11}{:>11}", name, grouped(kind.operations),
               grouped(static_cast<uint64_t>(rate)), kind.operations ? duration(mean) : "-",
               grouped(kind.misses), grouped(kind.out_of_memory), grouped(kind.unexpected));
}

void add_operations(table_text &table, const run_options &options, const run_result &result)
{
    kind_result total;

    table.heading(fmt::format("{:<11}{:>13}{:>11}{:>11}{:>11}{:>11}{:>11}", "operations", "done",
                              "per second", "mean time", "name away", "no memory", "unexpected"));
    for (size_t index = 0; index < operation_kinds; ++index) {
        const auto which = static_cast<operation_kind>(index);
        const kind_result &kind = result.workload.kinds[index];

        if (options.workload.mix.share(which) > 0)
            add_row(table, operation_kind_name(which), kind, result.workload.seconds);
        total.operations += kind.operations;
        total.misses += kind.misses;
        total.out_of_memory += kind.out_of_memory;
        total.unexpected += kind.unexpected;
        total.nanoseconds += kind.nanoseconds;
    }
    add_row(table, "all", total, result.workload.seconds);
    for (const unexpected_error &error : result.workload.unexpected)
        table.line("  {} ended {} times with: {}", operation_kind_name(error.kind),
                   grouped(error.count), error_message(-error.error));
}

void add_counters(table_text &table, const run_result &result)
{
    const auto during = [&](vfs_counter counter) {
        return not_negative(result.during_run(counter));
    };

    table.heading("lookups during the run");
    table.quantity("->lookup() calls", during(FS_LOOKUPS), "the file system was asked");
    table.quantity("waits", during(LOOKUP_WAITS), "for another thread's ->lookup()");

    table.heading("path walks during the run");
    table.quantity("in RCU mode", during(RCU_WALKS), "to the end: no lock, no reference");
    table.quantity("left RCU mode", during(RCU_UNLAZY), "went on with references");
    table.quantity("began again", during(RCU_RESTARTS), "with references: something had changed");

    table.heading("retries during the run, by cause");
    table.quantity("seq", during(RETRY_SEQ), "the entry was renamed or dropped meanwhile");
    table.quantity("rename_lock", during(RETRY_RENAME_LOCK), "a rename made a miss doubtful");
    table.quantity("i_dir_seq", during(RETRY_DIR_SEQ), "a neighbour was being published");
    table.quantity("dying", during(RETRY_DYING), "the entry was being freed");
    table.quantity("mismatch", during(RETRY_MISMATCH), "what it waited for was dropped or renamed");
    table.quantity("tree walks", during(WALK_RESTARTS), "began again because of a rename");
}

void add_dentries(table_text &table, const run_options &options, const run_result &result)
{
    const auto at_end = [&](vfs_counter counter) { return not_negative(result.at_end[counter]); };
    const auto during = [&](vfs_counter counter) {
        return not_negative(result.during_run(counter));
    };
    const long limit = options.workload.max_dentries;

    table.heading("dentries");
    table.quantity("cached at start", not_negative(result.at_start[NR_DENTRY]),
                   "after the warm-up");
    table.quantity("cached at end", at_end(NR_DENTRY), "before umount; of these");
    table.quantity("  unused", at_end(NR_DENTRY_UNUSED), "without a user: may be reclaimed");
    table.quantity("  negative", at_end(NR_DENTRY_NEGATIVE), "names known not to exist");
    table.quantity("allocated", during(DENTRIES_ALLOCATED), "during the run");
    table.quantity("freed", during(DENTRIES_FREED), "during the run; of these");
    table.quantity(
        "  reclaimed", result.reclaimed,
        limit ? fmt::format("from the LRU; --max-dentries {}", grouped(not_negative(limit)))
              : "from the LRU");
    table.quantity("bytes per dentry", result.bytes_per_dentry, "names over 39 bytes on top");
}

void add_verdict(table_text &table, const run_result &result)
{
    if (result.failure_delivered)
        table.line("\ninjected allocation failure: {}",
                   *result.failure_delivered ? "delivered" : "the run did not allocate that often");
    else
        table.line("");
    if (result.problems.empty())
        table.line("{}", table.styled("32", "final check: passed — every object freed, every "
                                            "counter zero"));
    for (const std::string &problem : result.problems)
        table.line("{} {}", table.styled("1;31", "final check: FAILED:"), problem);
}

} // namespace

std::string report_table(const run_options &options, const run_result &result, bool colour)
{
    table_text table(colour);

    add_setting(table, options, result);
    add_operations(table, options, result);
    add_counters(table, result);
    add_dentries(table, options, result);
    add_verdict(table, result);
    return table.take();
}

} // namespace dcsim::cli
