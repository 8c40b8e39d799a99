// SPDX-License-Identifier: GPL-2.0-only
//
// Options, the file, and what to say about files that are no traces.
#include "replay_strace_command.h"

#include <cerrno>
#include <charconv>
#include <chrono>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string_view>

#include <fmt/format.h>
#include <sys/stat.h>

#include "exit_code.h"
#include "output.h"
#include "strace_replay.h"
#include "strace_report.h"
#include "text.h"
#include "usage_error.h"

namespace dcsim::cli
{

namespace
{

using clock = std::chrono::steady_clock;

constexpr uint64_t most_passes = 1000;

double seconds_since(clock::time_point begin)
{
    return std::chrono::duration<double>(clock::now() - begin).count();
}

uint64_t whole_number(const std::string &text, const char *option, uint64_t smallest,
                      uint64_t largest)
{
    uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);

    if (error != std::errc() || end != text.data() + text.size() || value < smallest ||
        value > largest)
        throw usage_error(fmt::format("{} '{}': must be a whole number from {} to {}", option,
                                      printable(text), smallest, largest));
    return value;
}

/// A directory without links in its path, because the tree is made of real places.
std::string resolved(const std::string &directory)
{
    const std::unique_ptr<char, decltype(&free)> path(realpath(directory.c_str(), nullptr), free);
    struct stat status;

    if (!path)
        throw usage_error(fmt::format("--import '{}': {}; name a directory of this machine",
                                      printable(directory), strerror(errno)));
    if (stat(path.get(), &status) || !S_ISDIR(status.st_mode))
        throw usage_error(fmt::format("--import '{}': not a directory", printable(directory)));
    return path.get();
}

tree_request requested_tree(const replay_strace_options &options)
{
    tree_request request;

    if (!options.tree.empty() && !options.imports.empty())
        throw usage_error("--tree and --import: give one of them, it says where the tree is from");
    if (options.tree == "machine")
        request.source = tree_source::machine;
    else if (!options.tree.empty() && options.tree != "trace")
        throw usage_error(
            fmt::format("--tree '{}': must be trace or machine", printable(options.tree)));
    if (!options.working_directory.empty() && options.working_directory[0] != '/')
        throw usage_error(fmt::format("--cwd '{}': must be an absolute path",
                                      printable(options.working_directory)));
    request.working_directory = options.working_directory;
    if (options.imports.empty())
        return request;
    request.source = tree_source::imported;
    for (const std::string &directory : options.imports)
        request.directories.push_back(resolved(directory));
    return request;
}

/// Compressed files and other things that are not text. nullptr for text.
const char *why_not_text(std::string_view text)
{
    if (text.empty())
        return "it is empty";
    if (text.starts_with("\xfd"
                         "7zXZ"))
        return "it is compressed: xz -dc FILE | dcsim replay-strace -";
    if (text.starts_with("\x1f\x8b"))
        return "it is compressed: gzip -dc FILE | dcsim replay-strace -";
    if (text.starts_with("\x28\xb5\x2f\xfd"))
        return "it is compressed: zstd -dc FILE | dcsim replay-strace -";
    if (text.find('\0') != std::string_view::npos)
        return "it is a binary file, not the text that strace writes";
    if (text.starts_with("% time"))
        return "it is a summary (strace -c); record without -c";
    return nullptr;
}

struct close_file {
    void operator()(FILE *file) const
    {
        fclose(file);
    }
};

std::string read_all(FILE *file, const std::string &name)
{
    constexpr size_t piece = size_t{1} << 20;
    std::string text;
    size_t length = 0;

    do {
        text.resize(length + piece);
        length += fread(text.data() + length, 1, piece, file);
    } while (length == text.size());
    if (ferror(file))
        throw usage_error(fmt::format("{}: {}", name, strerror(errno)));
    text.resize(length);
    return text;
}

std::string read_file(const std::string &file, const std::string &name)
{
    struct stat status;

    if (file == "-")
        return read_all(stdin, name);
    const std::unique_ptr<FILE, close_file> input(fopen(file.c_str(), "rb"));
    if (!input)
        throw usage_error(fmt::format("{}: {}", name, strerror(errno)));
    if (fstat(fileno(input.get()), &status) == 0 && S_ISDIR(status.st_mode))
        throw usage_error(
            fmt::format("{}: it is a directory; name the file that strace -o wrote", name));
    return read_all(input.get(), name);
}

strace_trace read_trace(const std::string &file)
{
    const std::string name = file == "-" ? "stdin" : fmt::format("'{}'", printable(file));
    const std::string text = read_file(file, name);

    if (const char *reason = why_not_text(text))
        throw usage_error(fmt::format("{}: {}", name, reason));
    strace_trace trace = read_strace(text, SIZE_MAX);
    if (trace.counts.calls == 0)
        throw usage_error(fmt::format(
            "{}: no system call in its {} lines, so it is no output of strace{}; record with: "
            "strace -f -y -o FILE -e trace=%file,... PROGRAM",
            name, grouped(trace.counts.lines),
            trace.unknown.empty()
                ? ""
                : fmt::format(" (line {}: '{}')", trace.unknown.front().number,
                              printable(trace.unknown.front().text.substr(0, 60)))));
    return trace;
}

constexpr const char *footer =
    "The tree that the program found when it began is rebuilt from the trace, unless --tree "
    "machine\n"
    "or --import takes it from this machine. Everything is carried out in one thread, in the order "
    "of\n"
    "the trace, with a task for each process.\n"
    "Record with:\n"
    "  strace -f -y -s 4096 -o FILE -e trace=%file,close,dup,dup2,dup3,fchdir,\\\n"
    "getdents64,clone,clone3,fork,vfork,umask PROGRAM\n"
    "Exit codes:\n"
    "  0 every call was answered as recorded  1 some were answered differently, or the final "
    "check\n"
    "  failed  2 usage error, or the file cannot be read or is no trace  70 internal error\n"
    "Examples:\n"
    "  dcsim replay-strace make.strace\n"
    "  dcsim replay-strace --tree machine --repeat 3 find.strace\n"
    "  dcsim replay-strace --import /usr --import /etc --limit 50 program.strace\n"
    "  xz -dc build.strace.xz | dcsim replay-strace --json -\n";

} // namespace

CLI::App *add_replay_strace_command(CLI::App &parser, replay_strace_options &options)
{
    CLI::App *command = parser.add_subcommand(
        "replay-strace", "The path operations of a real program, recorded by strace");

    command->add_option("file", options.file, "what strace wrote; - for stdin")
        ->required()
        ->type_name("FILE");
    command
        ->add_option(
            "--tree", options.tree,
            "the tree at first: trace, rebuilt from the answers (default), or machine, what "
            "this machine has at the paths of the trace")
        ->type_name("SOURCE");
    command
        ->add_option("--import", options.imports,
                     "the tree at first is this directory of this machine; may be repeated. Calls "
                     "outside of it are skipped")
        ->type_name("DIR")
        ->expected(1)
        ->take_all();
    command
        ->add_option("--cwd", options.working_directory,
                     "where the program began, if the trace does not tell; -y tells")
        ->type_name("DIR");
    command
        ->add_option("--limit", options.limit,
                     "show so many differences and unknown lines; default 10")
        ->type_name("N");
    command
        ->add_option("--repeat", options.repeat,
                     "so many passes; those after the first repeat what changes nothing, over a "
                     "warm cache; default 1")
        ->type_name("N");
    command->add_flag("--json", options.json, "print everything as JSON");
    command->footer(footer);
    return command;
}

int replay_strace_command(const replay_strace_options &options)
{
    const uint64_t limit = whole_number(options.limit, "--limit", 0, INT_MAX);
    const uint64_t repeat = whole_number(options.repeat, "--repeat", 1, most_passes);
    const tree_request request = requested_tree(options);
    const clock::time_point begin = clock::now();
    const strace_trace trace = read_trace(options.file);
    const double reading = seconds_since(begin);
    const first_tree tree = rebuild_tree(trace, request);
    const double rebuilding = seconds_since(begin) - reading;
    const replay_result result = replay_trace(trace, tree, static_cast<unsigned>(repeat));
    const strace_report report = {options.file, request, trace, tree, result, reading, rebuilding};
    const std::string text =
        options.json ? strace_report_json(report) : strace_report_text(report, limit);

    if (!write_output(text))
        return exit_internal;
    return result.differences.empty() && result.problems.empty() ? exit_passed : exit_check_failed;
}

} // namespace dcsim::cli
