/*
** cuda_test.c - what the host code of the cuda target promises besides bits, on the emulated GPU.
**
**   cuda_test counts WEIGHTS           memory, bytes moved, waits of the host
**   cuda_test chat WEIGHTS OUT [LIKE]  prompts, tokens and rewinds in turns: hashes, a line each;
**                                      the first that is not LIKE's ends it
**   cuda_test ends WEIGHTS             cancel; runs one after the other
**   cuda_test failures WEIGHTS [K OF]  of each kind of call the K-th fails, then every OF-th
*/
#include <math.h>
#include <string.h>
#include "e2e.h"
#include "emu_cuda.h"
#include "forecast.h"

enum { MOST = 2304, PROMPT = 300, DECODED = 5 };

static int32_t ids[MOST];
static uint64_t stream_waits, event_waits;
static char doing[64];               /* what a message begins with */

/* The linker sends the runtime's calls here. */
int __real_cudaStreamSynchronize(void *stream);
int __wrap_cudaStreamSynchronize(void *stream);
int __real_cudaEventSynchronize(void *event);
int __wrap_cudaEventSynchronize(void *event);

int __wrap_cudaStreamSynchronize(void *stream)
{
    stream_waits++;
    return __real_cudaStreamSynchronize(stream);
}

int __wrap_cudaEventSynchronize(void *event)
{
    event_waits++;
    return __real_cudaEventSynchronize(event);
}

static void check(bool good, const char *what, double a, double b)
{
    if (!good)
        die("%s%s: %.17g and %.17g", doing, what, a, b);
}

static void same(const char *what, uint64_t a, uint64_t b)
{
    check(a == b, what, (double)a, (double)b);
}

static uint64_t hash(const float *scores)
{
    const unsigned char *p = (const unsigned char *)scores;
    uint64_t h = 0xcbf29ce484222325u;            /* FNV-1a */

    for (size_t i = 0; i < (size_t)hi_the_model.vocab * sizeof *scores; i++)
        h = (h ^ p[i]) * 0x100000001b3u;
    return h;
}

/* Of the newest row, n tokens came with the last call. */
static uint64_t hash_scores(hi_run *r, int n)
{
    const float *scores = last_scores(r, n);

    if (hi_argmax(scores, hi_the_model.vocab) < 0)
        die("scores that are not finite at token %lld: %s", (long long)hi_length(r),
            hi_error_text(r));
    return hash(scores);
}

static void decode(hi_run *r, int n)
{
    for (int i = 0; i < n; i++)
        must(r, "decode", hi_decode(r, ids[hi_length(r)]));
}

/* Everything that was begun is over. */
static hi_stats settled(hi_run *r)
{
    hi_stats s;
    hi_get_stats(r, &s);
    return s;
}

/* Everything is given back. */
static void check_left(void)
{
    emu_cuda_counts c = emu_cuda_stats();

    same("blocks that are left", (uint64_t)c.blocks, 0);
    same("streams that are left", (uint64_t)c.streams, 0);
    same("events that are left", (uint64_t)c.events, 0);
}

/* ---- counts ---- */

/* Bytes to the device that hi_stats does not know: token ids; positions. Those of the embedding are
   no copies where kernels read it. */
static int64_t unseen(int64_t rows, uint64_t graphs)
{
    const hi_model *m = &hi_the_model;
    int64_t read = m->embed < 0 ? (int64_t)m->hidden * m->elt : 0;

    return rows * (int64_t)(sizeof *ids - read) + (int64_t)(8 * graphs);
}

/* Bytes of new rows of k and v, and of hidden states that wait on the host, of a prompt. */
static int64_t to_host(int n, bool prompt)
{
    const hi_model *m = &hi_the_model;
    int64_t kv = 2LL * m->layers * m->kv_heads * m->head_dim * m->elt;
    bool waits = prompt && m->hidden_on_host && n > m->rows[HI_PREFILL];

    return n * ((m->offload ? kv : 0) + (waits ? (m->panels - 1LL) * m->hidden * m->elt : 0));
}

/* hi_stats and the emulation agree; what goes back is what is new. */
static void check_moved(hi_run *r, int n, bool prompt, const hi_stats *s0,
                        const emu_cuda_counts *c0)
{
    hi_stats s = settled(r);
    emu_cuda_counts c = emu_cuda_stats();
    uint64_t graphs = c.graph_launches - c0->graph_launches;

    same("bytes to the device", c.h2d_bytes - c0->h2d_bytes,
         (uint64_t)(s.h2d_bytes - s0->h2d_bytes + unseen(n, graphs)));
    same("bytes to the host", c.d2h_bytes - c0->d2h_bytes, (uint64_t)(s.d2h_bytes - s0->d2h_bytes));
    same("new rows", (uint64_t)(s.d2h_bytes - s0->d2h_bytes), (uint64_t)to_host(n, prompt));
    same("allocations", c.device_allocations + c.host_allocations + c.registrations,
         c0->device_allocations + c0->host_allocations + c0->registrations);
    check(s.stall_s >= s0->stall_s && s.stall_s < 3600, "stall", s.stall_s, s0->stall_s);
    check(s.link_s >= s0->link_s && s.link_s < 3600, "link", s.link_s, s0->link_s);
    check(s.h2d_bytes == s0->h2d_bytes || s.link_s > s0->link_s, "link", s.link_s, s0->link_s);
}

/* But for the rounding of logarithms. */
static void near(const char *what, double a, double b)
{
    check(fabs(a - b) <= 1e-9 * b, what, a, b);
}

static bool in_table(int n)
{
    for (int i = 0; i < hi_the_model.n_forecasts; i++)
        if (hi_the_model.forecast[i].tokens == n)
            return true;
    return false;
}

/* A prompt at the beginning: the plan's bytes; the host waits for passes behind the one it is at,
   and for the last. */
static void check_prompt(hi_run *r, int n)
{
    const hi_model *m = &hi_the_model;
    hi_stats s0 = settled(r);
    emu_cuda_counts c0 = emu_cuda_stats();
    hi_forecast f = forecast_at(m, n);

    int chunks = (n - 1) / m->rows[HI_PREFILL] + 1;
    stream_waits = event_waits = 0;
    feed(r, ids, n);
    same("waits for streams", stream_waits, 1);
    same("waits for events", event_waits, (uint64_t)chunks * (uint64_t)m->panels);
    check_moved(r, n, true, &s0, &c0);
    hi_stats s = settled(r);
    if (in_table(n)) {
        near("forecast to the device", f.prefill_in, (double)(s.h2d_bytes - s0.h2d_bytes));
        near("forecast to the host", f.prefill_out, (double)(s.d2h_bytes - s0.d2h_bytes));
    }
}

static void check_tokens(hi_run *r)
{
    for (int i = 0; i < DECODED; i++) {
        hi_stats s0 = settled(r);
        emu_cuda_counts c0 = emu_cuda_stats();
        stream_waits = event_waits = 0;
        decode(r, 1);
        same("waits for streams", stream_waits, 1);
        same("waits for events", event_waits, 0);
        check_moved(r, 1, false, &s0, &c0);
    }
}

/* As few rows as are resident: nothing comes to the device. */
static void check_short(hi_run *r)
{
    const hi_model *m = &hi_the_model;
    int64_t n = m->rows[HI_PREFILL];

    for (int i = 0; i < m->layers; i++)
        n = m->layer[i].resident[HI_PREFILL] < n ? m->layer[i].resident[HI_PREFILL] : n;
    if (n < 1 || m->weight_slots > 0 || m->embed < 0)
        return;
    hi_stats s0 = settled(r);
    feed(r, ids, (int)n);
    decode(r, 1);
    same("bytes to the device", (uint64_t)(settled(r).h2d_bytes - s0.h2d_bytes), 0);
    must(r, "rewind", hi_rewind(r, 0));
}

static void counts(const hi_options *o)
{
    const hi_model *m = &hi_the_model;
    hi_run *r = open_run(o);
    emu_cuda_counts c = emu_cuda_stats();

    same("device memory", c.peak_device_bytes, (uint64_t)m->arena_bytes);
    same("allocations on the device", c.device_allocations, 1);
    same("registrations", c.registrations, m->host_bytes > 0);
    same("note", strlen(hi_note(r)), 0);
    for (int i = 0; i < m->n_forecasts && m->forecast[i].tokens <= 2 * PROMPT; i++) {
        check_prompt(r, (int)m->forecast[i].tokens);
        must(r, "rewind", hi_rewind(r, 0));
    }
    check_short(r);
    check_prompt(r, PROMPT);
    decode(r, 1);                    /* with the change of layout */
    check_tokens(r);
    same("device memory", emu_cuda_stats().peak_device_bytes, (uint64_t)m->arena_bytes);
    hi_close(r);
    check_left();
}

/* ---- chat ---- */

typedef struct talk {
    hi_run *r;
    FILE *out, *like;                /* like: NULL, or lines that are to come */
} talk;

static void say(const talk *t, int n)
{
    char line[64], want[64];

    snprintf(line, sizeof line, "%lld %016llx\n", (long long)hi_length(t->r),
             (unsigned long long)hash_scores(t->r, n));
    fputs(line, t->out);
    if (t->like != NULL && (fgets(want, sizeof want, t->like) == NULL || strcmp(line, want) != 0))
        die("other scores: %s", line);
}

static void prompt(const talk *t, int n)
{
    feed(t->r, ids + hi_length(t->r), n);
    say(t, n);
}

static void tokens(const talk *t, int n)
{
    for (int i = 0; i < n; i++) {
        decode(t->r, 1);
        say(t, 1);
    }
}

static void back_to(const talk *t, int64_t length)
{
    must(t->r, "rewind", hi_rewind(t->r, length));
}

static void talk_all(const talk *t)
{
    static const int back[] = { 1, 33, 0, 130, 129, 100 };

    prompt(t, 3);
    tokens(t, 5);
    prompt(t, 240);
    tokens(t, 10);                   /* across a split */
    prompt(t, 33);
    tokens(t, 5);
    for (size_t i = 0; i < sizeof back / sizeof *back; i++) {
        back_to(t, hi_length(t->r) - back[i]);
        prompt(t, 1 + back[i] / 2);
        tokens(t, 2);
    }
    prompt(t, 508 - (int)hi_length(t->r));
    tokens(t, 10);                   /* across a split and a tile */
    back_to(t, 300);                 /* to another tile than the tokens before */
    tokens(t, 2);
    back_to(t, 254);
    tokens(t, 4);
    prompt(t, 780 - (int)hi_length(t->r));       /* the ring is full */
    tokens(t, 2);
    back_to(t, 0);
    tokens(t, 2);
}

static void chat(const hi_options *o, const char *path, const char *like)
{
    talk t = { open_run(o), fopen(path, "w"), like != NULL ? fopen(like, "r") : NULL };

    if (t.out == NULL || (like != NULL && t.like == NULL))
        die("%s: cannot open", t.out == NULL ? path : like);
    talk_all(&t);
    if (fclose(t.out) != 0)
        die("%s: cannot write", path);
    if (t.like != NULL)
        fclose(t.like);
    hi_close(t.r);
    check_left();
}

/* ---- ends ---- */

static void stop(void *arg, hi_run *r, const hi_pass *p)
{
    if (p->chunk + 1 == *(int *)arg)
        hi_cancel(r);
}

static void ends(const hi_options *o)
{
    uint64_t first = 0;

    for (int i = 0; i < 3; i++) {
        hi_run *r = open_run(o);
        feed(r, ids, PROMPT);
        uint64_t now = hash_scores(r, PROMPT);
        check(i == 0 || now == first, "scores of runs one after the other", (double)now,
              (double)first);
        first = now;
        int chunk = 2;
        hi_set_watch(r, stop, &chunk);
        if (hi_prefill(r, ids, PROMPT) == 0 || strcmp(hi_error_text(r), "cancelled") != 0)
            die("a cancelled prompt ends with '%s'", hi_error_text(r));
        if (hi_prefill(r, ids, 1) == 0 || hi_decode(r, 1) == 0 || hi_rewind(r, 0) == 0)
            die("a cancelled run goes on");
        hi_close(r);
        check_left();
    }
    hi_run *r = open_run(o);         /* closed in the middle of copies */
    feed(r, ids, PROMPT);
    decode(r, 1);
    hi_close(r);
    check_left();
}

/* ---- failures ---- */

/* A message that names CUDA's words or what is wrong with the machine. */
static bool is_clear(const char *text)
{
    return strstr(text, "CUDA, ") || strstr(text, "cuBLASLt") || strstr(text, "no NVIDIA GPU") ||
           strstr(text, "of device memory");
}

/* All that a run does; the hash of what it gives, or 0 with the message. */
static uint64_t whole_run(const hi_options *o, char *text, size_t n, int *code)
{
    hi_run *r = hi_open(&hi_the_model, o, code, text, n);
    uint64_t h = 0;

    if (r == NULL)
        return 0;
    *code = 1;
    if (hi_prefill(r, ids, PROMPT) == 0 && hi_decode(r, 1) == 0 && hi_decode(r, 2) == 0) {
        const float *scores = last_scores(r, 1);
        bool finite = hi_argmax(scores, hi_the_model.vocab) >= 0;
        h = finite ? hash(scores) : 0;
        *code = finite ? 0 : 1;
    }
    snprintf(text, n, "%s", hi_error_text(r));
    hi_close(r);
    return h;
}

/* A run in which the n-th thing of that kind fails. False: there is no n-th. */
static bool fails_well(const hi_options *o, const char *kind, int n, uint64_t good)
{
    char failure[64], text[4096] = "";
    int code = 0;

    emu_cuda_reset();
    snprintf(failure, sizeof failure, "%s:%d", kind, n);
    snprintf(doing, sizeof doing, "%.50s fails: ", failure);
    emu_cuda_fail(failure);
    uint64_t h = whole_run(o, text, sizeof text, &code);
    bool there = emu_cuda_failed();
    if (h != 0 && h != good)
        die("%sother scores and no message", doing);
    if (h == 0 && !is_clear(text))
        die("%sthe message is '%s'", doing, text);
    if (h == 0 && code != 1 && (code != 3 || !strstr(text, "of device memory")))
        die("%sthe exit code is %d: %s", doing, code, text);
    check_left();
    return there;
}

static void failures(const hi_options *o, int from, int of)
{
    static const char *const RARE[] = { "cudaMalloc", "cudaHostAlloc", "cudaMemGetInfo",
                                        "cudaLibraryLoadData", "cudaStreamCreateWithFlags" };
    static const char *const OFTEN[] = { "cublasLtMatmul", "launch", "copy", "cudaLaunchKernel",
                                         "cudaMemcpyAsync", "cudaMemcpy2DAsync", "cudaGraphLaunch",
                                         "cudaStreamBeginCapture", "cudaStreamEndCapture",
                                         "cudaGraphInstantiate", "cudaStreamSynchronize",
                                         "cudaEventSynchronize", "cudaEventQuery",
                                         "cudaEventElapsedTime", "cudaHostRegister" };
    char text[4096] = "";
    int code;
    uint64_t good = whole_run(o, text, sizeof text, &code);
    uint64_t calls = emu_cuda_stats().calls;

    check(good != 0, text, 0, 0);
    for (size_t i = 0; i < sizeof RARE / sizeof *RARE; i++)
        for (int n = 1; fails_well(o, RARE[i], n, good);)
            n++;
    for (size_t i = 0; i < sizeof OFTEN / sizeof *OFTEN; i++)
        for (int n = from; fails_well(o, OFTEN[i], n, good) && of > 0;)
            n += of;
    for (int n = from; (uint64_t)n <= calls && fails_well(o, "any", n, good) && of > 0;)
        n += 10 * of;
}

/* ---- all ---- */

int main(int argc, char **argv)
{
    hi_options o = { .weights = argc > 2 ? argv[2] : "" };

    if (argc < 3)
        die("usage: cuda_test counts|chat|ends|failures WEIGHTS [..]");
    for (int i = 0; i < MOST; i++)
        ids[i] = (int32_t)((uint64_t)i * 2654435761u % (uint64_t)hi_the_model.vocab);
    if (strcmp(argv[1], "counts") == 0)
        counts(&o);
    else if (strcmp(argv[1], "chat") == 0 && argc > 3)
        chat(&o, argv[3], argc > 4 ? argv[4] : NULL);
    else if (strcmp(argv[1], "ends") == 0)
        ends(&o);
    else if (strcmp(argv[1], "failures") == 0)
        failures(&o, argc > 3 ? atoi(argv[3]) : 1, argc > 4 ? atoi(argv[4]) : 0);
    else
        die("%s: is nothing to do", argv[1]);
    return 0;
}
