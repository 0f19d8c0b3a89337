/* One pass over JSON text: lines, the keys of the outermost objects, and keys that come twice.

   Nothing is decoded or checked: of a text that is no JSON anything may be said, since the
   decoder refuses it anyway. A key counts as there before where its 64-bit hash is; the caller
   looks at that line again, so that a chance collision costs time and nothing else. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { DEEPEST = 4096, MOST_NAMES = 256, FEW = 12 };

typedef struct {
    const uint8_t *start;
    size_t size;
    uint64_t hash;
} name;

typedef struct {
    uint64_t *hash; /* of the keys of all objects that are open, outermost first */
    size_t count, room;
    size_t first[DEEPEST]; /* of each level: where its keys begin */
    uint8_t object[DEEPEST];
    name names[MOST_NAMES]; /* keys of the outermost objects, each once */
    size_t named, next;
    int too_many;
} state;

/* ---- keys */

static uint64_t add_byte(uint64_t hash, uint32_t byte) /* FNV-1a */
{
    return (hash ^ byte) * 0x100000001B3u;
}

static uint64_t add_point(uint64_t hash, uint32_t point) /* in UTF-8 */
{
    if (point < 0x80)
        return add_byte(hash, point);
    if (point < 0x800)
        return add_byte(add_byte(hash, 0xC0 | point >> 6), 0x80 | (point & 63));
    hash = point < 0x10000 ? add_byte(hash, 0xE0 | point >> 12)
                           : add_byte(add_byte(hash, 0xF0 | point >> 18), 0x80 | (point >> 12 & 63));
    return add_byte(add_byte(hash, 0x80 | (point >> 6 & 63)), 0x80 | (point & 63));
}

static int32_t four_digits(const uint8_t *at, const uint8_t *end) /* of \uXXXX, or -1 */
{
    int32_t value = 0;
    if (end - at < 6 || at[0] != '\\' || at[1] != 'u')
        return -1;
    for (int i = 2; i < 6; i++) {
        int digit = at[i] <= '9' ? at[i] - '0' : (at[i] | 32) - 'a' + 10;
        if (digit < 0 || digit > 15)
            return -1;
        value = value << 4 | digit;
    }
    return value;
}

static uint64_t add_escape(uint64_t hash, const uint8_t **at, const uint8_t *end)
{
    static const char LETTERS[] = "btnfr", MEANT[] = "\b\t\n\f\r";
    const uint8_t *from = *at;
    int32_t high = four_digits(from, end), low;
    const char *found;
    if (high < 0) {
        *at = from + (end - from > 1 ? 2 : 1);
        if (end - from < 2 || !from[1])
            return add_byte(hash, '\\');
        found = strchr(LETTERS, from[1]);
        return add_byte(hash, found ? (uint8_t)MEANT[found - LETTERS] : from[1]);
    }
    *at = from + 6;
    if (high >> 10 != 0xD800 >> 10)
        return add_point(hash, (uint32_t)high);
    low = four_digits(from + 6, end);
    if (low < 0 || low >> 10 != 0xDC00 >> 10)
        return add_point(hash, (uint32_t)high);
    *at = from + 12;
    return add_point(hash, 0x10000u + ((uint32_t)(high & 0x3FF) << 10) + (uint32_t)(low & 0x3FF));
}

static uint64_t hash_of(const uint8_t *at, const uint8_t *end)
{
    uint64_t hash = 0xCBF29CE484222325u;
    while (at < end)
        hash = *at == '\\' ? add_escape(hash, &at, end) : add_byte(hash, *at++);
    return hash;
}

static void remember(state *all, const uint8_t *start, size_t size, uint64_t hash)
{
    size_t i = all->next; /* objects mostly have their keys in the same order */
    if (i >= all->named || all->names[i].hash != hash)
        for (i = 0; i < all->named && all->names[i].hash != hash; i++)
            ;
    all->next = i + 1;
    if (i < all->named)
        return;
    if (all->named == MOST_NAMES) {
        all->too_many = 1;
        return;
    }
    all->names[all->named++] = (name){start, size, hash};
}

static int push_key(state *all, uint64_t hash)
{
    if (all->count == all->room) {
        size_t room = all->room ? 2 * all->room : 256;
        uint64_t *larger = realloc(all->hash, room * sizeof *larger);
        if (!larger)
            return -1;
        all->hash = larger;
        all->room = room;
    }
    all->hash[all->count++] = hash;
    return 0;
}

static int in_order(const void *one, const void *other)
{
    uint64_t a = *(const uint64_t *)one, b = *(const uint64_t *)other;
    return (a > b) - (a < b);
}

static int has_twins(uint64_t *hash, size_t count)
{
    if (count > FEW) {
        qsort(hash, count, sizeof *hash, in_order);
        for (size_t i = 1; i < count; i++)
            if (hash[i] == hash[i - 1])
                return 1;
        return 0;
    }
    for (size_t i = 1; i < count; i++)
        for (size_t n = 0; n < i; n++)
            if (hash[i] == hash[n])
                return 1;
    return 0;
}

/* ---- text */

/* The quote that ends the string, or NULL. */
static const uint8_t *string_end(const uint8_t *from, const uint8_t *end)
{
    const uint8_t *at = from;
    while ((at = memchr(at, '"', (size_t)(end - at)))) {
        const uint8_t *slash = at;
        while (slash > from && slash[-1] == '\\')
            slash--;
        if ((at - slash) % 2 == 0)
            return at;
        at++;
    }
    return NULL;
}

/* 1: an object seems to have one key twice; 0: none has, or this is no JSON; -1: no memory */
static int scan_text(state *all, const uint8_t *at, const uint8_t *end)
{
    size_t depth = 0;
    int key = 0; /* whether a string that comes now is a key */
    all->count = 0;
    all->next = 0;
    for (; at < end; at++) {
        switch (*at) {
        case '{':
        case '[':
            if (depth == DEEPEST)
                return 0; /* no decoder goes so deep */
            key = all->object[depth] = *at == '{';
            all->first[depth++] = all->count;
            break;
        case '}':
        case ']':
            if (!depth)
                return 0;
            depth--;
            if (has_twins(all->hash + all->first[depth], all->count - all->first[depth]))
                return 1;
            all->count = all->first[depth];
            key = 0;
            break;
        case ',':
            key = depth && all->object[depth - 1];
            break;
        case '"': {
            const uint8_t *start = at + 1;
            if (!(at = string_end(start, end)))
                return 0;
            if (key) {
                uint64_t hash = hash_of(start, at);
                if (depth == 1)
                    remember(all, start, (size_t)(at - start), hash);
                if (push_key(all, hash))
                    return -1;
                key = 0;
            }
            break;
        }
        default:
            break;
        }
    }
    return 0;
}

/* Line by line, to the end: a raw line end stands in no string. */
static int scan_lines(state *all, const uint8_t *data, size_t size, Py_ssize_t *lines,
                      Py_ssize_t *twin)
{
    const uint8_t *at = data, *end = data + size;
    while (at < end) {
        const uint8_t *stop = memchr(at, '\n', (size_t)(end - at));
        int found = scan_text(all, at, stop ? stop : end);
        if (found < 0)
            return -1;
        if (found && *twin < 0)
            *twin = at - data;
        *lines += stop != NULL;
        at = stop ? stop + 1 : end;
    }
    return 0;
}

/* ---- the door from Python */

static PyObject *keys_of(const state *all)
{
    PyObject *keys;
    if (all->too_many)
        Py_RETURN_NONE;
    if (!(keys = PyList_New(0)))
        return NULL;
    for (size_t i = 0; i < all->named; i++) {
        const name *key = &all->names[i];
        PyObject *text = PyBytes_FromStringAndSize((const char *)key->start, (Py_ssize_t)key->size);
        if (!text || PyList_Append(keys, text)) {
            Py_XDECREF(text);
            Py_DECREF(keys);
            return NULL;
        }
        Py_DECREF(text);
    }
    return keys;
}

static PyObject *scan(PyObject *self, PyObject *arguments)
{
    Py_buffer data;
    Py_ssize_t lines = 0, twin = -1;
    PyObject *keys, *found = NULL;
    state *all;
    int by_line, failed;
    (void)self;
    if (!PyArg_ParseTuple(arguments, "y*p", &data, &by_line))
        return NULL;
    if (!(all = malloc(sizeof *all))) {
        PyBuffer_Release(&data);
        return PyErr_NoMemory();
    }
    all->hash = NULL;
    all->count = all->room = all->named = all->next = 0;
    all->too_many = 0;
    Py_BEGIN_ALLOW_THREADS
    if (by_line) {
        failed = scan_lines(all, data.buf, (size_t)data.len, &lines, &twin);
    } else {
        failed = scan_text(all, data.buf, (const uint8_t *)data.buf + data.len);
        twin = failed > 0 ? 0 : -1;
    }
    Py_END_ALLOW_THREADS
    if (failed < 0)
        PyErr_NoMemory();
    else if ((keys = keys_of(all)))
        found = Py_BuildValue("nnN", lines, twin, keys);
    free(all->hash);
    free(all);
    PyBuffer_Release(&data);
    return found;
}

static PyMethodDef METHODS[] = {
    {"scan", scan, METH_VARARGS,
     "scan(data, by_line)\n\n"
     "How many lines end, where the first line with a doubtful object begins (or -1), and the\n"
     "keys of the outermost objects as they are written (None where there are too many)."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef MODULE = {
    PyModuleDef_HEAD_INIT, "saltus.readers._scan", NULL, 0, METHODS, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__scan(void)
{
    return PyModule_Create(&MODULE);
}
