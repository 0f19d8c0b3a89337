/* What BLEU (Papineni et al. 2002) and chrF (Popovic 2015) are made of, as sacrebleu counts. */

#include "kernels.h"

#include <string.h>

#define BLEU_ORDERS 4
#define CHRF_ORDERS 6
#define CHRF_WORD_ORDERS 2

/* The length of the target closest to the output's; of two equally close the shorter. */
static size_t closest(const size_t *start, size_t count, size_t length)
{
    size_t best = 0, least = SIZE_MAX;
    for (size_t i = 0; i < count; i++) {
        size_t here = start[i + 1] - start[i];
        size_t away = here > length ? here - length : length - here;
        if (away < least || (away == least && here < best)) {
            least = away;
            best = here;
        }
    }
    return best;
}

int bleu(workspace *all, text output, const text *targets, size_t count, int fresh, int mode,
         int64_t *row)
{
    if (fresh && (bleu_tokens(&all->target, targets, count, mode, all->spare) ||
                  number_tokens(&all->names, &all->target, &all->target_ids)))
        return -1;
    if (bleu_tokens(&all->output, &output, 1, mode, all->spare) ||
        find_tokens(&all->names, &all->output, &all->output_ids))
        return -1;
    sequence *wants = room(&all->spare[3], count, sizeof *wants);
    if (!wants)
        return -1;
    const size_t *start = lines_of(&all->target);
    const int32_t *id = all->target_ids.data;
    for (size_t i = 0; i < count; i++)
        wants[i] = (sequence){id + start[i], start[i + 1] - start[i]};
    sequence have = {all->output_ids.data, all->output.count};
    row[0] = (int64_t)have.count;
    row[1] = (int64_t)closest(start, count, have.count);
    return match_counts(&all->match, have, wants, count, all->names.count, BLEU_ORDERS, row + 2);
}

/* ---- characters: code points without white space, numbered as tokens are */

typedef struct {
    int32_t ascii[128];
    uint32_t *point; /* open addressing: code points, and their number + 1 */
    int32_t *number;
    size_t mask;
    int32_t count;
} alphabet;

static size_t slot_of(const alphabet *of, uint32_t point)
{
    size_t at = point * 0x9E3779B1u >> 7 & of->mask;
    while (of->number[at] && of->point[at] != point)
        at = (at + 1) & of->mask;
    return at;
}

/* The number of a code point, a new one for a new one. */
static int32_t number_of(alphabet *of, uint32_t point)
{
    int32_t *number = &of->ascii[point & 127];
    if (point >= 128) {
        size_t at = slot_of(of, point);
        of->point[at] = point;
        number = &of->number[at];
    }
    if (!*number)
        *number = ++of->count;
    return *number - 1;
}

static size_t wide_characters(text from)
{
    size_t wide = 0;
    for (size_t i = 0; i < from.size; i++)
        wide += from.bytes[i] >= 0x80;
    return wide;
}

static int start_alphabet(alphabet *of, size_t wide, scratch *points, scratch *numbers)
{
    size_t slots = 16;
    while (slots < 2 * wide)
        slots *= 2;
    of->point = room(points, slots, sizeof *of->point);
    of->number = room(numbers, slots, sizeof *of->number);
    if (!of->point || !of->number)
        return -1;
    memset(of->ascii, 0, sizeof of->ascii);
    memset(of->number, 0, slots * sizeof *of->number);
    of->mask = slots - 1;
    of->count = 0;
    return 0;
}

static size_t number_characters(alphabet *of, text from, int32_t *id)
{
    const uint8_t *at = from.bytes, *end = at + from.size;
    size_t count = 0;
    while (at < end) {
        size_t space = white(at, end);
        if (space) {
            at += space;
            continue;
        }
        id[count++] = number_of(of, *at < 128 ? *at++ : code_point(&at, end));
    }
    return count;
}

/* Both texts number their characters: only the target's alphabet would save no time. */
int chrf(workspace *all, text output, const text *targets, size_t count, int fresh, int mode,
         int64_t *row)
{
    alphabet letters;
    (void)count, (void)fresh, (void)mode;
    size_t wide = wide_characters(output) + wide_characters(targets[0]);
    int32_t *want = room(&all->target_ids, targets[0].size, sizeof *want);
    int32_t *have = room(&all->output_ids, output.size, sizeof *have);
    if (!want || !have || start_alphabet(&letters, wide, &all->spare[0], &all->spare[1]))
        return -1;
    sequence target = {want, number_characters(&letters, targets[0], want)};
    sequence mine = {have, number_characters(&letters, output, have)};
    row[0] = (int64_t)mine.count;
    row[1] = (int64_t)target.count;
    return match_counts(&all->match, mine, &target, 1, letters.count, CHRF_ORDERS, row + 2);
}

/* The words that chrF++ (Popovic 2017) adds to them. */
int chrf_words(workspace *all, text output, const text *targets, size_t count, int fresh, int mode,
               int64_t *row)
{
    (void)count, (void)mode;
    if (fresh && (marked_words(&all->target, targets[0]) ||
                  number_tokens(&all->names, &all->target, &all->target_ids)))
        return -1;
    if (marked_words(&all->output, output) ||
        find_tokens(&all->names, &all->output, &all->output_ids))
        return -1;
    sequence want = {all->target_ids.data, all->target.count};
    sequence have = {all->output_ids.data, all->output.count};
    row[0] = (int64_t)have.count;
    row[1] = (int64_t)want.count;
    return match_counts(&all->match, have, &want, 1, all->names.count, CHRF_WORD_ORDERS, row + 2);
}
