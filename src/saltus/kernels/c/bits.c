/* Subsequences and edits with bit vectors, 64 rows of the table at a time.

   Hyyro 2004, "Bit-parallel LCS-length computation revisited", and Hyyro 2003, "A bit-vector
   algorithm for computing Levenshtein and Damerau edit distances". A strip of 64 rows runs
   over all columns before the next one starts; what it hands down is one carry per column.
   So memory is the columns and the names, never rows times columns. */

#include "kernels.h"

#include <string.h>

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

static void set_masks(uint64_t *mask, const int32_t *row, size_t rows)
{
    for (size_t i = 0; i < rows; i++)
        mask[row[i]] |= (uint64_t)1 << i;
}

static void clear_masks(uint64_t *mask, const int32_t *row, size_t rows)
{
    for (size_t i = 0; i < rows; i++)
        mask[row[i]] = 0;
}

/* One mask per name and one for strangers, all 0: whoever sets one clears it again, so that a
   call costs its tokens and not its names. */
static uint64_t *masks(bit_memory *memory, int32_t names)
{
#ifndef SALTUS_EXACT
    if (memory->mask.data && memory->mask.size >= ((size_t)names + 1) * sizeof(uint64_t))
        return memory->mask.data;
#endif
    uint64_t *mask = room(&memory->mask, (size_t)names + 1, sizeof *mask);
    if (mask)
        memset(mask, 0, memory->mask.size);
    return mask;
}

/* One strip of the LCS. Bit i of the vector after a column is 0 where the table grows from
   row i to row i + 1. `carry` (a byte per column) comes from the strip above and goes to the
   one below; `vectors`, where wanted, takes the vector before the first and after each column. */
static uint64_t lcs_strip(const uint64_t *mask, sequence column, uint8_t *carry,
                          uint64_t *vectors)
{
    uint64_t vector = ~(uint64_t)0;
    if (vectors)
        vectors[0] = vector;
    for (size_t j = 0; j < column.count; j++) {
        uint64_t hits = vector & mask[column.at[j]];
        uint64_t sum = vector + hits, with = sum + carry[j];
        carry[j] = (uint8_t)(sum < vector) | (uint8_t)(with < sum);
        vector = with | (vector - hits);
        if (vectors)
            vectors[j + 1] = vector;
    }
    return vector;
}

/* Zeros among the lowest `rows` bits. */
static size_t grown(uint64_t vector, size_t rows)
{
    uint64_t zeros = ~vector;
    if (rows < 64)
        zeros &= ((uint64_t)1 << rows) - 1;
    size_t count = 0;
    for (; zeros; zeros &= zeros - 1)
        count++;
    return count;
}

/* Takes what both sequences start and end with off them; how much that was. */
static size_t without_common_ends(sequence *row, sequence *column)
{
    size_t shorter = least(row->count, column->count), start = 0, end = 0;
    while (start < shorter && row->at[start] == column->at[start])
        start++;
    shorter -= start;
    while (end < shorter &&
           row->at[row->count - 1 - end] == column->at[column->count - 1 - end])
        end++;
    *row = (sequence){row->at + start, row->count - start - end};
    *column = (sequence){column->at + start, column->count - start - end};
    return start + end;
}

int lcs_length(bit_memory *memory, sequence row, sequence column, int32_t names, size_t *length)
{
    *length = without_common_ends(&row, &column);
    if (!row.count || !column.count)
        return 0;
    uint64_t *mask = masks(memory, names);
    uint8_t *carry = room(&memory->carry, column.count, 1);
    if (!mask || !carry)
        return -1;
    memset(carry, 0, column.count);
    for (size_t from = 0; from < row.count; from += 64) {
        size_t rows = least(64, row.count - from);
        set_masks(mask, row.at + from, rows);
        *length += grown(lcs_strip(mask, column, carry, NULL), rows);
        clear_masks(mask, row.at + from, rows);
    }
    return 0;
}

/* ---- edit distance */

/* Carries: bit 0 the table grows by one from this column's left neighbour, bit 1 it falls. */
static long edit_strip(const uint64_t *mask, sequence column, uint8_t *carry, size_t rows)
{
    uint64_t up = ~(uint64_t)0, down = 0, last = (uint64_t)1 << (rows - 1);
    long change = 0;
    for (size_t j = 0; j < column.count; j++) {
        uint64_t rises = carry[j] & 1, falls = carry[j] >> 1;
        uint64_t equal = mask[column.at[j]];
        uint64_t with = equal | falls;
        uint64_t same = (((with & up) + up) ^ up) | with | down;
        uint64_t right = down | ~(same | up), left = same & up;
        change += (right & last) != 0;
        change -= (left & last) != 0;
        carry[j] = (uint8_t)(right >> 63) | (uint8_t)(left >> 63 << 1);
        right = right << 1 | rises;
        left = left << 1 | falls;
        up = left | ~(same | right);
        down = right & same;
    }
    return change;
}

int edit_distance(bit_memory *memory, sequence row, sequence column, int32_t names,
                  size_t *distance)
{
    without_common_ends(&row, &column);
    *distance = row.count + column.count;
    if (!row.count || !column.count)
        return 0;
    uint64_t *mask = masks(memory, names);
    uint8_t *carry = room(&memory->carry, column.count, 1);
    if (!mask || !carry)
        return -1;
    memset(carry, 1, column.count);
    long change = 0; /* along the last row of the table */
    for (size_t from = 0; from < row.count; from += 64) {
        size_t rows = least(64, row.count - from);
        set_masks(mask, row.at + from, rows);
        change = edit_strip(mask, column, carry, rows);
        clear_masks(mask, row.at + from, rows);
    }
    *distance = (size_t)((long)row.count + change);
    return 0;
}

/* ---- the places of one longest common subsequence */

typedef struct {
    sequence row, column;
    size_t i, j; /* where the walk stands in the table */
    uint8_t *places;
} walk;

/* Walks back through the strip whose first row is `from`. rouge_score's rule: along equal
   tokens; else to the previous column where the table is strictly larger there; else up. */
static void walk_strip(walk *of, size_t from, const uint64_t *vectors)
{
    size_t i = of->i, j = of->j;
    while (i > from && j) {
        if (of->row.at[i - 1] == of->column.at[j - 1]) {
            of->places[--i] = 1;
            j--;
        } else if (vectors[j] >> (i - 1 - from) & 1) {
            i--;
        } else {
            j--;
        }
    }
    of->i = i;
    of->j = j;
}

static uint64_t run_strip(uint64_t *mask, const walk *of, size_t strip, uint8_t *carry,
                          uint64_t *vectors)
{
    const int32_t *row = of->row.at + 64 * strip;
    size_t rows = least(64, of->row.count - 64 * strip);
    set_masks(mask, row, rows);
    uint64_t last = lcs_strip(mask, of->column, carry, vectors);
    clear_masks(mask, row, rows);
    return last;
}

/* Strips whose vectors fit in memory together: one pass down, one walk up. */
static int walk_small(bit_memory *memory, uint64_t *mask, walk *of, size_t strips)
{
    size_t columns = of->column.count;
    uint8_t *carry = room(&memory->carry, columns, 1);
    uint64_t *vectors = room(&memory->vector, strips * (columns + 1), sizeof *vectors);
    if (!carry || !vectors)
        return -1;
    memset(carry, 0, columns);
    for (size_t strip = 0; strip < strips; strip++)
        run_strip(mask, of, strip, carry, vectors + strip * (columns + 1));
    for (size_t strip = strips; strip--;)
        walk_strip(of, 64 * strip, vectors + strip * (columns + 1));
    return 0;
}

/* Long lines: the carries into every `step`-th strip are kept, those between and the vectors
   of a strip are made again on the way up. Memory grows with columns times the root of rows. */
static int walk_large(bit_memory *memory, uint64_t *mask, walk *of, size_t strips)
{
    size_t columns = of->column.count, step = 1;
    while (step * step < strips)
        step++;
    size_t groups = (strips + step - 1) / step;
    uint8_t *kept = room(&memory->mark, groups * columns, 1);
    uint8_t *carry = room(&memory->carry, columns, 1);
    uint8_t *into = room(&memory->more, step * columns, 1);
    uint64_t *vectors = room(&memory->vector, columns + 1, sizeof *vectors);
    if (!kept || !carry || !into || !vectors)
        return -1;
    memset(carry, 0, columns);
    for (size_t strip = 0; strip < strips; strip++) {
        if (strip % step == 0)
            memcpy(kept + strip / step * columns, carry, columns);
        run_strip(mask, of, strip, carry, NULL);
    }
    for (size_t group = groups; group--;) {
        size_t first = group * step, past = least(strips, first + step);
        memcpy(carry, kept + group * columns, columns);
        for (size_t strip = first; strip < past; strip++) {
            memcpy(into + (strip - first) * columns, carry, columns);
            run_strip(mask, of, strip, carry, NULL);
        }
        for (size_t strip = past; strip-- > first;) {
            run_strip(mask, of, strip, into + (strip - first) * columns, vectors);
            walk_strip(of, 64 * strip, vectors);
        }
    }
    return 0;
}

#ifdef SALTUS_EXACT
#define SMALL 64 /* so that the fuzzer's short lines take both ways */
#else
#define SMALL ((size_t)1 << 17) /* vectors: a megabyte */
#endif

int lcs_places(bit_memory *memory, sequence row, sequence column, int32_t names, uint8_t *places)
{
    walk of = {row, column, row.count, column.count, places};
    size_t strips = (row.count + 63) / 64;
    if (!row.count || !column.count)
        return 0;
    uint64_t *mask = masks(memory, names);
    if (!mask)
        return -1;
    if (strips * (column.count + 1) <= SMALL)
        return walk_small(memory, mask, &of, strips);
    return walk_large(memory, mask, &of, strips);
}

/* ---- the same for many short columns: the masks are set once, the vectors stay in reach */

static uint64_t walk_back(const uint64_t *vectors, sequence row, const int32_t *column, size_t j)
{
    uint64_t places = 0;
    size_t i = row.count;
    while (i && j) {
        if (row.at[i - 1] == column[j - 1]) {
            places |= (uint64_t)1 << --i;
            j--;
        } else if (vectors[j - 1] >> (i - 1) & 1) {
            i--;
        } else {
            j--;
        }
    }
    return places;
}

int union_places(bit_memory *memory, sequence row, sequence columns, const size_t *start,
                 size_t count, int32_t names, uint64_t *places)
{
    uint64_t full = row.count < 64 ? ((uint64_t)1 << row.count) - 1 : ~(uint64_t)0;
    uint64_t *mask = masks(memory, names);
    size_t longest = 0;
    *places = 0;
    for (size_t n = 0; n < count; n++)
        longest = start[n + 1] - start[n] > longest ? start[n + 1] - start[n] : longest;
    uint64_t *vectors = room(&memory->vector, longest, sizeof *vectors);
    if (!mask || !vectors)
        return -1;
    set_masks(mask, row.at, row.count);
    for (size_t n = 0; n < count && *places != full; n++) {
        const int32_t *column = columns.at + start[n];
        size_t length = start[n + 1] - start[n];
        uint64_t vector = ~(uint64_t)0;
        for (size_t j = 0; j < length; j++) {
            uint64_t hits = vector & mask[column[j]];
            vector = (vector + hits) | (vector - hits);
            vectors[j] = vector;
        }
        if (~vector & full)
            *places |= walk_back(vectors, row, column, length);
    }
    clear_masks(mask, row.at, row.count);
    return 0;
}
