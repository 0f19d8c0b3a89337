/* Common n-grams of all orders at once.

   All places of both sequences are sorted by the n-gram of the highest order that starts
   there; the n-grams of every lower order then lie together too, as prefixes. A place near
   the end has a shorter n-gram, filled up with 0; numbers count from 1. Where a whole n-gram
   fits in 63 bits it is its own key for a radix sort, so equal keys are equal n-grams. */

#include "kernels.h"

#include <string.h>

/* ---- sorting keys */

static void insertion_sort(uint64_t *key, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        uint64_t value = key[i];
        size_t j = i;
        for (; j && key[j - 1] > value; j--)
            key[j] = key[j - 1];
        key[j] = value;
    }
}

#define WIDEST 11

/* Sorts by `bits` bits above the lowest; the sorted keys are in what it returns, one of the
   two. Wide digits take fewer passes, narrow ones fewer counters. */
static uint64_t *radix_sort(uint64_t *key, uint64_t *spare, size_t count, int bits)
{
    uint32_t start[1 << WIDEST];
    int most = count < 256 ? 6 : count < 1024 ? 8 : WIDEST;
    int width = (bits - 1) / ((bits - 1) / most + 1) + 1;
    size_t values = (size_t)1 << width;
    for (int shift = 1; shift <= bits; shift += width) {
        uint32_t sum = 0;
        memset(start, 0, values * sizeof *start);
        for (size_t i = 0; i < count; i++)
            start[key[i] >> shift & (values - 1)]++;
        for (size_t v = 0; v < values; v++) {
            uint32_t here = start[v];
            start[v] = sum;
            sum += here;
        }
        for (size_t i = 0; i < count; i++)
            spare[start[key[i] >> shift & (values - 1)]++] = key[i];
        uint64_t *other = key;
        key = spare;
        spare = other;
    }
    return key;
}

/* ---- one target, n-grams that fit in a key: the n-gram, then a bit for whose it is */

static size_t add_keys(uint64_t *key, sequence of, int bits, int orders, uint64_t whose)
{
    uint64_t gram = 0;
    for (size_t i = of.count; i--;) {
        gram = gram >> bits | ((uint64_t)of.at[i] + 1) << (bits * (orders - 1));
        *key++ = gram << 1 | whose;
    }
    return of.count;
}

typedef struct {
    size_t first, outputs; /* where a run of equal n-grams starts; outputs before it */
} run;

static void close_run(run *of, size_t at, size_t outputs, int counts, int64_t *matches)
{
    size_t mine = outputs - of->outputs, theirs = at - of->first - mine;
    if (counts)
        *matches += (int64_t)(mine < theirs ? mine : theirs);
    *of = (run){at, outputs};
}

static void count_keys(const uint64_t *key, size_t count, int bits, int orders, int64_t *matches)
{
    run runs[MOST_ORDERS] = {{0, 0}};
    uint64_t symbol[MOST_ORDERS]; /* where in a key the symbols of an n-gram are */
    size_t outputs = 0;
    for (int n = 0; n < orders; n++)
        symbol[n] = (((uint64_t)1 << bits) - 1) << (bits * (orders - 1 - n) + 1);
    for (size_t i = 0; i < count; i++) {
        /* after the last key one that differs in every symbol */
        uint64_t differs = key[i] ^ (i + 1 < count ? key[i + 1] : ~key[i]);
        outputs += key[i] & 1;
        if (differs < 2)
            continue;
        /* from the first symbol that differs on, runs end; filling is no n-gram */
        int n = 0;
        while (!(differs & symbol[n]))
            n++;
        for (; n < orders; n++)
            close_run(&runs[n], i + 1, outputs, (key[i] & symbol[n]) != 0, &matches[n]);
    }
}

static int match_keys(match_memory *memory, sequence output, sequence target, int bits, int orders,
                      int64_t *matches)
{
    size_t count = output.count + target.count;
    uint64_t *key = room(&memory->key, count, sizeof *key);
    uint64_t *spare = room(&memory->spare, count, sizeof *spare);
    if (!key || !spare)
        return -1;
    size_t used = add_keys(key, output, bits, orders, 1);
    add_keys(key + used, target, bits, orders, 0);
    if (count < 24)
        insertion_sort(key, count);
    else
        key = radix_sort(key, spare, count, bits * orders);
    count_keys(key, count, bits, orders, matches);
    return 0;
}

/* ---- any numbers, any targets: places sorted by comparing what follows them */

typedef struct {
    const int32_t *at; /* all sequences end to end, each with `orders` times 0 behind it */
    const int32_t *side;
    int orders;
} places;

/* How many numbers two places have in common, and in `order` which one is less. */
static int common(const places *all, uint32_t one, uint32_t other, int *order)
{
    int n = 0;
    while (n < all->orders && all->at[one + (uint32_t)n] == all->at[other + (uint32_t)n])
        n++;
    *order = n < all->orders && all->at[one + (uint32_t)n] > all->at[other + (uint32_t)n];
    return n;
}

static void merge(const places *all, const uint32_t *from, size_t middle, size_t end,
                  uint32_t *to)
{
    size_t i = 0, j = middle;
    int greater;
    for (size_t k = 0; k < end; k++) {
        if (i < middle && j < end)
            common(all, from[i], from[j], &greater);
        else
            greater = i == middle;
        to[k] = from[greater ? j++ : i++];
    }
}

static uint32_t *merge_sort(const places *all, uint32_t *from, uint32_t *to, size_t count)
{
    for (size_t width = 1; width < count; width *= 2) {
        for (size_t i = 0; i < count; i += 2 * width) {
            size_t left = count - i, middle = width < left ? width : left;
            size_t end = 2 * width < left ? 2 * width : left;
            merge(all, from + i, middle, end, to + i);
        }
        uint32_t *other = from;
        from = to;
        to = other;
    }
    return from;
}

/* What the output (side 0) has of a run's n-gram, at most as often as some target. */
static int64_t shared(const places *all, const uint32_t *run, size_t count, size_t *of_side)
{
    size_t most = 0;
    int64_t found;
    for (size_t i = 0; i < count; i++) {
        int32_t side = all->side[run[i]];
        size_t now = ++of_side[side];
        if (side && now > most)
            most = now;
    }
    found = (int64_t)(of_side[0] < most ? of_side[0] : most);
    for (size_t i = 0; i < count; i++)
        of_side[all->side[run[i]]] = 0;
    return found;
}

static void count_places(const places *all, const uint32_t *sorted, size_t count,
                         size_t *of_side, int64_t *matches)
{
    size_t first[MOST_ORDERS] = {0};
    for (size_t i = 0; i < count; i++) {
        int greater, same = 0;
        if (i + 1 < count)
            same = common(all, sorted[i], sorted[i + 1], &greater);
        for (int n = same; n < all->orders; n++) {
            if (all->at[sorted[i] + (uint32_t)n])
                matches[n] += shared(all, sorted + first[n], i + 1 - first[n], of_side);
            first[n] = i + 1;
        }
    }
}

static size_t add_places(sequence of, int32_t whose, int orders, int32_t *at, int32_t *side,
                         size_t used, uint32_t **place)
{
    for (size_t i = 0; i < of.count; i++, used++) {
        at[used] = of.at[i] + 1;
        side[used] = whose;
        *(*place)++ = (uint32_t)used;
    }
    memset(at + used, 0, (size_t)orders * sizeof *at);
    return used + (size_t)orders;
}

static int match_places(match_memory *memory, sequence output, const sequence *targets,
                        size_t targets_count, int orders, int64_t *matches)
{
    size_t count = output.count, used = 0;
    for (size_t i = 0; i < targets_count; i++)
        count += targets[i].count;
    size_t all_of = count + (targets_count + 1) * (size_t)orders;
    int32_t *at = room(&memory->key, all_of, sizeof *at);
    int32_t *side = room(&memory->side, all_of, sizeof *side);
    uint32_t *place = room(&memory->position, count, sizeof *place), *next = place;
    uint32_t *other = room(&memory->other, count, sizeof *other);
    size_t *of_side = room(&memory->spare, targets_count + 1, sizeof *of_side);
    if (!at || !side || !place || !other || !of_side)
        return -1;
    used = add_places(output, 0, orders, at, side, used, &next);
    for (size_t i = 0; i < targets_count; i++)
        used = add_places(targets[i], (int32_t)i + 1, orders, at, side, used, &next);
    memset(of_side, 0, (targets_count + 1) * sizeof *of_side);
    places all = {at, side, orders};
    count_places(&all, merge_sort(&all, place, other, count), count, of_side, matches);
    return 0;
}

int match_counts(match_memory *memory, sequence output, const sequence *targets, size_t count,
                 int32_t names, int orders, int64_t *matches)
{
    int bits = 1;
    while (((int64_t)names + 1) >> bits)
        bits++;
    for (int n = 0; n < orders; n++)
        matches[n] = 0;
    if (count == 1 && bits * orders < 64)
        return match_keys(memory, output, targets[0], bits, orders, matches);
    return match_places(memory, output, targets, count, orders, matches);
}
