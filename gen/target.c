/*
** target.c - the targets: a row each.
*/
#include "target.h"

const hi_target TARGET[N_TARGETS] = {
    [TARGET_CPU] = {
        .name = "cpu",
        .piece = 8192,               /* 32 splits of 8 heads: work enough for 64 threads */
        .f32 = true,
        .quantised = true,
        .head_dim_step = 1,
        .most_head_dim = 1 << 16,
        .width_step = 1,
        .file = { { "cpu/CMakeLists.txt", "CMakeLists.txt" } },
    },
    [TARGET_CUDA] = {
        .name = "cuda",
        .work_bytes = 8 << 20,
        .piece = 32768,              /* 128 splits of 8 heads: blocks enough for any GPU */
        .head_dim_step = 16,         /* mma.sync takes 16 columns */
        .most_head_dim = 256,        /* registers */
        .width_step = 8,             /* rows of 16-byte chunks */
        .file = { { "cuda/CMakeLists.txt", "CMakeLists.txt" } },
    },
};

const char *const TARGET_WORDS[] = { "cpu", "cuda", NULL };

hi_target_id target_default(const hi_machine *m, const hi_request *q)
{
    bool cpu = q->numerics == NUM_F32 || q->weights_type != WEIGHTS_STORED;

    return m->shared || cpu ? TARGET_CPU : TARGET_CUDA;
}

static int check_width(const hi_spec *s, const char *field, int value, int step, int most,
                       hi_error *e)
{
    if (value % step == 0 && value <= most)
        return 0;
    return gen_fail(e,
                    "%s: %s = %d: the cuda target takes multiples of %d, at most %d; generate with "
                    "--target cpu",
                    s->path, field, value, step, most);
}

int target_check(const hi_spec *s, const hi_request *q, hi_error *e)
{
    const hi_target *t = &TARGET[q->target];
    int most = 1 << 30;

    if (q->numerics == NUM_F32 && !t->f32)
        return gen_fail(e, "--numerics f32: the %s target computes in bf16; add --target cpu",
                        t->name);
    if (q->weights_type != WEIGHTS_STORED && !t->quantised)
        return gen_fail(e, "--weights-type %s: the %s target computes with weights as stored; add "
                           "--target cpu",
                        WEIGHTS_WORDS[q->weights_type], t->name);
    if (check_width(s, "head_dim", s->head_dim, t->head_dim_step, t->most_head_dim, e) != 0 ||
        check_width(s, "hidden", s->hidden, t->width_step, most, e) != 0)
        return -1;
    return check_width(s, "ffn", s->ffn, t->width_step, most, e);
}
