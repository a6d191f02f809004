/*
** fuzz_safetensors.c - the header parser on any bytes.
**
** With libFuzzer: -fsanitize=fuzzer -DHI_LIBFUZZER. Without: replays the files named on the
** command line, or, with none (or "-s SECONDS"), mutates seed headers for that long, the
** same way every time.
**
** The first two bytes of an input are the data bytes that are said to follow the header.
*/
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void check(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "%s\n", what);
    abort();
}

/* What the rest of the program relies on when st_parse says yes. */
static void check_accepted(const st_file *f, uint64_t data_bytes)
{
    uint64_t at = 0;
    for (size_t i = 0; i < f->n_tensors; i++) {
        const st_tensor *t = &f->tensor[i];
        check(t->begin == at && t->end >= at, "a gap or an overlap was accepted");
        check(t->rank >= 0 && t->rank <= ST_MAX_RANK, "a rank out of range was accepted");
        check(strlen(t->name) <= ST_MAX_NAME, "a long name was accepted");
        check(st_find(f, t->name) == t, "a tensor is not found by its name");
        at = t->end;
    }
    check(at == data_bytes, "a wrong end was accepted");
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    char err[256] = "";
    st_file f = { .fd = -1 };
    if (n < 2)
        return 0;
    uint64_t data_bytes = bytes[0] | (uint64_t)bytes[1] << 8;
    char *json = malloc(n - 2 + (n == 2));
    memcpy(json, bytes + 2, n - 2);
    if (st_parse("fuzz", json, n - 2, data_bytes, &f, err, sizeof err) == 0)
        check_accepted(&f, data_bytes);
    else
        check(err[0] != '\0', "refused without a message");
    free(json);
    st_close(&f);
    return 0;
}

#ifndef HI_LIBFUZZER

enum {
    MOST = 4096
};

static const struct seed {
    unsigned data_bytes;
    const char *json;
} SEED[] = {
    { 0, "{}" },
    { 0, "{\"__metadata__\":{\"format\":\"pt\"}}   " },
    { 24, "{\"t\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]}}" },
    { 8, "{\"t\":{\"dtype\":\"F64\",\"shape\":[],\"data_offsets\":[0,8],\"x\":[[1]]}}" },
    { 5, "{\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[3,5]},"
         "\"c\":{\"dtype\":\"BF16\",\"shape\":[],\"data_offsets\":[0,2]},"
         "\"e\":{\"dtype\":\"F32\",\"shape\":[7,0],\"data_offsets\":[3,3]},"
         "\"a\\\"\\u00e9\":{\"dtype\":\"I8\",\"shape\":[1,1],\"data_offsets\":[2,3]}}" },
    { 0, "{\"t\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}" },
    { 1, "{\"t\":{\"dtype\":\"F4\",\"shape\":[2],\"data_offsets\":[0,1]}}" },
    { 3, "{\"t\":{\"dtype\":\"F6_E3M2\",\"shape\":[1,1,1,1,1,1,1,4],\"data_offsets\":[0,3]}}" },
    { 4, "{\"a\":{\"dtype\":\"I16\",\"shape\":[1],\"data_offsets\":[0,2]},"
         "\"\\u0061\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[2,4]}}" },
};

static const char *const PIECE[] = {
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "\\u0000",
    "\\ud800",
    "\xff",
    "\xc3\xa9",
    " ",
    "0",
    "-1",
    "1e5",
    "18446744073709551616",
    "9223372036854775807",
    "null",
    "\"dtype\"",
    "\"F64\"",
    "\"shape\"",
    "[0,0]",
    "\"data_offsets\"",
    "\"__metadata__\":",
    "[[[[",
    "\"t\":",
};

static uint64_t random_state = 1;

static size_t below(size_t n) /* xorshift64* */
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return n > 0 ? (size_t)((random_state * 0x2545f4914f6cdd1du) >> 33) % n : 0;
}

/* Replaces 'out' bytes at 'at' by n others, if there is room. */
static size_t splice(uint8_t *b, size_t used, size_t at, size_t out, const void *in, size_t n)
{
    if (used - out + n > MOST)
        return used;
    uint8_t copy[MOST];
    memcpy(copy, in, n);
    memmove(b + at + n, b + at + out, used - at - out);
    memcpy(b + at, copy, n);
    return used - out + n;
}

static size_t mutate(uint8_t *b, size_t used)
{
    size_t at = below(used), n = below(used - at < 32 ? used - at : 32);
    const char *piece = PIECE[below(sizeof PIECE / sizeof *PIECE)];
    char digits[24];
    switch (below(6)) {
    case 0:
        b[at] ^= (uint8_t)(1 << below(8));
        return used;
    case 1:
        return splice(b, used, at, n, "", 0);
    case 2:
        return splice(b, used, at, 0, b + below(used - n), n);
    case 3:
        return splice(b, used, at, 0, piece, strlen(piece));
    case 4:
        return splice(b, used, at, n, piece, strlen(piece));
    default:
        snprintf(digits, sizeof digits, "%zu", below(100));
        return splice(b, used, at, 1, digits, strlen(digits));
    }
}

static long mutate_for(double seconds)
{
    uint8_t b[MOST];
    long runs = 0;
    clock_t end = clock() + (clock_t)(seconds * CLOCKS_PER_SEC);
    for (; runs % 256 != 0 || clock() < end; runs++) {
        const struct seed *s = &SEED[below(sizeof SEED / sizeof *SEED)];
        size_t used = 2 + strlen(s->json);
        b[0] = (uint8_t)s->data_bytes;
        b[1] = (uint8_t)(s->data_bytes >> 8);
        memcpy(b + 2, s->json, used - 2);
        for (size_t k = below(8); k > 0 && used > 2; k--)
            used = mutate(b, used);
        LLVMFuzzerTestOneInput(b, used);
    }
    return runs;
}

static int replay(const char *path)
{
    uint8_t b[65536];
    FILE *f = fopen(path, "rb");
    if (!f) {
        perror(path);
        return 1;
    }
    size_t n = fread(b, 1, sizeof b, f);
    fclose(f);
    LLVMFuzzerTestOneInput(b, n);
    return 0;
}

int main(int argc, char **argv)
{
    int failed = 0;
    if (argc < 2 || strcmp(argv[1], "-s") == 0) {
        printf("%ld inputs\n", mutate_for(argc > 2 ? atof(argv[2]) : 5));
        return 0;
    }
    for (int i = 1; i < argc; i++)
        failed |= replay(argv[i]);
    return failed;
}

#endif
