/*
** test_cudart.c - the emulated CUDA runtime: right programs give right results in every order that
** it takes, wrong ones do not.
*/
#include <pthread.h>
#include "test_cudart.h"

enum { SEEDS = 24, ORDERS = SEEDS + 3 };

/* Order i of ORDERS: late, lazy, eager, then random ones. */
static void use_order(int i)
{
    static const emu_cuda_mode fixed[] = { EMU_LATE, EMU_LAZY, EMU_EAGER };
    emu_cuda_schedule(i < 3 ? fixed[i] : EMU_RANDOM, (uint64_t)i);
}

/* ---- a pipeline: one slot, filled by one stream, used by another, results by a third ---- */

enum { ROUNDS = 4, FILLED = 1, FREE = 2, DONE = 4, TAKEN = 8, ALL = 15 };

/* Are all results right if the program waits only for the events of 'waits'? */
static bool pipeline(int waits)
{
    cudaStream_t in = stream(), compute = stream(), out = stream();
    cudaEvent_t filled = event(), used = event(), done = event(), taken = event();
    float *x = device(), *y = device(), *src[ROUNDS], *dst[ROUNDS];
    cudaKernel_t k = kernel();
    bool right = true;

    for (int i = 0; i < ROUNDS; i++) {
        src[i] = pinned((float)i);
        dst[i] = pinned(-1);
        if (waits & FREE)
            ok(cudaStreamWaitEvent(in, used, 0));
        put(x, src[i], in);
        ok(cudaEventRecord(filled, in));
        if (waits & FILLED)
            ok(cudaStreamWaitEvent(compute, filled, 0));
        if (waits & TAKEN)
            ok(cudaStreamWaitEvent(compute, taken, 0));
        add(k, y, x, 100, compute);
        ok(cudaEventRecord(used, compute));
        ok(cudaEventRecord(done, compute));
        if (waits & DONE)
            ok(cudaStreamWaitEvent(out, done, 0));
        get(dst[i], y, out);
        ok(cudaEventRecord(taken, out));
    }
    ok(cudaStreamSynchronize(out));
    for (int i = 0; i < ROUNDS; i++)
        right = right && all_are(dst[i], 100 + (float)i);
    return right;
}

static int right_orders(int waits)
{
    int n = 0;

    for (int i = 0; i < ORDERS; i++) {
        emu_cuda_reset();
        use_order(i);
        n += pipeline(waits);
    }
    assert_int_equal(faults, 0);
    return n;
}

static void with_all_waits_every_order_is_right(void **state)
{
    (void)state;
    assert_int_equal(right_orders(ALL), ORDERS);
}

/* Eager hides everything. Of the others at least one fixed order, and half of the random ones. */
static void every_missing_wait_is_noticed(void **state)
{
    (void)state;
    for (int missing = 1; missing < ALL; missing *= 2)
        assert_true(right_orders(ALL & ~missing) < 2 + SEEDS / 2);
}

static void late_and_lazy_notice_what_they_are_for(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        int missing[2][2] = { { FREE, TAKEN }, { FILLED, DONE } };
        for (int j = 0; j < 2; j++) {
            emu_cuda_reset();
            use_order(i);
            assert_false(pipeline(ALL & ~missing[i][j]));
        }
    }
}

/* ---- random programs: every order is a legal one ---- */

enum { OPS = 60, STREAMS = 4 };

typedef struct entry {
    int id;
    int *log, *n;
} entry;

static void log_entry(void *data)
{
    entry *e = data;
    e->log[(*e->n)++] = e->id;
}

/* Operation i runs in stream[i], after the operations before[i][..]. */
static void check_log(const int *log, const int *on, bool before[OPS][OPS])
{
    int when[OPS];

    for (int i = 0; i < OPS; i++)
        when[log[i]] = i;
    for (int i = 0; i < OPS; i++)
        for (int j = 0; j < i; j++)
            if (on[i] == on[j] || before[i][j])
                assert_true(when[j] < when[i]);
}

static void random_program(unsigned seed, int *log)
{
    int on[OPS], n = 0, last[STREAMS] = { -1, -1, -1, -1 };
    bool before[OPS][OPS] = { { false } };
    entry entries[OPS];
    cudaStream_t s[STREAMS];
    cudaEvent_t e = event();

    srand(seed);
    for (int i = 0; i < STREAMS; i++)
        s[i] = stream();
    for (int i = 0; i < OPS; i++) {
        int of = rand() % STREAMS;
        on[i] = rand() % STREAMS;
        if (rand() % 2) {
            ok(cudaEventRecord(e, s[of]));
            ok(cudaStreamWaitEvent(s[on[i]], e, 0));
            if (last[of] >= 0)
                before[i][last[of]] = true;
        }
        entries[i] = (entry){ i, log, &n };
        ok(cudaLaunchHostFunc(s[on[i]], log_entry, &entries[i]));
        last[on[i]] = i;
    }
    ok(cudaDeviceSynchronize());
    assert_int_equal(n, OPS);
    check_log(log, on, before);
}

static void random_programs_run_in_legal_orders(void **state)
{
    int log[OPS];

    (void)state;
    for (int i = 0; i < ORDERS; i++)
        for (unsigned seed = 0; seed < 10; seed++) {
            emu_cuda_reset();
            use_order(i);
            random_program(seed, log);
        }
}

static void a_seed_is_an_order(void **state)
{
    int a[OPS], b[OPS], c[OPS];

    (void)state;
    emu_cuda_schedule(EMU_RANDOM, 7);
    random_program(1, a);
    emu_cuda_reset();
    emu_cuda_schedule(EMU_RANDOM, 7);
    random_program(1, b);
    emu_cuda_reset();
    emu_cuda_schedule(EMU_RANDOM, 8);
    random_program(1, c);
    assert_memory_equal(a, b, sizeof a);
    assert_memory_not_equal(a, c, sizeof a);
}

/* ---- host memory under way ---- */

static void a_source_that_changes_too_early_shows(void **state)
{
    cudaStream_t s = stream();
    float *src = pinned(1), *dst = pinned(0), *x = device();

    (void)state;
    emu_cuda_schedule(EMU_LAZY, 1);
    put(x, src, s);
    emu_cuda_check_host(src, 4);
    assert_non_null(strstr(fault, "copy to the device"));
    src[0] = 2;
    get(dst, x, s);
    assert_true(all_are(dst, 0));
    ok(cudaStreamSynchronize(s));
    assert_false(all_are(dst, 1));
    faults = 0;
    emu_cuda_check_host(src, BYTES);
    assert_int_equal(faults, 0);
}

static void kernels_count_where_their_pointers_point(void **state)
{
    cudaStream_t s = stream();
    float *x = pinned(1), *y = device();

    (void)state;
    emu_cuda_schedule(EMU_LAZY, 1);
    add(kernel(), y, x, 1, s);
    emu_cuda_check_host(x, BYTES);
    refused(cudaErrorUnknown, "t_add");
}

static void pageable_sources_are_staged(void **state)
{
    cudaStream_t s = stream();
    float src[N] = { 5 }, dst[N] = { 0 }, *x = device();

    (void)state;
    emu_cuda_schedule(EMU_LAZY, 1);
    put(x, src, s);
    src[0] = 6;
    get(dst, x, s);                  /* returns when it is there */
    assert_true(dst[0] == 5);
    assert_int_equal(emu_cuda_stats().pageable_copies, 2);
    setenv("CUDA_EMU_PAGEABLE", "0", 1);
    emu_cuda_reset();
    s = stream();
    x = device();
    refused(cudaMemcpyAsync(x, src, BYTES, cudaMemcpyHostToDevice, s), "not pinned");
    unsetenv("CUDA_EMU_PAGEABLE");
}

/* cudaMemcpy from pageable memory may return before the device has it. */
static void a_blocking_copy_is_in_no_order_with_other_streams(void **state)
{
    float src[N] = { 5 }, *dst = pinned(0), *x = device();
    cudaStream_t s = stream();

    (void)state;
    emu_cuda_schedule(EMU_LAZY, 1);
    ok(cudaMemcpy(x, src, BYTES, cudaMemcpyHostToDevice));
    get(dst, x, s);
    ok(cudaStreamSynchronize(s));
    assert_true(dst[0] != 5);
    ok(cudaDeviceSynchronize());
    get(dst, x, s);
    ok(cudaStreamSynchronize(s));
    assert_true(dst[0] == 5);
    get(dst, x, s);
    refused(cudaMemcpy(x, dst, BYTES, cudaMemcpyHostToDevice), "queued work");
}

static void blocking_streams_and_the_null_stream_wait_for_each_other(void **state)
{
    (void)state;
    for (int i = 0; i < ORDERS; i++) {
        cudaStream_t s;
        float *src = pinned(3), *dst = pinned(0), *x = device();
        use_order(i);
        ok(cudaStreamCreate(&s));
        put(x, src, s);
        ok(cudaMemcpy(dst, x, BYTES, cudaMemcpyDeviceToHost));
        assert_true(all_are(dst, 3));
        ok(cudaMemsetAsync(x, 0, BYTES, NULL));
        get(dst, x, s);
        ok(cudaStreamSynchronize(s));
        assert_true(all_are(dst, 0));
        emu_cuda_reset();
    }
}

static void copies_in_planes(void **state)
{
    cudaStream_t s = stream();
    unsigned char *src = (unsigned char *)pinned(0), *dst = (unsigned char *)pinned(0);
    unsigned char *x = (unsigned char *)device();

    (void)state;
    for (int i = 0; i < (int)BYTES; i++)
        src[i] = (unsigned char)i;
    ok(cudaMemset2DAsync(x, 16, 7, 8, 4, s));
    ok(cudaMemcpy2DAsync(x, 16, src, 32, 3, 4, cudaMemcpyHostToDevice, s));
    ok(cudaMemcpy2DAsync(dst, 8, x, 16, 8, 4, cudaMemcpyDefault, s));
    ok(cudaStreamSynchronize(s));
    for (int row = 0; row < 4; row++)
        for (int i = 0; i < 8; i++)
            assert_int_equal(dst[8 * row + i], i < 3 ? 32 * row + i : 7);
    emu_cuda_counts c = emu_cuda_stats();
    assert_int_equal(c.h2d_bytes, 12);
    assert_int_equal(c.d2h_bytes, 32);
    assert_int_equal(c.copies, 2);
}

static void fresh_memory_is_nan(void **state)
{
    cudaStream_t s = stream();
    float *dst = pinned(0), *x = device();

    (void)state;
    get(dst, x, s);
    ok(cudaStreamSynchronize(s));
    for (int i = 0; i < N; i++)
        assert_true(dst[i] != dst[i]);
}

/* ---- events ---- */

/* The wait is for the first record: were it for the second, the two streams would wait for each
   other. */
static void an_event_recorded_anew_leaves_waits_alone(void **state)
{
    cudaStream_t a = stream(), b = stream();
    cudaEvent_t e = event(), f = event();
    float *one = pinned(1), *two = pinned(2), *dst = pinned(0), *x = device(), *y = device();

    (void)state;
    emu_cuda_schedule(EMU_LAZY, 1);
    put(x, one, a);
    ok(cudaEventRecord(e, a));
    put(y, one, a);                  /* the event is before it */
    ok(cudaStreamWaitEvent(b, e, 0));
    get(dst, x, b);
    ok(cudaEventRecord(f, b));
    ok(cudaStreamWaitEvent(a, f, 0));
    put(x, two, a);
    ok(cudaEventRecord(e, a));
    ok(cudaStreamSynchronize(b));
    assert_true(all_are(dst, 1));
    assert_int_equal(emu_cuda_stats().queued, 2);
    ok(cudaEventSynchronize(e));
    assert_int_equal(emu_cuda_stats().queued, 0);
}

static void an_event_never_recorded_holds_nothing(void **state)
{
    cudaStream_t s = stream();
    cudaEvent_t e = event();

    (void)state;
    ok(cudaStreamWaitEvent(s, e, 0));
    ok(cudaEventQuery(e));
    ok(cudaEventSynchronize(e));
    ok(cudaStreamSynchronize(s));
}

static void a_destroyed_event_still_holds(void **state)
{
    cudaStream_t a = stream(), b = stream();
    cudaEvent_t e = event();
    float *src = pinned(4), *dst = pinned(0), *x = device();

    (void)state;
    emu_cuda_schedule(EMU_LAZY, 1);
    put(x, src, a);
    ok(cudaEventRecord(e, a));
    ok(cudaStreamWaitEvent(b, e, 0));
    ok(cudaEventDestroy(e));
    get(dst, x, b);
    ok(cudaStreamDestroy(a));
    ok(cudaStreamSynchronize(b));
    assert_true(all_are(dst, 4));
    refused(cudaEventRecord(e, b), "destroyed");
    refused(cudaStreamSynchronize(a), "destroyed");
}

static void questions_come_to_an_end(void **state)
{
    (void)state;
    for (int i = 0; i < ORDERS; i++) {
        cudaStream_t s = stream(), other = stream();
        float *src = pinned(1), *x = device(), *y = device();
        cudaEvent_t e = event();
        int asked = 0;
        use_order(i);
        for (int j = 0; j < 10; j++) {
            put(x, src, s);
            put(y, src, other);
        }
        ok(cudaEventRecord(e, s));
        while (cudaEventQuery(e) == cudaErrorNotReady)
            assert_true(++asked < 100);
        while (cudaStreamQuery(other) == cudaErrorNotReady)
            assert_true(++asked < 100);
        ok(cudaGetLastError());
        emu_cuda_reset();
    }
}

static void time_passes_with_bytes(void **state)
{
    cudaEvent_t a, b, c;
    cudaStream_t s = stream();
    float *src = pinned(1), *x = device(), one, all;

    (void)state;
    emu_cuda_schedule(EMU_LAZY, 1);
    ok(cudaEventCreate(&a));
    ok(cudaEventCreate(&b));
    ok(cudaEventCreate(&c));
    ok(cudaEventRecord(a, s));
    put(x, src, s);
    ok(cudaEventRecord(b, s));
    put(x, src, s);
    ok(cudaEventRecord(c, s));
    ok(cudaEventSynchronize(b));
    ok(cudaEventElapsedTime(&one, a, b));
    assert_int_equal(cudaEventElapsedTime(&all, a, c), cudaErrorNotReady);
    ok(cudaEventSynchronize(c));
    ok(cudaEventElapsedTime(&all, a, c));
    assert_true(one > 0 && all > one);
    ok(cudaEventRecord(b, s));
    ok(cudaEventRecord(c, s));
    put(x, src, s);
    ok(cudaEventRecord(b, s));       /* which is not over when c is */
    ok(cudaEventSynchronize(c));
    assert_int_equal(cudaEventElapsedTime(&one, a, b), cudaErrorNotReady);
    refused(cudaEventElapsedTime(&all, a, event()), "time between");
}

/* ---- graphs ---- */

/* Records x -> y = x + 1 -> dst, with the copy in a second stream that joins and is joined. */
static cudaGraph_t record(cudaKernel_t k, float *dst, float *x, const float *src, float *y,
                          float by)
{
    cudaStream_t a = stream(), b = stream();
    cudaEvent_t fork = event(), join = event();
    cudaGraph_t g;

    ok(cudaStreamBeginCapture(a, cudaStreamCaptureModeGlobal));
    ok(cudaEventRecord(fork, a));
    ok(cudaStreamWaitEvent(b, fork, 0));
    put(x, src, b);
    ok(cudaEventRecord(join, b));
    ok(cudaMemsetAsync(y, 0, BYTES, a));
    ok(cudaStreamWaitEvent(a, join, 0));
    add(k, y, x, by, a);
    get(dst, y, a);
    ok(cudaStreamEndCapture(a, &g));
    return g;
}

static void a_graph_replays(void **state)
{
    (void)state;
    for (int i = 0; i < ORDERS; i++) {
        cudaStream_t s = stream();
        float *src = pinned(1), *dst = pinned(0), *x = device(), *y = device();
        cudaKernel_t k = kernel();
        cudaGraphExecUpdateResultInfo info;
        cudaGraphExec_t exec;
        use_order(i);
        cudaGraph_t g = record(k, dst, x, src, y, 10), h = record(k, dst, x, src, y, 20);
        assert_int_equal(emu_cuda_stats().copies, 0);
        ok(cudaGraphInstantiate(&exec, g, 0));
        ok(cudaGraphDestroy(g));
        for (int round = 1; round < 4; round++) {
            src[0] = (float)round;
            ok(cudaGraphLaunch(exec, s));
            if (round == 2) {        /* counts from the next launch on */
                ok(cudaGraphExecUpdate(exec, h, &info));
                ok(cudaGraphDestroy(h));
            }
            ok(cudaStreamSynchronize(s));
            assert_true(dst[0] == (float)round + (round < 3 ? 10 : 20));
        }
        ok(cudaGraphExecDestroy(exec));
        emu_cuda_reset();
    }
}

static void other_graphs_are_no_updates(void **state)
{
    cudaStream_t s = stream();
    float *src = pinned(1), *x = device();
    cudaGraph_t g[2];
    cudaGraphExec_t exec;
    cudaGraphExecUpdateResultInfo info;

    (void)state;
    for (int i = 0; i < 2; i++) {
        ok(cudaStreamBeginCapture(s, cudaStreamCaptureModeRelaxed));
        for (int j = 0; j <= i; j++)
            put(x, src, s);
        ok(cudaStreamEndCapture(s, &g[i]));
    }
    ok(cudaGraphInstantiate(&exec, g[0], 0));
    assert_int_equal(cudaGraphExecUpdate(exec, g[1], &info), cudaErrorGraphExecUpdateFailure);
    assert_int_equal(info.result, cudaGraphExecUpdateErrorTopologyChanged);
}

/* Without the join the branches of a graph run in any order. */
static void branches_of_a_graph_are_in_no_order(void **state)
{
    int orders[2] = { 0, 0 };

    (void)state;
    for (int i = 0; i < ORDERS; i++) {
        cudaStream_t a = stream(), b = stream();
        cudaEvent_t fork = event(), join = event();
        int log[2], n = 0;
        entry first = { 0, log, &n }, second = { 1, log, &n };
        cudaGraph_t g;
        cudaGraphExec_t exec;
        use_order(i);
        ok(cudaStreamBeginCapture(a, cudaStreamCaptureModeGlobal));
        ok(cudaEventRecord(fork, a));
        ok(cudaStreamWaitEvent(b, fork, 0));
        ok(cudaLaunchHostFunc(a, log_entry, &first));
        ok(cudaLaunchHostFunc(b, log_entry, &second));
        ok(cudaEventRecord(join, b));
        ok(cudaStreamWaitEvent(a, join, 0));
        ok(cudaStreamEndCapture(a, &g));
        ok(cudaGraphInstantiate(&exec, g, 0));
        ok(cudaGraphLaunch(exec, a));
        ok(cudaStreamSynchronize(a));
        orders[log[0]]++;
        emu_cuda_reset();
    }
    assert_true(orders[0] > 2 && orders[1] > 2);
}

/* One graph in two streams: its launches follow each other. */
static void launches_of_a_graph_do_not_overlap(void **state)
{
    (void)state;
    for (int i = 0; i < ORDERS; i++) {
        cudaStream_t a = stream(), b = stream();
        float *x = pinned(0), *y = device(), *z = pinned(0);
        cudaKernel_t k = kernel();
        cudaGraph_t g;
        cudaGraphExec_t exec;
        use_order(i);
        ok(cudaStreamBeginCapture(a, cudaStreamCaptureModeGlobal));
        add(k, y, x, 1, a);
        get(z, y, a);
        add(k, x, z, 0, a);
        ok(cudaStreamEndCapture(a, &g));
        ok(cudaGraphInstantiate(&exec, g, 0));
        for (int j = 0; j < 6; j++)
            ok(cudaGraphLaunch(exec, j % 2 ? a : b));
        ok(cudaDeviceSynchronize());
        assert_true(all_are(x, 6));
        emu_cuda_reset();
    }
}

static void what_cannot_be_recorded_is_refused(void **state)
{
    cudaStream_t a = stream(), b = stream();
    cudaEvent_t before = event(), in = event();
    float *x = device(), plain[N] = { 0 }, *src = pinned(0);
    void *p;
    cudaGraph_t g;

    (void)state;
    ok(cudaEventRecord(before, b));
    ok(cudaStreamBeginCapture(a, cudaStreamCaptureModeGlobal));
    refused(cudaStreamSynchronize(a), "records");
    refused(cudaDeviceSynchronize(), "recording");
    refused(cudaMalloc(&p, 16), "recording");
    refused(cudaMemcpyAsync(x, plain, BYTES, cudaMemcpyHostToDevice, a), "recording");
    refused(cudaStreamWaitEvent(a, before, 0), "outside");
    refused(cudaStreamEndCapture(b, &g), "begin");
    ok(cudaEventRecord(in, a));
    refused(cudaEventSynchronize(in), "recording");
    ok(cudaStreamWaitEvent(b, in, 0));
    put(x, src, b);
    refused(cudaStreamEndCapture(a, &g), "joined");
    assert_null(g);
    refused(cudaStreamWaitEvent(b, in, 0), "over");
    ok(cudaStreamSynchronize(a));
}

/* ---- several host threads ---- */

static void *worker(void *result)
{
    cudaStream_t s = stream();
    float *src = pinned(0), *x = device();
    bool *right = result;

    *right = true;
    for (int i = 0; i < 50; i++) {
        src[0] = (float)i;
        put(x, src, s);
        ok(cudaStreamSynchronize(s));
        src[0] = -1;
        get(src, x, s);
        ok(cudaStreamSynchronize(s));
        *right = *right && src[0] == (float)i;
    }
    return NULL;
}

static void threads_may_call(void **state)
{
    pthread_t t[3];
    bool right[3];

    (void)state;
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&t[i], NULL, worker, &right[i]), 0);
    for (int i = 0; i < 3; i++) {
        pthread_join(t[i], NULL);
        assert_true(right[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(with_all_waits_every_order_is_right),
        T(every_missing_wait_is_noticed),
        T(late_and_lazy_notice_what_they_are_for),
        T(random_programs_run_in_legal_orders),
        T(a_seed_is_an_order),
        T(a_source_that_changes_too_early_shows),
        T(kernels_count_where_their_pointers_point),
        T(pageable_sources_are_staged),
        T(a_blocking_copy_is_in_no_order_with_other_streams),
        T(blocking_streams_and_the_null_stream_wait_for_each_other),
        T(copies_in_planes),
        T(fresh_memory_is_nan),
        T(an_event_recorded_anew_leaves_waits_alone),
        T(an_event_never_recorded_holds_nothing),
        T(a_destroyed_event_still_holds),
        T(questions_come_to_an_end),
        T(time_passes_with_bytes),
        T(a_graph_replays),
        T(other_graphs_are_no_updates),
        T(branches_of_a_graph_are_in_no_order),
        T(launches_of_a_graph_do_not_overlap),
        T(what_cannot_be_recorded_is_refused),
        T(threads_may_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
