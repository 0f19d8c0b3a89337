/* Translation edit rate (Snover et al. 2006) with the limits and quirks of sacrebleu's Tercom:
   a beam of 25 around the diagonal; shifts of at most 10 words over at most 50; the best of
   all shifts by (gain, length, earliest start, earliest target); at most 1,000 candidates, and
   then the last shift is not made.

   The table of the words as they stand is kept, row by row and only inside the beam. A shift
   changes some words in the middle: rows before them stay. From the last changed word on the
   words are the same again, so once a row differs from the kept one by a constant, all that
   follow do, and the candidate's distance is known without them. */

#include "kernels.h"

#include <math.h>
#include <string.h>

#define BEAM 25
#define LONGEST_SHIFT 10
#define FARTHEST_SHIFT 50
#define MOST_CANDIDATES 1000
#define FAR ((int32_t)1 << 30) /* no way leads here */

typedef struct {
    size_t low, past, at; /* columns low..past-1, stored from `at` on */
} beam;

typedef struct {
    const int32_t *want;  /* the target's words */
    int32_t *have, *moved; /* the output's words after all shifts so far; and after one more */
    size_t wants, haves;
    beam *rows;            /* (haves + 1) */
    int32_t *cost;         /* the kept table */
    int32_t *now, *next;   /* two rows of a candidate's table */
    int32_t *aligned;      /* (wants) place in the output, -1 before its start */
    int32_t *bad_want, *bad_have; /* errors among the first n words, n = 0.. */
    int candidates;
} shifting;

static size_t set_beams(beam *rows, size_t haves, size_t wants)
{
    double ratio = haves ? (double)wants / (double)haves : 1.0;
    double width = BEAM < ratio / 2 ? ceil(ratio / 2 + BEAM) : BEAM;
    size_t stored = wants + 1;
    rows[0] = (beam){0, wants + 1, 0};
    for (size_t i = 1; i <= haves; i++) {
        double middle = floor((double)i * ratio);
        double past = middle + width;
        rows[i].low = middle > width ? (size_t)(middle - width) : 0;
        rows[i].past = past < (double)wants + 1 && i < haves ? (size_t)past : wants + 1;
        rows[i].at = stored;
        stored += rows[i].past - rows[i].low;
    }
    return stored;
}

static int32_t least(int32_t a, int32_t b) { return a < b ? a : b; }

/* One row of the table from the row before, both inside their beams. */
static void fill_row(const beam *old, const int32_t *before, const beam *new, int32_t *row,
                     int32_t word, const int32_t *want)
{
    int32_t left = FAR;
    size_t j = new->low, both = new->past < old->past ? new->past : old->past;
    if (j == 0)
        row[j++] = left = before[0] + 1;
    int32_t corner = j && j > old->low && j <= old->past ? before[j - 1 - old->low] : FAR;
    for (; j < both; j++) {
        int32_t above = before[j - old->low];
        int32_t value = least(corner + (word != want[j - 1]), least(above, left) + 1);
        row[j - new->low] = left = least(value, FAR);
        corner = above;
    }
    for (; j < new->past; j++) {
        int32_t value = least(corner + (word != want[j - 1]), left + 1);
        row[j - new->low] = left = least(value, FAR);
        corner = FAR;
    }
}

static void fill_table(shifting *s)
{
    for (size_t j = 0; j <= s->wants; j++)
        s->cost[j] = (int32_t)j;
    for (size_t i = 1; i <= s->haves; i++)
        fill_row(&s->rows[i - 1], s->cost + s->rows[i - 1].at, &s->rows[i],
                 s->cost + s->rows[i].at, s->have[i - 1], s->want);
}

static int32_t cost_at(const shifting *s, size_t i, size_t j)
{
    const beam *row = &s->rows[i];
    return j >= row->low && j < row->past ? s->cost[row->at + j - row->low] : FAR;
}

static int32_t distance(const shifting *s) { return cost_at(s, s->haves, s->wants); }

/* Walks the table back: where each target word stands in the output and what is wrong.
   Of equally cheap ways first along both, then up (a word of the output), then left. */
static void align(shifting *s)
{
    size_t i = s->haves, j = s->wants;
    memset(s->bad_want, 0, (s->wants + 1) * sizeof *s->bad_want);
    memset(s->bad_have, 0, (s->haves + 1) * sizeof *s->bad_have);
    while (i || j) {
        int32_t cost = cost_at(s, i, j);
        int wrong = i && j && s->have[i - 1] != s->want[j - 1];
        if (i && j && cost_at(s, i - 1, j - 1) + wrong == cost) {
            s->bad_have[i--] = wrong;
            s->bad_want[j] = wrong;
            s->aligned[--j] = (int32_t)i;
        } else if (i && (!j || cost_at(s, i - 1, j) + 1 == cost)) {
            s->bad_have[i--] = 1;
        } else {
            s->bad_want[j] = 1;
            s->aligned[--j] = (int32_t)i - 1;
        }
    }
    for (i = 0; i < s->haves; i++)
        s->bad_have[i + 1] += s->bad_have[i];
    for (j = 0; j < s->wants; j++)
        s->bad_want[j + 1] += s->bad_want[j];
}

typedef struct {
    size_t start, length, target;
} shift;

static void copy(int32_t *to, const int32_t *from, size_t count)
{
    if (count)
        memmove(to, from, count * sizeof *to);
}

/* The words after a shift, between the first and past the last that may have changed. */
static void make_shift(const shifting *s, shift of, size_t *first, size_t *past)
{
    size_t end = of.start + of.length;
    copy(s->moved, s->have, s->haves);
    if (of.target < of.start) {
        *first = of.target;
        *past = end;
        copy(s->moved + of.target, s->have + of.start, of.length);
        copy(s->moved + of.target + of.length, s->have + of.target, of.start - of.target);
        return;
    }
    /* a target inside the words moves them by as much as it lies past their start */
    size_t to = of.target > end ? of.target : of.target + of.length;
    *first = of.start;
    *past = to < s->haves ? to : s->haves;
    copy(s->moved + of.start, s->have + end, *past - end);
    copy(s->moved + *past - of.length, s->have + of.start, of.length);
}

/* Whether a row is the kept one plus a constant, which is put in `plus`. */
static int shifted_row(const int32_t *row, const int32_t *kept, size_t count, int32_t *plus)
{
    size_t j = 0;
    while (j < count && row[j] == FAR && kept[j] == FAR)
        j++;
    if (j == count)
        return 0;
    *plus = row[j] - kept[j];
    for (; j < count; j++)
        if ((row[j] == FAR) != (kept[j] == FAR) || (row[j] != FAR && row[j] - kept[j] != *plus))
            return 0;
    return 1;
}

/* The distance of `moved`, which differs from `have` only in [first, past). */
static int32_t moved_distance(shifting *s, size_t first, size_t past)
{
    const int32_t *before = s->cost + s->rows[first].at;
    int32_t plus;
    for (size_t i = first + 1; i <= s->haves; i++) {
        const beam *row = &s->rows[i];
        fill_row(&s->rows[i - 1], before, row, s->next, s->moved[i - 1], s->want);
        before = s->next;
        s->next = s->now;
        s->now = (int32_t *)before;
        if (i >= past && i < s->haves &&
            shifted_row(before, s->cost + row->at, row->past - row->low, &plus))
            return distance(s) + plus;
    }
    return before[s->wants - s->rows[s->haves].low];
}

typedef struct {
    int32_t gain;
    shift how;
    int found;
} choice;

static int better(int32_t gain, shift one, const choice *best)
{
    if (!best->found)
        return 1;
    if (gain != best->gain)
        return gain > best->gain;
    if (one.length != best->how.length)
        return one.length > best->how.length;
    if (one.start != best->how.start)
        return one.start < best->how.start;
    return one.target < best->how.target;
}

/* Tries to put have[start:start+length] before each place that fits want[goal...]. */
static void try_targets(shifting *s, size_t start, size_t goal, size_t length, choice *best)
{
    long before = -1;
    for (size_t offset = 0; offset <= length; offset++) {
        long place = goal + offset ? (long)s->aligned[goal + offset - 1] + 1 : 0;
        size_t first, past;
        if (place == before)
            continue;
        before = place;
        shift how = {start, length, (size_t)place};
        make_shift(s, how, &first, &past);
        int32_t gain = distance(s) - moved_distance(s, first, past);
        s->candidates++;
        if (better(gain, how, best))
            *best = (choice){gain, how, 1};
    }
}

static int useless(const shifting *s, size_t start, size_t goal, size_t length)
{
    long place = s->aligned[goal];
    return s->bad_have[start + length] == s->bad_have[start] ||
           s->bad_want[goal + length] == s->bad_want[goal] ||
           (place >= (long)start && place < (long)(start + length));
}

/* All runs of equal words that start here in the output and there in the target. */
static void try_runs(shifting *s, size_t start, size_t goal, choice *best)
{
    size_t left = s->haves - start, other = s->wants - goal;
    size_t most = left < other ? left : other;
    if (most > LONGEST_SHIFT)
        most = LONGEST_SHIFT;
    for (size_t n = 0; n < most && s->have[start + n] == s->want[goal + n]; n++) {
        if (useless(s, start, goal, n + 1))
            continue;
        try_targets(s, start, goal, n + 1, best);
        if (s->candidates >= MOST_CANDIDATES)
            return;
    }
}

static choice best_shift(shifting *s)
{
    choice best = {0, {0, 0, 0}, 0};
    for (size_t start = 0; start < s->haves; start++) {
        size_t goal = start > FARTHEST_SHIFT ? start - FARTHEST_SHIFT : 0;
        for (; goal < s->wants && goal <= start + FARTHEST_SHIFT; goal++) {
            if (s->have[start] != s->want[goal])
                continue;
            try_runs(s, start, goal, &best);
            if (s->candidates >= MOST_CANDIDATES)
                return best;
        }
    }
    return best;
}

/* Shifts until none helps; how many were made. */
static int64_t make_shifts(shifting *s)
{
    size_t first, past;
    for (int64_t shifts = 0;; shifts++) {
        align(s);
        choice best = best_shift(s);
        if (s->candidates >= MOST_CANDIDATES || best.gain <= 0)
            return shifts;
        make_shift(s, best.how, &first, &past);
        copy(s->have, s->moved, s->haves);
        fill_table(s);
    }
}

static int prepare(workspace *all, shifting *s)
{
    s->rows = room(&all->spare[0], s->haves + 1, sizeof *s->rows);
    if (!s->rows)
        return -1;
    size_t stored = set_beams(s->rows, s->haves, s->wants);
    s->cost = room(&all->spare[1], stored, sizeof *s->cost);
    s->moved = room(&all->spare[2], s->haves, sizeof *s->moved);
    s->now = room(&all->spare[3], 2 * (s->wants + 1), sizeof *s->now);
    s->aligned = room(&all->spare[4], 2 * s->wants + s->haves + 2, sizeof *s->aligned);
    if (!s->cost || !s->moved || !s->now || !s->aligned)
        return -1;
    s->next = s->now + s->wants + 1;
    s->bad_want = s->aligned + s->wants;
    s->bad_have = s->bad_want + s->wants + 1;
    s->candidates = 0;
    return 0;
}

int ter(workspace *all, text output, const text *targets, size_t count, int fresh, int mode,
        int64_t *row)
{
    (void)count, (void)mode;
    if (fresh && (word_tokens(&all->target, targets[0]) ||
                  number_tokens(&all->names, &all->target, &all->target_ids)))
        return -1;
    if (word_tokens(&all->output, output) ||
        find_tokens(&all->names, &all->output, &all->output_ids))
        return -1;
    shifting s = {.want = all->target_ids.data, .have = all->output_ids.data,
                  .wants = all->target.count, .haves = all->output.count};
    row[0] = (int64_t)s.haves;
    row[1] = (int64_t)s.wants;
    row[2] = row[0];
    if (!s.wants)
        return 0;
    if (prepare(all, &s))
        return -1;
    fill_table(&s);
    row[2] = make_shifts(&s);
    row[2] += distance(&s);
    return 0;
}
