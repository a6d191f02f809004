/*
** test_gen_ladder.c - hi-gen with every allocation failing in turn.
**
** A run is: spec_load, plan_make, plan_check, emit into a new folder. For n = 1, 2, .. the n-th
** allocation fails, once or from then on. Each run succeeds or has a message; no memory stays
** behind, and the folder holds whole files or nothing. malloc, calloc, realloc and free are
** wrapped by the linker; so is luaL_newstate, for Lua's own calls are in a shared library.
*/
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>
#include <lauxlib.h>

#include "emit.h"
#include "text.h"

enum {
    FILES = 9, /* that a run emits */
    MOST_CALLS = 1000000,
    MOST_BYTES = 1 << 20
};

static bool armed, on;    /* on: fail from the n-th on, not once */
static atomic_long *left; /* shared with the sandbox's child, whose calls count, too */
static long blocks;

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void __real_free(void *p);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void __wrap_free(void *p);
lua_State *__wrap_luaL_newstate(void);

static bool refused(void)
{
    if (!armed)
        return false;
    long now = atomic_fetch_sub(left, 1);
    if (now > 0 || (now < 0 && !on))
        return false;
    errno = ENOMEM;
    return true;
}

static void *counted(void *p)
{
    blocks += p != NULL;
    return p;
}

void *__wrap_malloc(size_t n)
{
    return refused() ? NULL : counted(__real_malloc(n));
}

void *__wrap_calloc(size_t n, size_t size)
{
    return refused() ? NULL : counted(__real_calloc(n, size));
}

void *__wrap_realloc(void *p, size_t n)
{
    if (refused())
        return NULL;
    return p == NULL ? counted(__real_realloc(p, n)) : __real_realloc(p, n);
}

void __wrap_free(void *p)
{
    blocks -= p != NULL;
    __real_free(p);
}

/* As Lua wants it: shrinking never fails. */
static void *lua_realloc(void *ud, void *p, size_t old, size_t n)
{
    (void)ud;
    if (n == 0) {
        free(p);
        return NULL;
    }
    if (p != NULL && n <= old)
        return __real_realloc(p, n);
    return realloc(p, n);
}

static int panic(lua_State *L)
{
    fprintf(stderr, "an error outside protected calls: %s\n", lua_tostring(L, -1));
    abort();
}

lua_State *__wrap_luaL_newstate(void)
{
    lua_State *L = lua_newstate(lua_realloc, NULL);
    if (L != NULL)
        lua_atpanic(L, panic);
    return L;
}

/* ---- one run ---- */

/* Under a sanitizer, where a run takes long, some of them. */
#if defined(__SANITIZE_ADDRESS__)
enum {
    EARLY_STEP = 5,
    LATE_STEP = 53
};
#else
enum {
    EARLY_STEP = 1,
    LATE_STEP = 11
};
#endif

static char folder[] = "/tmp/test_gen_ladder.XXXXXX";
static char whole[64], part[64]; /* what a run without failures emits; the run under way */

static int generate(const char *out, hi_error *e)
{
    static const hi_request REQUEST = { .vram_bytes = 1200 << 10,
                                        .ram_bytes = -1,
                                        .ctx = 2304,
                                        .tile = 256,
                                        .resident = -1,
                                        .weights = -1 };
    hi_arena *a = arena_new();
    hi_spec s;
    hi_machine m;

    if (a == NULL)
        return gen_fail(e, "out of memory");
    int rc = spec_load("tests/specs/toy_gqa.lua", &s, e);
    if (rc == 0)
        rc = machine_load("specs/machine/cpu.lua", NULL, &m, e);
    hi_plan *p = rc == 0 ? plan_make(a, &s, &REQUEST, &m, NULL, e) : NULL;
    rc = p == NULL || plan_check(&s, p, e) != 0 ? -1 : emit(&s, p, "templates", out, false, e);
    arena_free(a);
    return rc;
}

/* Every file of 'part' is whole; takes them away. Returns their number. */
static int take_files(void)
{
    DIR *d = opendir(part);
    int n = 0;

    if (d == NULL)
        return 0;
    for (struct dirent *f; (f = readdir(d)) != NULL;) {
        text x = { 0 }, y = { 0 };
        hi_error e = { "" };
        char a[512], b[512];
        if (f->d_name[0] == '.')
            continue;
        n++;
        snprintf(a, sizeof a, "%s/%s", whole, f->d_name);
        snprintf(b, sizeof b, "%s/%s", part, f->d_name);
        if (text_read(&x, a, MOST_BYTES, &e) != 0 || text_read(&y, b, MOST_BYTES, &e) != 0)
            fail_msg("%s", e.text);
        if (x.len != y.len || memcmp(x.data, y.data, x.len) != 0)
            fail_msg("%s is not whole", b);
        text_free(&x);
        text_free(&y);
        remove(b);
    }
    closedir(d);
    rmdir(part);
    return n;
}

/* Returns false once n calls are more than a run makes. */
static bool run_failing(long n)
{
    hi_error e = { "" };
    long before = blocks;

    *left = n;
    armed = true;
    int rc = generate(part, &e);
    armed = false;
    bool failed = *left < 0;
    if (rc != 0 && e.text[0] == '\0')
        fail_msg("allocation %ld: no message", n);
    if (blocks != before)
        fail_msg("allocation %ld: %ld blocks stay behind; %s", n, blocks - before, e.text);
    int files = take_files();
    if (rc == 0 ? files != FILES : !failed)
        fail_msg("allocation %ld: %d files, '%s'", n, files, e.text);
    return failed;
}

static void climb(bool from_then_on)
{
    long n = 0;

    on = from_then_on;
    while (run_failing(n) && n < MOST_CALLS)
        n += n < 600 ? EARLY_STEP : LATE_STEP; /* most later ones are Lua's, and alike */
    print_message("%ld allocations\n", n);
    assert_in_range(n, 600, MOST_CALLS - 1);
}

static void test_once(void **state)
{
    (void)state;
    climb(false);
}

static void test_from_then_on(void **state)
{
    (void)state;
    climb(true);
}

static int make_folder(void **state)
{
    hi_error e = { "" };

    (void)state;
    left = mmap(NULL, sizeof *left, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (left == MAP_FAILED || mkdtemp(folder) == NULL)
        return -1;
    snprintf(whole, sizeof whole, "%s/whole", folder);
    snprintf(part, sizeof part, "%s/part", folder);
    return generate(whole, &e);
}

static int remove_folder(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_once),
        cmocka_unit_test(test_from_then_on),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
