// SPDX-License-Identifier: GPL-2.0-only
#include "shrink.h"

#include <algorithm>
#include <fcntl.h>
#include <functional>
#include <sys/stat.h>

namespace dcsim::against_kernel
{

namespace
{

class shrinker
{
  public:
    shrinker(program found, difference why, backend &first, backend &second, unsigned limit)
        : best_{std::move(found), std::move(why)}, first_(first), second_(second), limit_(limit)
    {
        cut();
    }

    shrunk run()
    {
        bool better = true;

        simplify_plan();
        while (better && best_.executions < limit_) {
            better = leave_out_operations();
            better = simplify_operations() || better;
            better = simplify_together() || better;
        }
        return std::move(best_);
    }

  private:
    /// Nothing after the difference matters.
    void cut()
    {
        std::vector<operation> &operations = best_.smallest.operations;

        if (best_.why.step < operations.size())
            operations.resize(best_.why.step + 1);
    }

    bool still_differs(program candidate)
    {
        if (best_.executions >= limit_)
            return false;
        best_.executions++;
        std::optional<difference> found = against_kernel::run(candidate, first_, second_);
        if (!found)
            return false;
        best_.smallest = std::move(candidate);
        best_.why = std::move(*found);
        cut();
        return true;
    }

    void simplify_plan()
    {
        const auto changed = [&](const std::function<void(plan &)> &change) {
            program candidate = best_.smallest;
            change(candidate.plan);
            still_differs(std::move(candidate));
        };

        changed([](plan &plan) { plan.compare_every = 1; });
        changed([](plan &plan) { plan.prune_every = 0; });
        changed([](plan &plan) { plan.start = "/"; });
        changed([](plan &plan) { plan.hash_shift = 8; });
    }

    bool leave_out_operations()
    {
        bool better = false;

        for (size_t chunk = std::max<size_t>(best_.smallest.operations.size() / 2, 1);;
             chunk /= 2) {
            // From the end: later operations depend on earlier ones.
            for (size_t end = best_.smallest.operations.size(); end > 0;) {
                const size_t begin = end > chunk ? end - chunk : 0;
                program candidate = best_.smallest;
                std::vector<operation> &operations = candidate.operations;
                operations.erase(operations.begin() + static_cast<long>(begin),
                                 operations.begin() + static_cast<long>(end));
                if (still_differs(std::move(candidate)))
                    better = true;
                end = std::min(begin, best_.smallest.operations.size());
            }
            if (chunk == 1)
                return better;
        }
    }

    static std::vector<std::string> simpler_paths(const std::string &path)
    {
        std::vector<std::string> paths;

        if (path.size() > 100)
            paths.push_back(path.substr(path.size() / 2));
        for (size_t slash = path.find('/'); slash != std::string::npos;
             slash = path.find('/', slash + 1)) {
            // Without the component before, or after, this slash.
            const size_t before = path.rfind('/', slash - (slash > 0));
            const size_t begin = before == std::string::npos || before == slash ? 0 : before + 1;
            paths.push_back(path.substr(0, begin) + path.substr(slash + 1));
            paths.push_back(path.substr(0, slash));
            if (paths.size() > 16)
                break;
        }
        if (path.size() > 1)
            paths.push_back("a");
        if (path.size() > 2 && path.back() == '/')
            paths.push_back("a/");
        return paths;
    }

    static std::vector<operation> simpler(const operation &op)
    {
        std::vector<operation> result;
        const auto with = [&](const std::function<void(operation &)> &change) {
            result.push_back(op);
            change(result.back());
        };
        const auto without_bits = [&](unsigned operation::*member) {
            for (unsigned bit = 1; bit; bit <<= 1)
                // An open of a FIFO must not wait for its other end.
                if (op.*member & bit & ~unsigned{O_NONBLOCK})
                    with([&](operation &simpler) { simpler.*member &= ~bit; });
        };

        if (op.task)
            with([](operation &simpler) { simpler.task = 0; });
        for (place operation::*member : {&operation::first, &operation::second}) {
            if ((op.*member).descriptor != at_cwd)
                with([&](operation &simpler) { (simpler.*member).descriptor = at_cwd; });
            for (const std::string &path : simpler_paths((op.*member).path))
                with([&](operation &simpler) { (simpler.*member).path = path; });
        }
        for (const std::string &body : simpler_paths(op.body))
            with([&](operation &simpler) { simpler.body = body; });
        without_bits(&operation::flags);
        without_bits(&operation::resolve);
        const unsigned plain = op.what == call::mknodat ? (op.mode & ~07777u) | 0644 : 0755;
        if ((op.mode & 07777) != (plain & 07777) && op.what != call::umask)
            with([&](operation &simpler) { simpler.mode = plain; });
        if (op.slot > 0)
            with([](operation &simpler) { simpler.slot = 0; });
        return result;
    }

    bool simplify_operations()
    {
        bool better = false;

        for (size_t i = 0; i < best_.smallest.operations.size(); i++) {
            std::vector<operation> candidates = simpler(best_.smallest.operations[i]);
            for (size_t next = 0; next < candidates.size(); next++) {
                if (i >= best_.smallest.operations.size())
                    break;
                program candidate = best_.smallest;
                candidate.operations[i] = candidates[next];
                if (!still_differs(std::move(candidate)))
                    continue;
                better = true;
                if (i >= best_.smallest.operations.size())
                    break;
                candidates = simpler(best_.smallest.operations[i]);
                next = static_cast<size_t>(-1);
            }
        }
        return better;
    }

    static std::vector<std::string *> paths_of(program &program)
    {
        std::vector<std::string *> paths;

        for (operation &op : program.operations)
            for (std::string *path : {&op.first.path, &op.second.path})
                if (!path->empty())
                    paths.push_back(path);
        return paths;
    }

    /// Takes a directory's name off the beginning of all paths; with it may go what makes it.
    bool drop_prefix(const std::string &directory)
    {
        program candidate = best_.smallest;
        const std::string prefix = directory + "/";
        bool changed = false;

        for (std::string *path : paths_of(candidate))
            if (path->size() > prefix.size() && path->starts_with(prefix)) {
                path->erase(0, prefix.size());
                changed = true;
            }
        if (!changed)
            return false;
        program without = candidate;
        std::erase_if(without.operations,
                      [&](const operation &op) { return op.first.path == directory; });
        return still_differs(std::move(without)) || still_differs(std::move(candidate));
    }

    /// Calls the same thing by another path everywhere.
    bool replace_path(const std::string &from, const std::string &to)
    {
        program candidate = best_.smallest;
        bool changed = false;

        for (std::string *path : paths_of(candidate))
            if (*path == from || path->starts_with(from + "/")) {
                path->replace(0, from.size(), to);
                changed = true;
            }
        return changed && still_differs(std::move(candidate));
    }

    /// Two paths of one program need not be two: one of them may lead to the other by a link.
    bool join_paths()
    {
        program program = best_.smallest;
        bool better = false;

        for (const std::string *from : paths_of(program))
            for (const std::string *to : paths_of(program)) {
                const size_t size = best_.smallest.operations.size();
                const shrunk before = best_;
                if (*from == *to || !replace_path(*from, *to))
                    continue;
                better = keep_if_shorter(before, size) || better;
            }
        return better;
    }

    /// What a link gives a name is made there at once.
    bool replace_links()
    {
        bool better = false;

        for (size_t i = 0; i < best_.smallest.operations.size(); i++) {
            program candidate = best_.smallest;
            operation &op = candidate.operations[i];
            const size_t size = best_.smallest.operations.size();
            const shrunk before = best_;
            if (op.what != call::linkat)
                continue;
            op.what = call::mknodat;
            op.first = op.second;
            op.second = {};
            op.mode = S_IFREG | 0644;
            if (still_differs(std::move(candidate)))
                better = keep_if_shorter(before, size) || better;
        }
        return better;
    }

    /// A change that is no simplification itself is one if something can be left out after it.
    bool keep_if_shorter(const shrunk &before, size_t size)
    {
        leave_out_operations();
        if (best_.smallest.operations.size() < size)
            return true;
        const unsigned executions = best_.executions;
        best_ = before;
        best_.executions = executions;
        return false;
    }

    /// What was renamed had its later name from the beginning.
    bool leave_out_renames()
    {
        bool better = false;

        for (size_t i = 0; i < best_.smallest.operations.size(); i++) {
            program candidate = best_.smallest;
            const operation rename = candidate.operations[i];
            const std::string &from = rename.first.path;
            if (rename.what != call::renameat2 || from.empty())
                continue;
            for (std::string *path : paths_of(candidate))
                if (*path == from || path->starts_with(from + "/"))
                    path->replace(0, from.size(), rename.second.path);
            candidate.operations.erase(candidate.operations.begin() + static_cast<long>(i));
            better = still_differs(std::move(candidate)) || better;
        }
        return better;
    }

    /// An operation finds what it is about as an earlier one did.
    bool copy_places()
    {
        bool better = false;

        for (size_t i = 1; i < best_.smallest.operations.size(); i++)
            for (size_t from = 0; from < i && i < best_.smallest.operations.size(); from++)
                for (place operation::*source : {&operation::first, &operation::second}) {
                    const operation &model = best_.smallest.operations[from];
                    program candidate = best_.smallest;
                    operation &op = candidate.operations[i];
                    if ((model.*source).path.empty() ||
                        ((model.*source).path == op.first.path && model.task == op.task))
                        continue;
                    op.first = model.*source;
                    op.task = model.task;
                    const size_t size = best_.smallest.operations.size();
                    const shrunk before = best_;
                    if (still_differs(std::move(candidate)))
                        better = keep_if_shorter(before, size) || better;
                }
        return better;
    }

    /// Changes that several operations must make at once.
    bool simplify_together()
    {
        constexpr size_t small_program = 40;
        bool better = false;

        if (best_.smallest.operations.size() > small_program)
            return false;
        program program = best_.smallest;
        for (std::string *path : paths_of(program)) {
            const size_t slash = path->find('/', 1);
            if (slash != std::string::npos)
                better = drop_prefix(path->substr(0, slash)) || better;
            if (path->size() <= 1)
                continue;
            if ((*path)[0] == '/')
                better = replace_path(*path, path->substr(1)) || better;
            for (const char *name : {"x", "y", "z"})
                if (replace_path(*path, name)) {
                    better = true;
                    break;
                }
        }
        better = leave_out_renames() || better;
        better = replace_links() || better;
        better = join_paths() || better;
        return copy_places() || better;
    }

    shrunk best_;
    backend &first_;
    backend &second_;
    unsigned limit_;
};

std::string text_of_answer(const answer &answer)
{
    std::string text = answer.value < 0 ? "-" + name_of_errno(static_cast<int>(-answer.value))
                                        : std::to_string(answer.value);

    if (!answer.text.empty())
        text += " " + quoted(answer.text);
    if (answer.status)
        text += " (" + text_of(*answer.status) + ")";
    for (const directory_entry &entry : answer.entries)
        text += " " + quoted(entry.name);
    return text;
}

} // namespace

shrunk shrink(program found, difference why, backend &first, backend &second, unsigned limit)
{
    return shrinker(std::move(found), std::move(why), first, second, limit).run();
}

std::string report(const shrunk &result, size_t original_size, backend &first, backend &second)
{
    const program &program = result.smallest;
    std::vector<identity> who = identities(program.plan, {});
    std::vector<std::string> reasons;
    std::string text = std::string(first.name()) + " and " + second.name() +
                       " differ: " + std::to_string(program.operations.size()) + " calls of " +
                       std::to_string(original_size) + " are enough (" +
                       std::to_string(result.executions) + " programs tried)\n  " +
                       text_of(program.plan) + "\n";

    if (!kernel_limits(reasons).identities)
        who = identities(program.plan, kernel_limits(reasons));
    session again(first, second, program.plan);
    for (size_t i = 0; i < program.operations.size(); i++) {
        const operation &op = program.operations[i];
        const bool differs = again.step(op).has_value();
        text += "  " + std::string(who[op.task].name) + ": " + text_of(op) + " = ";
        if (i == result.why.step || differs)
            text += std::string(first.name()) + " " + text_of_answer(result.why.first) + ", " +
                    second.name() + " " + text_of_answer(result.why.second) + "\n";
        else
            text += text_of_answer(again.last()) + "\n";
    }
    text += "  " + result.why.what + "\n";
    text += "  the tree of " + std::string(first.name()) + ":\n" + text_of(first.snapshot());
    first.end();
    second.end();
    return text;
}

} // namespace dcsim::against_kernel
