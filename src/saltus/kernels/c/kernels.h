/* Counting over pairs of texts: what a score is made of, as whole numbers.

   A text is UTF-8, or any other bytes: nothing is read outside it and nothing is trusted.
   A kernel fills one row of numbers for one output and its targets; the formulas that turn
   rows into scores stand in Python. Nothing here knows Python, so that the fuzzer can call it. */

#ifndef SALTUS_KERNELS_H
#define SALTUS_KERNELS_H

#include <stddef.h>
#include <stdint.h>

/* So many bytes at most in one output, and in the targets of one output: token numbers and
   their places then fit in 32 bits. */
#define LONGEST_TEXT ((size_t)1 << 30)

typedef struct {
    const uint8_t *bytes;
    size_t size;
} text;

/* Memory that is used again from pair to pair and grows when a pair needs more. */
typedef struct {
    void *data;
    size_t size;
} scratch;

void *room(scratch *memory, size_t count, size_t each); /* NULL when there is none */

/* ---- tokens */

typedef struct {
    uint64_t hash;
    uint32_t start, length; /* in the bytes of its list */
} token;

typedef struct {
    const uint8_t *bytes;
    size_t count;
    size_t lines;      /* lines that have tokens; only rouge_tokens counts them */
    scratch list, own; /* the tokens; lower-cased or otherwise rewritten bytes */
    scratch line;      /* (lines + 1) number of the first token of each line, or text */
} tokens;

static inline const token *token_at(const tokens *of) { return of->list.data; }
static inline const size_t *lines_of(const tokens *of) { return of->line.data; }

/* 1: ASCII white space of str.split(); 2: the first byte of white space outside ASCII */
extern const uint8_t WHITE[256];
size_t wide_white(const uint8_t *at, const uint8_t *end);

/* Bytes of the white space that starts here, or 0. */
static inline size_t white(const uint8_t *at, const uint8_t *end)
{
    uint8_t kind = WHITE[*at];
    return kind < 2 ? kind : wide_white(at, end);
}

size_t without_white_end(text from);                 /* size without white space at the end */
uint32_t code_point(const uint8_t **at, const uint8_t *end);

int word_tokens(tokens *into, text from);  /* Python's str.split() */
int rouge_tokens(tokens *into, text from); /* lower-case runs of [a-z0-9], with lines */
int squad_tokens(tokens *into, text from); /* normalize_answer; 1: not ASCII, not done */
size_t split(token *list, size_t count, const uint8_t *bytes, size_t size);
int marked_words(tokens *into, text from); /* chrF++'s: a mark at an end stands alone */
token token_of(const uint8_t *bytes, size_t start, size_t end);

enum { BLEU_WORDS = 0, BLEU_13A = 1, BLEU_CHARACTERS = 2 };

/* The tokens of several texts as one list; `line` says where each text's tokens start. */
int bleu_tokens(tokens *into, const text *texts, size_t count, int mode, scratch spare[3]);

/* ---- numbers for tokens: equal bytes, equal number, counted from 0 in order of appearance */

typedef struct {
    scratch slot, distinct;
    const uint8_t *bytes;
    size_t mask;
    int32_t count;
} vocabulary;

int number_tokens(vocabulary *names, const tokens *of, scratch *ids);
/* A token that the vocabulary does not have gets the number after the last. */
int find_tokens(const vocabulary *names, const tokens *of, scratch *ids);
int same_token(const uint8_t *one_bytes, const token *one, const uint8_t *bytes,
               const token *other);

/* ---- sequences of numbers */

typedef struct {
    const int32_t *at;
    size_t count;
} sequence;

typedef struct {
    scratch mask, carry, more, vector, mark;
} bit_memory;

/* Numbers in `row` are 0 <= number < names; those in `column` may be `names`: equal to none. */
int lcs_length(bit_memory *memory, sequence row, sequence column, int32_t names, size_t *length);
int edit_distance(bit_memory *memory, sequence row, sequence column, int32_t names,
                  size_t *distance);
/* Marks in `places` (a byte per token of `row`) one subsequence: the one rouge_score takes. */
int lcs_places(bit_memory *memory, sequence row, sequence column, int32_t names, uint8_t *places);
/* The union of those of several columns, for a row of at most 64: the bits of its places. */
int union_places(bit_memory *memory, sequence row, sequence columns, const size_t *start,
                 size_t count, int32_t names, uint64_t *places);

typedef struct {
    scratch key, spare, position, other, side;
} match_memory;

#define MOST_ORDERS 6

/* For n = 1..orders: n-grams of the output that a target has, each as often as the target
   that has it most often. Numbers are 0 <= number <= names, those of targets < names. */
int match_counts(match_memory *memory, sequence output, const sequence *targets, size_t count,
                 int32_t names, int orders, int64_t *matches);

/* ---- kernels: a row for one output and its targets */

typedef struct {
    tokens output, target;
    vocabulary names;
    scratch output_ids, target_ids, spare[5]; /* spare: each kernel's own */
    bit_memory bits;
    match_memory match;
} workspace;

void release(workspace *all);

/* `fresh` is 0 where the targets are those of the call before: what is known of them stays.
   0: done; -1: no memory; 1: not for this kernel, the row is to be filled in Python. */
typedef int kernel(workspace *all, text output, const text *targets, size_t count, int fresh,
                   int mode, int64_t *row);

enum { ROUGE_NGRAMS = 1, ROUGE_L = 2, ROUGE_LSUM = 4 }; /* modes of rouge, to be added */

kernel rouge;     /* 6: tokens of output, of target, common 1-grams, 2-grams, LCS, union LCS */
kernel word_edit; /* 3: words of output, of target, edit distance */
kernel word_lcs;  /* 3: words of output, of target, longest common subsequence */
kernel bleu;      /* 6: tokens (see mode) of output, of closest target, matches of 1..4-grams */
kernel chrf;      /* 8: characters of output, of target, matches of 1..6-grams */
kernel chrf_words; /* 4: words (marks apart) of output, of target, matches of 1- and 2-grams */
kernel ter;       /* 3: words of output, of target, edits with shifts */
kernel squad;     /* 4: tokens of output, of target, common tokens, 1 where all are equal */

#endif
