// SPDX-License-Identifier: GPL-2.0-only
//
// A scanner over one line at a time. Whatever does not fit ends in "unknown": nothing is guessed.
#include "strace_parser.h"

#include <cerrno>
#include <charconv>
#include <cstring>
#include <optional>

namespace dcsim::cli
{

namespace
{

constexpr std::string_view unfinished_mark = "<unfinished ...>";
constexpr std::string_view attached_mark = "strace: Process ";
constexpr int last_errno = 133;

bool is_digit(char character)
{
    return character >= '0' && character <= '9';
}

bool is_name_character(char character)
{
    return is_digit(character) || (character >= 'a' && character <= 'z') ||
           (character >= 'A' && character <= 'Z') || character == '_';
}

int digit_value(char character)
{
    if (is_digit(character))
        return character - '0';
    if (character >= 'a' && character <= 'f')
        return character - 'a' + 10;
    if (character >= 'A' && character <= 'F')
        return character - 'A' + 10;
    return 99;
}

/// A place in a line, and steps forward.
class scanner
{
  public:
    explicit scanner(std::string_view text) : text_(text) {}

    bool at_end() const
    {
        return position_ == text_.size();
    }
    char peek() const
    {
        return at_end() ? '\0' : text_[position_];
    }
    std::string_view rest() const
    {
        return text_.substr(position_);
    }
    size_t position() const
    {
        return position_;
    }
    void go_to(size_t position)
    {
        position_ = position;
    }
    std::string_view since(size_t start) const
    {
        return text_.substr(start, position_ - start);
    }
    char next()
    {
        return at_end() ? '\0' : text_[position_++];
    }
    bool skip(std::string_view word)
    {
        if (!rest().starts_with(word))
            return false;
        position_ += word.size();
        return true;
    }
    void skip_blanks()
    {
        while (peek() == ' ' || peek() == '\t')
            position_++;
    }
    std::string_view digits()
    {
        const size_t start = position_;

        while (is_digit(peek()))
            position_++;
        return since(start);
    }
    std::string_view name()
    {
        const size_t start = position_;

        while (is_name_character(peek()))
            position_++;
        return since(start);
    }

  private:
    std::string_view text_;
    size_t position_ = 0;
};

/// The byte behind a backslash: a letter, up to three octal digits, or x and two hexadecimal ones.
char read_escape(scanner &at)
{
    const char letter = at.next();
    int value = digit_value(letter);

    if (letter == 'x') {
        value = digit_value(at.next()) * 16;
        return static_cast<char>(value + digit_value(at.next()));
    }
    if (value < 8) {
        for (int more = 0; more < 2 && digit_value(at.peek()) < 8; ++more)
            value = value * 8 + digit_value(at.next());
        return static_cast<char>(value);
    }
    switch (letter) {
    case 'n':
        return '\n';
    case 't':
        return '\t';
    case 'r':
        return '\r';
    case 'v':
        return '\v';
    case 'f':
        return '\f';
    default:
        return letter;
    }
}

/// A string in quotes; false when it does not end.
bool read_string(scanner &at, strace_argument &argument)
{
    at.next();
    argument.is_string = true;
    while (at.peek() != '"') {
        if (at.at_end())
            return false;
        const char character = at.next();
        argument.string += character == '\\' ? read_escape(at) : character;
    }
    at.next();
    argument.cut = at.skip("...");
    return true;
}

/// What -y puts behind a descriptor, in angle brackets that may nest (-yy); false when it does not
/// end.
bool read_place(scanner &at, std::string &place, bool &deleted)
{
    int depth = 1;

    at.next();
    while (depth > 0) {
        if (at.at_end())
            return false;
        const char character = at.next();
        depth += (character == '<') - (character == '>');
        if (depth > 0)
            place += character == '\\' ? read_escape(at) : character;
    }
    // -yy tells of a device what it is.
    if (place.starts_with('/') && place.ends_with('>'))
        place.resize(place.rfind('<'));
    static constexpr std::string_view old_style = " (deleted)";
    deleted = at.skip("(deleted)");
    if (place.ends_with(old_style)) {
        place.resize(place.size() - old_style.size());
        deleted = true;
    }
    return true;
}

bool skip_comment(scanner &at)
{
    const size_t end = at.rest().find("*/");

    if (end == std::string_view::npos)
        return false;
    at.go_to(at.position() + end + 2);
    return true;
}

/// Everything up to the next comma or bracket of this level; structures and lists as they stand.
bool read_other(scanner &at, strace_argument &argument)
{
    std::string closing;

    for (;;) {
        const char character = at.peek();

        if (at.at_end())
            return false;
        if (closing.empty() && (character == ',' || character == ')'))
            return true;
        if (character == '"') {
            strace_argument ignored;
            if (!read_string(at, ignored))
                return false;
            continue;
        }
        if (at.rest().starts_with("/*")) {
            if (!skip_comment(at))
                return false;
            continue;
        }
        if (at.skip("<<"))
            continue;
        if (character == '<' && closing.empty()) {
            if (!read_place(at, argument.place, argument.deleted))
                return false;
            continue;
        }
        if (character == '(' || character == '[' || character == '{')
            closing += character == '(' ? ')' : character == '[' ? ']' : '}';
        else if (!closing.empty() && character == closing.back())
            closing.pop_back();
        at.next();
    }
}

std::string_view without_trailing_blanks(std::string_view text)
{
    while (!text.empty() && text.back() == ' ')
        text.remove_suffix(1);
    return text;
}

bool read_argument(scanner &at, strace_argument &argument)
{
    const size_t start = at.position();

    if (at.peek() == '"') {
        if (!read_string(at, argument))
            return false;
        argument.text = at.since(start);
        at.skip_blanks();
        if (at.peek() == ',' || at.peek() == ')')
            return true;
        // More than a string, e.g. "a" => "b".
    }
    if (!read_other(at, argument))
        return false;
    std::string_view text = at.since(start);
    if (!argument.place.empty() || argument.deleted)
        text = text.substr(0, text.find('<'));
    if (const size_t comment = text.find(" /*");
        comment != std::string_view::npos && text.find_first_of("{[\"") > comment)
        text = text.substr(0, comment);
    argument.text = without_trailing_blanks(text);
    return true;
}

/// From behind the opening bracket to behind the closing one.
bool read_arguments(scanner &at, std::vector<strace_argument> &arguments)
{
    at.skip_blanks();
    if (at.peek() == ')') {
        at.next();
        return true;
    }
    for (;;) {
        if (!read_argument(at, arguments.emplace_back()))
            return false;
        if (at.next() == ')')
            return true;
        at.skip_blanks();
    }
}

std::optional<int64_t> parse_number(std::string_view text)
{
    const bool negative = text.starts_with('-');
    int base = 10;
    uint64_t value = 0;

    if (negative)
        text.remove_prefix(1);
    if (text.starts_with("0x")) {
        base = 16;
        text.remove_prefix(2);
    } else if (text.size() > 1 && text[0] == '0') {
        base = 8;
    }
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (error != std::errc() || end != text.data() + text.size())
        return std::nullopt;
    return negative ? -static_cast<int64_t>(value) : static_cast<int64_t>(value);
}

/// The name of an error, or nothing.
bool read_error(scanner &at, strace_call &call)
{
    at.skip_blanks();
    if (at.peek() != 'E')
        return true;
    call.error = errno_by_name(at.name());
    return call.error != 0 || !call.answered;
}

/// What stands behind a result: an explanation in brackets, the time of -T.
bool read_after_result(scanner &at, strace_call &call)
{
    at.skip_blanks();
    while (at.peek() == '(') {
        const size_t start = at.position();
        int depth = 0;
        do {
            const char character = at.next();
            if (character == '\0')
                return false;
            depth += (character == '(') - (character == ')');
        } while (depth > 0);
        call.injected |= at.since(start) == "(INJECTED)";
        at.skip_blanks();
    }
    if (at.peek() == '<') {
        at.next();
        if (at.peek() != 'u' && !is_digit(at.peek()))
            return false;
        while (!at.at_end() && at.peek() != '>')
            at.next();
        if (at.next() != '>')
            return false;
    }
    at.skip_blanks();
    return at.at_end();
}

/// From the equals sign to the end of the line.
bool read_result(scanner &at, strace_call &call)
{
    at.skip_blanks();
    if (!at.skip("="))
        return false;
    at.skip_blanks();
    if (at.skip("?")) {
        return read_error(at, call) && read_after_result(at, call);
    }
    const size_t start = at.position();
    if (at.peek() == '-')
        at.next();
    at.name();
    const std::optional<int64_t> value = parse_number(at.since(start));
    if (!value)
        return false;
    call.value = *value;
    call.answered = true;
    bool deleted = false;
    if (at.peek() == '<' && !read_place(at, call.place, deleted))
        return false;
    if (call.value < 0 && !read_error(at, call))
        return false;
    return read_after_result(at, call);
}

/// "[pid 12]" or "12": the process; with its name as -Y adds it. 0 without one.
int64_t read_pid(scanner &at)
{
    const size_t start = at.position();
    const bool bracket = at.skip("[pid ");

    if (bracket)
        at.skip_blanks();
    const std::string_view digits = at.digits();
    if (!digits.empty() && at.peek() == '<') {
        std::string name;
        bool deleted;
        if (!read_place(at, name, deleted))
            at.go_to(start);
    }
    const bool ended = bracket ? at.skip("]") : at.peek() == ' ';
    if (digits.empty() || digits.size() > 10 || !ended) {
        at.go_to(start);
        return 0;
    }
    at.skip_blanks();
    return parse_number(digits).value_or(0);
}

/// One of the time columns: 12:34:56, 12:34:56.123456, 1234567890.123456, 0.000123,
/// (+     0.000123), 2026-01-31T12:34:56+0000.
bool skip_time(scanner &at)
{
    const size_t start = at.position();
    const bool bracket = at.skip("(+");
    bool separated = false;

    if (bracket)
        at.skip_blanks();
    if (!is_digit(at.peek())) {
        at.go_to(start);
        return false;
    }
    while (is_digit(at.peek()) || (at.peek() != '\0' && strchr(":.-+T", at.peek()))) {
        separated |= !is_digit(at.peek());
        at.next();
    }
    const bool ended = bracket ? at.skip(")") : true;
    if (!separated || !ended || at.peek() != ' ') {
        at.go_to(start);
        return false;
    }
    at.skip_blanks();
    return true;
}

/// The number of the call (-n) or the place in the program (-i).
bool skip_bracket(scanner &at)
{
    const size_t start = at.position();

    if (!at.skip("["))
        return false;
    at.skip_blanks();
    if (!at.skip("????????????????"))
        at.name();
    if (at.skip("] "))
        return true;
    at.go_to(start);
    return false;
}

strace_line line_of_kind(strace_line_kind kind, int64_t pid)
{
    strace_line line;

    line.kind = kind;
    line.pid = pid;
    return line;
}

strace_line parse_message(int64_t pid, std::string_view text)
{
    strace_line line = line_of_kind(strace_line_kind::message, pid);
    scanner at(text);

    if (at.skip(attached_mark)) {
        const std::string_view digits = at.digits();
        if (at.skip(" attached"))
            line.attached = parse_number(digits).value_or(0);
    }
    return line;
}

/// "strace: Process 123 attached" wherever it is in a line but in a string; empty if it is not.
std::string_view find_message(std::string_view text)
{
    const size_t place = text.find(attached_mark);
    bool quoted = false;

    if (place == std::string_view::npos)
        return "";
    for (size_t position = 0; position < place; ++position) {
        if (quoted && text[position] == '\\')
            ++position;
        else if (text[position] == '"')
            quoted = !quoted;
    }
    scanner at(text.substr(place + attached_mark.size()));
    if (quoted || at.digits().empty() || !at.skip(" attached"))
        return "";
    return text.substr(place, attached_mark.size() + at.position());
}

strace_line parse_signal(int64_t pid, std::string_view text)
{
    strace_line line = line_of_kind(strace_line_kind::signal, pid);
    static constexpr std::string_view mark = "si_uid=";

    if (const size_t place = text.find(mark); place != std::string_view::npos) {
        scanner at(text.substr(place + mark.size()));
        line.uid = parse_number(at.digits()).value_or(-1);
    }
    return line;
}

} // namespace

int64_t strace_argument::number(int64_t otherwise) const
{
    return parse_number(text).value_or(otherwise);
}

int errno_by_name(std::string_view name)
{
    static const std::unordered_map<std::string_view, int> numbers = [] {
        std::unordered_map<std::string_view, int> map;
        for (int number = 1; number <= last_errno; ++number)
            if (const char *known = strerrorname_np(number))
                map.emplace(known, number);
        // Other names for numbers that have one already, and one that is the kernel's own.
        map.emplace("ENOTSUP", EOPNOTSUPP);
        map.emplace("EDEADLOCK", EDEADLK);
        map.emplace("EWOULDBLOCK", EAGAIN);
        map.emplace("ENOTSUPP", 524);
        return map;
    }();
    const auto found = numbers.find(name);

    return found == numbers.end() ? 0 : found->second;
}

/// Without -o, strace writes of a new process into the middle of whatever call it is showing.
strace_line strace_parser::parse(std::string_view text)
{
    const std::string_view message = find_message(text);
    std::string around = std::move(torn_);

    lines_++;
    torn_.clear();
    if (message.empty())
        return around.empty() ? parse_whole(text) : parse_whole(around.append(text));
    const auto before = static_cast<size_t>(message.data() - text.data());
    const std::string_view after = text.substr(before + message.size());
    around.append(text.substr(0, before)).append(after);
    strace_line line = parse_message(0, message);
    if (after.empty()) {
        torn_ = std::move(around);
        return line;
    }
    const int64_t attached = line.attached;
    line = parse_whole(around);
    line.attached = attached;
    return line;
}

strace_line strace_parser::parse_whole(std::string_view text)
{
    while (!text.empty() && (text.back() == '\r' || text.back() == ' '))
        text.remove_suffix(1);
    if (text.empty())
        return line_of_kind(strace_line_kind::blank, 0);
    if (text.starts_with(" > "))
        return line_of_kind(strace_line_kind::stack, 0);
    scanner at(text);
    // -r pads its seconds in front, -o the process id behind.
    const int64_t pid = read_pid(at);
    at.skip_blanks();
    while (skip_time(at) || skip_bracket(at))
        ;
    if (at.rest().starts_with("--- ") && text.ends_with(" ---"))
        return parse_signal(pid, at.rest());
    if (at.rest().starts_with("+++ ") && text.ends_with(" +++")) {
        const bool lives = at.rest().starts_with("+++ superseded");
        begun_.erase(pid);
        return line_of_kind(lives ? strace_line_kind::message : strace_line_kind::exit, pid);
    }
    if (at.rest().starts_with("strace: ") || at.rest().starts_with("[ Process PID="))
        return parse_message(pid, at.rest());
    if (at.skip("<... "))
        return parse_resumed(pid, at.rest());
    return parse_call(pid, at.rest());
}

/// The first half of the call `name` of a process. Without -o a line names its process only while
/// there are several, so one half may lack it.
strace_parser::halves::iterator strace_parser::find_begun(int64_t pid, const std::string &name)
{
    const std::string start = name + "(";
    auto found = begun_.find(pid);

    if (found == begun_.end() && pid)
        found = begun_.find(0);
    if (found == begun_.end() && !pid && begun_.size() == 1)
        found = begun_.begin();
    return found != begun_.end() && found->second.text.starts_with(start) ? found : begun_.end();
}

/// `text` from behind "<... ".
strace_line strace_parser::parse_resumed(int64_t pid, std::string_view text)
{
    static constexpr std::string_view mark = " resumed>";
    scanner at(text);
    const std::string name(at.name());

    if (name.empty() || !at.skip(mark))
        return line_of_kind(strace_line_kind::unknown, pid);
    const auto begun = find_begun(pid, name);
    if (begun == begun_.end())
        return line_of_kind(strace_line_kind::fragment, pid);
    const half first = std::move(begun->second);
    begun_.erase(begun);
    strace_line line = parse_call(pid, first.text + std::string(at.rest()));
    line.begun = first.line;
    return line;
}

strace_line strace_parser::parse_call(int64_t pid, std::string_view text)
{
    strace_line line = line_of_kind(strace_line_kind::unknown, pid);
    scanner at(text);

    line.call.name = at.name();
    if (line.call.name.empty() || is_digit(line.call.name[0]) || !at.skip("("))
        return line;
    if (text.ends_with(unfinished_mark)) {
        text.remove_suffix(unfinished_mark.size());
        begun_[pid] = {std::string(text), lines_};
        line.kind = strace_line_kind::unfinished;
        return line;
    }
    if (!read_arguments(at, line.call.arguments) || !read_result(at, line.call))
        return line;
    line.kind = strace_line_kind::call;
    return line;
}

} // namespace dcsim::cli
