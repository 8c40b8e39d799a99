// SPDX-License-Identifier: GPL-2.0-only
//
// A scenario file as TOML, seen through the changes of one variant; what is wrong with it is
// collected, not thrown.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <toml++/toml.h>

#include "dcsim/scenario/scenario.h"
#include "lexer.h"
#include "text_place.h"

namespace dcsim::scenario
{

/// A text of the file.
struct located_text {
    std::string text;
    source_position where; ///< of its opening quote
};

/// A key with its value, seen in the file's order.
struct entry {
    std::string key;
    source_position where; ///< of the key
    const toml::node *value;
};

using key_list = std::vector<std::string>;

source_position place_of(const toml::node &node);
source_position place_of(const toml::key &key);

class document
{
  public:
    /// Dotted keys of the file, and what a variant has instead.
    using changes = std::map<std::string, entry>;

    document(const file_text &text, const toml::table &root, const changes &changed)
        : text_(text), root_(root), changed_(changed)
    {
    }

    const toml::table &root() const
    {
        return root_;
    }
    /// Is this the file as it is?
    bool unchanged() const
    {
        return changed_.empty();
    }

    // What is wrong.

    void report(source_position where, const std::string &message,
                const std::string &suggestion = "");
    /// For a problem within a text.
    void report(const located_text &in, const syntax_problem &problem);
    /// Where a byte of a text stands in the file.
    source_position place(const located_text &in, size_t offset) const;
    std::vector<finding> take_findings()
    {
        return std::move(findings_);
    }

    // What is there.

    /// The value of section.key, or null.
    const toml::node *find(const std::string &section, const std::string &key) const;
    /// Likewise, of the file as it is, whatever a variant has instead.
    const toml::node *in_file(const std::string &section, const std::string &key) const;
    /// What a variant changes or adds in a section, without the section's name.
    std::vector<entry> changed(const std::string &section) const;
    /// All entries of a table, in the order of the file.
    static std::vector<entry> entries(const toml::table &table);
    /// Those of a section as it stands in the file; none when there is no such section.
    std::vector<entry> section(const std::string &name) const;
    /// [tree] with what a variant changes or adds.
    std::vector<entry> tree() const;
    /// Complains about keys that are not in the list; `place` says where: "in [dcache]".
    void check_keys(const toml::table &table, const key_list &valid, const std::string &place);

    // Readers: the value when it is as it should be, else a report and nothing.

    const toml::table *as_table(const toml::node &value, const std::string &name,
                                const char *example);
    std::optional<int64_t> as_number(const toml::node &value, const std::string &name,
                                     int64_t smallest, int64_t largest);
    std::optional<bool> as_flag(const toml::node &value, const std::string &name);
    std::optional<located_text> as_text(const toml::node &value, const std::string &name);
    /// A text without line breaks that says something.
    std::optional<located_text> as_line(const toml::node &value, const std::string &name);
    std::vector<located_text> as_texts(const toml::node &value, const std::string &name);

    /// Shorthands for section.key, which may be missing.
    void read_number(const std::string &section, const std::string &key, int64_t smallest,
                     int64_t largest, unsigned &target);
    void read_flag(const std::string &section, const std::string &key, bool &target);
    std::vector<located_text> texts(const std::string &section, const std::string &key);

  private:
    const file_text &text_;
    const toml::table &root_;
    const changes &changed_;
    std::vector<finding> findings_;
};

} // namespace dcsim::scenario
