/*
** tok_added.c - added tokens: read, and found in a text.
**
** The search walks a trie from every byte that starts a token. Special tokens count only in
** text that may hold them: elsewhere they are not part of the trie.
*/
#include "tok_added.h"

#include <stdlib.h>
#include <string.h>

/* ---- read ---- */

static int32_t *find_child(tok_trie *t, int32_t parent, unsigned char byte)
{
    int32_t *at = parent < 0 ? &t->root[byte] : &t->node[parent].child;
    while (*at >= 0 && t->node[*at].byte != byte)
        at = &t->node[*at].sibling;
    return at;
}

/* The node that the text ends at; -1: out of memory. */
static int32_t insert(tok_trie *t, const char *s, size_t n)
{
    int32_t node = -1;
    if (t->cap - t->n < n) {
        size_t cap = 2 * (t->cap + n);
        tok_node *grown = cap < INT32_MAX ? realloc(t->node, cap * sizeof *grown) : NULL;
        if (!grown)
            return -1;
        t->node = grown;
        t->cap = cap;
    }
    for (size_t i = 0; i < n; i++) {
        int32_t *at = find_child(t, node, (unsigned char)s[i]);
        if (*at < 0) {
            *at = (int32_t)t->n;
            t->node[t->n++] = (tok_node){ (unsigned char)s[i], -1, -1, -1 };
        }
        node = *at; /* at is not used again: the array has room, but siblings may follow */
    }
    return node;
}

static int insert_token(tok_added_list *l, const tok_file *f, size_t i, const char *s, size_t n)
{
    tok_trie *t = l->at[i].normalized ? &l->normal : &l->raw;
    if (n == 0)
        return TOK_FAIL(f, "added_tokens[%zu]: nothing is left of its content when normalized", i);
    int32_t node = insert(t, s, n);
    if (node < 0)
        return tok_file_no_memory(f);
    if (t->node[node].token >= 0)
        return TOK_FAIL(f, "added_tokens[%zu]: searched for like added_tokens[%d]", i,
                        t->node[node].token);
    t->node[node].token = (int32_t)i;
    return 0;
}

static int insert_normalized(tok_added_list *l, const tok_file *f, size_t i, const char *s,
                             size_t n, const tok_normalizers *how)
{
    tok_normal text = { 0 };
    if (!l->at[i].normalized || how->n == 0)
        return insert_token(l, f, i, s, n);
    bool done = tok_normalizers_run(how, s, n, 0, false, &text);
    int rc = done ? insert_token(l, f, i, text.text.at, text.text.n) : tok_file_no_memory(f);
    tok_normal_free(&text);
    return rc;
}

/* Its flags; a token that is not special is searched for in normalized text by default. */
static int take_flags(tok_added *a, const tok_file *f, const json_t *v, const char *where)
{
    if (tok_flag(f, v, where, "special", false, &a->special) != 0 ||
        tok_flag(f, v, where, "single_word", false, &a->single_word) != 0 ||
        tok_flag(f, v, where, "lstrip", false, &a->lstrip) != 0 ||
        tok_flag(f, v, where, "rstrip", false, &a->rstrip) != 0)
        return -1;
    return tok_flag(f, v, where, "normalized", !a->special, &a->normalized);
}

/* Its id must be free, or be the one that the vocabulary has for the same content. */
static int name_token(const tok_file *f, const char *where, const char *s, size_t n, int32_t id,
                      uint8_t kind, tok_vocab *v)
{
    int32_t same = tok_vocab_find(v, s, n);
    if (same >= 0 && same != id)
        return TOK_FAIL(f, "%s = %.64s: id = %d: there already as %d", where, s, id, same);
    if (same >= 0 && (v->kind[id] & TOK_ADDED))
        return TOK_FAIL(f, "%s = %.64s: twice in added_tokens", where, s);
    if (same < 0 && tok_vocab_has(v, id))
        return TOK_FAIL(f, "%s = %.64s: id %d is another token's", where, s, id);
    if (same >= 0)
        v->kind[id] |= kind;
    else if (!tok_vocab_put(v, s, n, id, kind))
        return tok_file_no_memory(f);
    return 0;
}

static int take_token(tok_added_list *l, const tok_file *f, size_t i, const json_t *v,
                      const tok_normalizers *normalizers, tok_vocab *vocab)
{
    char where[48];
    const char *s;
    size_t n;
    int64_t id;
    tok_added *a = &l->at[i];
    snprintf(where, sizeof where, "added_tokens[%zu]", i);
    if (tok_string(f, v, where, "content", &s, &n) != 0 ||
        tok_number(f, v, where, "id", TOK_MAX_IDS - 1, &id) != 0 || take_flags(a, f, v, where) != 0)
        return -1;
    a->id = (int32_t)id;
    if (name_token(f, where, s, n, a->id, TOK_ADDED | (a->special ? TOK_SPECIAL : 0), vocab) != 0)
        return -1;
    l->special_normal |= a->special && a->normalized;
    if (a->single_word && !l->word) {
        static const char word[] = "[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\x{200c}\\x{200d}]";
        l->word = tok_regex_open(f, where, word, sizeof word - 1);
        if (!l->word)
            return -1;
    }
    return insert_normalized(l, f, i, s, n, normalizers);
}

int tok_added_open(tok_added_list *l, const tok_file *f, const json_t *added,
                   const tok_normalizers *normalizers, tok_vocab *v)
{
    *l = (tok_added_list){ 0 };
    memset(l->raw.root, -1, sizeof l->raw.root);
    memset(l->normal.root, -1, sizeof l->normal.root);
    if (tok_absent(added))
        return 0;
    if (!json_is_array(added))
        return TOK_FAIL(f, "%s", "added_tokens: must be an array");
    l->n = json_array_size(added);
    l->at = calloc(l->n + 1, sizeof *l->at);
    if (!l->at)
        return tok_file_no_memory(f);
    for (size_t i = 0; i < l->n; i++)
        if (take_token(l, f, i, json_array_get(added, i), normalizers, v) != 0)
            return -1;
    return 0;
}

void tok_added_close(tok_added_list *l)
{
    free(l->at);
    free(l->raw.node);
    free(l->normal.node);
    tok_regex_close(l->word);
    *l = (tok_added_list){ 0 };
}

/* ---- search ---- */

/* Do bytes [begin, end) of the raw text lie in one trusted span? */
static bool is_trusted(const tok_options *o, size_t begin, size_t end)
{
    size_t low = 0, high = o->n_trusted; /* spans before low begin at or before 'begin' */
    if (!o->trusted)
        return true;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (o->trusted[middle].begin <= begin)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 && end <= o->trusted[low - 1].end;
}

static bool counts(const tok_search *s, const tok_added *a, size_t begin, size_t end)
{
    if (!a->special)
        return true;
    if (s->origin)
        return is_trusted(s->options, s->origin[begin], s->origin[end]);
    return is_trusted(s->options, s->base + begin, s->base + end);
}

/* The longest token that begins at 'begin', NULL: none. */
static const tok_added *match(const tok_search *s, size_t begin, size_t *end)
{
    const tok_trie *t = s->trie;
    const tok_added *found = NULL;
    int32_t node = t->root[(unsigned char)s->text[begin]];
    for (size_t i = begin; node >= 0; node = t->node[node].child) {
        unsigned char byte = (unsigned char)s->text[i];
        while (node >= 0 && t->node[node].byte != byte)
            node = t->node[node].sibling;
        if (node < 0)
            break;
        i++;
        const tok_added *a = t->node[node].token >= 0 ? &s->list->at[t->node[node].token] : NULL;
        if (a && counts(s, a, begin, i)) {
            found = a;
            *end = i;
        }
        if (i == s->n)
            break;
    }
    return found;
}

/* The start of the character before 'at'. */
static size_t before(const char *s, size_t at)
{
    do
        at--;
    while ((s[at] & 0xc0) == 0x80);
    return at;
}

static bool is_word(const tok_search *s, size_t at)
{
    size_t begin = 0, end;
    const char *c = s->text + at;
    return tok_regex_find(s->list->word, c, tok_utf8_len(*c), &begin, &end) == 1;
}

static bool stands_alone(const tok_search *s, size_t begin, size_t end)
{
    return (begin == 0 || !is_word(s, before(s->text, begin))) && (end == s->n || !is_word(s, end));
}

/* White space on both sides goes with the token if it asks for it, but not another token's. */
static void take_spaces(const tok_search *s, const tok_added *a, size_t *begin, size_t *end)
{
    while (a->lstrip && *begin > s->taken &&
           tok_is_space(tok_utf8_get(s->text + before(s->text, *begin))))
        *begin = before(s->text, *begin);
    while (a->rstrip && *end < s->n && tok_is_space(tok_utf8_get(s->text + *end)))
        *end += tok_utf8_len(s->text[*end]);
}

bool tok_added_next(tok_search *s, int32_t *id, size_t *begin, size_t *end)
{
    const int32_t *root = s->trie->root;
    while (s->at < s->n) {
        const tok_added *a = NULL;
        *begin = s->at;
        if (root[(unsigned char)s->text[s->at]] >= 0)
            a = match(s, *begin, end);
        s->at = a ? *end : s->at + 1;
        if (!a || (a->single_word && !stands_alone(s, *begin, *end)))
            continue;
        take_spaces(s, a, begin, end);
        *id = a->id;
        s->taken = *end;
        return true;
    }
    return false;
}
