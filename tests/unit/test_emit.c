/*
** test_emit.c - what is emitted: golden files, form, and templates that are wrong.
**
** Goldens are in tests/golden/emit; refresh.sh there writes them anew.
*/
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <lauxlib.h>

#include "command.h"
#include "emit.h"
#include "text.h"
#include "tmpl.h"

enum {
    MOST_BYTES = 1 << 22,
    MOST_WORDS = 32,
    COLUMNS = 100
};

static const char *const FILES[] = { "shape.h",  "model.h",        "model.c", "prefill.c",
                                     "decode.c", "CMakeLists.txt", "Makefile" };
enum {
    N_FILES = sizeof FILES / sizeof *FILES
};

static char folder[] = "/tmp/test_emit.XXXXXX";

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) == NULL ? -1 : 0;
}

static int run(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static int run(const char *fmt, ...)
{
    char command[8192];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(command, sizeof command, fmt, ap);
    va_end(ap);
    return system(command);
}

static int remove_folder(void **state)
{
    (void)state;
    return run("rm -rf %s", folder);
}

static void read_file(text *t, const char *dir, const char *file)
{
    hi_error e = { "" };
    char path[4096];

    snprintf(path, sizeof path, "%s/%s", dir, file);
    if (text_read(t, path, MOST_BYTES, &e) != 0)
        fail_msg("%s", e.text);
}

/* Emits what a command line of hi-gen asks for into 'out'; the template folder is ours. */
static void emit_command(const char *line, const char *out)
{
    static char copy[1024];
    char *argv[MOST_WORDS] = { "hi-gen" };
    int argc = 1;
    hi_error e = { "" };
    hi_spec s;
    hi_machine m;
    hi_command c;

    snprintf(copy, sizeof copy, "%s", line);
    for (char *w = strtok(copy, " \n"); w != NULL && argc < MOST_WORDS - 1; w = strtok(NULL, " \n"))
        argv[argc++] = w;
    hi_arena *a = arena_new();
    assert_non_null(a);
    hi_plan *p = NULL;
    if (command_parse(argc, argv, &c, &e) == 0 && spec_load(c.spec, &s, &e) == 0 &&
        machine_load("specs/machine/cpu.lua", NULL, &m, &e) == 0)
        p = plan_make(a, &s, &c.request, &m, NULL, &e);
    if (p == NULL || emit(&s, p, "templates", out, c.line_marks, &e) != 0)
        fail_msg("%s: %s", line, e.text);
    arena_free(a);
}

/* ---- goldens ---- */

static void compare(const char *a, const char *b)
{
    for (int i = 0; i < N_FILES; i++) {
        text x = { 0 }, y = { 0 };
        read_file(&x, a, FILES[i]);
        read_file(&y, b, FILES[i]);
        if (x.len != y.len || memcmp(x.data, y.data, x.len) != 0) {
            run("diff -u %s/%s %s/%s | head -n 40", a, FILES[i], b, FILES[i]);
            fail_msg("%s/%s is not the golden; after a look: tests/golden/emit/refresh.sh", b,
                     FILES[i]);
        }
        text_free(&x);
        text_free(&y);
    }
}

static void golden(const char *name)
{
    char dir[256], once[256], twice[256];
    text command = { 0 };

    snprintf(dir, sizeof dir, "tests/golden/emit/%s", name);
    snprintf(once, sizeof once, "%s/%s.1", folder, name);
    snprintf(twice, sizeof twice, "%s/%s.2", folder, name);
    read_file(&command, dir, "command");
    emit_command(command.data, once);
    emit_command(command.data, twice);
    text_free(&command);
    compare(dir, once);
    compare(once, twice);
}

static void test_golden_streaming(void **state)
{
    (void)state;
    golden("toy_gqa");
}

static void test_golden_panels(void **state)
{
    (void)state;
    golden("toy_wide");
}

static void test_golden_resident(void **state)
{
    (void)state;
    golden("toy_mha");
}

/* ---- form ---- */

static void check_columns(const char *dir, const char *file)
{
    text t = { 0 };
    int line = 1, column = 0;

    read_file(&t, dir, file);
    for (size_t i = 0; i < t.len; i++) {
        column = t.data[i] == '\n' ? 0 : column + 1;
        line += t.data[i] == '\n';
        if (column > COLUMNS || t.data[i] == '\t' || t.data[i] == '\r' ||
            (t.data[i] == '\n' && i > 0 && t.data[i - 1] == ' '))
            fail_msg("%s/%s:%d: a long line, a tab, or a space at its end", dir, file, line);
    }
    assert_true(t.len > 0 && t.data[t.len - 1] == '\n');
    text_free(&t);
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Columns, clang-format, compiler. */
static void well_formed(const char *name, const char *line)
{
    char dir[256];

    snprintf(dir, sizeof dir, "%s/%s", folder, name);
    emit_command(line, dir);
    for (int i = 0; i < N_FILES; i++)
        if (strcmp(FILES[i], "Makefile") != 0)
            check_columns(dir, FILES[i]);
    if (run("clang-format --style=file:.clang-format --dry-run -Werror %s/*.[ch]", dir) != 0)
        fail_msg("%s: clang-format would change it, or is not installed", line);
    double start = seconds();
    for (int i = 0; i < N_FILES; i++)
        if (strstr(FILES[i], ".c") != NULL &&
            run("cc -std=c11 -O2 -Wall -Wextra -Werror -Iruntime -I%s -c %s/%s -o %s/out.o", dir,
                dir, FILES[i], dir) != 0)
            fail_msg("%s: %s does not compile", line, FILES[i]);
    print_message("%s: compiled in %.2f s\n", line, seconds() - start);
}

static void test_form(void **state)
{
    static const char *const LINES[] = {
        "tests/specs/toy_gqa.lua --vram 1200K --ctx 2304 --tile 256",
        "tests/specs/toy_gqa.lua --vram 1200K --ctx 2304 --tile 256 --line",
        "tests/specs/toy_gqa.lua --vram 3M --ram 2M --ctx 2304 --chunk 256 --tile 256 --group 1 "
        "--slots 3 --resident 1 --logits all --numerics f32",
        "tests/specs/toy_mha.lua --ctx 1024",
        "tests/specs/toy_mha.lua --ctx 1024 --weights-type q4",
        "tests/specs/toy_llama3.lua --ctx 1",
        "specs/needle.lua --vram 12M --ctx 65536",
        "specs/llama3_8b.lua --vram 24G --ctx 131072",
        "specs/llama3_8b.lua --vram 4G --ctx 1048576 --panel 4",
        "specs/llama3_70b.lua --vram 24G --ctx 1048576",
        "tests/specs/toy_wide.lua --ctx 8192 --resident 1 --tile 2048 --group 1 --bands 4",
    };
    (void)state;
    for (size_t i = 0; i < sizeof LINES / sizeof *LINES; i++) {
        char name[16];
        snprintf(name, sizeof name, "form%zu", i);
        if (strstr(LINES[i], "--line") == NULL) /* the others' line numbers are the template's */
            well_formed(name, LINES[i]);
        else
            emit_command(LINES[i], folder);
    }
}

/* ---- templates ---- */

/* Renders a template of this text in the environment { n = 7, s = "text", list = { 1, 2 } }. */
static int render(const char *template, bool marks, tmpl_text *out, hi_error *e)
{
    char path[256];
    lua_State *L = luaL_newstate();

    assert_non_null(L);
    snprintf(path, sizeof path, "%s/t.c", folder);
    assert_int_equal(text_write(path, template, strlen(template), e), 0);
    assert_int_equal(luaL_dostring(L, "return { n = 7, s = 'text', list = { 1, 2 }, no = false }"),
                     0);
    int rc = tmpl_render(L, path, marks, out, e);
    assert_int_equal(lua_gettop(L), 1);
    lua_close(L);
    return rc;
}

static void gives(const char *template, bool marks, const char *want)
{
    tmpl_text out = { 0 };
    hi_error e = { "" };

    if (render(template, marks, &out, &e) != 0)
        fail_msg("%s", e.text);
    assert_int_equal(out.len, strlen(want));
    assert_memory_equal(out.data, want, out.len);
    free(out.data);
}

static void test_render(void **state)
{
    (void)state;
    gives("a\n$(n)$(s) \"\\ $x ( ) $(n + 1)\n", false, "a\n7text \"\\ $x ( ) 8\n");
    gives("//% for _, i in ipairs(list) do\n  $(i);\n//% end\n", false, "  1;\n  2;\n");
    gives("//% if no then\nx\n//% else\ny\n//% end\n", false, "y\n");
    gives("$((n))\n\n\tz", false, "7\n\n\tz\n");
    gives("a\n//% local k = n\n$(k)\n", true, "#line 1 \"t.c\"\na\n#line 3 \"t.c\"\n7\n");
}

static void test_template_errors(void **state)
{
    static const struct {
        const char *template, *want;
    } BAD[] = {
        { "a\nb\n$(spc)\n", "t.c:3: undefined name 'spc'" },
        { "a\n//% x = spc\n", "t.c:2: undefined name 'spc'" },
        { "//% os.exit(3)\n", "t.c:1: undefined name 'os'" },
        { "a\n$(list.x)\n", "t.c:2: hole is a nil" },
        { "\n\n$(1.5)\n", "t.c:3: hole is a number" },
        { "$(no)\n", "t.c:1: hole is a boolean" },
        { "a\nint $(n;\n", "t.c:2: unclosed $( hole" },
        { "a\n//% for _, x in ipairs(list) do\nb\n", "'end' expected (to close 'for' at line 2)" },
        { "//% end\n", "t.c:1:" },
        { "a\n$(n n)\n", "t.c:2:" },
        { "//% for i = 1, 1 do local x = nil + 1 end\n", "t.c:1: attempt to perform arithmetic" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        tmpl_text out = { 0 };
        hi_error e = { "" };
        assert_int_equal(render(BAD[i].template, false, &out, &e), -1);
        if (strncmp(e.text, "t.c:", 4) != 0 || strstr(e.text, BAD[i].want) == NULL)
            fail_msg("%s\n  gives '%s', without '%s'", BAD[i].template, e.text, BAD[i].want);
        assert_null(out.data);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_streaming),
        cmocka_unit_test(test_golden_panels),
        cmocka_unit_test(test_golden_resident),
        cmocka_unit_test(test_form),
        cmocka_unit_test(test_render),
        cmocka_unit_test(test_template_errors),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
