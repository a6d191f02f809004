/*
** test_safetensors.c - malformed headers and files, each with its exact message.
*/
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include "checked.h"
#include "infile.h"
#include "safetensors.h"

static char err[1024];

/* ---- pread, in the moods of a bad day ---- */

enum {
    WELL,
    INTERRUPTED,
    BY_BYTES,
    BROKEN
};
static int mood;
static unsigned calls;

ssize_t __real_pread(int fd, void *to, size_t n, off_t at);
ssize_t __wrap_pread(int fd, void *to, size_t n, off_t at);

ssize_t __wrap_pread(int fd, void *to, size_t n, off_t at)
{
    if (mood == BROKEN || (mood == INTERRUPTED && calls++ % 2 == 0)) {
        errno = mood == BROKEN ? EIO : EINTR;
        return -1;
    }
    return __real_pread(fd, to, mood == BY_BYTES && n > 1 ? 1 : n, at);
}

/* ---- headers ---- */

static int parse(const char *json, size_t n, uint64_t data_bytes, st_file *f)
{
    *f = (st_file){ .fd = -1 };
    err[0] = '\0';
    return st_parse("F", json, n, data_bytes, f, err, sizeof err);
}

static void refuse(const char *json, uint64_t data_bytes, const char *message)
{
    st_file f;
    size_t n = strlen(json);
    char *exact = malloc(n + 1); /* no byte behind it that a sanitizer would allow */
    memcpy(exact, json, n);
    exact = realloc(exact, n > 0 ? n : 1);
    int rc = parse(exact, n, data_bytes, &f);
    st_close(&f);
    free(exact);
    assert_string_equal(err, message);
    assert_int_equal(rc, -1);
}

#define DAMAGED ": the file is damaged, fetch it again"
#define T(fields) "{\"t\":{" fields "}}"
#define GOOD "\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]"

static const struct bad {
    const char *json;
    uint64_t data_bytes;
    const char *message;
} BAD[] = {
    /* no object */
    { "{\"a\\", 0, "F: header byte 4: not JSON: a string does not end" DAMAGED },
    { "", 0, "F: header byte 0: not JSON: the header must be an object" DAMAGED },
    { "   ", 0, "F: header byte 3: not JSON: the header must be an object" DAMAGED },
    { "[]", 0, "F: header byte 0: not JSON: the header must be an object" DAMAGED },
    { "null", 0, "F: header byte 0: not JSON: the header must be an object" DAMAGED },
    { "{", 0, "F: header byte 1: not JSON: a name in quotes expected" DAMAGED },
    { "{}x", 0, "F: header byte 2: not JSON: text after the header's end" DAMAGED },
    { "{}{}", 0, "F: header byte 2: not JSON: text after the header's end" DAMAGED },
    { "{,}", 0, "F: header byte 1: not JSON: a name in quotes expected" DAMAGED },
    { "{t:1}", 0, "F: header byte 1: not JSON: a name in quotes expected" DAMAGED },
    { "{\"t\"}", 0, "F: header byte 4: not JSON: ':' expected" DAMAGED },
    { "{\"t\":}", 0, "F: header byte 5: not JSON: a value is missing" DAMAGED },
    { "{\"t\":1", 0, "F: header byte 6: not JSON: ',' or '}' expected" DAMAGED },
    { "{\"t\":1]", 0, "F: header byte 6: not JSON: ',' or '}' expected" DAMAGED },
    { "{\"t\":1,}", 0, "F: header byte 7: not JSON: a name in quotes expected" DAMAGED },
    { "{\"t", 0, "F: header byte 3: not JSON: a string does not end" DAMAGED },
    { "{\"t\\", 0, "F: header byte 4: not JSON: a string does not end" DAMAGED },
    { "{\"t\\\"", 0, "F: header byte 5: not JSON: a string does not end" DAMAGED },
    { "{\"t\":{", 0, "F: header byte 6: not JSON: an object or array does not end" DAMAGED },
    { "{\"t\":{\"", 0, "F: header byte 7: not JSON: a string does not end" DAMAGED },
    { "{\"t\":[[[[]]]]}", 0, "F: header byte 8: nested more than 4 deep" DAMAGED },
    { "{\"t\":{]}", 0, "F: t: header byte 7: not JSON: string or '}' expected near ']'" DAMAGED },
    { T("\"a\":01"), 0, "F: t: header byte 11: not JSON: invalid token near '0'" DAMAGED },
    { "{\"\xff\":1}", 0,
      "F: a tensor's name: header byte 2: not JSON: unable to decode byte 0xff near '\"'" DAMAGED },
    { "{\"a\\u0000b\":1}", 0,
      "F: a tensor's name: header byte 11: not JSON: \\u0000 is not allowed without JSON_ALLOW_NUL "
      "near '\"a\\u0000b\"'" DAMAGED },
    { "{\"\\ud800\":1}", 0,
      "F: a tensor's name: header byte 9: not JSON: invalid Unicode '\\uD800' near "
      "'\"\\ud800\"'" DAMAGED },
    { "{\"a\tb\":1}", 0,
      "F: a tensor's name: header byte 3: not JSON: control character 0x9 near "
      "'\"a'" DAMAGED },
    /* not the schema */
    { "{\"t\":1}", 0, "F: t: must be an object" DAMAGED },
    { "{\"t\":[]}", 0, "F: t: must be an object" DAMAGED },
    { T(""), 0, "F: t: dtype: missing" DAMAGED },
    { T("\"dtype\":\"F32\""), 0, "F: t: shape: missing" DAMAGED },
    { T("\"dtype\":\"F32\",\"shape\":[]"), 0, "F: t: data_offsets: missing" DAMAGED },
    { T("\"dtype\":3,\"shape\":[],\"data_offsets\":[0,4]"), 4,
      "F: t: dtype: must be a string" DAMAGED },
    { T("\"dtype\":\"f32\",\"shape\":[],\"data_offsets\":[0,4]"), 4,
      "F: t: dtype = f32: not a type of this format" },
    { T("\"dtype\":\"F32\",\"shape\":1,\"data_offsets\":[0,4]"), 4,
      "F: t: shape: must be an array" DAMAGED },
    { T("\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]"), 4,
      "F: t: shape: must hold whole numbers from 0 on" DAMAGED },
    { T("\"dtype\":\"F32\",\"shape\":[1.0],\"data_offsets\":[0,4]"), 4,
      "F: t: shape: must hold whole numbers from 0 on" DAMAGED },
    { T("\"dtype\":\"F32\",\"shape\":[\"1\"],\"data_offsets\":[0,4]"), 4,
      "F: t: shape: must hold whole numbers from 0 on" DAMAGED },
    { T("\"dtype\":\"F32\",\"shape\":[9223372036854775808],\"data_offsets\":[0,4]"), 4,
      "F: t: header byte 48: not JSON: too big integer near '9223372036854775808'" DAMAGED },
    { T("\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]"), 4,
      "F: t: shape has 9 numbers: at most 8" },
    { T("\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0]"), 4,
      "F: t: data_offsets: must hold two numbers" DAMAGED },
    { T("\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4,8]"), 4,
      "F: t: data_offsets has 3 numbers: at most 2" },
    { T("\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":{}"), 4,
      "F: t: data_offsets: must be an array" DAMAGED },
    { T("\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]"), 4,
      "F: t: header byte 27: not JSON: duplicate object key near '\"dtype\"'" DAMAGED },
    { "{\"__metadata__\":1}", 0, "F: __metadata__: must be an object of strings" },
    { "{\"__metadata__\":{\"a\":1}}", 0, "F: __metadata__: a: must be a string" },
    { "{\"__metadata__\":{},\"__meta\\u0064ata__\":{}}", 0,
      "F: __metadata__: appears twice" DAMAGED },
    /* duplicates, also of another spelling */
    { "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
      "\"\\u0061\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}",
      2, "F: a: appears twice" DAMAGED },
    /* places */
    { T("\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[4,8]"), 8,
      "F: t: data_offsets = [4, 8]: must begin at 0 and not end before" DAMAGED },
    { T("\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[4,0]"), 4,
      "F: t: data_offsets = [4, 0]: must begin at 0 and not end before" DAMAGED },
    { T("\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,8]"), 8,
      "F: t: data_offsets = [0, 8]: shape and dtype (F32) make 4 bytes" DAMAGED },
    { "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
      "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}",
      3, "F: b: data_offsets = [1, 3]: must begin at 2 and not end before" DAMAGED },
    { "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
      "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[3,5]}}",
      5, "F: b: data_offsets = [3, 5]: must begin at 2 and not end before" DAMAGED },
    { "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
      "\"z\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[1,1]}}",
      2, "F: z: data_offsets = [1, 1]: must begin at 2 and not end before" DAMAGED },
    /* sizes: products that wrap to the right number */
    { T("\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]"), 0,
      "F: t: shape: its bits overflow 64-bit arithmetic" DAMAGED },
    { T("\"dtype\":\"F64\",\"shape\":[288230376151711744],\"data_offsets\":[0,0]"), 0,
      "F: t: shape: its bits overflow 64-bit arithmetic" DAMAGED },
    { T("\"dtype\":\"U8\",\"shape\":[2305843009213693952],\"data_offsets\":[0,0]"), 0,
      "F: t: shape: its bits overflow 64-bit arithmetic" DAMAGED },
    { T("\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,1]"), 1,
      "F: t: shape: 12 bits of F4 are not whole bytes" },
    /* the end */
    { T(GOOD), 23,
      "F: 23 bytes follow the header, its tensors take 24: the file is cut short, fetch it again" },
    { T(GOOD), 25,
      "F: 25 bytes follow the header, its tensors take 24: the file is damaged, fetch it again" },
    { "{}", 1,
      "F: 1 bytes follow the header, its tensors take 0: the file is damaged, fetch it "
      "again" },
    { T("\"dtype\":\"U8\",\"shape\":[9223372036854775807],"
        "\"data_offsets\":[0,9223372036854775807]"),
      8, "F: t: shape: its bits overflow 64-bit arithmetic" DAMAGED },
    /* names are not to be trusted with a terminal */
    { "{\"\\u001b[2Jx\\n\":1}", 0, "F: ?[2Jx?: must be an object" DAMAGED },
};

static void malformed_headers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++)
        refuse(BAD[i].json, BAD[i].data_bytes, BAD[i].message);
    st_file f;
    assert_int_equal(parse("{}\0", 3, 0, &f), -1); /* padding is white space */
    assert_string_equal(err, "F: header byte 2: not JSON: text after the header's end" DAMAGED);
    st_close(&f);
}

static void accepts(const char *json, uint64_t data_bytes, size_t n_tensors)
{
    st_file f;
    int rc = parse(json, strlen(json), data_bytes, &f);
    size_t n = f.n_tensors;
    st_close(&f);
    assert_string_equal(err, "");
    assert_int_equal(rc, 0);
    assert_int_equal(n, n_tensors);
}

static void unusual_headers(void **state)
{
    (void)state;
    accepts("{}", 0, 0);
    accepts(" \n{ } \t\r\n  ", 0, 0);
    accepts("{\"__metadata__\":{\"format\":\"pt\",\"x\":\"\"}}", 0, 0);
    accepts(T(GOOD), 24, 1);
    accepts(T(GOOD ",\"extra\":[1,{}]"), 24, 1);
    accepts(T("\"dtype\":\"F64\",\"shape\":[],\"data_offsets\":[0,8]"), 8, 1);
    accepts(T("\"dtype\":\"F32\",\"shape\":[5,0],\"data_offsets\":[0,0]"), 0, 1);
    accepts(T("\"dtype\":\"F6_E2M3\",\"shape\":[4],\"data_offsets\":[0,3]"), 3, 1);
    accepts(T("\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1],\"data_offsets\":[0,1]"), 1, 1);
    accepts("{\"\":{\"dtype\":\"BOOL\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, 1);
}

static void tables_are_sorted(void **state)
{
    (void)state;
    static const char json[] =
        "{\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[3,5]},"
        "\"c\":{\"dtype\":\"BF16\",\"shape\":[],\"data_offsets\":[0,2]},"
        "\"e\":{\"dtype\":\"F32\",\"shape\":[7,0],\"data_offsets\":[3,3]},"
        "\"a\\\"\\u00e9\":{\"dtype\":\"I8\",\"shape\":[1,1],\"data_offsets\":[2,3]}}";
    static const char *const order[] = { "c", "a\"\xc3\xa9", "e", "b" };
    st_file f;
    assert_int_equal(parse(json, sizeof json - 1, 5, &f), 0);
    assert_int_equal(f.n_tensors, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(f.tensor[i].name, order[i]);
        assert_ptr_equal(st_find(&f, order[i]), &f.tensor[i]);
    }
    assert_int_equal(f.tensor[0].dtype, ST_BF16);
    assert_string_equal(st_dtype_name(f.tensor[2].dtype), "F32");
    assert_int_equal(f.tensor[2].rank, 2);
    assert_int_equal(f.tensor[2].dim[0], 7);
    assert_null(st_find(&f, "d"));
    assert_null(st_find(&f, ""));
    st_close(&f);
}

/* ---- limits ---- */

static void name_limit(void **state)
{
    (void)state;
    char json[8192], name[4097];
    for (int n = ST_MAX_NAME - 1; n <= ST_MAX_NAME + 1; n++) {
        memset(name, 'n', sizeof name);
        name[n] = '\0';
        snprintf(json, sizeof json, "{\"%s\":{%s}}", name, GOOD);
        st_file f;
        assert_int_equal(parse(json, strlen(json), 24, &f), n <= ST_MAX_NAME ? 0 : -1);
        st_close(&f);
    }
    assert_non_null(strstr(err, "nnn...: a tensor's name of 513 bytes: at most 512"));
    memset(name, 'n', sizeof name);
    name[4096] = '\0';
    memcpy(name, "\\u006e", 6); /* escaped: refused before it is read */
    snprintf(json, sizeof json, "{\"%s\":{%s}}", name, GOOD);
    st_file f;
    assert_int_equal(parse(json, strlen(json), 24, &f), -1);
    assert_non_null(strstr(err, "nnn...: a tensor's name of 4096 bytes: at most 512"));
    st_close(&f);
}

static void entry_limit(void **state)
{
    (void)state;
    size_t most = ST_MAX_ENTRY + 100;
    char *json = malloc(most);
    for (int n = ST_MAX_ENTRY - 1; n <= ST_MAX_ENTRY + 1; n++) {
        int used = snprintf(json, most, "{\"t\":{%s", GOOD);
        memset(json + used, ' ', most - (size_t)used);
        snprintf(json + 5 + n - 1, 3, "}}");
        st_file f;
        assert_int_equal(parse(json, strlen(json), 24, &f), n <= ST_MAX_ENTRY ? 0 : -1);
        st_close(&f);
    }
    assert_string_equal(err, "F: t: a description of 65537 bytes: at most 65536");
    free(json);
}

static void metadata_limit(void **state)
{
    (void)state;
    size_t most = ST_MAX_METADATA + 100;
    char *json = malloc(most);
    for (int n = ST_MAX_METADATA - 1; n <= ST_MAX_METADATA + 1; n++) {
        memset(json, ' ', most);
        memcpy(json, "{\"__metadata__\":{", 17);
        memcpy(json + 16 + n - 1, "}}", 3);
        st_file f;
        assert_int_equal(parse(json, strlen(json), 0, &f), n <= ST_MAX_METADATA ? 0 : -1);
        st_close(&f);
    }
    assert_string_equal(err, "F: __metadata__: 4194305 bytes: at most 4194304");
    free(json);
}

/* The count is known before any description is read. */
static void count_limit(void **state)
{
    (void)state;
    for (size_t n = ST_MAX_TENSORS - 1; n <= ST_MAX_TENSORS + 1; n++) {
        char *json = malloc(6 * n + 2);
        json[0] = '{';
        for (size_t i = 0; i < n; i++)
            memcpy(json + 1 + 6 * i, "\"t\":0,", 6);
        json[6 * n] = '}';
        st_file f;
        assert_int_equal(parse(json, 6 * n + 1, 0, &f), -1);
        assert_string_equal(err, n > ST_MAX_TENSORS ? "F: 1000001 tensors: at most 1000000"
                                                    : "F: t: must be an object" DAMAGED);
        st_close(&f);
        free(json);
    }
}

/* ---- files ---- */

static char folder[] = "/tmp/test_safetensors.XXXXXX";
static char path[128];

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/f", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

static void write_file(uint64_t n_json, const char *json, size_t n_data)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    for (int i = 0; i < 8; i++)
        fputc((int)(n_json >> 8 * i & 0xff), f);
    fputs(json, f);
    for (size_t i = 0; i < n_data; i++)
        fputc((int)i, f);
    assert_int_equal(fclose(f), 0);
}

static int open_file(st_file *f)
{
    err[0] = '\0';
    return st_open(path, f, err, sizeof err);
}

static void refuse_file(const char *what)
{
    st_file f;
    char message[512];
    assert_int_equal(open_file(&f), -1);
    st_close(&f);
    snprintf(message, sizeof message, "%s: %s", path, what);
    assert_string_equal(err, message);
}

static void files_that_are_none(void **state)
{
    (void)state;
    unlink(path);
    refuse_file("No such file or directory");
    mkdir(path, 0700);
    refuse_file("not a regular file");
    rmdir(path);
    mkfifo(path, 0600); /* must not wait for a writer */
    refuse_file("not a regular file");
    unlink(path);
}

static void header_lengths(void **state)
{
    (void)state;
    static const struct {
        uint64_t n;
        const char *what;
    } rows[] = {
        { 0, "header byte 0: not JSON: the header must be an object" DAMAGED },
        { 3, "header of 3 bytes in a file of 10: the file is cut short, fetch it again" },
        { 100000000, "header of 100000000 bytes in a file of 10: the file is cut short, fetch it "
                     "again" },
        { 100000001, "header of 100000001 bytes: at most 100000000: not a safetensors file" },
        { UINT64_MAX - 7, "header of 18446744073709551608 bytes: at most 100000000: not a "
                          "safetensors file" },
        { UINT64_MAX, "header of 18446744073709551615 bytes: at most 100000000: not a "
                      "safetensors file" },
        { 1, "header byte 1: not JSON: a name in quotes expected" DAMAGED },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        write_file(rows[i].n, "{}", 0);
        refuse_file(rows[i].what);
    }
}

/* A header of exactly the limit is read; one byte more is not. The files are sparse. */
static void header_limit(void **state)
{
    (void)state;
    for (int n = ST_MAX_HEADER - 1; n <= ST_MAX_HEADER + 1; n++) {
        write_file((uint64_t)n, "{}", 0);
        assert_int_equal(truncate(path, 8 + (off_t)n), 0);
        refuse_file(n > ST_MAX_HEADER
                        ? "header of 100000001 bytes: at most 100000000: not a safetensors file"
                        : "header byte 2: not JSON: text after the header's end" DAMAGED);
    }
}

#define TWO                                                           \
    "{\"a\":{\"dtype\":\"U8\",\"shape\":[5],\"data_offsets\":[0,5]}," \
    "\"b\":{\"dtype\":\"U8\",\"shape\":[7],\"data_offsets\":[5,12]}}"

/* Every length but the right one is refused, at once. */
static void truncations(void **state)
{
    (void)state;
    size_t whole = 8 + strlen(TWO) + 12;
    st_file f;
    for (size_t n = 0; n <= whole; n++) {
        write_file(strlen(TWO), TWO, 12);
        assert_int_equal(truncate(path, (off_t)n), 0);
        assert_int_equal(open_file(&f), n == whole ? 0 : -1);
        st_close(&f);
        assert_int_equal(err[0] == '\0', n == whole);
        assert_true(n == whole || strstr(err, n < 8 ? "too short" : "cut short"));
    }
    assert_int_equal(truncate(path, (off_t)whole + 1), 0);
    refuse_file("13 bytes follow the header, its tensors take 12: the file is damaged, fetch it "
                "again");
}

static void reads(void **state)
{
    (void)state;
    unsigned char b[16];
    st_file f;
    write_file(strlen(TWO), TWO, 12);
    for (mood = WELL; mood <= BY_BYTES; mood++) { /* the caller sees no difference */
        assert_int_equal(open_file(&f), 0);
        const st_tensor *t = st_find(&f, "b");
        memset(b, 0xee, sizeof b);
        assert_int_equal(st_read(&f, t, 1, b, 6, err, sizeof err), 0);
        assert_memory_equal(b, "\6\7\10\11\12\13\356", 7);
        assert_int_equal(st_read(&f, t, 1, b, 7, err, sizeof err), -1);
        assert_int_equal(st_read(&f, t, UINT64_MAX, b, 1, err, sizeof err), -1);
        assert_int_equal(st_read(&f, t, 1, b, SIZE_MAX, err, sizeof err), -1);
        assert_non_null(strstr(err, "f: b: bytes past the tensor's end wanted"));
        st_close(&f);
    }
    mood = BROKEN;
    refuse_file("Input/output error");
    mood = WELL;
}

/* Mapped, this would be SIGBUS. */
static void shrinking_file(void **state)
{
    (void)state;
    unsigned char b[16];
    char message[256];
    st_file f;
    write_file(strlen(TWO), TWO, 12);
    assert_int_equal(open_file(&f), 0);
    assert_int_equal(truncate(path, (off_t)(8 + strlen(TWO) + 7)), 0);
    assert_int_equal(st_read(&f, st_find(&f, "a"), 0, b, 5, err, sizeof err), 0);
    assert_int_equal(st_read(&f, st_find(&f, "b"), 0, b, 7, err, sizeof err), -1);
    snprintf(message, sizeof message,
             "%s: b: ended 5 bytes early: the file has shrunk, fetch it again", path);
    assert_string_equal(err, message);
    st_close(&f);
}

static void checked_arithmetic(void **state)
{
    (void)state;
    uint64_t v = 7;
    assert_true(checked_add(UINT64_MAX - 1, 1, &v) && v == UINT64_MAX);
    assert_false(checked_add(UINT64_MAX, 1, &v));
    assert_true(checked_mul(UINT64_C(1) << 32, (UINT64_C(1) << 32) - 1, &v));
    assert_false(checked_mul(UINT64_C(1) << 32, UINT64_C(1) << 32, &v));
    assert_true(checked_mul(0, UINT64_MAX, &v) && v == 0);
    assert_false(checked_sub(0, 1, &v));
    assert_true(v == 0); /* untouched by a failure */
}

static void short_message_buffers(void **state)
{
    (void)state;
    char b[4] = "abc";
    st_file f = { .fd = -1 };
    assert_int_equal(st_parse("F", "", 0, 0, &f, b, 0), -1);
    assert_string_equal(b, "abc");
    assert_int_equal(st_parse("F", "", 0, 0, &f, b, 2), -1);
    assert_string_equal(b, "F");
    st_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(malformed_headers),     cmocka_unit_test(unusual_headers),
        cmocka_unit_test(tables_are_sorted),     cmocka_unit_test(name_limit),
        cmocka_unit_test(entry_limit),           cmocka_unit_test(metadata_limit),
        cmocka_unit_test(count_limit),           cmocka_unit_test(files_that_are_none),
        cmocka_unit_test(header_lengths),        cmocka_unit_test(header_limit),
        cmocka_unit_test(truncations),           cmocka_unit_test(reads),
        cmocka_unit_test(shrinking_file),        cmocka_unit_test(checked_arithmetic),
        cmocka_unit_test(short_message_buffers),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
