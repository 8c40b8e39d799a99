// SPDX-License-Identifier: GPL-2.0-only
//
// Integer and name hashing, bit for bit what a kernel computes.
#include <cstdio>
#include <fstream>
#include <string>
#include <string_view>

#include <sys/mman.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "dcsim/kernel/hash.h"

namespace dcsim::inline DCSIM_BACKEND
{

namespace
{

const void *salt(u64 address)
{
    return reinterpret_cast<const void *>(address);
}

u32 hash_of(u64 parent, std::string_view name)
{
    return full_name_hash(salt(parent), name.data(), static_cast<unsigned>(name.size()));
}

u64 component(u64 parent, std::string_view path)
{
    return hash_name(salt(parent), path.data(), path.data() + path.size());
}

/// A name of `length` bytes, none of which ends a component.
std::string name_of_length(size_t length)
{
    std::string name(length, '\0');

    for (size_t i = 0; i < length; i++) {
        auto byte = static_cast<char>(1 + (i * 37 + length * 11) % 255);
        name[i] = byte == '/' ? '0' : byte;
    }
    return name;
}

struct vector {
    const char *name;
    u32 unsalted;
    u32 salted;
    u32 bucket;
};

constexpr u64 vector_salt = 0xffff888100abc0c0;
constexpr vector vectors[] = {
    {"a", 0x98d51a30, 0xb93895d8, 286},
    {"foo", 0x16d384ae, 0xd921b756, 68},
    {"1234567", 0x5b59d3e4, 0xff7295f4, 830},
    {"12345678", 0xc953179b, 0xc0c636b6, 309},
    {"123456789", 0x818fa15a, 0xe63949ad, 337},
    {"the_quick_brown_fox", 0xe73b3ce8, 0xaaf5dbac, 284},
};

TEST(NameHash, AgreesWithTheTestVectors)
{
    for (const vector &expected : vectors) {
        EXPECT_EQ(hash_of(0, expected.name), expected.unsalted) << expected.name;
        EXPECT_EQ(hash_of(vector_salt, expected.name), expected.salted) << expected.name;
    }
}

TEST(NameHash, InLookupBucketsAgreeWithTheTestVectors)
{
    for (const vector &expected : vectors) {
        u32 sum =
            static_cast<u32>(hash_of(vector_salt, expected.name) + vector_salt / L1_CACHE_BYTES);
        EXPECT_EQ(hash_32(sum, 10), expected.bucket) << expected.name;
    }
}

// Does every name that d_alloc_parallel() saw on a running 6.12 hash as it did there?
TEST(NameHash, AgreesWithARunningKernel)
{
    std::ifstream file(DCSIM_TEST_DATA "/name_hash_linux_6.12.txt");
    std::string line;
    int samples = 0;

    while (std::getline(file, line)) {
        unsigned long parent;
        unsigned hash;
        unsigned length;
        if (line.starts_with('#'))
            continue;
        ASSERT_EQ(sscanf(line.c_str(), "parent=%lx hash=%x len=%u", &parent, &hash, &length), 3);
        size_t quote = line.find('"');
        ASSERT_EQ(line.size(), quote + length + 2) << line;
        std::string name = line.substr(quote + 1, length);
        EXPECT_EQ(hash_of(parent, name), hash) << line;
        EXPECT_EQ(component(parent, name), hashlen_create(hash, length)) << line;
        samples++;
    }
    EXPECT_EQ(samples, 302);
}

TEST(NameHash, ComponentAgreesWithFullNameForEveryLength)
{
    for (size_t length = 1; length <= 300; length++) {
        std::string name = name_of_length(length);
        u64 expected = hashlen_create(hash_of(vector_salt, name), static_cast<u32>(length));
        EXPECT_EQ(component(vector_salt, name), expected) << length;
        EXPECT_EQ(component(vector_salt, name + "/rest/of/it"), expected) << length;
        EXPECT_EQ(component(vector_salt, name + '\0' + "rest"), expected) << length;
        EXPECT_EQ(hashlen_string(salt(vector_salt), name.c_str()), expected) << length;
    }
}

TEST(NameHash, EmptyComponentHasLengthZero)
{
    EXPECT_EQ(hashlen_len(component(vector_salt, "")), 0u);
    EXPECT_EQ(hashlen_len(component(vector_salt, "/a")), 0u);
    EXPECT_EQ(component(vector_salt, "/a"), component(vector_salt, ""));
    EXPECT_EQ(hashlen_hash(component(vector_salt, "")), hash_of(vector_salt, ""));
}

// Bytes that differ from '/' or NUL in one bit, or by a borrow, must not end a component.
TEST(NameHash, OnlySlashAndNulEndAComponent)
{
    for (int byte = 1; byte < 256; byte++) {
        if (byte == '/')
            continue;
        for (size_t position = 0; position < 9; position++) {
            std::string name(17, 'x');
            name[position] = static_cast<char>(byte);
            EXPECT_EQ(hashlen_len(component(0, name)), 17u) << byte << " at " << position;
            name[position + 1] = '/';
            EXPECT_EQ(hashlen_len(component(0, name)), position + 1) << byte << " at " << position;
        }
    }
}

TEST(NameHash, FullNameMayHoldAnyByte)
{
    EXPECT_NE(hash_of(0, "a/b"), hash_of(0, "a"));
    EXPECT_NE(hash_of(0, std::string_view("a\0b", 3)), hash_of(0, "a"));
}

TEST(NameHash, DependsOnTheParent)
{
    EXPECT_NE(hash_of(0, "foo"), hash_of(64, "foo"));
}

/// Memory that ends where the next access would fault.
class guarded_page
{
  public:
    guarded_page()
        : page_(static_cast<size_t>(sysconf(_SC_PAGESIZE))),
          memory_(static_cast<char *>(
              mmap(nullptr, 2 * page_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)))
    {
        mprotect(memory_ + page_, page_, PROT_NONE);
    }
    ~guarded_page()
    {
        munmap(memory_, 2 * page_);
    }
    guarded_page(const guarded_page &) = delete;
    guarded_page &operator=(const guarded_page &) = delete;

    /// A copy of `text` whose last byte is the last one that may be touched.
    std::string_view at_the_end(std::string_view text)
    {
        char *start = memory_ + page_ - text.size();
        text.copy(start, text.size());
        return {start, text.size()};
    }

  private:
    size_t page_;
    char *memory_;
};

TEST(NameHash, NothingBeyondTheEndIsRead)
{
    guarded_page memory;

    for (size_t length = 0; length <= 300; length++) {
        std::string name = name_of_length(length);
        std::string_view placed = memory.at_the_end(name);
        EXPECT_EQ(component(vector_salt, placed), component(vector_salt, name + '/')) << length;
        EXPECT_EQ(hash_of(vector_salt, placed), hash_of(vector_salt, name)) << length;
    }
}

TEST(NameHash, PartialWordIsTheBytesAndZeroes)
{
    guarded_page memory;

    for (size_t count = 0; count <= 7; count++) {
        std::string name = name_of_length(count);
        u64 expected = 0;
        for (size_t i = 0; i < count; i++)
            expected |= static_cast<u64>(static_cast<unsigned char>(name[i])) << (i * 8);
        EXPECT_EQ(load_partial_word(memory.at_the_end(name).data(), count), expected) << count;
    }
    EXPECT_EQ(load_word("\x08\x07\x06\x05\x04\x03\x02\x01"), 0x0102030405060708u);
}

TEST(IntegerHash, TakesTheHighBitsOfTheGoldenProduct)
{
    EXPECT_EQ(hash_32(1, 32), 0x61C88647u);
    EXPECT_EQ(hash_32(1, 8), 0x61u);
    EXPECT_EQ(hash_32(3, 10), (3u * 0x61C88647u) >> 22);
    EXPECT_EQ(hash_64(1, 32), 0x61C88646u);
    EXPECT_EQ(hash_64(1, 8), 0x61u);
    EXPECT_EQ(hash_64(0x0123456789abcdef, 10), 0x0123456789abcdefu * GOLDEN_RATIO_64 >> 54);
}

TEST(HashLen, PacksLengthAboveHash)
{
    u64 packed = hashlen_create(0x89abcdef, 0x123);

    EXPECT_EQ(packed, 0x0000012389abcdefu);
    EXPECT_EQ(hashlen_hash(packed), 0x89abcdefu);
    EXPECT_EQ(hashlen_len(packed), 0x123u);
}

} // namespace

} // namespace dcsim::inline DCSIM_BACKEND
