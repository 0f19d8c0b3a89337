/* Numbers for tokens: an open-addressing table per pair, at most half full. */

#include "kernels.h"

#include <string.h>

int same_token(const uint8_t *one_bytes, const token *one, const uint8_t *bytes,
               const token *other)
{
    return one->hash == other->hash && one->length == other->length &&
           !memcmp(one_bytes + one->start, bytes + other->start, one->length);
}

/* The slot that holds a token, or the free one where it belongs. Slots hold number + 1. */
static size_t place(const vocabulary *names, const uint8_t *bytes, const token *sought)
{
    const int32_t *slot = names->slot.data;
    const token *distinct = names->distinct.data;
    size_t at = sought->hash & names->mask;
    while (slot[at] && !same_token(names->bytes, &distinct[slot[at] - 1], bytes, sought))
        at = (at + 1) & names->mask;
    return at;
}

int number_tokens(vocabulary *names, const tokens *of, scratch *ids)
{
    size_t slots = 16;
    while (slots < 2 * of->count)
        slots *= 2;
    int32_t *slot = room(&names->slot, slots, sizeof *slot);
    token *distinct = room(&names->distinct, of->count, sizeof *distinct);
    int32_t *id = room(ids, of->count, sizeof *id);
    const token *list = token_at(of);
    if (!slot || !distinct || !id)
        return -1;
    memset(slot, 0, slots * sizeof *slot);
    names->mask = slots - 1;
    names->bytes = of->bytes;
    names->count = 0;
    for (size_t i = 0; i < of->count; i++) {
        size_t at = place(names, of->bytes, &list[i]);
        if (!slot[at]) {
            distinct[names->count] = list[i];
            slot[at] = ++names->count;
        }
        id[i] = slot[at] - 1;
    }
    return 0;
}

int find_tokens(const vocabulary *names, const tokens *of, scratch *ids)
{
    const int32_t *slot = names->slot.data;
    int32_t *id = room(ids, of->count, sizeof *id);
    const token *list = token_at(of);
    if (!id)
        return -1;
    for (size_t i = 0; i < of->count; i++) {
        int32_t number = slot[place(names, of->bytes, &list[i])];
        id[i] = number ? number - 1 : names->count;
    }
    return 0;
}
