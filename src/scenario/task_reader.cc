// SPDX-License-Identifier: GPL-2.0-only
//
// Finds the tasks and their variables first, then compiles steps, then expressions.
#include "task_reader.h"

#include <algorithm>
#include <deque>
#include <set>

#include "dcsim/scenario/suggestion.h"
#include "step_parser.h"

namespace dcsim::scenario
{

namespace
{

constexpr size_t longest_task_name = 16;

bool is_task_name(std::string_view name)
{
    const auto is_upper = [](char letter) { return letter >= 'A' && letter <= 'Z'; };
    const auto is_other = [](char letter) {
        return (letter >= 'a' && letter <= 'z') || (letter >= '0' && letter <= '9');
    };

    return !name.empty() && name.size() <= longest_task_name && is_upper(name.front()) &&
           std::ranges::all_of(name,
                               [&](char letter) { return is_upper(letter) || is_other(letter); });
}

/// A step between the passes.
struct half_read_step {
    located_text source;
    token_stream tokens;
    step_head head;
    int result_slot = -1;
    bool assigns = false; ///< for the first time: not so when the variable is assigned twice
};

class task_reader
{
  public:
    task_reader(document &from, name_table &names, scenario &into)
        : from_(from), names_(names), into_(into)
    {
    }

    void read();

  private:
    void read_task(const entry &named);
    void add_task(task &into, std::vector<located_text> lines);
    void find_variable(task &owner, half_read_step &half);
    void compile_task(int index, task &into, std::deque<half_read_step> &halves);
    void compile_step(int index, task &into, half_read_step &half, task_progress &progress);
    void resolve_shares();
    void check_umounts();
    void check_limits();
    void check_shared_uses();
    void read_expressions(const char *key, std::vector<expression> &into);
    void mention(int path);
    void check_asked();

    struct asked_place {
        int path;
        source_position where;
    };
    struct shared_use {
        int task;
        task_progress::shared_use use;
        source_position where;
    };
    struct share {
        int task;
        located_text with;
    };

    void remember_asked(const located_text &in, const std::vector<asked_path> &asked);

    document &from_;
    name_table &names_;
    scenario &into_;
    std::deque<std::deque<half_read_step>> halves_; ///< of setup, then of each task
    std::set<int> mentioned_;
    std::vector<asked_place> asked_;
    std::vector<shared_use> shared_uses_;
    std::vector<share> shares_;
};

// --- First pass -------------------------------------------------------------------------------

void task_reader::find_variable(task &owner, half_read_step &half)
{
    if (!half.head.target)
        return;
    const std::string name(half.head.target->text);
    const auto same = std::ranges::find(owner.variables, name, &variable::name);

    half.result_slot = static_cast<int>(same - owner.variables.begin());
    half.assigns = same == owner.variables.end();
    if (half.assigns)
        owner.variables.push_back(
            {name, half.head.verb ? half.head.verb->value : value_kind::none});
    else
        from_.report(half.source, {half.head.target->offset,
                                   "'" + name + "' is assigned twice: use another name"});
}

void task_reader::add_task(task &into, std::vector<located_text> lines)
{
    auto &halves = halves_.emplace_back();

    for (located_text &line : lines) {
        // Tokens point into the text, so it must not move any more.
        halves.push_back({std::move(line), token_stream(""), {}, -1, false});
        half_read_step &half = halves.back();

        half.tokens = token_stream(half.source.text);
        try {
            parse_head(half.tokens, half.head);
        } catch (const syntax_problem &problem) {
            from_.report(half.source, problem);
        }
        find_variable(into, half);
    }
}

void task_reader::read_task(const entry &named)
{
    if (!is_task_name(named.key))
        return from_.report(named.where, "'" + named.key +
                                             "' is no name for a task: a capital "
                                             "letter, then up to 15 letters and "
                                             "digits");
    const toml::table *table = from_.as_table(*named.value, "task." + named.key, "[task.A]");
    if (!table)
        return;
    from_.check_keys(*table, {"do", "shares"}, "in [task." + named.key + "]");
    const toml::node *steps = from_.find("task", named.key + ".do");
    if (!steps)
        steps = table->get("do");
    if (!steps)
        return from_.report(named.where,
                            "task " + named.key + " needs a list of steps: do = [...]");
    auto lines = from_.as_texts(*steps, "do");
    // Variants take tasks out, or bring them in, by changing an empty list.
    if (steps->is_array() && steps->as_array()->empty())
        return;
    if (into_.tasks.size() == most_tasks)
        return from_.report(named.where, "too many tasks: the limit is 8");
    into_.tasks.push_back({named.key, {}, {}, -1});
    if (const toml::node *shares = table->get("shares"))
        if (const auto other = from_.as_line(*shares, "shares"))
            shares_.push_back({static_cast<int>(into_.tasks.size()) - 1, *other});
    add_task(into_.tasks.back(), std::move(lines));
}

/// Of the tasks that share, the one with an fs of its own is named.
void task_reader::resolve_shares()
{
    std::vector<std::string> owners;

    for (size_t index = 0; index < into_.tasks.size(); ++index)
        if (std::ranges::none_of(
                shares_, [index](const share &one) { return one.task == static_cast<int>(index); }))
            owners.push_back(into_.tasks[index].name);
    for (const share &one : shares_) {
        const auto owner = std::ranges::find(into_.tasks, one.with.text, &task::name);

        if (std::ranges::find(owners, one.with.text) == owners.end())
            from_.report(one.with.where,
                         "shares names a task that has a root and working directory of its own",
                         nearest_name(one.with.text, owners));
        else
            into_.tasks[static_cast<size_t>(one.task)].shares =
                static_cast<int>(owner - into_.tasks.begin());
    }
}

// --- Second pass ------------------------------------------------------------------------------

void task_reader::mention(int path)
{
    if (path >= 0)
        mentioned_.insert(path);
}

void task_reader::remember_asked(const located_text &in, const std::vector<asked_path> &asked)
{
    for (const asked_path &one : asked)
        asked_.push_back({one.path, from_.place(in, one.offset)});
}

void task_reader::compile_step(int index, task &into, half_read_step &half, task_progress &progress)
{
    std::vector<asked_path> asked;
    step compiled = progress.parse_arguments(half.tokens, half.head, into_.awaited, asked);

    compiled.result_slot = half.result_slot;
    compiled.text = half.source.text;
    compiled.where = from_.place(half.source, half.head.verb_word.offset);
    if (compiled.expression >= 0) {
        expression &awaited = into_.awaited.back();
        const size_t begin = compiled.text.find('(') + 1;

        awaited.text = compiled.text.substr(begin, compiled.text.rfind(')') - begin);
        awaited.where = from_.place(half.source, begin);
    }
    mention(compiled.path);
    mention(compiled.second_path);
    remember_asked(half.source, asked);
    if (const auto &use = progress.last_shared_use())
        shared_uses_.push_back({index, *use, from_.place(half.source, use->offset)});
    into.steps.push_back(std::move(compiled));
}

void task_reader::compile_task(int index, task &into, std::deque<half_read_step> &halves)
{
    task_progress progress(names_, index);

    for (half_read_step &half : halves) {
        try {
            if (half.head.verb)
                compile_step(index, into, half, progress);
        } catch (const syntax_problem &problem) {
            from_.report(half.source, problem);
        }
        if (half.assigns)
            progress.assigned();
    }
}

void task_reader::check_umounts()
{
    bool found = false;

    for (const task &one : into_.tasks)
        for (const step &what : one.steps) {
            if (what.what == verb::umount && found)
                from_.report(what.where, "a second umount(): there is one file system");
            found |= what.what == verb::umount;
        }
}

void task_reader::check_limits()
{
    size_t variables = into_.setup.variables.size();

    for (const task &one : into_.tasks)
        variables += one.variables.size();
    if (variables > most_variables)
        from_.report({1, 1}, std::to_string(variables) + " variables; the limit is " +
                                 std::to_string(most_variables));
    if (into_.paths.size() > most_paths)
        from_.report({1, 1}, std::to_string(into_.paths.size()) +
                                 " paths, with the directories above them; the limit is " +
                                 std::to_string(most_paths));
}

void task_reader::check_shared_uses()
{
    for (const shared_use &put : shared_uses_) {
        const std::string &who = names_.task_at(put.task).name;

        if (!put.use.put)
            continue;
        for (const shared_use &other : shared_uses_) {
            // Of two that put, the second one hears about it.
            const bool first_put = other.use.put && other.task < put.task;

            if (other.use.slot == put.use.slot && other.task != put.task &&
                other.task != setup_task && !first_put)
                from_.report(other.where, "its reference is put by " + who +
                                              ": nobody else may use it as an argument");
        }
    }
}

// --- Expressions ------------------------------------------------------------------------------

void task_reader::read_expressions(const char *key, std::vector<expression> &into)
{
    for (const located_text &line : from_.texts("check", key)) {
        std::vector<asked_path> asked;
        token_stream tokens(line.text);

        try {
            expression parsed = parse_expression(tokens, names_, {}, asked);
            const token rest = tokens.peek();

            if (rest.what != token::kind::end)
                throw syntax_problem{rest.offset,
                                     "an expression is one comparison: " + quoted(rest) +
                                         " is too much; write two expressions"};
            parsed.text = line.text;
            parsed.where = from_.place(line, 0);
            into.push_back(std::move(parsed));
            remember_asked(line, asked);
        } catch (const syntax_problem &problem) {
            from_.report(line, problem);
        }
    }
}

void task_reader::check_asked()
{
    std::vector<std::string> known;

    for (const int path : mentioned_)
        known.push_back(into_.paths[static_cast<size_t>(path)]);
    for (const auto &[path, where] : asked_) {
        const std::string &text = into_.paths[static_cast<size_t>(path)];
        const bool below_known = std::ranges::any_of(known, [&text](const std::string &one) {
            // Walking to a name looks up the directories above it; what is renamed takes along
            // what is below it.
            return one == text || is_below(one, text) || (one != "/" && is_below(text, one));
        });

        if (!below_known)
            from_.report(where,
                         "nothing happens to '" + text +
                             "': it is in no step and not in "
                             "[tree]",
                         nearest_name(text, known));
    }
}

void task_reader::read()
{
    into_.setup.name = "setup";
    add_task(into_.setup, from_.texts("setup", "do"));
    for (const entry &named : from_.section("task"))
        read_task(named);
    if (into_.tasks.empty())
        from_.report({1, 1}, "there is no task with a step: add [task.A] with do = [...]");
    resolve_shares();

    for (const tree_entry &one : into_.tree)
        mention(one.path);
    compile_task(setup_task, into_.setup, halves_[0]);
    for (size_t index = 0; index < into_.tasks.size(); ++index)
        compile_task(static_cast<int>(index), into_.tasks[index], halves_[index + 1]);
    check_umounts();
    check_shared_uses();
    read_expressions("always", into_.always);
    read_expressions("never", into_.never);
    read_expressions("sometimes", into_.sometimes);
    check_asked();
    check_limits();
}

} // namespace

void read_tasks(document &from, name_table &names, scenario &into)
{
    task_reader(from, names, into).read();
}

} // namespace dcsim::scenario
