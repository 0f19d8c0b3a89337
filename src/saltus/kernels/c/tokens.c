/* Bytes to tokens, as Python's str.split(), rouge_score and SQuAD's script have them. */

#include "kernels.h"

#include <string.h>

const uint8_t WHITE[256] = {
    [0x09] = 1, [0x0A] = 1, [0x0B] = 1, [0x0C] = 1, [0x0D] = 1, [0x1C] = 1, [0x1D] = 1,
    [0x1E] = 1, [0x1F] = 1, [0x20] = 1, [0xC2] = 2, [0xE1] = 2, [0xE2] = 2, [0xE3] = 2,
};

size_t wide_white(const uint8_t *at, const uint8_t *end)
{
    size_t left = (size_t)(end - at);
    if (at[0] == 0xC2)
        return left > 1 && (at[1] == 0x85 || at[1] == 0xA0) ? 2 : 0;
    if (left < 3)
        return 0;
    uint8_t b = at[1], c = at[2];
    if (at[0] == 0xE1)
        return b == 0x9A && c == 0x80 ? 3 : 0; /* U+1680 */
    if (at[0] == 0xE3)
        return b == 0x80 && c == 0x80 ? 3 : 0; /* U+3000 */
    if (b == 0x81)
        return c == 0x9F ? 3 : 0; /* U+205F */
    /* U+2000 to U+200A, U+2028, U+2029, U+202F */
    return b == 0x80 && ((c >= 0x80 && c <= 0x8A) || c == 0xA8 || c == 0xA9 || c == 0xAF) ? 3 : 0;
}

size_t without_white_end(text from)
{
    size_t size = from.size;
    while (size) {
        size_t width = 1;
        while (width < 3 && width < size && (from.bytes[size - width] & 0xC0) == 0x80)
            width++;
        if (white(from.bytes + size - width, from.bytes + size) != width)
            break;
        size -= width;
    }
    return size;
}

/* Bytes that are no UTF-8 are code points of their own beyond Unicode; a lone surrogate in
   three bytes is itself. */
uint32_t code_point(const uint8_t **at, const uint8_t *end)
{
    const uint8_t *p = *at;
    uint32_t first = *p;
    size_t more = first < 0xC0 ? 0 : first < 0xE0 ? 1 : first < 0xF0 ? 2 : first < 0xF8 ? 3 : 0;
    *at = p + 1;
    if (first < 0x80)
        return first;
    if (!more || (size_t)(end - p) <= more)
        return 0x200000u + first;
    uint32_t value = first & (0x3Fu >> more);
    for (size_t i = 1; i <= more; i++) {
        if ((p[i] & 0xC0) != 0x80)
            return 0x200000u + first;
        value = value << 6 | (p[i] & 0x3Fu);
    }
    *at = p + more + 1;
    return value;
}

static uint64_t load(const uint8_t *at, size_t size)
{
    uint64_t value = 0;
    uint32_t low, high;
    if (size == 8) {
        memcpy(&value, at, 8);
    } else if (size >= 4) {
        memcpy(&low, at, 4);
        memcpy(&high, at + size - 4, 4);
        value = (uint64_t)high << 32 | low;
    } else if (size) {
        value = (uint64_t)at[0] | (uint64_t)at[size / 2] << 8 | (uint64_t)at[size - 1] << 16;
    }
    return value;
}

/* Begins with where the library was loaded, which no text can know: numbers of tokens do not
   depend on it, only whether a text could be written to fill one slot of the table. */
static uint64_t hash_of(const uint8_t *at, size_t size)
{
    uint64_t hash = (size + (uintptr_t)WHITE) * 0x9E3779B97F4A7C15u;
    for (; size > 8; at += 8, size -= 8) {
        hash = (hash ^ load(at, 8)) * 0xD6E8FEB86659FD93u;
        hash ^= hash >> 32;
    }
    hash = (hash ^ load(at, size)) * 0xD6E8FEB86659FD93u;
    return hash ^ hash >> 32;
}

token token_of(const uint8_t *bytes, size_t start, size_t end)
{
    return (token){hash_of(bytes + start, end - start), (uint32_t)start, (uint32_t)(end - start)};
}

/* Adds the words of some bytes to a list of `n` tokens; the list's new length. */
size_t split(token *list, size_t n, const uint8_t *bytes, size_t size)
{
    const uint8_t *at = bytes, *end = bytes + size;
    while (at < end) {
        size_t space = white(at, end);
        if (space) {
            at += space;
            continue;
        }
        const uint8_t *start = at;
        do
            at++;
        while (at < end && !(WHITE[*at] && white(at, end)));
        list[n++] = token_of(bytes, (size_t)(start - bytes), (size_t)(at - bytes));
    }
    return n;
}

int word_tokens(tokens *into, text from)
{
    token *list = room(&into->list, from.size / 2 + 1, sizeof(token));
    if (!list)
        return -1;
    into->bytes = from.bytes;
    into->count = split(list, 0, from.bytes, from.size);
    return 0;
}

/* [A-Za-z0-9] to lower case, the rest to 0 */
static uint8_t letter(uint8_t byte)
{
    uint8_t lower = byte | 0x20;
    if (lower >= 'a' && lower <= 'z')
        return lower;
    return byte >= '0' && byte <= '9' ? byte : 0;
}

/* Of all code points outside ASCII only two have a lower case with a character of [a-z0-9]:
   U+0130 becomes i and a combining dot (which ends the token), U+212A (Kelvin) becomes k. */
int rouge_tokens(tokens *into, text from)
{
    const uint8_t *at = from.bytes, *end = at + from.size;
    uint8_t *own = room(&into->own, from.size + 1, 1);
    token *list = room(&into->list, from.size / 2 + 1, sizeof(token));
    size_t *line = room(&into->line, from.size / 2 + 2, sizeof(size_t));
    size_t used = 0, start = 0, count = 0, lines = 0;
    int open = 1; /* the next token is the first of its line */
    if (!own || !list || !line)
        return -1;
    while (at <= end) {
        uint8_t lower = at < end ? letter(*at) : 0;
        if (lower) {
            own[used++] = lower;
            at++;
            continue;
        }
        size_t left = (size_t)(end - at);
        if (left > 2 && at[0] == 0xE2 && at[1] == 0x84 && at[2] == 0xAA) {
            own[used++] = 'k';
            at += 3;
            continue;
        }
        if (left > 1 && at[0] == 0xC4 && at[1] == 0xB0) {
            own[used++] = 'i';
            at++;
        }
        if (used > start) {
            if (open)
                line[lines++] = count;
            open = 0;
            list[count++] = token_of(own, start, used);
            start = used;
        }
        if (left && *at == '\n')
            open = 1;
        at++;
    }
    line[lines] = count;
    into->bytes = own;
    into->count = count;
    into->lines = lines;
    return 0;
}

static int article(const uint8_t *at, size_t size)
{
    return (size == 1 && at[0] == 'a') || (size == 2 && !memcmp(at, "an", 2)) ||
           (size == 3 && !memcmp(at, "the", 3));
}

/* Blanks for articles between characters that are neither white space nor word characters:
   only control characters are left to be such. */
static void blank_articles(uint8_t *own, size_t size)
{
    for (size_t i = 0; i < size;) {
        size_t run = i;
        while (run < size && letter(own[run]))
            run++;
        if (article(own + i, run - i))
            memset(own + i, ' ', run - i);
        i = run + (run == i);
    }
}

/* Lower case, no punctuation, then no articles: so "t'he" is an article too. */
int squad_tokens(tokens *into, text from)
{
    uint8_t *own = room(&into->own, from.size + 1, 1);
    token *list = room(&into->list, from.size / 2 + 1, sizeof(token));
    size_t used = 0, kept = 0;
    int controls = 0;
    if (!own || !list)
        return -1;
    for (size_t i = 0; i < from.size; i++) {
        uint8_t byte = from.bytes[i], lower = letter(byte);
        if (byte & 0x80)
            return 1; /* lower case and word boundaries outside ASCII are Python's to know */
        own[used] = lower ? lower : byte;
        used += lower || byte <= ' ' || byte == 0x7F;
        controls |= !lower && (byte < ' ' || byte == 0x7F) && !WHITE[byte];
    }
    if (controls)
        blank_articles(own, used);
    into->bytes = own;
    into->count = split(list, 0, own, used);
    for (size_t i = 0; i < into->count; i++) {
        list[kept] = list[i];
        kept += !(list[i].length < 4 && article(own + list[i].start, list[i].length));
    }
    into->count = kept;
    return 0;
}
