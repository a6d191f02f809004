/*
** tok_split.c - the pre-tokenizers: Split, ByteLevel, Metaspace, Digits, Sequence.
**
** Each is one kind of step: text may be put in front, spaces may be replaced, and the result
** is cut where a pattern matches. Every piece of a step goes through the next at once, so no
** list of pieces is kept.
*/
#include "tok_split.h"

#include <stdlib.h>
#include <string.h>

/* What ByteLevel cuts at when it is not told otherwise: contractions, words, numbers, signs. */
#define WORDS "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

/* ---- read ---- */

static int open_regex(tok_split *p, const tok_file *f, const char *where, const char *pattern,
                      size_t n)
{
    p->regex = tok_regex_open(f, where, pattern, n);
    return p->regex ? 0 : -1;
}

static int take_literal(tok_split *p, const tok_file *f, const char *where, const char *s, size_t n)
{
    if (n > sizeof p->literal)
        return TOK_FAIL(f, "%s: %zu bytes: at most %zu; " TOK_REMEDY, where, n, sizeof p->literal);
    memcpy(p->literal, s, n);
    p->n_literal = n;
    return 0;
}

static int take_pattern(tok_split *p, const tok_file *f, const json_t *v)
{
    const json_t *pattern = json_object_get(v, "pattern");
    const char *s, *where = "pre_tokenizer.pattern";
    size_t n;
    if (json_object_get(pattern, "Regex")) {
        if (tok_string(f, pattern, where, "Regex", &s, &n) != 0)
            return -1;
        return open_regex(p, f, "pre_tokenizer.pattern.Regex", s, n);
    }
    if (tok_string(f, pattern, where, "String", &s, &n) != 0)
        return -1;
    return take_literal(p, f, "pre_tokenizer.pattern.String", s, n);
}

static int take_behavior(tok_split *p, const tok_file *f, const json_t *v)
{
    static const char *const names[] = { "Isolated", "Removed", "MergedWithPrevious",
                                         "MergedWithNext", "Contiguous" };
    const char *name;
    size_t n;
    if (tok_string(f, v, "pre_tokenizer", "behavior", &name, &n) != 0)
        return -1;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0) {
            p->behavior = (tok_behavior)i;
            return 0;
        }
    return TOK_FAIL(f, "pre_tokenizer.behavior = %.64s: not supported; " TOK_REMEDY, name);
}

static int take_split(tok_split *p, const tok_file *f, const json_t *v)
{
    if (take_pattern(p, f, v) != 0 || take_behavior(p, f, v) != 0)
        return -1;
    return tok_flag(f, v, "pre_tokenizer", "invert", false, &p->invert);
}

static int take_byte_level(tok_split *p, const tok_file *f, const json_t *v)
{
    bool prefix, words;
    if (tok_flag(f, v, "pre_tokenizer", "add_prefix_space", true, &prefix) != 0 ||
        tok_flag(f, v, "pre_tokenizer", "use_regex", true, &words) != 0)
        return -1;
    p->prefix[0] = ' ';
    p->n_prefix = 1;
    p->prepend = prefix ? TOK_ALWAYS : TOK_NEVER;
    return words ? open_regex(p, f, "pre_tokenizer", WORDS, strlen(WORDS)) : 0;
}

static int take_digits(tok_split *p, const tok_file *f, const json_t *v)
{
    bool each;
    if (tok_flag(f, v, "pre_tokenizer", "individual_digits", false, &each) != 0)
        return -1;
    p->behavior = each ? TOK_ISOLATED : TOK_CONTIGUOUS;
    return open_regex(p, f, "pre_tokenizer", "\\p{N}", 5);
}

/* Older files have add_prefix_space in place of prepend_scheme. */
static int take_scheme(tok_split *p, const tok_file *f, const json_t *v)
{
    static const char *const names[] = { "never", "first", "always" };
    bool prefix;
    const char *name;
    size_t n;
    if (tok_flag(f, v, "pre_tokenizer", "add_prefix_space", true, &prefix) != 0)
        return -1;
    p->prepend = prefix ? TOK_ALWAYS : TOK_NEVER;
    if (tok_absent(json_object_get(v, "prepend_scheme")))
        return 0;
    if (tok_string(f, v, "pre_tokenizer", "prepend_scheme", &name, &n) != 0)
        return -1;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0) {
            p->prepend = (tok_prepend)i;
            return 0;
        }
    return TOK_FAIL(f, "pre_tokenizer.prepend_scheme = %.64s: must be first, always or never",
                    name);
}

static int take_metaspace(tok_split *p, const tok_file *f, const json_t *v)
{
    const char *s;
    bool cut;
    if (tok_string(f, v, "pre_tokenizer", "replacement", &s, &p->n_prefix) != 0 ||
        tok_flag(f, v, "pre_tokenizer", "split", true, &cut) != 0 || take_scheme(p, f, v) != 0)
        return -1;
    if (tok_utf8_len(*s) != p->n_prefix)
        return TOK_FAIL(f, "%s", "pre_tokenizer.replacement: must be one character");
    memcpy(p->prefix, s, p->n_prefix);
    p->replace = true;
    p->behavior = TOK_WITH_NEXT;
    return cut ? take_literal(p, f, "pre_tokenizer.replacement", s, p->n_prefix) : 0;
}

static int take_step(tok_splits *all, const tok_file *f, const json_t *v)
{
    static const struct {
        const char *type;
        int (*take)(tok_split *p, const tok_file *f, const json_t *v);
    } kinds[] = {
        { "Split", take_split },
        { "ByteLevel", take_byte_level },
        { "Digits", take_digits },
        { "Metaspace", take_metaspace },
    };
    if (all->byte_level)
        return TOK_FAIL(f, "pre_tokenizer: %.64s behind ByteLevel: not supported; " TOK_REMEDY,
                        tok_type(v));
    all->byte_level = tok_is_type(v, "ByteLevel");
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (tok_is_type(v, kinds[i].type))
            return kinds[i].take(&all->step[all->n++], f, v);
    return tok_refuse_type(f, "pre_tokenizer", v);
}

int tok_splits_open(tok_splits *p, const tok_file *f, const json_t *v)
{
    size_t n;
    *p = (tok_splits){ 0 };
    if (tok_parts(f, v, "pre_tokenizer", "pretokenizers", &n) != 0)
        return -1;
    if (n > TOK_MAX_SPLITS)
        return TOK_FAIL(f, "pre_tokenizer: %zu steps: at most %d", n, TOK_MAX_SPLITS);
    for (size_t i = 0; i < n; i++)
        if (take_step(p, f, tok_part(v, "pretokenizers", i)) != 0)
            return -1;
    return 0;
}

void tok_splits_close(tok_splits *p)
{
    for (size_t i = 0; i < p->n; i++)
        tok_regex_close(p->step[i].regex);
    *p = (tok_splits){ 0 };
}

/* ---- run ---- */

/* Where a run stands: the steps behind this one, and what takes the pieces. */
typedef struct run {
    const tok_splits *all;
    size_t step;
    bool first;
    tok_piece_fn *piece;
    void *arg;
} run;

static bool run_step(const run *r, const char *s, size_t n);

/* A piece of this step goes to the next one. */
static bool pass_on(const run *r, const char *s, size_t n, bool first)
{
    run next = *r;
    next.step++;
    next.first = first;
    if (n == 0)
        return true;
    return next.step == r->all->n ? r->piece(r->arg, s, n) : run_step(&next, s, n);
}

/* The next match behind *begin; an empty one is taken but right behind the match before. */
static int find(const tok_split *p, const char *s, size_t n, size_t last, size_t *begin,
                size_t *end)
{
    if (p->n_literal > 0) {
        const char *at = memmem(s + *begin, n - *begin, p->literal, p->n_literal);
        *begin = at ? (size_t)(at - s) : n;
        *end = *begin + p->n_literal;
        return at != NULL;
    }
    int rc = tok_regex_find(p->regex, s, n, begin, end);
    while (rc == 1 && *begin == *end && *end == last) {
        if (*begin == n)
            return 0;
        *begin += tok_utf8_len(s[*begin]);
        rc = tok_regex_find(p->regex, s, n, begin, end);
    }
    return rc;
}

/* One match or what lies between two of them. */
typedef struct stretch {
    size_t begin, end;
    bool match;
} stretch;

static bool give(const run *r, const char *s, stretch p)
{
    if (p.match && r->all->step[r->step].behavior == TOK_REMOVED)
        return true;
    return pass_on(r, s + p.begin, p.end - p.begin, r->first && p.begin == 0);
}

/* Joins stretches by the step's behavior: 'held' is what the next one may still join. */
static bool put_stretch(const run *r, const char *s, stretch *held, stretch now)
{
    const tok_split *p = &r->all->step[r->step];
    bool join = false;
    now.match ^= p->invert;
    if (p->behavior == TOK_CONTIGUOUS)
        join = now.match == held->match;
    else if (p->behavior == TOK_WITH_PREVIOUS)
        join = now.match && !held->match;
    else if (p->behavior == TOK_WITH_NEXT)
        join = !now.match && held->match;
    if (join && held->end > held->begin) {
        held->end = now.end;
        held->match = now.match;
        return true;
    }
    stretch sure = *held;
    *held = now;
    return give(r, s, sure);
}

static bool cut(const run *r, const char *s, size_t n)
{
    const tok_split *p = &r->all->step[r->step];
    stretch held = { 0, 0, false };
    size_t at = 0, begin = 0, end, last = SIZE_MAX;
    int rc;
    while ((rc = find(p, s, n, last, &begin, &end)) == 1) {
        if (begin > at && !put_stretch(r, s, &held, (stretch){ at, begin, false }))
            return false;
        if (!put_stretch(r, s, &held, (stretch){ begin, end, true }))
            return false;
        at = last = begin = end;
    }
    if (rc < 0 || (at < n && !put_stretch(r, s, &held, (stretch){ at, n, false })))
        return false;
    return give(r, s, held);
}

/* Isolated, not inverted: what the large vocabularies use, without the bookkeeping. */
static bool isolate(const run *r, const char *s, size_t n)
{
    const tok_split *p = &r->all->step[r->step];
    size_t at = 0, begin = 0, end, last = SIZE_MAX;
    int rc;
    while ((rc = find(p, s, n, last, &begin, &end)) == 1) {
        if (!pass_on(r, s + at, begin - at, r->first && at == 0) ||
            !pass_on(r, s + begin, end - begin, r->first && begin == 0))
            return false;
        at = last = begin = end;
    }
    return rc == 0 && pass_on(r, s + at, n - at, r->first && at == 0);
}

static bool run_cut(const run *r, const char *s, size_t n)
{
    const tok_split *p = &r->all->step[r->step];
    if (p->n_literal == 0 && !p->regex)
        return pass_on(r, s, n, r->first);
    return p->behavior == TOK_ISOLATED ? isolate(r, s, n) : cut(r, s, n);
}

/* s with every space replaced. */
static bool replace(const tok_split *p, const char *s, size_t n, tok_bytes *out)
{
    const char *end = s + n, *space;
    while ((space = memchr(s, ' ', (size_t)(end - s)))) {
        if (!tok_bytes_put(out, s, (size_t)(space - s)) ||
            !tok_bytes_put(out, p->prefix, p->n_prefix))
            return false;
        s = space + 1;
    }
    return tok_bytes_put(out, s, (size_t)(end - s));
}

static bool run_step(const run *r, const char *s, size_t n)
{
    const tok_split *p = &r->all->step[r->step];
    bool prepend = p->prepend == TOK_ALWAYS || (p->prepend == TOK_FIRST && r->first);
    bool starts = n >= p->n_prefix && memcmp(s, p->prefix, p->n_prefix) == 0;
    starts = starts || (p->replace && *s == ' ');
    prepend = prepend && !starts;
    if (!prepend && !p->replace)
        return run_cut(r, s, n);
    tok_bytes text = { 0 };
    bool done = tok_bytes_reserve(&text, n + p->n_prefix) &&
                (!prepend || tok_bytes_put(&text, p->prefix, p->n_prefix)) &&
                (p->replace ? replace(p, s, n, &text) : tok_bytes_put(&text, s, n)) &&
                run_cut(r, text.at, text.n);
    free(text.at);
    return done;
}

bool tok_splits_run(const tok_splits *p, const char *s, size_t n, bool first, tok_piece_fn *piece,
                    void *arg)
{
    run r = { p, 0, first, piece, arg };
    if (n == 0)
        return true;
    return p->n == 0 ? piece(arg, s, n) : run_step(&r, s, n);
}
