/*
** test_sandbox.c - what a hostile Lua text may try, and what it gets.
**
** Escapes and floods are refused with a message; the walls hold without Lua in front of
** them; damaged replies are refused; a load gives the same bytes each time and survives
** every failed allocation. Link with -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc.
*/
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "sandbox.h"

#ifndef HI_SOURCE_DIR
#define HI_SOURCE_DIR "."
#endif

/* The real limits, but for 1 s of processor time; the clock allows for a busy machine. */
static sandbox_limits short_limits(void)
{
    sandbox_limits lim = SANDBOX_LIMITS;

    lim.cpu_s = 1;
    return lim;
}

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int run(const char *text, size_t len, const sandbox_limits *lim, hi_error *e)
{
    hi_arena *a = arena_new();
    flat out;
    int rc;

    assert_non_null(a);
    rc = sandbox_run(a, "t.lua", text, len, lim, &out, e);
    arena_free(a);
    return rc;
}

/* Refused, with a message that begins with the path, can be printed, and holds 'want'. */
static void refused_bytes(const char *text, size_t len, const char *want)
{
    sandbox_limits lim = short_limits();
    hi_error e = { 0 };
    int rc = run(text, len, &lim, &e);

    if (rc != -1 || strncmp(e.text, "t.lua: ", 7) != 0 || strstr(e.text, want) == NULL)
        fail_msg("%.80s\n  gives %d '%s', without '%s'", text, rc, e.text, want);
    for (const char *p = e.text; *p != '\0'; p++)
        assert_true(*p >= ' ' && *p <= '~');
}

static void refused(const char *text, const char *want)
{
    refused_bytes(text, strlen(text), want);
}

/* ---- escapes: each is refused ---- */

typedef struct attempt {
    const char *text, *want;
} attempt;

static const attempt ESCAPES[] = {
    { "return os.execute('id')", "global 'os'" },
    { "return io.open('/etc/passwd')", "global 'io'" },
    { "return require('os')", "global 'require'" },
    { "return load('return 1')()", "global 'load'" },
    { "return loadstring('return 1')()", "global 'loadstring'" },
    { "return loadfile('/etc/passwd')", "global 'loadfile'" },
    { "return dofile('/etc/passwd')", "global 'dofile'" },
    { "return debug.getregistry()", "global 'debug'" },
    { "return debug.sethook()", "global 'debug'" },
    { "return coroutine.create(print)", "global 'coroutine'" },
    { "return package.loadlib('libc.so.6', 'system')", "global 'package'" },
    { "return utf8.char(65)", "global 'utf8'" },
    { "return table.concat({})", "global 'table'" },
    { "return table.move({}, 1, 1 << 40, 2)", "global 'table'" },
    { "return setmetatable({}, {})", "global 'setmetatable'" },
    { "return getmetatable('')", "global 'getmetatable'" },
    { "return rawset({}, 1, 1)", "global 'rawset'" },
    { "return rawget({}, 1)", "global 'rawget'" },
    { "return rawequal(1, 1)", "global 'rawequal'" },
    { "return rawlen({})", "global 'rawlen'" },
    { "return collectgarbage('count')", "global 'collectgarbage'" },
    { "return print('x')", "global 'print'" },
    { "return warn('@on')", "global 'warn'" },
    { "return pcall(error)", "global 'pcall'" },
    { "return xpcall(error, error)", "global 'xpcall'" },
    { "return _G.os", "global '_G'" },
    { "return { v = #_VERSION }", "global '_VERSION'" },
    { "return _ENV.os.exit()", "'os'" },
    { "local _ENV = { } return os.exit()", "'os'" },
    { "local _ENV = nil return x", "local '_ENV'" },
    { "return string.rep('x', 1 << 30)", "'rep'" },
    { "return ('a'):rep(20000)", "'rep'" },
    { "return ('a'):find('.-.-.-b')", "'find'" },
    { "return ('a'):match('a?')", "'match'" },
    { "return ('a'):gsub('a', 'b')", "'gsub'" },
    { "return string.gmatch('a', 'a')", "'gmatch'" },
    { "return string.format('%p', {})", "'format'" },
    { "return string.pack('i', 1)", "'pack'" },
    { "return string.unpack('i', 'aaaa')", "'unpack'" },
    { "return string.dump(function() end)", "'dump'" },
    { "return math.random()", "'random'" },
    { "return math.randomseed(1)", "'randomseed'" },
    { "('').x = 1", "index a string" },
    { "('').__index = string", "index a string" },
    { "return { v = '10' + 1 }", "arithmetic on a string" },
    { "return { v = 10 .. {} }", "concatenate a table" },
    { "return { v = '10' < 1 }", "compare" },
    { "return { v = tostring({}) }", "'tostring' of a table" },
    { "return { v = tostring(type) }", "'tostring' of a function" },
    { "return { v = tostring() }", "bad argument" },
    { "for k in pairs({[{}] = 1}) do end return {}", "with a table as key" },
    { "for k in pairs({[print == nil] = 1}) do end return {}", "with a boolean as key" },
    { "local t <close> = {} return {}", "non-closable" },
    { "local t <const> = 1 t = 2 return {}", "const" },
    { "error({})", "raised a table" },
    { "error(nil)", "raised a nil" },
    { "error(type)", "raised a function" },
    { "error('a\\n\\27[2Jb')", "a??[2Jb" },
    { "error(42)", "raised a number" },
    { "assert(false)", "assertion failed" },
    { "assert(nil, 'my text')", "my text" },
    { "goto nowhere", "no visible label" },
    { "return {} , 1 x", "line 1: " },
    { "#!/bin/sh\nreturn {}", "line 1: unexpected symbol" },
    { "\n\nreturn { layers = }", "line 3: unexpected symbol" },
    { "\033Lua", "binary" },
    { "", "returns a nil" },
    { "return", "returns a nil" },
    { "return nil", "returns a nil" },
    { "return 'x'", "returns a string" },
    { "return type", "returns a function" },
};

static void test_escapes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof ESCAPES / sizeof *ESCAPES; i++)
        refused(ESCAPES[i].text, ESCAPES[i].want);
}

/* ---- tables that cannot be sent ---- */

static const attempt TABLES[] = {
    { "return { f = type }", "f: a function;" },
    { "return { a = { b = function() end } }", "a.b: a function;" },
    { "return { [1.5] = 1 }", "a key is a number" },
    { "return { [true] = 1 }", "a key is a boolean" },
    { "return { [{}] = 1 }", "a key is a table" },
    { "return { a = { ['b c'] = 1 } }", "a: a key is not a name" },
    { "return { ['a.b'] = 1 }", "a key is not a name" },
    { "return { ['a\\0'] = 1 }", "a key is not a name" },
    { "return { [''] = 1 }", "a key is not a name" },
    { "return { ['1'] = 1 }", "a key is not a name" },
    { "return { [0] = 1 }", "a list with a gap" },
    { "return { [-1] = 1 }", "a list with a gap" },
    { "return { a = { 1, nil, 3 } }", "a: a list with a gap" },
    { "return { [math.maxinteger] = 1 }", "a list with a gap" },
    { "return { a = 'x\\0y' }", "a: a string longer than 4096 bytes or with a zero byte" },
    { "local s = 'xxxxxxxx' for i = 1, 10 do s = s .. s end return { s = s }",
      "s: a string longer" },
    { "local t = {} t.t = t return t", "t: a table inside itself" },
    { "local t = { a = {} } t.a.b = t return t", "a.b: a table inside itself" },
    { "return { a = { b = { c = { d = { } } } } }", "a.b.c.d: tables more than 4 deep" },
    { "local t = {} for i = 1, 100000 do t = { t } end return t", "tables more than 4 deep" },
    { "local t = {} for i = 1, 4097 do t[i] = i end return t", "more than 4096 values" },
    { "local t, u = {}, {} for i = 1, 64 do u[i] = i end for i = 1, 64 do t[i] = u end return t",
      "more than 4096 values" },
    { "local s, t = 'xxxxxxxx', {} for i = 1, 9 do s = s .. s end for i = 1, 300 do t[i] = s end "
      "return t",
      "more than 1048576 bytes" },
    { "return { a = 1, a = 2 }", "line 1: a is given twice; keep one" },
    { "return { a = 1,\n--[==[ a = 3 ]] ]==] [[ b = 1 ]], 'c = ', \"\\\"\", c == 1, x = { a = 1, "
      "},\n"
      "a = 2 }",
      "line 3: a is given twice" },
};

static void test_tables(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof TABLES / sizeof *TABLES; i++)
        refused(TABLES[i].text, TABLES[i].want);
}

/* ---- floods ---- */

static const attempt FLOODS[] = {
    { "while true do end", "ran more than 100000000 instructions" },
    { "::a:: goto a", "ran more than 100000000 instructions" },
    { "local function f() return f() end return f()", "ran more than 100000000 instructions" },
    { "for i = 1, math.maxinteger do local x = {} end", "a spec " },
    { "local function f() return 1 + f() end return f()", "needs more than 64 MiB of memory" },
    { "local s = 'x' while true do s = s .. s end", "needs more than 64 MiB of memory" },
    { "local t = {} for i = 1, 1 << 40 do t[i] = i end", "needs more than 64 MiB of memory" },
    { "local t = {} for i = 1, 1 << 40 do t[i] = {} end", "needs more than 64 MiB of memory" },
    { "local s = 'x' for i = 1, 24 do s = s .. s end return string.byte(s, 1, -1)",
      "string slice too long" },
    { "local s = 'x' for i = 1, 24 do s = s .. s end while true do local t = string.lower(s) end",
      "of processor time" },
    { "local t = {} for i = 1, 1000000 do t[i] = i end for k in pairs(t) do end return {}",
      "of processor time" },
};

static void test_floods(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof FLOODS / sizeof *FLOODS; i++) {
        double start = seconds();
        sandbox_limits lim = short_limits();
        hi_error e = { 0 };
        int rc;
        if (strstr(FLOODS[i].want, "instructions") != NULL)
            lim.cpu_s = SANDBOX_LIMITS.cpu_s;
        rc = run(FLOODS[i].text, strlen(FLOODS[i].text), &lim, &e);
        if (rc != -1 || strstr(e.text, FLOODS[i].want) == NULL)
            fail_msg("%s gives %d '%s'", FLOODS[i].text, rc, e.text);
        assert_true(seconds() - start < 12);
    }
}

/* Texts built here: deep nesting, long words, every length of a broken file. */
static void test_long_texts(void **state)
{
    enum {
        N = 1 << 20
    };
    char *s = malloc(N + 64);
    int n;

    (void)state;
    assert_non_null(s);
    n = sprintf(s, "return ");
    memset(s + n, '{', 100000);
    s[n + 100000] = '\0';
    refused(s, "C stack overflow");
    memset(s + n, '(', 100000);
    refused(s, "C stack overflow");
    memset(s + n, 'x', N - 16);
    s[N - 16] = '\0';
    refused(s, "returns a nil"); /* one word of a MiB, a global without value */
    strcpy(s + N - 16, "()");
    refused(s, "xxxxxxxx");
    memset(s + n, '-', N - 16);
    refused(s, "returns a nil");
    n = sprintf(s, "return [[");
    memset(s + n, '=', N - 16);
    refused(s, "unfinished long string");
    refused_bytes("return { a = 1 }\0 os", 20, "line 1: ");
    free(s);
}

/* ---- what must work ---- */

static const flat_entry *entry(const flat *f, const char *path)
{
    for (int i = 0; i < f->n; i++) {
        if (strcmp(f->entry[i].path, path) == 0)
            return &f->entry[i];
    }
    fail_msg("no %s", path);
    return NULL;
}

static void test_values(void **state)
{
    static const char TEXT[] =
        "local keys = '' for k, v in pairs({ b = 1, a = 2, [2] = 3, [1] = 4, [0.5] = 0 }) do\n"
        "  keys = keys .. tostring(k) .. ' ' end\n"
        "local n = 0 for i, v in ipairs({ 5, 6 }) do n = n + i * v end\n"
        "return { z = keys, i = 2^53 | 0, m = math.mininteger, f = -0.0, h = math.huge,\n"
        "  yes = true, no = false, list = { 'a', { x = 1 } }, n = n, up = ('ab'):upper(),\n"
        "  t = type(1), c = select('#', 1, 2), d = tonumber('0x10'), s = math.sqrt(16), e = {} }";
    hi_arena *a = arena_new();
    hi_error e = { 0 };
    flat f;

    (void)state;
    if (sandbox_run(a, "t.lua", TEXT, sizeof TEXT - 1, &SANDBOX_LIMITS, &f, &e) != 0)
        fail_msg("%s", e.text);
    assert_int_equal(f.n, 18);
    assert_string_equal(entry(&f, "z")->s, "0.5 1 2 a b ");
    assert_true(entry(&f, "i")->i == (int64_t)1 << 53);
    assert_true(entry(&f, "m")->i == INT64_MIN);
    assert_true(entry(&f, "f")->type == FLAT_FLOAT && 1 / entry(&f, "f")->f < 0);
    assert_true(entry(&f, "h")->f > 1e308);
    assert_true(entry(&f, "yes")->type == FLAT_BOOL && entry(&f, "yes")->i == 1);
    assert_true(entry(&f, "no")->type == FLAT_BOOL && entry(&f, "no")->i == 0);
    assert_string_equal(entry(&f, "list[1]")->s, "a");
    assert_int_equal(entry(&f, "list[2]")->type, FLAT_TABLE);
    assert_int_equal(entry(&f, "list[2].x")->i, 1);
    assert_int_equal(entry(&f, "n")->i, 17);
    assert_string_equal(entry(&f, "up")->s, "AB");
    assert_int_equal(entry(&f, "e")->type, FLAT_TABLE);
    assert_string_equal(f.entry[0].path, "c"); /* sorted */
    assert_string_equal(f.entry[f.n - 1].path, "z");
    arena_free(a);
}

/* At the limits: accepted. */
static void test_limits_met(void **state)
{
    static const char *const TEXTS[] = {
        "local t = {} for i = 1, 4096 do t[i] = i end return t",
        "local s = 'xxxxxxxx' for i = 1, 9 do s = s .. s end return { s = s }",
        "return { a = { b = { c = { } } } }",
        "local t = {} for i = 1, 5000 do t[i] = { a = i } end return { n = #t }",
        "return { a = 1, b = { a = 1 }, c = { a = 1 }, a == 1, 'a = 1, a = 2' }",
        "local f = { function() x, y = 1, 2 x, y = 3, 4 end } return { a = 1 }",
        "a, b = 1, 2 a, b = 3, 4 return { a = a }",
        "local s = 0 for i = 1, 20000000 do s = s + i end return { s = s }",
    };
    hi_error e = { 0 };

    (void)state;
    for (size_t i = 0; i < sizeof TEXTS / sizeof *TEXTS; i++) {
        if (run(TEXTS[i], strlen(TEXTS[i]), &SANDBOX_LIMITS, &e) != 0)
            fail_msg("%s: %s", TEXTS[i], e.text);
    }
}

/* ---- the walls themselves, without Lua in front ---- */

static void do_nothing(void *arg)
{
    (void)arg;
}

static void do_call(void *arg)
{
    const long *nr = arg;

    syscall(*nr, 0, 0, 0, 0, 0, 0);
}

static void do_spin(void *arg)
{
    for (volatile int *go = arg; *go;)
        continue;
}

static void do_wait(void *arg)
{
    static int never;

    (void)arg;
    for (;;)
        syscall(__NR_futex, &never, 0, 0, NULL, NULL, 0);
}

static void do_write(void *arg)
{
    ssize_t n = write(*(int *)arg, "escaped\n", 8);

    (void)n;
}

static void do_map_code(void *arg)
{
    (void)arg;
    mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void do_protect_code(void *arg)
{
    mprotect(arg, 4096, PROT_READ | PROT_EXEC);
}

static void do_map_much(void *arg)
{
    void *p = mmap(NULL, (size_t)600 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)arg;
    if (p == MAP_FAILED)
        raise(SIGSEGV); /* needs tgkill: ends as a forbidden call */
}

static void do_flood(void *arg)
{
    static char zeros[4096];

    (void)arg;
    for (;;) {
        if (write(3, zeros, sizeof zeros) < 0)
            _exit(7);
    }
}

static void do_exit(void *arg)
{
    _exit(*(int *)arg);
}

static void do_crash(void *arg)
{
    *(volatile int *)arg = 1;
}

static void tried(void (*body)(void *), void *arg, const char *want)
{
    sandbox_limits lim = short_limits();
    hi_error e = { 0 };

    if (body == do_wait)
        lim.wall_ms = 1500;
    assert_int_equal(sandbox_try("t.lua", body, arg, &lim, &e), -1);
    if (strstr(e.text, want) == NULL)
        fail_msg("'%s', without '%s'", e.text, want);
}

static void test_walls(void **state)
{
    static const long CALLS[] = {
        __NR_openat,    __NR_read,  __NR_socket,  __NR_clone,
        __NR_execve,    __NR_kill,  __NR_ptrace,  __NR_unlinkat,
        __NR_ioctl,     __NR_prctl, __NR_seccomp, __NR_nanosleep,
        __NR_dup,       __NR_pipe2, __NR_bpf,     __NR_process_vm_writev,
        __NR_getrandom, 0x40000001,
    };
    static const char CALLED[] = "t.lua: stopped: it tried a system call";
    int go = 1, out = STDERR_FILENO, five = 5;
    void *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)state;
    {
        hi_error e = { 0 };
        assert_int_equal(sandbox_try("t.lua", do_nothing, NULL, &SANDBOX_LIMITS, &e), 0);
    }
    tried(do_spin, &go, "t.lua: stopped after 1 s of processor time");
    tried(do_wait, NULL, "t.lua: stopped after 1.5 s; a spec only returns a table");
    tried(do_exit, &five, "t.lua: its process ended with status 5");
    tried(do_flood, NULL, "t.lua: its process ended with ");
#if !SANDBOX_SANITIZED
    tried(do_crash, page, "t.lua: its process ended with signal 11");
    for (size_t i = 0; i < sizeof CALLS / sizeof *CALLS; i++) {
        long nr = CALLS[i];
        tried(do_call, &nr, CALLED);
    }
    tried(do_write, &out, CALLED);
    tried(do_map_code, NULL, CALLED);
    tried(do_protect_code, page, CALLED);
    tried(do_map_much, NULL, CALLED);
#else
    (void)do_call, (void)do_write, (void)do_map_code, (void)do_protect_code, (void)do_map_much;
    (void)do_crash, (void)CALLS, (void)CALLED, (void)out;
#endif
    munmap(page, 4096);
}

/* A parent that ignores SIGCHLD has no status to read: the reply alone decides. */
static void test_no_status(void **state)
{
    sandbox_limits lim = short_limits();
    hi_error e = { 0 };

    (void)state;
    signal(SIGCHLD, SIG_IGN);
    assert_int_equal(run("return { a = 1 }", 16, &lim, &e), 0);
    assert_int_equal(run("x x", 3, &lim, &e), -1);
    signal(SIGCHLD, SIG_DFL);
}

static void test_no_files_left(void **state)
{
    hi_error e = { 0 };
    int fd[1024], n = 0;

    (void)state;
    while (n < 1024 && (fd[n] = dup(0)) >= 0)
        n++;
    if (n < 1024) { /* the limit was reached: no pipe can be made */
        assert_int_equal(run("return { }", 10, &SANDBOX_LIMITS, &e), -1);
        assert_non_null(strstr(e.text, "t.lua: cannot start its process: Too many open files"));
    }
    while (n > 0)
        close(fd[--n]);
}

/* ---- replies that no honest child sends ---- */

static int decode(const void *bytes, size_t n, hi_error *e)
{
    hi_arena *a = arena_new();
    uint8_t *exact = malloc(n + !n); /* so that overruns are seen */
    flat f;
    int rc;

    assert_non_null(exact);
    memcpy(exact, bytes, n);
    e->text[0] = '\0';
    rc = sandbox_decode(a, "t.lua", exact, n, &f, e);
    free(exact);
    arena_free(a);
    return rc;
}

/* One reply with an entry of each type; the tests damage it. */
static const uint8_t REPLY[] = "T\x37\0\0\0"
                               "\1\0\0\0at"
                               "\3\0\0\0a.bs\2\0\0\0xy"
                               "\1\0\0\0ci\1\2\3\4\5\6\7\0"
                               "\1\0\0\0df\0\0\0\0\0\0\xf0\x3f"
                               "\1\0\0\0eb\1";
enum {
    N_REPLY = sizeof REPLY - 1
};

static void test_damaged(void **state)
{
    static const char DAMAGED[] = "t.lua: its process sent a damaged table; run it again";
    uint8_t b[N_REPLY + 1];
    hi_error e = { 0 };

    (void)state;
    assert_int_equal(N_REPLY, 5 + 0x37);
    assert_int_equal(decode(REPLY, N_REPLY, &e), 0);
    for (size_t n = 0; n < N_REPLY; n++) { /* cut short */
        assert_int_equal(decode(REPLY, n, &e), -1);
        assert_string_equal(e.text, DAMAGED);
    }
    memcpy(b, REPLY, N_REPLY + 1);
    assert_int_equal(decode(b, N_REPLY + 1, &e), -1); /* one byte more */
    assert_string_equal(e.text, DAMAGED);
    assert_int_equal(decode("E\3\0\0\0a\nb", 8, &e), -1);
    assert_string_equal(e.text, "t.lua: a?b");
    assert_int_equal(decode("E\0\0\0\0", 5, &e), -1);
    assert_string_equal(e.text, "t.lua: failed without a message");
    assert_int_equal(decode("T\x0c\0\0\0\1\0\0\0at\1\0\0\0at", 17, &e), -1); /* a path twice */
    assert_string_equal(e.text, DAMAGED);
}

/* Every byte of it with every value, and random ones: an answer, and no overrun. */
static void test_random_replies(void **state)
{
    uint8_t b[N_REPLY];
    hi_error e = { 0 };
    uint32_t x = 1;

    (void)state;
    for (int i = 0; i < N_REPLY; i++) {
        for (int v = 0; v < 256; v++) {
            memcpy(b, REPLY, N_REPLY);
            b[i] = (uint8_t)v;
            decode(b, N_REPLY, &e);
        }
    }
    for (int round = 0; round < 20000; round++) {
        memcpy(b, REPLY, N_REPLY);
        for (int k = 0; k < 4; k++) {
            x = x * 1664525u + 1013904223u;
            b[5 + (x >> 8) % (N_REPLY - 5)] = (uint8_t)(x >> 24);
        }
        decode(b, N_REPLY, &e);
    }
}

/* ---- the same each time, and with failing memory ---- */

static void test_same(void **state)
{
    static const char PATH[] = HI_SOURCE_DIR "/specs/llama3_2_1b.lua";
    static hi_spec first, again;
    hi_error e = { 0 };

    (void)state;
    assert_int_equal(spec_load(PATH, &first, &e), 0);
    for (int i = 0; i < 100; i++) {
        memset(&again, i, sizeof again);
        assert_int_equal(spec_load(PATH, &again, &e), 0);
        assert_memory_equal(&again, &first, sizeof first);
    }
}

/* Counters that parent and child share: the n-th allocation of a load fails, in either. */
typedef struct failing {
    atomic_int n;  /* allocations so far; counted while 'at' is not 0 */
    atomic_int at; /* the first to fail */
    atomic_int fired;
    atomic_int once; /* only that one */
} failing;

static failing *fault;

static bool fails(void)
{
    int n;

    if (fault == NULL || fault->at == 0)
        return false;
    n = ++fault->n;
    if (fault->once ? n != fault->at : n < fault->at)
        return false;
    fault->fired = 1;
    return true;
}

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);

void *__wrap_malloc(size_t n)
{
    return fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    return fails() ? NULL : __real_realloc(p, n);
}

/* Loads with the n-th allocation failing, n = 1, 2, ... until none is left to fail. */
static void climb(bool once)
{
    int n = 0, rc;

    do {
        hi_error e = { 0 };
        hi_spec s;
        fault->n = fault->fired = 0;
        fault->once = once;
        fault->at = ++n;
        rc = spec_load(HI_SOURCE_DIR "/specs/needle.lua", &s, &e);
        fault->at = 0;
        if (rc != 0 && strstr(e.text, "memory") == NULL)
            fail_msg("allocation %d: %s", n, e.text);
        if (rc == 0)
            assert_int_equal(s.layers, 2);
        assert_true(rc == 0 || fault->fired);
    } while (fault->fired);
    assert_int_equal(rc, 0);
    assert_true(n > 100);
}

static void test_no_memory(void **state)
{
    (void)state;
    fault = mmap(NULL, sizeof *fault, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(fault != MAP_FAILED);
    climb(false);
    climb(true);
    munmap(fault, sizeof *fault);
    fault = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_escapes),        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_floods),         cmocka_unit_test(test_long_texts),
        cmocka_unit_test(test_values),         cmocka_unit_test(test_limits_met),
        cmocka_unit_test(test_walls),          cmocka_unit_test(test_no_status),
        cmocka_unit_test(test_no_files_left),  cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_random_replies), cmocka_unit_test(test_same),
        cmocka_unit_test(test_no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
