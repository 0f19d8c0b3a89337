/* Feeds every kernel random pairs under the sanitizers: `make kernels-asan`.

   Every text stands in a block of just its size, and with SALTUS_EXACT so does all scratch
   memory: the first byte read or written past an end stops the run. Texts are valid UTF-8,
   broken UTF-8 and random bytes; some pairs are alike, some lines long. */

#include "../../src/saltus/kernels/c/kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t state;

static uint32_t below(uint32_t limit)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 32) % limit;
}

static const char *const PIECES[] = {
    "a", "an", "the", "cat", "w1", "w2", "w3", " ", " ", " ", "\n", "\t", ".", ",", "-", "5", "...",
    "&quot;", "&amp;", "&lt;", "&gt;", "<skipped>", "-\n", "'s", "\xC2\xA0", "\xC2\x85",
    "\xE2\x80\xA8", "\xE3\x80\x80", "\xE1\x9A\x80", "\xE2\x81\x9F", "\xC4\xB0", "\xE2\x84\xAA",
    "\xCC\x81", "\xE6\x88\x91", "\xE7\x88\xB1", "\xF0\x9F\x98\x80", "\xED\xA0\x80", /* whole */
    "\xC2", "\xE2", "\xE2\x80", "\xE2\x84", "\xC4", "\xF0\x9F", "\xF0\x9F\x98",
    "\xFF", "\x80", "\0",
};
#define PIECE_COUNT (sizeof PIECES / sizeof *PIECES)

static text random_text(uint32_t longest)
{
    static uint8_t whole[1 << 16];
    size_t size = 0, pieces = below(longest + 1);
    uint32_t kind = below(4), names = 1 + below(200);
    for (size_t i = 0; i < pieces && size < sizeof whole - 32; i++) {
        if (kind == 0) {
            whole[size++] = (uint8_t)below(256);
        } else if (kind == 1) {
            size += (size_t)sprintf((char *)whole + size, "w%u%c", below(names),
                                    below(12) ? ' ' : '\n');
        } else if (kind == 2 && names > 150) { /* more letters than fit in a key */
            uint32_t point = 0x4E00 + below(3000);
            whole[size++] = (uint8_t)(0xE0 | point >> 12);
            whole[size++] = (uint8_t)(0x80 | (point >> 6 & 0x3F));
            whole[size++] = (uint8_t)(0x80 | (point & 0x3F));
        } else {
            const char *piece = PIECES[below(PIECE_COUNT)];
            size_t length = *piece ? strlen(piece) : 1;
            memcpy(whole + size, piece, length);
            size += length;
        }
    }
    uint8_t *exact = malloc(size ? size : 1);
    if (!exact)
        abort();
    memcpy(exact, whole, size);
    return (text){size ? exact : (free(exact), malloc(0)), size};
}

/* The text with a few bytes cut out, moved or changed. */
static text changed(text from)
{
    uint8_t *exact = malloc(from.size);
    size_t size = from.size;
    if (size)
        memcpy(exact, from.bytes, size);
    for (uint32_t i = below(4); i && size; i--) {
        size_t start = below((uint32_t)size), length = 1 + below(20);
        if (length > size - start)
            length = size - start;
        if (below(2))
            exact[start] = (uint8_t)below(256);
        else
            memmove(exact + start, exact + start + length, (size -= length) - start);
    }
    uint8_t *fit = malloc(size);
    if (size)
        memcpy(fit, exact, size);
    free(exact);
    return (text){fit, size};
}

static void check(int good, const char *what)
{
    if (!good) {
        fprintf(stderr, "impossible counts: %s\n", what);
        abort();
    }
}

static void check_row(const int64_t *row, size_t columns, const char *name)
{
    if (!strcmp(name, "ter"))
        check(row[2] <= row[0] + row[1], name);
    else if (!strcmp(name, "word_edit"))
        check(row[2] <= (row[0] > row[1] ? row[0] : row[1]), name);
    else
        for (size_t i = 2; i < columns; i++)
            check(row[i] >= 0 && row[i] <= row[0] + (i == columns - 1), name);
}

static const struct {
    const char *name;
    kernel *run;
    size_t columns;
    int modes[5];
} ALL[] = {
    {"rouge", rouge, 6, {7, 1, 2, 4, -1}}, {"word_edit", word_edit, 3, {0, -1}},
    {"word_lcs", word_lcs, 3, {0, -1}},    {"bleu", bleu, 6, {0, 1, 2, -1}},
    {"chrf", chrf, 8, {0, -1}},            {"ter", ter, 3, {0, -1}},
    {"squad", squad, 4, {0, -1}},          {"chrf_words", chrf_words, 4, {0, -1}},
};
#define KERNELS (sizeof ALL / sizeof *ALL)

int main(int argc, char **argv)
{
    unsigned long inputs = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000000;
    static workspace kept[KERNELS][4]; /* one for each kernel and mode, as in a batch */
    text targets[3] = {{0}};
    state = argc > 2 ? strtoull(argv[2], NULL, 10) * 2 + 1 : 88172645463325253u;
    size_t count = 0;
    for (unsigned long n = 0; n < inputs; n++) {
        uint32_t longest = n % 5000 == 0 ? 3000 : n % 50 == 0 ? 300 : 24;
        int fresh = !count || below(4);
        if (fresh) {
            for (size_t i = 0; i < count; i++)
                free((void *)targets[i].bytes);
            count = 1 + (below(4) == 0) * below(3);
            for (size_t i = 0; i < count; i++)
                targets[i] = random_text(longest);
        }
        text output = below(2) ? random_text(longest) : changed(targets[0]);
        for (size_t k = 0; k < KERNELS; k++) {
            int64_t *row = malloc(ALL[k].columns * sizeof *row);
            for (int m = 0; ALL[k].modes[m] >= 0; m++) {
                int failed = ALL[k].run(&kept[k][m], output, targets, count, fresh,
                                        ALL[k].modes[m], row);
                check(failed >= 0, "memory");
                if (!failed)
                    check_row(row, ALL[k].columns, ALL[k].name);
            }
            free(row);
        }
        free((void *)output.bytes);
    }
    for (size_t i = 0; i < count; i++)
        free((void *)targets[i].bytes);
    for (size_t k = 0; k < KERNELS; k++)
        for (int m = 0; m < 4; m++)
            release(&kept[k][m]);
    printf("%lu inputs, every kernel, nothing found\n", inputs);
    return 0;
}
