// SPDX-License-Identifier: GPL-2.0-only
//
// Looks up names with nobody waiting and does nothing else in dcsim_measured_lookups(): for
// instruction counters, which need to know what to count. tools/bench/instructions runs it.
//
// usage: dcsim_count_instructions <protocol> published|dropped <batches>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "lookup_bench.h"

extern "C" [[gnu::noinline]] void dcsim_measured_lookups(dcsim::bench::lookup_batch &batch,
                                                         dcsim::bench::lookup_end end)
{
    batch.perform(end);
}

int main(int argc, char **argv)
{
    using namespace dcsim::bench;

    if (argc != 4) {
        fprintf(stderr, "usage: dcsim_count_instructions <protocol> published|dropped <batches>\n");
        return 2;
    }
    const lookup_directory directory;
    lookup_batch batch(directory);
    const auto end = strcmp(argv[2], "dropped") == 0 ? lookup_end::dropped : lookup_end::published;

    use_protocol(find_protocol_choice(argv[1]));
    // The first one takes memory from the system.
    batch.perform(end);
    batch.clean_up();
    for (int i = atoi(argv[3]); i > 0; i--) {
        dcsim_measured_lookups(batch, end);
        batch.clean_up();
    }
    printf("%d\n", lookup_batch::size * atoi(argv[3]));
}
