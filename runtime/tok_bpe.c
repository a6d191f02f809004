/*
** tok_bpe.c - one piece of text to ids: cache, cuts, symbols; tok_merges.c merges them.
**
** A long piece is cut where no merge can reach across, which gives the same ids: the two
** symbols at the cut are never the last of a merge's left part and the first of its right
** part. So a text without a pre-tokenizer (one piece, however long) is encoded word by word.
*/
#include "tok_bpe.h"

#include <stdlib.h>
#include <string.h>

enum {
    SHORT = 31, /* bytes of a piece that is cached */
    IDS = 7,    /* ids of a piece that is cached */
    CACHED = 1 << 15,
    ON_STACK = 256
};

/* A piece's bytes padded with zeros; in the last one its length, and 128 for a part of a piece. */
typedef struct key {
    uint64_t word[4];
} key;

struct tok_cached {
    key key;
    int32_t id[IDS];
    uint32_t n;
};

/* ---- symbols ---- */

static bool falls_back(const tok_bpe *b, const char *s, size_t len)
{
    bool all = b->fallback;
    for (size_t i = 0; all && i < len; i++)
        all = b->byte[(unsigned char)s[i]] >= 0;
    return all;
}

/*
** At most n symbols of n bytes. An unknown character waits for the next known one, so that
** unknown neighbours can become one; bytes of fallback do not end its wait.
*/
static size_t split_symbols(const tok_bpe *b, const char *s, size_t n, int32_t *to)
{
    size_t k = 0, len;
    bool waiting = false;
    for (size_t i = 0; i < n; i += len) {
        int32_t id = tok_bpe_symbol(b, s + i, &len);
        if (id >= 0) {
            if (waiting)
                to[k++] = b->unknown;
            waiting = false;
            to[k++] = id;
        } else if (falls_back(b, s + i, len)) {
            for (size_t j = 0; j < len; j++)
                to[k++] = b->byte[(unsigned char)s[i + j]];
        } else if (b->unknown >= 0) {
            if (waiting && !b->fuse_unknown)
                to[k++] = b->unknown;
            waiting = true;
        }
    }
    if (waiting)
        to[k++] = b->unknown;
    return k;
}

/* ---- encode ---- */

static bool put_all(tok_ids *out, const int32_t *ids, size_t n)
{
    if (!tok_ids_reserve(out, n))
        return false;
    memcpy(out->at + out->n, ids, n * sizeof *ids);
    out->n += n;
    return true;
}

static bool encode_long(const tok_bpe *b, const char *s, size_t n, tok_ids *out)
{
    int32_t few[ON_STACK], *symbol = n <= ON_STACK ? few : malloc(n * sizeof *symbol);
    if (!symbol)
        return false;
    size_t k = tok_merges_apply(&b->merges, symbol, split_symbols(b, s, n, symbol));
    bool done = k != SIZE_MAX && put_all(out, symbol, k);
    if (symbol != few)
        free(symbol);
    return done;
}

/* n <= 8 bytes, the first in the lowest eight bits. */
static inline uint64_t load(const char *s, size_t n)
{
    uint64_t word = 0;
    uint32_t low, high;
    if (n == 8) {
        memcpy(&word, s, 8);
        return word;
    }
    if (n >= 4) {
        memcpy(&low, s, 4);
        memcpy(&high, s + n - 4, 4);
        return low | (uint64_t)high << (8 * n - 32);
    }
    for (size_t i = 0; i < n; i++)
        word |= (uint64_t)(unsigned char)s[i] << 8 * i;
    return word;
}

static inline key key_of(const char *s, size_t n, bool part)
{
    key k = { { 0 } };
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        k.word[i / 8] = load(s + i, 8);
    k.word[i / 8] = load(s + i, n - i);
    k.word[3] |= (uint64_t)(n | (part ? 128 : 0)) << 56;
    return k;
}

static inline uint64_t hash_key(const key *k)
{
    uint64_t h = k->word[0] * 0x9e3779b97f4a7c15u ^ k->word[3];
    h = (h ^ h >> 32 ^ k->word[1]) * 0xff51afd7ed558ccdu;
    h = (h ^ h >> 32 ^ k->word[2]) * 0xc4ceb9fe1a85ec53u;
    return h >> 40 ^ h >> 20;
}

static int32_t find_whole(const tok_bpe *b, const char *s, size_t n)
{
    if (b->byte_level)
        return tok_vocab_find(&b->raw, s, n);
    int32_t id = tok_vocab_find(b->vocab, s, n);
    return id >= 0 && (b->vocab->kind[id] & TOK_IN_MODEL) ? id : -1;
}

static bool encode_short(tok_bpe *b, const char *s, size_t n, bool part, tok_ids *out)
{
    key k = key_of(s, n, part);
    tok_cached *at = &b->cache[hash_key(&k) & (CACHED - 1)];
    if (memcmp(&at->key, &k, sizeof k) == 0) {
        if (at->n == 1)
            return tok_ids_put(out, at->id[0]);
        return put_all(out, at->id, at->n);
    }
    int32_t symbol[SHORT];
    size_t n_ids = 1;
    symbol[0] = b->whole && !part ? find_whole(b, s, n) : -1;
    if (symbol[0] < 0)
        n_ids = tok_merges_apply(&b->merges, symbol, split_symbols(b, s, n, symbol));
    if (n_ids <= IDS) {
        at->key = k;
        at->n = (uint32_t)n_ids;
        memcpy(at->id, symbol, n_ids * sizeof *symbol);
    }
    return put_all(out, symbol, n_ids);
}

static bool encode_part(tok_bpe *b, const char *s, size_t n, tok_ids *out)
{
    return n <= SHORT ? encode_short(b, s, n, true, out) : encode_long(b, s, n, out);
}

static bool encode_parts(tok_bpe *b, const char *s, size_t n, tok_ids *out)
{
    size_t start = 0, len;
    int32_t last = -1;
    for (size_t i = 0; i < n; i += len) {
        int32_t id = tok_bpe_symbol(b, s + i, &len);
        uint64_t seam = (uint64_t)last << 32 | (uint32_t)id;
        if (i > start &&
            (id < 0 || last < 0 || tok_map_at(&b->joined, seam)->key == TOK_MAP_FREE)) {
            if (!encode_part(b, s + start, i - start, out))
                return false;
            start = i;
        }
        last = id;
    }
    return encode_part(b, s + start, n - start, out);
}

bool tok_bpe_encode(tok_bpe *b, const char *s, size_t n, tok_ids *out)
{
    if (n <= SHORT)
        return n == 0 || encode_short(b, s, n, false, out);
    int32_t id = b->whole ? find_whole(b, s, n) : -1;
    if (id >= 0)
        return tok_ids_put(out, id);
    return b->may_cut ? encode_parts(b, s, n, out) : encode_long(b, s, n, out);
}

bool tok_bpe_alloc_cache(tok_bpe *b)
{
    b->cache = calloc(CACHED, sizeof *b->cache);
    return b->cache;
}
