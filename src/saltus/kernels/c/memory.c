/* Scratch memory. */

#include "kernels.h"

#include <stdlib.h>

/* With SALTUS_EXACT every request gets a block of just its size, so that a sanitizer sees the
   first byte past it. */
void *room(scratch *memory, size_t count, size_t each)
{
    if (count > (SIZE_MAX - 64) / 2 / each)
        return NULL;
    size_t need = count * each;
#ifndef SALTUS_EXACT
    if (memory->data && need <= memory->size)
        return memory->data;
    need += need / 2 + 64;
#endif
    void *data = malloc(need ? need : 1);
    if (!data)
        return NULL;
    free(memory->data);
    memory->data = data;
    memory->size = need;
    return data;
}

static void release_tokens(tokens *of)
{
    free(of->list.data);
    free(of->own.data);
    free(of->line.data);
}

void release(workspace *all)
{
    scratch rest[] = {
        all->names.slot, all->names.distinct, all->output_ids, all->target_ids, all->bits.mask,
        all->bits.carry, all->bits.more, all->bits.vector, all->bits.mark, all->match.key,
        all->match.spare, all->match.position, all->match.other, all->match.side,
    };
    for (size_t i = 0; i < sizeof all->spare / sizeof *all->spare; i++)
        free(all->spare[i].data);
    release_tokens(&all->output);
    release_tokens(&all->target);
    for (size_t i = 0; i < sizeof rest / sizeof *rest; i++)
        free(rest[i].data);
}
