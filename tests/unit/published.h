/*
** published.h - published models in numbers: what they say, and the sizes that follow.
**
** What specs/ holds is compared with it, and what 'hi-gen import' makes of such a config.json.
** Sources: each repository's config.json, generation_config.json for the second and later eos;
** parameters as their authors count them.
*/
#ifndef PUBLISHED_H
#define PUBLISHED_H

#include <stdbool.h>
#include <stdint.h>

typedef struct published {
    const char *name, *repository, *family; /* the spec's name and family */
    int layers, hidden, heads, kv_heads, head_dim, ffn, vocab;
    double theta, norm_eps;
    int64_t ctx;
    bool tied;
    const char *rope;
    int factor, orig_ctx; /* of llama3 and longrope */
    int window[3];        /* size, first, every */
    int attn_cap, final_cap, score_scale;
    int dual_chunk;
    int bos, eos[4]; /* eos: 0 ends them */
    int64_t params;
    double gib; /* of the weights in 16 bits */
    int kv_kib; /* per token in 16 bits */
} published;

/* clang-format off */
static const published PUBLISHED[] = {
    { "llama2_7b", "meta-llama/Llama-2-7b-hf", "llama",
      32, 4096, 32, 32, 128, 11008, 32000,
      10000, 1e-5, 4096, false, "default", 0, 0, { 0, 0, 0 }, 0, 0, 0, 0,
      1, { 2 }, 6738415616, 12.55, 512 },
    { "llama3_8b", "meta-llama/Meta-Llama-3-8B", "llama",
      32, 4096, 32, 8, 128, 14336, 128256,
      500000, 1e-5, 8192, false, "default", 0, 0, { 0, 0, 0 }, 0, 0, 0, 0,
      128000, { 128001, 128009 }, 8030261248, 14.96, 128 },
    { "llama3_1_8b", "meta-llama/Llama-3.1-8B", "llama",
      32, 4096, 32, 8, 128, 14336, 128256,
      500000, 1e-5, 131072, false, "llama3", 8, 8192, { 0, 0, 0 }, 0, 0, 0, 0,
      128000, { 128001, 128008, 128009 }, 8030261248, 14.96, 128 },
    { "llama3_2_1b", "meta-llama/Llama-3.2-1B", "llama",
      16, 2048, 32, 8, 64, 8192, 128256,
      500000, 1e-5, 131072, true, "llama3", 32, 8192, { 0, 0, 0 }, 0, 0, 0, 0,
      128000, { 128001, 128008, 128009 }, 1235814400, 2.30, 32 },
    { "llama3_2_3b", "meta-llama/Llama-3.2-3B", "llama",
      28, 3072, 24, 8, 128, 8192, 128256,
      500000, 1e-5, 131072, true, "llama3", 32, 8192, { 0, 0, 0 }, 0, 0, 0, 0,
      128000, { 128001, 128008, 128009 }, 3212749824, 5.98, 112 },
    { "llama3_70b", "meta-llama/Meta-Llama-3-70B", "llama",
      80, 8192, 64, 8, 128, 28672, 128256,
      500000, 1e-5, 8192, false, "default", 0, 0, { 0, 0, 0 }, 0, 0, 0, 0,
      128000, { 128001, 128009 }, 70553706496, 131.42, 320 },
    { "llama3_8b_gradient_1048k", "gradientai/Llama-3-8B-Instruct-Gradient-1048k", "llama",
      32, 4096, 32, 8, 128, 14336, 128256,
      3580165449, 1e-5, 1048576, false, "default", 0, 0, { 0, 0, 0 }, 0, 0, 0, 0,
      128000, { 128001, 128009 }, 8030261248, 14.96, 128 },
    { "mistral_7b_v0_1", "mistralai/Mistral-7B-v0.1", "mistral",
      32, 4096, 32, 8, 128, 14336, 32000,
      10000, 1e-5, 32768, false, "default", 0, 0, { 4096, 0, 1 }, 0, 0, 0, 0,
      1, { 2 }, 7241732096, 13.49, 128 },
    { "mistral_7b_v0_2", "mistralai/Mistral-7B-Instruct-v0.2", "mistral",
      32, 4096, 32, 8, 128, 14336, 32000,
      1000000, 1e-5, 32768, false, "default", 0, 0, { 0, 0, 0 }, 0, 0, 0, 0,
      1, { 2 }, 7241732096, 13.49, 128 },
    { "mistral_7b_v0_3", "mistralai/Mistral-7B-v0.3", "mistral",
      32, 4096, 32, 8, 128, 14336, 32768,
      1000000, 1e-5, 32768, false, "default", 0, 0, { 0, 0, 0 }, 0, 0, 0, 0,
      1, { 2 }, 7248023552, 13.50, 128 },
    { "mistral_nemo", "mistralai/Mistral-Nemo-Base-2407", "mistral",
      40, 5120, 32, 8, 128, 14336, 131072,
      1000000, 1e-5, 131072, false, "default", 0, 0, { 0, 0, 0 }, 0, 0, 0, 0,
      1, { 2 }, 12247782400, 22.81, 160 },
    { "qwen2_7b", "Qwen/Qwen2-7B", "qwen2",
      28, 3584, 28, 4, 128, 18944, 152064,
      1000000, 1e-6, 131072, false, "default", 0, 0, { 0, 0, 0 }, 0, 0, 0, 0,
      151643, { 151643 }, 7615616512, 14.19, 56 },
    { "qwen2_7b_instruct", "Qwen/Qwen2-7B-Instruct", "qwen2",
      28, 3584, 28, 4, 128, 18944, 152064,
      1000000, 1e-6, 32768, false, "default", 0, 0, { 0, 0, 0 }, 0, 0, 0, 0,
      151643, { 151645, 151643 }, 7615616512, 14.19, 56 },
    { "qwen2_5_0_5b", "Qwen/Qwen2.5-0.5B", "qwen2",
      24, 896, 14, 2, 64, 4864, 151936,
      1000000, 1e-6, 32768, true, "default", 0, 0, { 0, 0, 0 }, 0, 0, 0, 0,
      151643, { 151643, 151645 }, 494032768, 0.92, 12 },
    { "qwen2_5_1_5b", "Qwen/Qwen2.5-1.5B", "qwen2",
      28, 1536, 12, 2, 128, 8960, 151936,
      1000000, 1e-6, 131072, true, "default", 0, 0, { 0, 0, 0 }, 0, 0, 0, 0,
      151643, { 151643, 151645 }, 1543714304, 2.88, 28 },
    { "qwen2_5_7b", "Qwen/Qwen2.5-7B", "qwen2",
      28, 3584, 28, 4, 128, 18944, 152064,
      1000000, 1e-6, 131072, false, "default", 0, 0, { 0, 0, 0 }, 0, 0, 0, 0,
      151643, { 151643 }, 7615616512, 14.19, 56 },
    { "qwen2_5_7b_instruct", "Qwen/Qwen2.5-7B-Instruct", "qwen2",
      28, 3584, 28, 4, 128, 18944, 152064,
      1000000, 1e-6, 32768, false, "default", 0, 0, { 0, 0, 0 }, 0, 0, 0, 0,
      151643, { 151645, 151643 }, 7615616512, 14.19, 56 },
    { "qwen2_5_14b", "Qwen/Qwen2.5-14B", "qwen2",
      48, 5120, 40, 8, 128, 13824, 152064,
      1000000, 1e-5, 131072, false, "default", 0, 0, { 0, 0, 0 }, 0, 0, 0, 0,
      151643, { 151643 }, 14770033664, 27.51, 192 },
    { "qwen2_5_14b_instruct", "Qwen/Qwen2.5-14B-Instruct", "qwen2",
      48, 5120, 40, 8, 128, 13824, 152064,
      1000000, 1e-6, 32768, false, "default", 0, 0, { 0, 0, 0 }, 0, 0, 0, 0,
      151643, { 151645, 151643 }, 14770033664, 27.51, 192 },
    { "qwen2_5_7b_instruct_1m", "Qwen/Qwen2.5-7B-Instruct-1M", "qwen2",
      28, 3584, 28, 4, 128, 18944, 152064,
      10000000, 1e-5, 1010000, false, "default", 0, 0, { 0, 0, 0 }, 0, 0, 0, 262144,
      151643, { 151645, 151643 }, 7615616512, 14.19, 56 },
    { "qwen3_0_6b", "Qwen/Qwen3-0.6B", "qwen3",
      28, 1024, 16, 8, 128, 3072, 151936,
      1000000, 1e-6, 40960, true, "default", 0, 0, { 0, 0, 0 }, 0, 0, 0, 0,
      151643, { 151645, 151643 }, 596049920, 1.11, 112 },
    { "qwen3_4b", "Qwen/Qwen3-4B", "qwen3",
      36, 2560, 32, 8, 128, 9728, 151936,
      1000000, 1e-6, 40960, true, "default", 0, 0, { 0, 0, 0 }, 0, 0, 0, 0,
      151643, { 151645, 151643 }, 4022468096, 7.49, 144 },
    { "qwen3_8b", "Qwen/Qwen3-8B", "qwen3",
      36, 4096, 32, 8, 128, 12288, 151936,
      1000000, 1e-6, 40960, false, "default", 0, 0, { 0, 0, 0 }, 0, 0, 0, 0,
      151643, { 151645, 151643 }, 8190735360, 15.26, 144 },
    { "gemma_2_2b", "google/gemma-2-2b", "gemma2",
      26, 2304, 8, 4, 256, 9216, 256000,
      10000, 1e-6, 8192, true, "default", 0, 0, { 4096, 0, 2 }, 50, 30, 256, 0,
      2, { 1, 107 }, 2614341888, 4.87, 104 },
    { "gemma_2_9b", "google/gemma-2-9b", "gemma2",
      42, 3584, 16, 8, 256, 14336, 256000,
      10000, 1e-6, 8192, true, "default", 0, 0, { 4096, 0, 2 }, 50, 30, 256, 0,
      2, { 1, 107 }, 9241705984, 17.21, 336 },
    { "phi_3_mini_4k", "microsoft/Phi-3-mini-4k-instruct", "phi3",
      32, 3072, 32, 32, 96, 8192, 32064,
      10000, 1e-5, 4096, false, "default", 0, 0, { 2047, 0, 1 }, 0, 0, 0, 0,
      1, { 32000, 32001, 32007 }, 3821079552, 7.12, 384 },
    { "phi_3_mini_128k", "microsoft/Phi-3-mini-128k-instruct", "phi3",
      32, 3072, 32, 32, 96, 8192, 32064,
      10000, 1e-5, 131072, false, "longrope", 0, 4096, { 262144, 0, 1 }, 0, 0, 0, 0,
      1, { 32000, 32001, 32007 }, 3821079552, 7.12, 384 },
};
/* clang-format on */

enum {
    N_PUBLISHED = sizeof PUBLISHED / sizeof *PUBLISHED,
    PHI_PAIRS = 48
};

/* Phi-3-mini-128k's second set of factors, without the noise of float32. */
static const double PHI_LONG[PHI_PAIRS] = {
    1.07,     1.12,     1.15,     1.42,     1.57,     1.8,      2.13,     2.13,
    3.01,     5.91,     6.95,     9.07,     9.93,     10.71,    11.13,    14.61,
    15.41,    19.81,    37.28,    38.28,    38.6,     40.12,    46.2,     50.94,
    53.66,    54.93739, 56.89739, 57.28739, 59.98738, 60.86739, 60.88739, 61.71739,
    62.91739, 62.95739, 63.41739, 63.81739, 63.83739, 63.8974,  63.9374,  64.0674,
    64.11435, 64.12435, 64.15435, 64.19435, 64.24435, 64.57436, 64.69,    64.76,
};
static const double PHI_SHORT[PHI_PAIRS] = {
    1.1, 1.1,  1.1,  1.3,  1.35, 1.35, 1.4,  1.55, 2,    2,    2,    2,    2,    2,    2,    2,
    2,   2,    2,    2,    2,    2,    2,    2,    2,    2.05, 2.05, 2.05, 2.05, 2.05, 2.05, 2.1,
    2.1, 2.15, 2.25, 2.25, 2.25, 2.25, 2.25, 2.4,  2.45, 2.5,  2.7,  2.7,  2.75, 2.8,  2.9,  3.05,
};
static const double PHI_ATTN_FACTOR = 1.190238; /* sqrt(1 + ln(131072 / 4096) / ln(4096)) */

#endif
