/* The door from Python: buffers in, a table of counts out, the interpreter's lock released. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "kernels.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    kernel *run;
    size_t columns;
} KERNELS[] = {
    {"rouge", rouge, 6}, {"word_edit", word_edit, 3}, {"word_lcs", word_lcs, 3},
    {"bleu", bleu, 6},   {"chrf", chrf, 8},           {"ter", ter, 3},
    {"squad", squad, 4}, {"chrf_words", chrf_words, 4},
};

/* Texts end to end: offsets[i] is where text i starts, offsets[count] where the last ends. */
typedef struct {
    const uint8_t *bytes;
    const int64_t *offsets;
    size_t count;
} column;

typedef struct {
    kernel *run;
    column outputs, targets;
    const int64_t *groups; /* the targets of group g are groups[g]..groups[g + 1] - 1 */
    const int64_t *group;  /* (outputs) which group an output is compared with */
    size_t groups_count, columns;
    int mode;
    int64_t *rows;
} job;

static text text_at(const column *of, size_t i)
{
    return (text){of->bytes + of->offsets[i], (size_t)(of->offsets[i + 1] - of->offsets[i])};
}

/* What does not fit a kernel gets -1 in its first column. */
static int run(const job *of)
{
    workspace all;
    text *targets = NULL;
    scratch memory = {0};
    int64_t last = -1;
    int failed = 0;
    memset(&all, 0, sizeof all);
    for (size_t i = 0; i < of->outputs.count && failed >= 0; i++) {
        int64_t group = of->group[i], *row = of->rows + i * of->columns;
        size_t first = (size_t)of->groups[group], past = (size_t)of->groups[group + 1];
        if (group != last) {
            if (!(targets = room(&memory, past - first, sizeof *targets))) {
                failed = -1;
                break;
            }
            for (size_t n = first; n < past; n++)
                targets[n - first] = text_at(&of->targets, n);
        }
        failed = of->run(&all, text_at(&of->outputs, i), targets, past - first, group != last,
                         of->mode, row);
        last = group;
        if (failed > 0)
            row[0] = -1;
    }
    release(&all);
    free(memory.data);
    return failed < 0 ? -1 : 0;
}

/* ---- nothing is taken on trust from the buffers */

static int numbers(const Py_buffer *buffer, const char *name, const int64_t **at, size_t *count)
{
    if (buffer->len % (Py_ssize_t)sizeof(int64_t) || (uintptr_t)buffer->buf % sizeof(int64_t)) {
        PyErr_Format(PyExc_ValueError, "%s: not a buffer of int64", name);
        return -1;
    }
    *at = buffer->buf;
    *count = (size_t)buffer->len / sizeof(int64_t);
    return 0;
}

/* Offsets that rise from 0 or more to at most `limit`. */
static int rising(const int64_t *at, size_t count, int64_t limit, const char *name)
{
    int good = count > 0 && at[0] >= 0 && at[count - 1] <= limit;
    for (size_t i = 1; good && i < count; i++)
        good = at[i] >= at[i - 1];
    if (!good)
        PyErr_Format(PyExc_ValueError, "%s: offsets do not rise within the data", name);
    return good ? 0 : -1;
}

static int as_column(const Py_buffer *bytes, const Py_buffer *offsets, const char *name,
                     column *into)
{
    size_t count;
    if (numbers(offsets, name, &into->offsets, &count) ||
        rising(into->offsets, count, bytes->len, name))
        return -1;
    into->bytes = bytes->buf;
    into->count = count - 1;
    return 0;
}

static int check_sizes(const job *of)
{
    const int64_t *output = of->outputs.offsets, *target = of->targets.offsets;
    int good = 1;
    for (size_t i = 0; i < of->outputs.count; i++)
        good &= (size_t)(output[i + 1] - output[i]) <= LONGEST_TEXT;
    for (size_t g = 0; g < of->groups_count; g++)
        good &= (size_t)(target[of->groups[g + 1]] - target[of->groups[g]]) <= LONGEST_TEXT;
    if (!good)
        PyErr_SetString(PyExc_OverflowError, "a text of more than 1 GiB");
    return good ? 0 : -1;
}

static int check_groups(const job *of)
{
    int good = 1;
    for (size_t g = 0; g < of->groups_count; g++)
        good &= of->groups[g + 1] > of->groups[g];
    for (size_t i = 0; i < of->outputs.count; i++)
        good &= of->group[i] >= 0 && (size_t)of->group[i] < of->groups_count;
    if (!good)
        PyErr_SetString(PyExc_ValueError, "groups: an empty one, or none of that number");
    return good ? 0 : -1;
}

static int find_kernel(const char *name, job *into)
{
    for (size_t i = 0; i < sizeof KERNELS / sizeof *KERNELS; i++) {
        if (!strcmp(KERNELS[i].name, name)) {
            into->run = KERNELS[i].run;
            into->columns = KERNELS[i].columns;
            return 0;
        }
    }
    PyErr_Format(PyExc_ValueError, "no kernel %s", name);
    return -1;
}

/* buffers: outputs, their offsets, targets, their offsets, groups, group, rows */
static int make_job(const char *name, const Py_buffer *of, job *into)
{
    const int64_t *rows;
    size_t groups, outputs, cells;
    if (find_kernel(name, into) || as_column(&of[0], &of[1], "outputs", &into->outputs) ||
        as_column(&of[2], &of[3], "targets", &into->targets) ||
        numbers(&of[4], "groups", &into->groups, &groups) ||
        rising(into->groups, groups, (int64_t)into->targets.count, "groups") ||
        numbers(&of[5], "group", &into->group, &outputs) ||
        numbers(&of[6], "rows", &rows, &cells))
        return -1;
    into->groups_count = groups - 1;
    into->rows = (int64_t *)rows;
    if (outputs != into->outputs.count || cells != outputs * into->columns) {
        PyErr_SetString(PyExc_ValueError, "group or rows: not one for each output");
        return -1;
    }
    return check_groups(into) || check_sizes(into);
}

static PyObject *count(PyObject *self, PyObject *arguments)
{
    const char *name;
    Py_buffer of[7];
    job todo;
    int failed;
    (void)self;
    if (!PyArg_ParseTuple(arguments, "siy*y*y*y*y*y*w*", &name, &todo.mode, &of[0], &of[1], &of[2],
                          &of[3], &of[4], &of[5], &of[6]))
        return NULL;
    failed = make_job(name, of, &todo);
    if (!failed) {
        Py_BEGIN_ALLOW_THREADS
        failed = run(&todo);
        Py_END_ALLOW_THREADS
        if (failed)
            PyErr_NoMemory();
    }
    for (size_t i = 0; i < sizeof of / sizeof *of; i++)
        PyBuffer_Release(&of[i]);
    if (failed)
        return NULL;
    Py_RETURN_NONE;
}

/* ---- equal texts: over the interpreter's own strings, since a copy would cost more than all */

static int blank(Py_UCS4 point)
{
    if (point < 128)
        return WHITE[point];
    return point == 0x85 || point == 0xA0 || point == 0x1680 ||
           (point >= 0x2000 && point <= 0x200A) || point == 0x2028 || point == 0x2029 ||
           point == 0x202F || point == 0x205F || point == 0x3000;
}

static int blank_at_an_end(PyObject *of)
{
    Py_ssize_t size = PyUnicode_GetLength(of);
    return size > 0 && (blank(PyUnicode_ReadChar(of, 0)) || blank(PyUnicode_ReadChar(of, size - 1)));
}

/* 1: equal; 0: not, nor without the white space at their ends; -1: not settled here */
static int8_t equal_texts(PyObject *output, PyObject *target)
{
    if (PyList_Check(target) && PyList_Size(target) == 1)
        target = PyList_GetItem(target, 0);
    if (!PyUnicode_Check(output) || !PyUnicode_Check(target))
        return -1;
    Py_ssize_t have = PyUnicode_GetLength(output), want = PyUnicode_GetLength(target);
    if (output == target || (have == want && PyUnicode_Compare(output, target) == 0))
        return 1;
    /* a text without white space at its ends equals no other that is as long or shorter */
    return blank_at_an_end(want > have ? target : output) ? -1 : 0;
}

static PyObject *equal(PyObject *self, PyObject *arguments)
{
    PyObject *outputs, *targets;
    Py_buffer into;
    (void)self;
    if (!PyArg_ParseTuple(arguments, "O!O!w*", &PyList_Type, &outputs, &PyList_Type, &targets,
                          &into))
        return NULL;
    Py_ssize_t count = PyList_Size(outputs);
    int fits = PyList_Size(targets) == count && into.len == count;
    for (Py_ssize_t i = 0; fits && i < count; i++)
        ((int8_t *)into.buf)[i] =
            equal_texts(PyList_GetItem(outputs, i), PyList_GetItem(targets, i));
    PyBuffer_Release(&into);
    if (!fits) {
        PyErr_SetString(PyExc_ValueError, "targets or rows: not as many as outputs");
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyMethodDef METHODS[] = {
    {"equal", equal, METH_VARARGS,
     "equal(outputs, targets, rows)\n\nFills `rows`, (outputs) int8: 1 where the output is its "
     "target (a text, or a list of one), 0\nwhere it differs, also without white space at the "
     "ends, -1 elsewhere."},
    {"count", count, METH_VARARGS,
     "count(kernel, mode, outputs, offsets, targets, offsets, groups, group, rows)\n\n"
     "Fills `rows`, (outputs, columns) int64, one row for each output and its group of targets."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef MODULE = {
    PyModuleDef_HEAD_INIT, "_count", "Counting over pairs of texts.", 0, METHODS,
    NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__count(void) { return PyModule_Create(&MODULE); }
