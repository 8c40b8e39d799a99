// SPDX-License-Identifier: GPL-2.0-only
//
// What is wrong with a word on the command line, said in one way.
#include "choices.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "dcsim/scenario/scenario.h"
#include "dcsim/scenario/suggestion.h"
#include "text.h"
#include "usage_error.h"

namespace dcsim::cli
{

void refuse_word(const std::string &option, const std::string &word,
                 const std::vector<std::string> &valid)
{
    throw usage_error(fmt::format("{} '{}': valid are {}.{}", option, printable(word),
                                  fmt::join(valid, ", "), scenario::did_you_mean(word, valid)));
}

std::vector<std::string> era_names()
{
    std::vector<std::string> names;

    for (const scenario::era_description &era : scenario::eras())
        names.emplace_back(era.name);
    return names;
}

void refuse_unknown_era(const std::string &era)
{
    if (!era.empty() && !scenario::find_era(era))
        refuse_word("--era", era, era_names());
}

void add_text(CLI::App *command, const char *option, std::string &target, const char *type,
              const std::string &help)
{
    command
        ->add_option_function<std::string>(
            option,
            [=, &target](const std::string &text) {
                if (text.empty())
                    throw usage_error(fmt::format("{} '': must not be empty", option));
                target = text;
            },
            help)
        ->type_name(type);
}

} // namespace dcsim::cli
