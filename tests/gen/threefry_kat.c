/* SPDX-License-Identifier: MIT */
/*
 * Prints tests/kat/threefry4x32.txt: known answers of Threefry4x32 by its authors' own implementation (Debian package
 * librandom123-dev), so that the tests have them where that package is not installed.
 *
 *     cc -o threefry_kat tests/gen/threefry_kat.c && ./threefry_kat > tests/kat/threefry4x32.txt
 */
#include <stdint.h>
#include <stdio.h>

#include <Random123/threefry.h>

static const unsigned rounds[] = {12, 13, 20};

static void print_words(const uint32_t words[4])
{
    for (int i = 0; i < 4; i++) printf(" %08x", words[i]);
}

static void print_answers(threefry4x32_ctr_t counter, threefry4x32_key_t key)
{
    for (unsigned i = 0; i < sizeof rounds / sizeof rounds[0]; i++) {
        threefry4x32_ctr_t out = threefry4x32_R(rounds[i], counter, key);
        printf("%u", rounds[i]);
        print_words(counter.v);
        print_words(key.v);
        print_words(out.v);
        printf("\n");
    }
}

int main(void)
{
    printf("# rounds, counter, key, output; made by tests/gen/threefry_kat.c\n");
    print_answers((threefry4x32_ctr_t){{0, 0, 0, 0}}, (threefry4x32_key_t){{0, 0, 0, 0}});
    print_answers((threefry4x32_ctr_t){{~0u, ~0u, ~0u, ~0u}}, (threefry4x32_key_t){{~0u, ~0u, ~0u, ~0u}});
    print_answers((threefry4x32_ctr_t){{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}},   /* the digits of pi */
                  (threefry4x32_key_t){{0xa4093822, 0x299f31d0, 0x082efa98, 0xec4e6c89}});

    /* One bit set, in each word of the counter and of the key: a swapped or forgotten word shows. */
    for (int word = 0; word < 8; word++) {
        threefry4x32_ctr_t counter = {{0, 0, 0, 0}};
        threefry4x32_key_t key = {{0, 0, 0, 0}};
        (word < 4 ? counter.v : key.v)[word % 4] = 1u << (3 * word);
        print_answers(counter, key);
    }

    /* Each output is the next input. */
    threefry4x32_ctr_t counter = {{1, 2, 3, 4}};
    threefry4x32_key_t key = {{5, 6, 7, 8}};
    for (int i = 0; i < 16; i++) {
        print_answers(counter, key);
        threefry4x32_ctr_t next = threefry4x32_R(20, counter, key);
        for (int j = 0; j < 4; j++) key.v[j] = counter.v[j];
        counter = next;
    }
    return 0;
}
