/*
** vram.c - what the driver counts while a program runs is not more than its --vram.
**
**   vram WEIGHTS
**
** The driver's own library, where it is there, counts this process, or else all of the GPU before
** and during the run; without it the runtime's free memory counts, of a GPU that nothing else uses.
** The peak is over the passes of a prompt that fills the context, and some decoded tokens.
*/
#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <unistd.h>
#include "e2e.h"

enum { DECODED = 8, PROCESSES = 64 };

/* ---- what is used of NVML, as its documentation lays it out ---- */

typedef struct nvml_memory {
    unsigned long long total, free, used;
} nvml_memory;

typedef struct nvml_process {
    unsigned pid;
    unsigned long long used;         /* all ones: not known */
    unsigned instance, compute_instance;
} nvml_process;

typedef struct nvml {
    void *device;
    int (*memory)(void *device, nvml_memory *m);
    int (*processes)(void *device, unsigned *n, nvml_process *p);
    unsigned long long before;       /* used by others */
} nvml;

static bool nvml_open(nvml *v)
{
    void *library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    int (*init)(void), (*by_index)(unsigned, void **);

    if (library == NULL)
        return false;
    *(void **)&init = dlsym(library, "nvmlInit_v2");
    *(void **)&by_index = dlsym(library, "nvmlDeviceGetHandleByIndex_v2");
    *(void **)&v->memory = dlsym(library, "nvmlDeviceGetMemoryInfo");
    *(void **)&v->processes = dlsym(library, "nvmlDeviceGetComputeRunningProcesses_v3");
    nvml_memory m;
    if (init == NULL || by_index == NULL || v->memory == NULL || init() != 0 ||
        by_index(0, &v->device) != 0 || v->memory(v->device, &m) != 0)
        return false;
    v->before = m.used;
    return true;
}

/* Bytes of this process, or 0 where the driver does not say. */
static unsigned long long of_process(const nvml *v)
{
    nvml_process p[PROCESSES];
    unsigned n = PROCESSES;

    if (v->processes == NULL || v->processes(v->device, &n, p) != 0)
        return 0;
    for (unsigned i = 0; i < n && i < PROCESSES; i++)
        if (p[i].pid == (unsigned)getpid() && p[i].used != ~0ull)
            return p[i].used;
    return 0;
}

/* ---- the peak ---- */

typedef struct peak {
    nvml v;
    bool driver;                     /* v counts */
    const char *how;
    unsigned long long bytes;
} peak;

static void look(peak *p)
{
    unsigned long long used = p->driver ? of_process(&p->v) : 0;
    nvml_memory m;
    size_t left, all;

    p->how = "of this process, by the driver";
    if (used == 0 && p->driver && p->v.memory(p->v.device, &m) == 0) {
        used = m.used > p->v.before ? m.used - p->v.before : 0;
        p->how = "of the GPU since the program began, by the driver";
    }
    if (used == 0) {
        if (cudaMemGetInfo(&left, &all) != cudaSuccess)
            die("the GPU's free memory cannot be asked for");
        used = all - left;
        p->how = "of the GPU, by the runtime";
    }
    p->bytes = used > p->bytes ? used : p->bytes;
}

static void on_pass(void *arg, hi_run *r, const hi_pass *pass)
{
    (void)r, (void)pass;
    look(arg);
}

int main(int argc, char **argv)
{
    static peak p;
    const hi_model *m = &hi_the_model;
    hi_options o = { 0 };

    if (argc != 2)
        die("usage: vram WEIGHTS");
    if (m->budget_bytes < 0)
        die("this program has no budget");
    o.weights = argv[1];
    p.driver = nvml_open(&p.v);      /* before anything of ours is on the GPU */
    hi_run *r = open_run(&o);
    look(&p);
    hi_set_watch(r, on_pass, &p);
    int n = (int)m->ctx - DECODED;
    int32_t *ids = take_memory((size_t)n * sizeof *ids);
    for (int i = 0; i < n; i++)
        ids[i] = i % (m->vocab - 1) + 1;
    feed(r, ids, n);
    for (int i = 0; i < DECODED; i++) {
        must(r, "decode", hi_decode(r, 1));
        look(&p);
    }
    (void)copied_bytes(r);
    hi_close(r);
    free(ids);
    printf("%.1f MiB at the peak, %s; --vram %.1f MiB, of it %.1f for the driver\n",
           (double)p.bytes / (1 << 20), p.how, (double)m->budget_bytes / (1 << 20),
           (double)m->reserve_bytes / (1 << 20));
    return p.bytes <= (unsigned long long)m->budget_bytes ? 0 : 1;
}
