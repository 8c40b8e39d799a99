// SPDX-License-Identifier: GPL-2.0-only
//
// Expressions of scenarios: what they look at, when they hold, and how they are said in words.
#include <cerrno>
#include <cstdlib>
#include <functional>
#include <new>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dcsim/scenario/scenario.h"

namespace dcsim::scenario
{

namespace
{

using ::testing::ElementsAre;
using kind = operand::kind;

/// The task A: d = walk('/a'), n = shrink(); B: d; setup: x. The expression is the only check.
scenario scenario_with(const std::string &expression)
{
    return parse_scenario("format = 1\n"
                          "title = 'x'\n"
                          "[setup]\n"
                          "do = [\"x = walk('/x')\"]\n"
                          "[task.A]\n"
                          "do = [\"d = walk('/a')\", \"n = shrink()\"]\n"
                          "[task.B]\n"
                          "do = [\"d = walk('/b')\"]\n"
                          "[check]\n"
                          "always = [\"" +
                              expression + "\"]\n",
                          "f");
}

expression compiled(const std::string &text)
{
    return scenario_with(text).always.at(0);
}

/// Answers with a function.
class answers : public fact_source
{
  public:
    explicit answers(std::function<int64_t(const operand &)> answer) : answer_(std::move(answer)) {}

    int64_t fact(const operand &wanted) const override
    {
        return answer_(wanted);
    }

  private:
    std::function<int64_t(const operand &)> answer_;
};

/// Does it hold when every fact is this number?
bool holds_for(const std::string &text, int64_t number)
{
    return holds(compiled(text), answers([number](const operand &) { return number; }));
}

// --- What is asked ----------------------------------------------------------------------------

TEST(ScenarioExpression, ResultsAreAskedByTaskAndSlot)
{
    const expression stated = compiled("A.n == 7");

    EXPECT_EQ(stated.left.what, kind::result);
    EXPECT_EQ(stated.left.task, 0);
    EXPECT_EQ(stated.left.variable, 1);
    EXPECT_EQ(stated.op, comparison::equal);
    EXPECT_EQ(stated.right.what, kind::constant);
    EXPECT_EQ(stated.right.constant, 7);
    EXPECT_EQ(compiled("setup.x == ENOENT").left.task, setup_task);
    EXPECT_EQ(compiled("A.d == B.d").right.task, 1);
    EXPECT_EQ(compiled("A.d == B.d").right.variable, 0);
}

TEST(ScenarioExpression, AttributesAreKindsOfTheirOwn)
{
    EXPECT_EQ(compiled("A.d.error == 0").left.what, kind::error);
    EXPECT_EQ(compiled("A.d.inode == 0").left.what, kind::inode);
    EXPECT_EQ(compiled("A.d.negative").left.what, kind::negative);
    EXPECT_EQ(compiled("A.d.hashed").left.what, kind::hashed_attribute);
}

TEST(ScenarioExpression, FunctionsAskForOneOrAll)
{
    const scenario some = scenario_with("lookups('/b') == 1");
    const operand &lookups = some.always[0].left;

    EXPECT_EQ(lookups.what, kind::lookups);
    EXPECT_EQ(some.paths.at(static_cast<size_t>(lookups.path)), "/b");
    EXPECT_EQ(compiled("lookups() == 1").left.path, all_paths);
    EXPECT_EQ(compiled("waits(B) == 1").left.what, kind::waits);
    EXPECT_EQ(compiled("waits(B) == 1").left.task, 1);
    EXPECT_EQ(compiled("waits() == 1").left.task, all_tasks);
    EXPECT_EQ(compiled("retries(A) == 1").left.what, kind::retries);
    EXPECT_EQ(compiled("retries(A) == 1").left.task, 0);
    EXPECT_EQ(compiled("retries(A) == 1").left.cause, all_causes);
    EXPECT_EQ(compiled("retries() == 1").left.task, all_tasks);
    EXPECT_EQ(compiled("blocked(B) == 1").left.what, kind::blocked);
    EXPECT_EQ(compiled("blocked(B) == 1").left.task, 1);
    EXPECT_EQ(compiled("hashed('/a') == 1").left.what, kind::hashed);
    EXPECT_EQ(compiled("positive('/a') == 1").left.what, kind::positive);
    EXPECT_EQ(compiled("dentries() == 1").left.what, kind::dentries);
    EXPECT_EQ(compiled("failed_allocations() == 1").left.what, kind::failed_allocations);
}

TEST(ScenarioExpression, ReferencesAreOfAVariable)
{
    const operand asked = compiled("references(B.d) == 1").left;

    EXPECT_EQ(asked.what, kind::references);
    EXPECT_EQ(asked.task, 1);
    EXPECT_EQ(asked.variable, 0);
}

TEST(ScenarioExpression, CausesAreThoseOfTheStatistics)
{
    for (int cause = 0; cause < retry_causes; ++cause) {
        const std::string name = retry_cause_name(static_cast<retry_cause>(cause));

        EXPECT_EQ(compiled("retries(A, '" + name + "') == 1").left.cause, cause) << name;
    }
    EXPECT_STREQ(retry_cause_name(retry_cause::seq), "seq");
    EXPECT_STREQ(retry_cause_name(retry_cause::rename_lock), "rename_lock");
    EXPECT_STREQ(retry_cause_name(retry_cause::dir_seq), "dir_seq");
    EXPECT_STREQ(retry_cause_name(retry_cause::dying), "dying");
    EXPECT_STREQ(retry_cause_name(retry_cause::mismatch), "mismatch");
}

TEST(ScenarioExpression, ErrnoNamesAreNegativeAndTruthIsOneOrZero)
{
    EXPECT_EQ(compiled("A.d == ENOENT").right.constant, -ENOENT);
    EXPECT_EQ(compiled("A.d.hashed == true").right.constant, 1);
    EXPECT_EQ(compiled("A.d.hashed == false").right.constant, 0);
    EXPECT_EQ(compiled("A.n == -3").right.constant, -3);
    EXPECT_THAT(compiled("A.n in [0, EIO, 5]").set, ElementsAre(0, -EIO, 5));
}

TEST(ScenarioExpression, ErrnoNamesGoBothWays)
{
    EXPECT_EQ(errno_value("ENOMEM"), -ENOMEM);
    EXPECT_EQ(errno_value("ENOTHING"), 0);
    EXPECT_EQ(errno_name(-ENOMEM), "ENOMEM");
    EXPECT_EQ(errno_name(ENOMEM), "");
    EXPECT_EQ(errno_name(0), "");
    for (const std::string &name : errno_names())
        EXPECT_EQ(errno_name(errno_value(name)), name);
}

// --- When it holds ----------------------------------------------------------------------------

TEST(ScenarioExpression, ComparisonsCompare)
{
    struct row {
        const char *op;
        bool below, same, above;
    };

    for (const auto &[op, below, same, above] :
         {row{"==", false, true, false}, row{"!=", true, false, true}, row{"<", true, false, false},
          row{"<=", true, true, false}, row{">", false, false, true},
          row{">=", false, true, true}}) {
        const std::string text = std::string("A.n ") + op + " 5";

        EXPECT_EQ(holds_for(text, 4), below) << text;
        EXPECT_EQ(holds_for(text, 5), same) << text;
        EXPECT_EQ(holds_for(text, 6), above) << text;
    }
}

TEST(ScenarioExpression, BothSidesAreAsked)
{
    const expression same = compiled("A.d == B.d");
    const auto facts = [](int64_t of_a, int64_t of_b) {
        return answers([=](const operand &wanted) { return wanted.task == 0 ? of_a : of_b; });
    };

    EXPECT_TRUE(holds(same, facts(3, 3)));
    EXPECT_FALSE(holds(same, facts(3, 4)));
    EXPECT_TRUE(holds(compiled("4 > A.n"), facts(3, 0)));
}

TEST(ScenarioExpression, InIsOneOfTheList)
{
    EXPECT_TRUE(holds_for("A.d in [ENOENT, EIO]", -EIO));
    EXPECT_FALSE(holds_for("A.d in [ENOENT, EIO]", -ENOMEM));
}

TEST(ScenarioExpression, AloneItIsTrueWhenItIsNotZero)
{
    EXPECT_TRUE(holds_for("A.d.negative", 1));
    EXPECT_FALSE(holds_for("A.d.negative", 0));
    EXPECT_TRUE(holds_for("A.n", -1));
}

TEST(ScenarioExpression, NothingHoldsAboutWhatIsNotKnownYet)
{
    for (const char *text :
         {"A.d == B.d", "A.d != B.d", "A.n < 3", "A.n > 3", "A.n", "3 != A.n", "A.n in [1]"})
        EXPECT_FALSE(holds_for(text, no_fact)) << text;
}

// --- Allocation -------------------------------------------------------------------------------

long allocations = 0;

} // namespace

} // namespace dcsim::scenario

// Counts; what it returns is malloc's.
void *operator new(size_t size)
{
    ++dcsim::scenario::allocations;
    if (void *memory = std::malloc(size))
        return memory;
    throw std::bad_alloc();
}
void operator delete(void *memory) noexcept
{
    std::free(memory);
}
void operator delete(void *memory, size_t) noexcept
{
    std::free(memory);
}

namespace dcsim::scenario
{

namespace
{

TEST(ScenarioExpression, EvaluatingAllocatesNothing)
{
    const expression list = compiled("A.d in [ENOENT, EIO]");
    const expression equal = compiled("A.d == B.d");
    const answers facts([](const operand &) { return 5; });
    const long before = allocations;
    const bool held = holds(list, facts) || !holds(equal, facts);
    const long after = allocations;

    EXPECT_FALSE(held);
    EXPECT_EQ(after, before);
    EXPECT_GT(before, 0);
}

// --- In words ---------------------------------------------------------------------------------

struct said {
    const char *expression;
    const char *words;
};

class ExpressionInWords : public ::testing::TestWithParam<said>
{
};

TEST_P(ExpressionInWords, SaysIt)
{
    const scenario some = scenario_with(GetParam().expression);

    EXPECT_EQ(in_words(some.always.at(0), some), GetParam().words);
}

constexpr said sayings[] = {
    {"A.d == B.d", "the dentry A.d is the dentry B.d"},
    {"A.d != ENOENT", "the dentry A.d is not ENOENT"},
    {"A.n == 0", "the result A.n is 0"},
    {"A.d.error in [0, EIO]", "the error of A.d is one of 0, EIO"},
    {"A.d.inode == B.d.inode", "the inode of A.d is the inode of B.d"},
    {"A.d.negative", "A.d was negative"},
    {"A.d.negative == false", "A.d was not negative"},
    {"setup.x.hashed != false", "setup.x was hashed"},
    {"A.d.hashed != true", "A.d was not hashed"},
    {"A.d.hashed == B.d.hashed", "whether A.d was hashed is whether B.d was hashed"},
    {"A.d.negative < 2", "whether A.d was negative is less than 2"},
    {"lookups('/a') <= 1", "the number of ->lookup() calls for /a is at most 1"},
    {"lookups() >= 1", "the number of ->lookup() calls is at least 1"},
    {"waits(B) > 0", "the number of waits of B for another task's ->lookup() is more than 0"},
    {"waits() < 3", "the number of waits for another task's ->lookup() is less than 3"},
    {"retries(A, 'dying') == 1", "the number of restarted lookups of A because of dying is 1"},
    {"retries()", "the number of restarted lookups is not 0"},
    {"blocked(A) == 0", "the number of times A was blocked is 0"},
    {"blocked() == 0", "the number of times a task was blocked is 0"},
    {"hashed('/a') == 1", "the number of hashed dentries named /a is 1"},
    {"positive('/a') == 1", "the number of hashed positive dentries named /a is 1"},
    {"dentries() == 4", "the number of dentries is 4"},
    {"references(setup.x) == 1", "the reference count of setup.x is 1"},
    {"failed_allocations() > 0", "the number of allocations that failed is more than 0"},
};

INSTANTIATE_TEST_SUITE_P(Scenario, ExpressionInWords, ::testing::ValuesIn(sayings),
                         [](const auto &instance) { return std::to_string(instance.index); });

} // namespace

} // namespace dcsim::scenario
