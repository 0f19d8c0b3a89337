/* Tokens of sacrebleu's BLEU: mteval-v13a, characters, and words as they stand; chrF++'s words.

   mteval-v13a is four substitutions in a row. Each goes from left to right over what the one
   before has made, and a match ends where it ends: in `...` a full stop that one match has
   taken is no context for the next. All classes are ASCII, so bytes do for characters. */

#include "kernels.h"

#include <string.h>

typedef struct {
    uint8_t *at;
    size_t size;
} line;

/* Replaces every `found` by `by` (0: by nothing), in place. */
static void replace(line *of, const char *found, uint8_t by)
{
    size_t length = strlen(found), used = 0;
    const uint8_t *p = of->at, *end = p + of->size, *next;
    while (p < end && (next = memchr(p, found[0], (size_t)(end - p)))) {
        memmove(of->at + used, p, (size_t)(next - p));
        used += (size_t)(next - p);
        if ((size_t)(end - next) >= length && !memcmp(next, found, length)) {
            if (by)
                of->at[used++] = by;
            p = next + length;
        } else {
            of->at[used++] = *next;
            p = next + 1;
        }
    }
    memmove(of->at + used, p, (size_t)(end - p));
    of->size = used + (size_t)(end - p);
}

static void unescape(line *of)
{
    if (memchr(of->at, '<', of->size))
        replace(of, "<skipped>", 0);
    if (memchr(of->at, '\n', of->size)) {
        replace(of, "-\n", 0);
        replace(of, "\n", ' ');
    }
    if (memchr(of->at, '&', of->size)) {
        replace(of, "&quot;", '"');
        replace(of, "&amp;", '&');
        replace(of, "&lt;", '<');
        replace(of, "&gt;", '>');
    }
}

/* [{-~[-` -&(-+:-@/] without the blank: there is none in a word */
static int mark(uint8_t byte)
{
    return (byte >= '{' && byte <= '~') || (byte >= '[' && byte <= '`') ||
           (byte >= '!' && byte <= '&') || (byte >= '(' && byte <= '+') ||
           (byte >= ':' && byte <= '@') || byte == '/';
}

static int digit(uint8_t byte) { return byte >= '0' && byte <= '9'; }
static int point(uint8_t byte) { return byte == '.' || byte == ','; }

/* ([mark]) -> ' \1 ', and the word between blanks */
static size_t part_marks(const uint8_t *from, size_t size, uint8_t *to)
{
    size_t used = 0;
    to[used++] = ' ';
    for (size_t i = 0; i < size; i++) {
        if (mark(from[i])) {
            to[used++] = ' ';
            to[used++] = from[i];
            to[used++] = ' ';
        } else {
            to[used++] = from[i];
        }
    }
    to[used++] = ' ';
    return used;
}

/* ([^0-9])([.,]) -> '\1 \2 ' */
static size_t part_points_after(const uint8_t *from, size_t size, uint8_t *to)
{
    size_t used = 0, i = 0;
    while (i < size) {
        uint8_t byte = to[used++] = from[i++];
        if (i < size && point(from[i]) && !digit(byte)) {
            to[used++] = ' ';
            to[used++] = from[i++];
            to[used++] = ' ';
        }
    }
    return used;
}

/* ([.,])([^0-9]) -> ' \1 \2' */
static size_t part_points_before(const uint8_t *from, size_t size, uint8_t *to)
{
    size_t used = 0, i = 0;
    while (i < size) {
        if (point(from[i]) && i + 1 < size && !digit(from[i + 1])) {
            to[used++] = ' ';
            to[used++] = from[i++];
            to[used++] = ' ';
        }
        to[used++] = from[i++];
    }
    return used;
}

/* ([0-9])(-) -> '\1 \2 ' */
static size_t part_dashes(const uint8_t *from, size_t size, uint8_t *to)
{
    size_t used = 0, i = 0;
    while (i < size) {
        uint8_t byte = to[used++] = from[i++];
        if (i < size && from[i] == '-' && digit(byte)) {
            to[used++] = ' ';
            to[used++] = from[i++];
            to[used++] = ' ';
        }
    }
    return used;
}

/* The tokens of a word, each between blanks, in `first`; NULL without memory. A word stands
   between blanks, and no substitution reaches past one, so words can go one by one. */
static const uint8_t *spaced(const uint8_t *word, size_t *size, scratch *first, scratch *second)
{
    uint8_t *a, *b = room(second, 3 * *size + 2, 1);
    if (!b)
        return NULL;
    *size = part_marks(word, *size, b);
    if (!(a = room(first, 2 * *size, 1)))
        return NULL;
    *size = part_points_after(b, *size, a);
    if (!(b = room(second, 2 * *size, 1)))
        return NULL;
    *size = part_points_before(a, *size, b);
    if (!(a = room(first, 2 * *size, 1)))
        return NULL;
    *size = part_dashes(b, *size, a);
    return a;
}

/* ---- lists */

static void add_token(tokens *into, size_t *used, const uint8_t *at, size_t size)
{
    uint8_t *own = into->own.data;
    token *list = into->list.data;
    memcpy(own + *used, at, size);
    list[into->count++] = token_of(own, *used, *used + size);
    *used += size;
}

static void add_characters(tokens *into, size_t *used, text from)
{
    const uint8_t *at = from.bytes, *end = at + from.size;
    while (at < end) {
        size_t space = white(at, end);
        const uint8_t *start = at;
        if (space) {
            at += space;
            continue;
        }
        code_point(&at, end);
        add_token(into, used, start, (size_t)(at - start));
    }
}

/* The next word from `at` on; its size, 0 at the end. */
static size_t next_word(const uint8_t **at, const uint8_t *end)
{
    const uint8_t *p = *at;
    size_t space;
    while (p < end && (space = white(p, end)))
        p += space;
    *at = p;
    while (p < end && !white(p, end))
        p++;
    return (size_t)(p - *at);
}

static void add_words(tokens *into, size_t *used, text from)
{
    const uint8_t *at = from.bytes, *end = at + from.size;
    for (size_t size; (size = next_word(&at, end)); at += size)
        add_token(into, used, at, size);
}

static int punctuation(uint8_t byte)
{
    return mark(byte) || point(byte) || byte == '\'' || byte == '-';
}

/* chrF++'s words: a mark at the end of a word, or else at its start, is a word of its own. */
int marked_words(tokens *into, text from)
{
    token *list = room(&into->list, from.size, sizeof(token));
    const uint8_t *at = from.bytes, *end = at + from.size;
    size_t count = 0;
    if (!list)
        return -1;
    for (size_t size; (size = next_word(&at, end)); at += size) {
        size_t start = (size_t)(at - from.bytes), past = start + size, seam = past;
        if (size > 1)
            seam = punctuation(at[size - 1]) ? past - 1 : punctuation(*at) ? start + 1 : past;
        list[count++] = token_of(from.bytes, start, seam);
        if (seam < past)
            list[count++] = token_of(from.bytes, seam, past);
    }
    into->bytes = from.bytes;
    into->count = count;
    return 0;
}

/* How many bytes a word starts with that no substitution touches. */
static size_t untouched(const uint8_t *word, size_t size)
{
    size_t i = 0;
    while (i < size && !mark(word[i]) && !point(word[i]) &&
           !(i && word[i] == '-' && digit(word[i - 1])))
        i++;
    return i;
}

/* Most words are letters, perhaps with one mark or point behind them. */
static int add_parts(tokens *into, size_t *used, const uint8_t *word, size_t size, scratch *first,
                     scratch *second)
{
    size_t plain = untouched(word, size);
    if (plain == size || (plain == size - 1 && word[plain] != '-')) {
        if (plain)
            add_token(into, used, word, plain);
        if (plain < size)
            add_token(into, used, word + plain, 1);
        return 0;
    }
    const uint8_t *at = spaced(word, &size, first, second);
    if (!at)
        return -1;
    add_words(into, used, (text){at, size});
    return 0;
}

static int add_13a(tokens *into, size_t *used, text from, scratch *copy, scratch *first,
                   scratch *second)
{
    line whole = {room(copy, from.size, 1), from.size};
    if (!whole.at)
        return -1;
    if (from.size)
        memcpy(whole.at, from.bytes, from.size);
    unescape(&whole);
    const uint8_t *at = whole.at, *end = at + whole.size;
    for (size_t size; (size = next_word(&at, end)); at += size)
        if (add_parts(into, used, at, size, first, second))
            return -1;
    return 0;
}

int bleu_tokens(tokens *into, const text *texts, size_t count, int mode, scratch spare[3])
{
    size_t total = 0, used = 0;
    for (size_t i = 0; i < count; i++)
        total += texts[i].size;
    size_t *start = room(&into->line, count + 1, sizeof *start);
    into->bytes = room(&into->own, total, 1);
    into->count = 0;
    if (!start || !into->bytes || !room(&into->list, total, sizeof(token)))
        return -1;
    for (size_t i = 0; i < count; i++) {
        text from = {texts[i].bytes, without_white_end(texts[i])};
        start[i] = into->count;
        if (mode == BLEU_CHARACTERS)
            add_characters(into, &used, from);
        else if (mode == BLEU_WORDS)
            add_words(into, &used, from);
        else if (add_13a(into, &used, from, &spare[0], &spare[1], &spare[2]))
            return -1;
    }
    start[count] = into->count;
    return 0;
}
