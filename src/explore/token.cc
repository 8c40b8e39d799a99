// SPDX-License-Identifier: GPL-2.0-only
//
// Reading and writing tokens.
#include "dcsim/explore/token.h"

#include <charconv>
#include <cstdio>

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

constexpr std::string_view version = "v1-";
constexpr size_t hash_digits = 8;
constexpr char rcu_letter = 'r';

char task_letter(task_id task, unsigned tasks)
{
    return task == tasks ? rcu_letter : static_cast<char>('A' + task);
}

/// Takes a number off the front. False when there is none or it is too large.
bool take_number(std::string_view *text, uint32_t *number, int base = 10)
{
    const auto [end, error] =
        std::from_chars(text->data(), text->data() + text->size(), *number, base);
    if (error != std::errc())
        return false;
    text->remove_prefix(static_cast<size_t>(end - text->data()));
    return true;
}

std::string parse_segments(std::string_view *text, unsigned tasks, schedule_record *schedule)
{
    while (!text->empty() && text->front() != '!') {
        const char letter = text->front();
        schedule_segment segment = {};

        if (letter == rcu_letter)
            segment.task = static_cast<task_id>(tasks);
        else if (letter >= 'A' && static_cast<unsigned>(letter - 'A') < tasks)
            segment.task = static_cast<task_id>(letter - 'A');
        else
            return std::string("'") + letter + "' is no task; this scenario has A to " +
                   task_letter(static_cast<task_id>(tasks - 1), tasks) + " and r";
        text->remove_prefix(1);
        if (!take_number(text, &segment.steps) || !segment.steps)
            return std::string("the number of steps behind '") + letter + "' is missing";
        schedule->segments.push_back(segment);
    }
    return "";
}

std::string parse_values(std::string_view text, schedule_record *schedule)
{
    constexpr uint32_t most_values = 1u << 20;

    while (!text.empty()) {
        uint32_t place = 0;
        uint32_t value = 0;
        const bool begins = text.front() == '!' || text.front() == ',';

        if (begins)
            text.remove_prefix(1);
        if (!begins || !take_number(&text, &place) || !place || place > most_values ||
            text.empty() || text.front() != '=')
            return "behind '!' there must be place=value";
        text.remove_prefix(1);
        if (!take_number(&text, &value) || value > UINT8_MAX)
            return "behind '=' there must be a small number";
        if (schedule->values.size() < place)
            schedule->values.resize(place);
        schedule->values[place - 1] = static_cast<uint8_t>(value);
    }
    return "";
}

} // namespace

std::string format_token(const schedule_token &token, unsigned tasks)
{
    char hash[hash_digits + 1];
    std::string text(version);
    char separator = '!';

    snprintf(hash, sizeof(hash), "%08x", token.hash);
    text += hash;
    text += ':';
    for (const schedule_segment &segment : token.schedule.segments)
        text += task_letter(segment.task, tasks) + std::to_string(segment.steps);
    for (size_t i = 0; i < token.schedule.values.size(); i++)
        if (token.schedule.values[i]) {
            text +=
                separator + std::to_string(i + 1) + "=" + std::to_string(token.schedule.values[i]);
            separator = ',';
        }
    return text;
}

std::string parse_token(std::string_view text, unsigned tasks, schedule_token *token)
{
    *token = {};
    if (!text.starts_with(version))
        return "a token begins with " + std::string(version);
    text.remove_prefix(version.size());
    std::string_view hash = text.substr(0, hash_digits);
    if (hash.size() != hash_digits || !take_number(&hash, &token->hash, 16) || !hash.empty())
        return "behind v1- there must be 8 hexadecimal digits";
    text.remove_prefix(hash_digits);
    if (text.empty() || text.front() != ':')
        return "behind the hash there must be a colon";
    text.remove_prefix(1);
    if (text.empty() || text.front() == '!')
        return "behind the colon there must be a schedule";
    std::string problem = parse_segments(&text, tasks, &token->schedule);
    return problem.empty() ? parse_values(text, &token->schedule) : problem;
}

} // namespace dcsim::inline DCSIM_BACKEND
