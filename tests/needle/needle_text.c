/*
** needle_text.c - haystacks and questions for the needle model.
**
** The one thing to get right is that a question has one answer: every window of
** four tokens that the model looks up while it copies the answer must have
** occurred once before. 'asked_once' is that test; it sees the text as it will
** be when the answer has been given.
*/
#include "needle_text.h"

#include <stdbool.h>
#include <string.h>

enum { WINDOW = RECALL_QUESTION };

/* splitmix64: the whole state is one counter, so any seed is a good one. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t x = *state += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

/* 0 .. n-1, n small. */
static size_t pick(uint64_t *state, size_t n)
{
    return (size_t)((next_random(state) >> 32) * n >> 32);
}

void hay_random(uint8_t *buf, size_t n, uint64_t seed)
{
    for (size_t i = 0; i < n; i++)
        buf[i] = (uint8_t)(1 + pick(&seed, 255));
}

/* ---- sentences ---- */

#define LENGTH(a) (sizeof(a) / sizeof *(a))

static const char *const WHEN[] = {
    "",
    "",
    "", /* often no time is given */
    "In the morning ",
    "Before noon ",
    "Late in the day ",
    "After the rain ",
    "On market days ",
    "Once a week ",
    "Towards winter ",
    "As a rule ",
    "Now and then ",
};

static const char *const WHO[] = {
    "the baker",          "a young farmer",       "the old captain",     "her neighbour",
    "the night watchman", "a travelling painter", "the village teacher", "my grandfather",
    "the ferryman",       "a quiet stranger",     "the gardener",        "the youngest sister",
    "a tired postman",    "the miller",           "the clockmaker",      "an honest merchant",
    "the shepherd",       "a crew of sailors",
};

static const char *const DID[] = {
    "carried",     "looked for", "mended",   "forgot about", "talked of",     "counted",
    "painted",     "sold",       "hid",      "polished",     "borrowed",      "admired",
    "wrote about", "dreamt of",  "unpacked", "weighed",      "returned with", "asked about",
};

static const char *const WHAT[] = {
    "a basket of apples",    "the broken lantern",   "an old map",
    "two loaves of bread",   "the blue door",        "a letter from the coast",
    "the stone bridge",      "a handful of seeds",   "the long road home",
    "a wooden boat",         "the last of the wine", "a book without a cover",
    "the bell in the tower", "a bundle of dry wood", "the weather",
    "a painted chair",       "the garden wall",      "a pair of boots",
};

static const char *const WHERE[] = {
    "",
    "",
    " near the harbour",
    " behind the mill",
    " at the foot of the hill",
    " beside the river",
    " in the empty square",
    " under the chestnut tree",
    " on the way to town",
    " by the light of a candle",
    " without a word",
    ", and nobody was surprised",
    ", as people there tend to do",
    ", while the others slept",
    " for longer than was wise",
    ", which took most of the week",
};

enum { MAX_SENTENCE = 160 };

static void capital(char *s)
{
    if (*s >= 'a' && *s <= 'z')
        *s = (char)(*s - 'a' + 'A');
}

/* Writes one sentence with the space behind it. Returns its length. */
static size_t make_sentence(char *s, uint64_t *seed)
{
    const char *part[] = {
        WHEN[pick(seed, LENGTH(WHEN))],
        WHO[pick(seed, LENGTH(WHO))],
        " ",
        DID[pick(seed, LENGTH(DID))],
        " ",
        WHAT[pick(seed, LENGTH(WHAT))],
        WHERE[pick(seed, LENGTH(WHERE))],
        ". ",
    };
    char *end = s;
    for (size_t i = 0; i < LENGTH(part); i++)
        end = stpcpy(end, part[i]);
    capital(s);
    return (size_t)(end - s);
}

/* Overwrites the end of a text with "... ", from the start of a character on. */
static void trail_off(char *buf, size_t n)
{
    static const char dots[] = "... ";
    size_t len = sizeof dots - 1;
    size_t from = n > len ? n - len : 0;
    memcpy(buf + from, dots + len - (n - from), n - from);
    while (from > 0 && (buf[from - 1] & 0xc0) == 0x80) /* a character cut in two? */
        buf[--from] = '.';
    if (from > 0 && (buf[from - 1] & 0x80))
        buf[--from] = '.';
}

void hay_sentences(char *buf, size_t n, uint64_t seed)
{
    char sentence[MAX_SENTENCE];
    for (size_t done = 0; done < n;) {
        size_t len = make_sentence(sentence, &seed);
        size_t fits = len < n - done ? len : n - done;
        memcpy(buf + done, sentence, fits);
        done += fits;
        if (fits < len)
            trail_off(buf, n);
    }
}

/* ---- questions with one answer ---- */

/* The text once the answer is given: n bytes, then again those from 'at' on. */
static uint8_t told(const uint8_t *s, size_t n, size_t at, size_t i)
{
    return i < n ? s[i] : s[at + i - n];
}

/* How often the window at 'from' occurs among the first 'end' bytes of that text; stops at 3. */
static size_t occurrences(const uint8_t *s, size_t n, size_t at, size_t from, size_t end)
{
    size_t count = 0;
    for (size_t i = 0; i + WINDOW <= end && count < 3; i++) {
        size_t same = 0;
        while (same < WINDOW && told(s, n, at, i + same) == s[from + same])
            same++;
        count += same == WINDOW;
    }
    return count;
}

/*
** Is the continuation of 'answer' tokens after the window at 'at' determined?
** Each window on the way occurs at its place and in the end, where it is asked.
*/
static bool asked_once(const uint8_t *s, size_t n, size_t at, size_t answer)
{
    size_t end = n + WINDOW + answer - 1;
    for (size_t i = 0; i < answer; i++)
        if (occurrences(s, n, at, at + i, end) != 2)
            return false;
    return true;
}

int recall_at(const uint8_t *hay, size_t n, size_t at, recall *r)
{
    if (n < RECALL_QUESTION + RECALL_ANSWER || at > n - RECALL_QUESTION - RECALL_ANSWER)
        return -1;
    if (!asked_once(hay, n, at, RECALL_ANSWER))
        return -1;
    r->at = at;
    memcpy(r->question, hay + at, RECALL_QUESTION);
    memcpy(r->answer, hay + at + RECALL_QUESTION, RECALL_ANSWER);
    return 0;
}

static size_t part_of(size_t n, double percent)
{
    double p = percent < 0 ? 0 : percent > 100 ? 100 : percent;
    return (size_t)((double)n * p / 100 + 0.5);
}

int recall_make(const uint8_t *hay, size_t n, double depth, recall *r)
{
    enum { REACH = 4096 };
    if (n < RECALL_QUESTION + RECALL_ANSWER)
        return -1;
    size_t last = n - RECALL_QUESTION - RECALL_ANSWER;
    size_t want = part_of(last, depth);
    for (size_t d = 0; d <= REACH; d++) {
        if (want + d <= last && recall_at(hay, n, want + d, r) == 0)
            return 0;
        if (d > 0 && d <= want && recall_at(hay, n, want - d, r) == 0)
            return 0;
    }
    return -1;
}

/* ---- pass keys ---- */

static const char BEFORE[] = "The pass key: ", AFTER[] = ". ";
static const char QUESTION[] = "What is the pass key: ";

enum {
    BEFORE_LEN = sizeof BEFORE - 1,
    AFTER_LEN = sizeof AFTER - 1,
    QUESTION_LEN = sizeof QUESTION - 1
};

static size_t needle_len(const char *key)
{
    return BEFORE_LEN + strlen(key) + AFTER_LEN;
}

size_t passkey_least(const char *key)
{
    return needle_len(key) + QUESTION_LEN;
}

static void repeat_text(char *buf, size_t n, const char *text, size_t text_bytes)
{
    for (size_t done = 0; done < n;) {
        size_t fits = text_bytes < n - done ? text_bytes : n - done;
        memcpy(buf + done, text, fits);
        done += fits;
    }
    if (n % text_bytes)
        trail_off(buf, n);
}

static bool sentence_starts(const char *buf, size_t i)
{
    return i == 0 || (i > 1 && (buf[i - 1] == ' ' || buf[i - 1] == '\n') && buf[i - 2] == '.');
}

/* Where the needle goes: a sentence's start a little before 'want', or a character's. */
static size_t needle_place(const char *buf, size_t n, size_t want)
{
    enum { REACH = 256 };
    for (size_t back = 0; back <= want && back <= REACH; back++)
        if (sentence_starts(buf, want - back))
            return want - back;
    while (want > 0 && want < n && (buf[want] & 0xc0) == 0x80)
        want--;
    return want;
}

static const char *wrong_request(size_t n, const passkey *p)
{
    size_t digits = strspn(p->key, "0123456789");
    if (p->key[digits] != '\0' || digits < 1 || digits > PASSKEY_MAX_KEY)
        return "the key must be 1 to 16 digits";
    if (!(p->depth >= 0 && p->depth <= 100))
        return "the depth must be 0 to 100 percent";
    if (n < passkey_least(p->key))
        return "too short for the needle and the question";
    if (p->text && p->text_bytes == 0)
        return "the haystack's text is empty";
    if (p->text && memchr(p->text, 0, p->text_bytes))
        return "the haystack's text holds a zero byte";
    return NULL;
}

const char *passkey_make(char *buf, size_t n, const passkey *p, size_t *at)
{
    const char *wrong = wrong_request(n, p);
    if (wrong)
        return wrong;
    size_t len = needle_len(p->key), body = n - len - QUESTION_LEN;
    if (p->text)
        repeat_text(buf, body, p->text, p->text_bytes);
    else
        hay_sentences(buf, body, p->seed);
    *at = needle_place(buf, body, part_of(body, p->depth));
    memmove(buf + *at + len, buf + *at, body - *at);
    char *end = mempcpy(buf + *at, BEFORE, BEFORE_LEN);
    end = mempcpy(end, p->key, strlen(p->key));
    memcpy(end, AFTER, AFTER_LEN);
    memcpy(buf + n - QUESTION_LEN, QUESTION, QUESTION_LEN);
    size_t window = *at + BEFORE_LEN - WINDOW;
    if (!asked_once((uint8_t *)buf, n - WINDOW, window, strlen(p->key)))
        return "the answer would not be unique: the key repeats itself (as 77777 does) or the "
               "haystack holds \"ey: \" or digits of the key";
    return NULL;
}
