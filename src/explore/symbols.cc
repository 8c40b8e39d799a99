// SPDX-License-Identifier: GPL-2.0-only
//
// Names of functions and variables.
#include "symbols.h"

#include <cstdlib>
#include <cstring>
#include <cxxabi.h>
#include <memory>

#include <backtrace.h>

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

void ignore_error(void *, const char *, int) {}

backtrace_state *symbol_state()
{
    static backtrace_state *state = backtrace_create_state(nullptr, 1, ignore_error, nullptr);
    return state;
}

/// Without namespace, arguments, and what the compiler appended to clones.
std::string short_name(const char *symbol)
{
    int status = 0;
    std::unique_ptr<char, void (*)(void *)> demangled(
        abi::__cxa_demangle(symbol, nullptr, nullptr, &status), free);
    std::string name = demangled ? demangled.get() : symbol;

    if (const size_t clone = name.find(" [clone"); clone != std::string::npos)
        name.erase(clone);
    for (const char *prefix : {"dcsim::model::", "(anonymous namespace)::"})
        for (size_t at; (at = name.find(prefix)) != std::string::npos;)
            name.erase(at, strlen(prefix));
    if (const size_t end = name.find_first_of("(<"); end && end != std::string::npos)
        name.erase(end);
    if (const size_t result = name.rfind(' '); result != std::string::npos)
        name.erase(0, result + 1);
    return name;
}

std::string base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

bool is_in(const char *file, const char *folder)
{
    return strstr(file, folder) != nullptr;
}

int add_frame(void *data, uintptr_t, const char *file, int line, const char *function)
{
    auto &calls = *static_cast<std::vector<code_place> *>(data);

    if (!file || !function || is_in(file, "/prim/") || is_in(file, "/explore/"))
        return 0;
    // Below this, it is the scenario's or a test's own code that calls the port.
    calls.push_back({short_name(function), base_name(file), line,
                     is_in(file, "/vfs/") || is_in(file, "/mockfs/")});
    return 0;
}

void add_variable(void *data, uintptr_t address, const char *name, uintptr_t begin, uintptr_t size)
{
    auto &text = *static_cast<std::string *>(data);

    if (!name || address < begin || address >= begin + size)
        return;
    text = short_name(name);
    if (address != begin)
        text.append("+").append(std::to_string(address - begin));
}

} // namespace

std::vector<code_place> current_calls()
{
    std::vector<code_place> calls;

    backtrace_full(symbol_state(), 1, add_frame, ignore_error, &calls);
    return calls;
}

std::string variable_at(const void *address)
{
    std::string text;

    backtrace_syminfo(symbol_state(), reinterpret_cast<uintptr_t>(address), add_variable,
                      ignore_error, &text);
    return text;
}

} // namespace dcsim::inline DCSIM_BACKEND
