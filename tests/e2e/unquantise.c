/*
** unquantise.c - a checkpoint of the elements that a plan's quantised weights stand for.
**
**   unquantise WEIGHTS FOLDER
**
** Takes the plan's tensors as its device does, and writes FOLDER/model.safetensors with each row of a
** quantised matrix replaced by its unpacked one. A plan with weights as stored must give the scores
** with that checkpoint which the quantised one gives with WEIGHTS, bit for bit.
*/
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cpu/kern_quant.h"
#include "e2e.h"
#include "weights.h"

typedef struct writer {
    int fd;
    const hi_kernels *k;
    int64_t *at;                     /* (n_tensors) byte of the file where a tensor begins */
} writer;

static int64_t width(const hi_tensor *t)
{
    return t->cols > 0 ? t->cols : 1;
}

static kern_type type_of(const hi_tensor *t)
{
    hi_weights_type type = t->layer < 0 ? hi_the_model.head_type : hi_the_model.layer_type;
    if (t->kind != HI_PACKED || type == HI_STORED)
        return KERN_PLAIN;
    return type == HI_Q8 ? KERN_Q8 : KERN_Q4;
}

static void put(const writer *w, const void *p, size_t bytes, int64_t at)
{
    if (pwrite(w->fd, p, bytes, at) != (ssize_t)bytes)
        die("write: %s", strerror(errno));
}

/* A weights_sink: several threads may call it. */
static int put_rows(void *to, const hi_tensor *t, int64_t row, int64_t n, const void *elts)
{
    const writer *w = to;
    kern_type type = type_of(t);
    size_t row_bytes = (size_t)width(t) * sizeof(elt);
    int64_t at = w->at[t - hi_the_model.tensor] + row * (int64_t)row_bytes;

    if (type == KERN_PLAIN) {
        put(w, elts, (size_t)n * row_bytes, at);
        return 0;
    }
    void *packed = take_memory((size_t)quant_bytes(type, n, t->cols));
    elt *unpacked = take_memory(row_bytes);
    w->k->quant_rows(type, packed, elts, 0, n, t->cols);
    for (int64_t r = 0; r < n; r++) {
        quant_unpack_row(type, unpacked, packed, r, t->cols);
        put(w, unpacked, row_bytes, at + r * (int64_t)row_bytes);
    }
    free(packed);
    free(unpacked);
    return 0;
}

/* The file's header; fills w->at. */
static void put_header(writer *w)
{
    const hi_model *m = &hi_the_model;
    size_t room = 8 + (size_t)m->n_tensors * 320, used = 8;
    char *text = take_memory(room);
    int64_t end = 0;

    for (int i = 0; i < m->n_tensors; i++) {
        const hi_tensor *t = &m->tensor[i];
        char cols[32] = "";
        if (t->cols > 0)
            snprintf(cols, sizeof cols, ", %lld", (long long)t->cols);
        w->at[i] = end;
        end += t->rows * width(t) * (int64_t)sizeof(elt);
        used += (size_t)snprintf(text + used, room - used,
                                 "%s\"%s\": {\"dtype\": \"%s\", \"shape\": [%lld%s], "
                                 "\"data_offsets\": [%lld, %lld]}",
                                 i == 0 ? "{" : ", ", t->name, sizeof(elt) == 2 ? "BF16" : "F32",
                                 (long long)t->rows, cols, (long long)w->at[i], (long long)end);
    }
    used += (size_t)snprintf(text + used, room - used, "}");
    uint64_t header = used - 8;
    memcpy(text, &header, sizeof header);
    put(w, text, used, 0);
    for (int i = 0; i < m->n_tensors; i++)
        w->at[i] += (int64_t)used;
    free(text);
}

int main(int argc, char **argv)
{
    char path[4096], err[4096];
    const char *why = "";
    writer w = { 0 };

    if (argc != 3)
        die("usage: unquantise WEIGHTS FOLDER");
    snprintf(path, sizeof path, "%s/model.safetensors", argv[2]);
    mkdir(argv[2], 0777);
    w.k = kern_pick("portable", &why);
    w.fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    w.at = take_memory((size_t)hi_the_model.n_tensors * sizeof *w.at);
    if (w.k == NULL || w.fd < 0)
        die("%s: %s", path, w.k == NULL ? why : strerror(errno));
    put_header(&w);
    if (weights_load(&hi_the_model, argv[1], false, NULL, put_rows, &w, err, sizeof err) != 0)
        die("%s", err);
    free(w.at);
    return close(w.fd) != 0;
}
