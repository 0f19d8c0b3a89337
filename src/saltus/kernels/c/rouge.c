/* ROUGE (Lin 2004) as rouge_score counts it, and the subsequence and edits of words. */

#include "kernels.h"

#include <string.h>

static sequence ids_of(const scratch *ids, const tokens *of)
{
    return (sequence){ids->data, of->count};
}

static sequence line_of(sequence whole, const tokens *of, size_t line)
{
    const size_t *start = lines_of(of);
    return (sequence){whole.at + start[line], start[line + 1] - start[line]};
}

static int equal(sequence one, sequence other)
{
    return one.count == other.count && !memcmp(one.at, other.at, one.count * sizeof *one.at);
}

/* Marks the union of a target's line with all lines of the output. */
static int mark_union(workspace *all, sequence line, sequence output, uint8_t *places)
{
    for (size_t i = 0; i < all->output.lines; i++) {
        sequence other = line_of(output, &all->output, i);
        if (lcs_places(&all->bits, line, other, all->names.count, places))
            return -1;
    }
    return 0;
}

/* Marks it by bits where the line is short, as nearly all are. */
static int mark_short_union(workspace *all, sequence line, sequence output, uint8_t *places)
{
    uint64_t bits;
    if (union_places(&all->bits, line, output, lines_of(&all->output), all->output.lines,
                     all->names.count, &bits))
        return -1;
    for (size_t i = 0; i < line.count; i++)
        places[i] = bits >> i & 1;
    return 0;
}

static int mark_line(workspace *all, sequence line, sequence output, uint8_t *places)
{
    for (size_t i = 0; i < all->output.lines; i++) {
        if (equal(line, line_of(output, &all->output, i))) {
            memset(places, 1, line.count);
            return 0;
        }
    }
    if (line.count <= 64)
        return mark_short_union(all, line, output, places);
    memset(places, 0, line.count);
    return mark_union(all, line, output, places);
}

/* How often each name stands in a sequence. */
static int32_t *counts_of(workspace *all, sequence of)
{
    size_t names = (size_t)all->names.count;
    int32_t *number = room(&all->spare[0], names + 1, sizeof *number);
    if (!number)
        return NULL;
    memset(number, 0, (names + 1) * sizeof *number);
    for (size_t i = 0; i < of.count; i++)
        number[of.at[i]]++;
    return number;
}

/* Tokens in the unions, none more often than the output has it. */
static int union_lcs(workspace *all, sequence output, sequence target, int64_t *hits)
{
    int32_t *left = counts_of(all, output);
    uint8_t *places = room(&all->spare[1], target.count, 1);
    if (!left || !places)
        return -1;
    for (size_t n = 0; n < all->target.lines; n++) {
        sequence line = line_of(target, &all->target, n);
        if (mark_line(all, line, output, places))
            return -1;
        for (size_t i = 0; i < line.count; i++)
            *hits += places[i] && left[line.at[i]]-- > 0;
    }
    return 0;
}

int rouge(workspace *all, text output, const text *targets, size_t count, int fresh, int mode,
          int64_t *row)
{
    size_t length = 0;
    (void)count;
    if (fresh && (rouge_tokens(&all->target, targets[0]) ||
                  number_tokens(&all->names, &all->target, &all->target_ids)))
        return -1;
    if (rouge_tokens(&all->output, output) ||
        find_tokens(&all->names, &all->output, &all->output_ids))
        return -1;
    sequence have = ids_of(&all->output_ids, &all->output);
    sequence want = ids_of(&all->target_ids, &all->target);
    row[0] = (int64_t)have.count;
    row[1] = (int64_t)want.count;
    row[2] = row[3] = row[4] = row[5] = 0;
    if (mode & ROUGE_NGRAMS &&
        match_counts(&all->match, have, &want, 1, all->names.count, 2, row + 2))
        return -1;
    if (mode & ROUGE_L && lcs_length(&all->bits, want, have, all->names.count, &length))
        return -1;
    row[4] = (int64_t)length;
    return mode & ROUGE_LSUM ? union_lcs(all, have, want, row + 5) : 0;
}

/* ---- words */

typedef int comparison(bit_memory *, sequence, sequence, int32_t, size_t *);

/* Few words are compared one by one: cheaper than a table of names. */
static int number_few(workspace *all)
{
    int32_t *want = room(&all->target_ids, all->target.count, sizeof *want);
    int32_t *have = room(&all->output_ids, all->output.count, sizeof *have);
    const token *goal = token_at(&all->target), *word = token_at(&all->output);
    if (!want || !have)
        return -1;
    for (size_t i = 0; i < all->target.count; i++) {
        int32_t j = 0;
        while (!same_token(all->target.bytes, &goal[j], all->target.bytes, &goal[i]))
            j++;
        want[i] = j;
    }
    for (size_t i = 0; i < all->output.count; i++) {
        int32_t j = 0, last = (int32_t)all->target.count;
        while (j < last && !same_token(all->target.bytes, &goal[j], all->output.bytes, &word[i]))
            j++;
        have[i] = j;
    }
    all->names.count = (int32_t)all->target.count;
    return 0;
}

#define FEW 8

static int compare_words(workspace *all, text output, text target, int fresh, comparison *compare,
                         int64_t *row)
{
    size_t result;
    if (fresh && word_tokens(&all->target, target))
        return -1;
    if (word_tokens(&all->output, output))
        return -1;
    if (all->target.count <= FEW && all->output.count <= FEW) {
        if (number_few(all))
            return -1;
        all->names.mask = 0; /* the table is not of this target */
    } else {
        int known = !fresh && all->names.mask;
        if (!known && number_tokens(&all->names, &all->target, &all->target_ids))
            return -1;
        if (find_tokens(&all->names, &all->output, &all->output_ids))
            return -1;
    }
    sequence have = ids_of(&all->output_ids, &all->output);
    sequence want = ids_of(&all->target_ids, &all->target);
    if (compare(&all->bits, want, have, all->names.count, &result))
        return -1;
    row[0] = (int64_t)have.count;
    row[1] = (int64_t)want.count;
    row[2] = (int64_t)result;
    return 0;
}

int word_edit(workspace *all, text output, const text *targets, size_t count, int fresh, int mode,
              int64_t *row)
{
    (void)count, (void)mode;
    return compare_words(all, output, targets[0], fresh, edit_distance, row);
}

int word_lcs(workspace *all, text output, const text *targets, size_t count, int fresh, int mode,
             int64_t *row)
{
    (void)count, (void)mode;
    return compare_words(all, output, targets[0], fresh, lcs_length, row);
}

/* ---- SQuAD's tokens in common (Rajpurkar et al. 2016) */

int squad(workspace *all, text output, const text *targets, size_t count, int fresh, int mode,
          int64_t *row)
{
    (void)count, (void)mode;
    if (fresh) {
        int odd = squad_tokens(&all->target, targets[0]);
        all->target.lines = odd > 0; /* remembered for the outputs that share the target */
        if (odd < 0 || (!odd && number_tokens(&all->names, &all->target, &all->target_ids)))
            return -1;
    }
    int odd = all->target.lines ? 1 : squad_tokens(&all->output, output);
    if (odd)
        return odd;
    if (find_tokens(&all->names, &all->output, &all->output_ids))
        return -1;
    sequence have = ids_of(&all->output_ids, &all->output);
    sequence want = ids_of(&all->target_ids, &all->target);
    int32_t *left = counts_of(all, want);
    if (!left)
        return -1;
    row[0] = (int64_t)have.count;
    row[1] = (int64_t)want.count;
    row[2] = 0;
    for (size_t i = 0; i < have.count; i++)
        row[2] += left[have.at[i]]-- > 0;
    row[3] = equal(have, want);
    return 0;
}
