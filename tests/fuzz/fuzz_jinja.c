/*
** fuzz_jinja.c - templates of any bytes: parsed and rendered, or refused with a message.
**
** With libFuzzer: -fsanitize=fuzzer -DHI_LIBFUZZER. Without: mutates the templates of a folder
** and pieces of the language, the same way every time: fuzz_jinja FOLDER [SECONDS].
*/
#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "jinja.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static const char GIVEN[] = "{\"bos_token\": \"<s>\", \"eos_token\": \"</s>\", \"tools\": null, "
                            "\"add_generation_prompt\": true, \"n\": 7, \"f\": 2.5}";
static const char USER[] =
    "{\"messages\": [{\"role\": \"system\", \"content\": \"S\"}, {\"role\": \"user\", "
    "\"content\": \" \xc3\xa9 Hi \"}, {\"role\": \"assistant\", \"content\": "
    "\"<think>a</think>b\"},"
    "{\"role\": \"user\", \"content\": \"x\"}], \"d\": {\"a\": [1, {\"b\": null}]}}";

static void check(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "%s\n", what);
    abort();
}

/* What the tokenizer relies on. */
static void check_text(const jinja_text *t)
{
    size_t at = 0;
    check(t->text[t->n] == '\0', "a text without its end");
    for (size_t i = 0; i < t->n_trusted; i++) {
        check(t->trusted[i].begin >= at + (i > 0) && t->trusted[i].end > t->trusted[i].begin,
              "spans out of order");
        at = t->trusted[i].end;
    }
    check(at <= t->n, "a span beyond the text");
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static json_t *given, *user;
    char err[256] = "";
    jinja_text t;
    if (!given) {
        given = json_loads(GIVEN, 0, NULL);
        user = json_loads(USER, 0, NULL);
        check(given && user, "bad variables");
    }
    jinja *j = jinja_parse("t", (const char *)bytes, n, err, sizeof err);
    check(j || err[0] != '\0', "refused without a message");
    if (!j)
        return 0;
    jinja_set_clock(j, 0);
    if (jinja_render(j, given, user, &t, err, sizeof err) == 0)
        check_text(&t);
    jinja_text_free(&t);
    jinja_free(j);
    return 0;
}

#ifndef HI_LIBFUZZER

enum {
    MOST = 20000,
    SEEDS = 64
};

static struct seed {
    uint8_t text[MOST];
    size_t n;
} seeds[SEEDS];

static size_t n_seeds;

static const char *const PIECE[] = {
    "{{",
    "}}",
    "{%",
    "%}",
    "{#",
    "#}",
    "-",
    "+",
    " if ",
    " else ",
    "endif",
    "for x in",
    "endfor",
    "set x = ",
    "endset",
    "macro m(",
    "endmacro",
    "call",
    "endcall",
    "filter ",
    "raw",
    "endraw",
    "with",
    "break",
    "not ",
    " in ",
    " is ",
    "defined",
    "string",
    " and ",
    " or ",
    "|",
    "|upper",
    "|tojson",
    "|join",
    "|sort",
    "|map(",
    "|list",
    "|int",
    "|length",
    ".split(",
    ".strip()",
    ".items()",
    ".get(",
    "[::-1]",
    "[1:]",
    "[",
    "]",
    "(",
    ")",
    "{",
    "}",
    "'",
    "\"",
    "\\u00e9",
    "\\",
    "~",
    "*",
    "**",
    "//",
    "%",
    "==",
    "<",
    ",",
    "messages",
    "loop",
    "namespace(",
    "range(",
    "x",
    "n",
    "f",
    "d",
    "0",
    "-1",
    "1e9",
    "99999999",
    "none",
    "true",
    "\xc3\xa9",
    "\xff",
    "\n",
    "\r\n",
    " ",
    "self",
    "caller()",
    "{% set x = x ~ x %}",
    "{% for i in range(99999) %}",
    "{{ x }}",
    "{{- ",
    " -%}",
    "*args",
    "=",
    ":",
};

static uint64_t random_state = 1;

static size_t below(size_t n) /* xorshift64* */
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return n > 0 ? (size_t)((random_state * 0x2545f4914f6cdd1du) >> 33) % n : 0;
}

static void add_folder(const char *folder)
{
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d)) && n_seeds < SEEDS;) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        FILE *f = e->d_name[0] == '.' ? NULL : fopen(path, "r");
        if (!f)
            continue;
        seeds[n_seeds].n = fread(seeds[n_seeds].text, 1, MOST, f);
        n_seeds++;
        fclose(f);
    }
    if (d)
        closedir(d);
}

/* Replaces 'out' bytes at 'at' by n others, if there is room. */
static size_t splice(uint8_t *b, size_t used, size_t at, size_t out, const void *in, size_t n)
{
    static uint8_t copy[MOST];
    if (used - out + n > MOST)
        return used;
    memcpy(copy, in, n);
    memmove(b + at + n, b + at + out, used - at - out);
    memcpy(b + at, copy, n);
    return used - out + n;
}

static size_t mutate(uint8_t *b, size_t used)
{
    size_t at = below(used + 1), rest = used - at, n = below(rest < 40 ? rest + 1 : 40);
    const char *piece = PIECE[below(sizeof PIECE / sizeof *PIECE)];
    const struct seed *other = &seeds[below(n_seeds)];
    size_t from = below(other->n), length = below(other->n - from < 80 ? other->n - from : 80);
    switch (below(4)) {
    case 0:
        return splice(b, used, at, 0, piece, strlen(piece));
    case 1:
        return splice(b, used, at, n, piece, strlen(piece));
    case 2:
        return splice(b, used, at, n, "", 0);
    default:
        return splice(b, used, at, below(n + 1), other->text + from, length);
    }
}

int main(int argc, char **argv)
{
    static uint8_t b[MOST];
    time_t end = time(NULL) + (argc > 2 ? atoi(argv[2]) : 3);
    size_t runs = 0;
    if (argc > 1)
        add_folder(argv[1]);
    check(n_seeds > 0, "fuzz_jinja FOLDER [SECONDS]: no templates");
    for (; time(NULL) < end; runs++) {
        const struct seed *s = &seeds[below(n_seeds)];
        size_t n = s->n;
        memcpy(b, s->text, n);
        for (size_t i = below(6); i-- > 0;)
            n = mutate(b, n);
        time_t began = time(NULL);
        LLVMFuzzerTestOneInput(b, n);
        check(time(NULL) - began < 60, "a template took a minute");
    }
    printf("%zu templates\n", runs);
    return 0;
}

#endif
