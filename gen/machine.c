/*
** machine.c - from a Lua file to a checked hi_machine.
**
** The two tables at the top are the format: every field of a device's file and of a host's.
** A device names a host's file, or holds the host's fields itself, as a measured file does.
** spec_fields.c checks each field by itself, sandbox.c runs the files; what the figures are
** used for is cost.c's and plan.c's business.
*/
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "spec_fields.h"

/* ---- the fields ---- */

#define MOST_BYTES 0x1p50 /* of a memory */

#define N_FIELDS(table) ((int)(sizeof(table) / sizeof *(table)))
#define AT(member) offsetof(hi_machine, member)
#define MEMORY(name, other, at, lo) name, other, BYTES, false, AT(at), lo, MOST_BYTES, 1, NULL, 0
#define RATE(name, other, at, lo) name, other, RANGE, false, AT(at), lo, 1e18, 0, NULL, 0
#define SHARE(name, other, at, lo) name, other, RANGE, false, AT(at), lo, 1, 0, NULL, 0
#define CORES(name, other) name, other, WHOLE, false, AT(cores), 1, 4096, 1, NULL, 0
#define SOURCE(name, other) name, other, TEXT, false, 0, 0, 0, 0, NULL, 0

enum {
    HOST = 12 /* index of 'host' below; a host's own fields follow it */
};

static const field DEVICE[] = {
    { MEMORY("memory", "vram", memory, 0) },
    { MEMORY("reserve", "overhead", reserve, 0) },
    { RATE("matmul", "gemm", matmul, 1e3) },
    { RATE("attend", "attention", attend, 1e3) },
    { RATE("read", "bandwidth", read, 1e3) },
    { RATE("attend_read", "kv_read", attend_read, 1e3) },
    { RATE("h2d", "host_to_device", h2d, 1e3) },
    { RATE("d2h", "device_to_host", d2h, 1e3) },
    { SHARE("both", "duplex", both, 0.01) },
    { SHARE("step_s", "launch_s", step_s, 0) },
    { "shared", "unified", YES_NO, true, AT(shared), 0, 0, 0, NULL, 0 },
    { SOURCE("source", "comment") },
    { "host", "cpu", NAME, false, AT(host), 0, 0, 0, NULL, 0 },
    { MEMORY("host.ram", "ram", ram, 1 << 20) },
    { RATE("host.dram", "dram", dram, 1e3) },
    { RATE("host.copy", "copy", copy, 0) },
    { CORES("host.cores", "cores") },
    { SOURCE("host.source", "host.comment") },
};

static const field HOST_FILE[] = {
    { MEMORY("ram", "memory", ram, 1 << 20) }, { RATE("dram", "bandwidth", dram, 1e3) },
    { RATE("copy", "memcpy", copy, 0) },       { CORES("cores", "threads") },
    { SOURCE("source", "comment") },
};

_Static_assert(N_FIELDS(DEVICE) == HOST + 1 + N_FIELDS(HOST_FILE), "HOST is the index of 'host'");

static int load_fields(const source *c, int first, int end, hi_machine *m)
{
    for (int i = first; i < end; i++) {
        if (field_load(c, &c->fields[i], m) != 0)
            return -1;
    }
    return 0;
}

/* ---- names of files ---- */

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash == NULL ? path : slash + 1;
}

/* The file's name without ".lua", which is printed in plans and in sources. */
static int name_of(const char *path, char *out, hi_error *e)
{
    const char *base = base_name(path);
    size_t n = strlen(base);

    if (n > 4 && n - 4 < NAME_LEN && strcmp(base + n - 4, ".lua") == 0 &&
        strspn(base, "abcdefghijklmnopqrstuvwxyz0123456789_-") == n - 4 && base[0] != '-') {
        memcpy(out, base, n - 4);
        out[n - 4] = '\0';
        return 0;
    }
    return gen_fail(e,
                    "%.300s: a machine's file is called <name>.lua, its name of a-z, 0-9, _ and -, "
                    "at most %d characters; rename it",
                    path, NAME_LEN - 1);
}

/* ---- the host ---- */

/* On the cpu target copies are made by cores: how fast is one? 'name' is the field in 'c'. */
static int check_copy(const source *c, const char *name, const hi_machine *m)
{
    if (m->copy > 0 && m->copy < 1e3)
        return field_refuse(c, name, "must be 0 (copies cost no core) or at least 1e3 bytes/s");
    if (!m->shared || m->copy > 0)
        return 0;
    return field_refuse(c, name,
                        "shared = true: copies take cores; give the bytes/s of one core copying");
}

static int run_source(hi_arena *a, source *c)
{
    size_t len;
    const char *text = sandbox_read(a, c->path, &len, c->e);

    if (text == NULL)
        return -1;
    return sandbox_run(a, c->path, text, len, &SANDBOX_LIMITS, &c->values, c->e);
}

static int load_host_file(hi_arena *a, const char *path, hi_machine *m, hi_error *e)
{
    source c = { .path = path, .fields = HOST_FILE, .n_fields = N_FIELDS(HOST_FILE), .e = e };

    if (name_of(path, m->host, e) != 0 || run_source(a, &c) != 0 || field_check_known(&c) != 0 ||
        load_fields(&c, 0, c.n_fields, m) != 0)
        return -1;
    return check_copy(&c, "copy", m);
}

/* The file that the field 'host' names, beside the device's. */
static int load_named_host(hi_arena *a, const source *c, hi_machine *m)
{
    int dir = (int)(base_name(c->path) - c->path);
    char path[512], text[600];

    snprintf(path, sizeof path, "%.*shost/%s.lua", dir, c->path, m->host);
    if (access(path, F_OK) == 0)
        return load_host_file(a, path, m, c->e);
    snprintf(text, sizeof text, "there is no %s; add it, name another host or give a table", path);
    return field_refuse(c, "host", text);
}

static int load_inline_host(const source *c, hi_machine *m)
{
    memcpy(m->host, m->name, sizeof m->host);
    return load_fields(c, HOST + 1, c->n_fields, m);
}

/*
** The host of the device's file, or the file 'other' in its place: then the file that 'host'
** names is not opened, but the field must still be right.
*/
static int load_host(hi_arena *a, const source *c, const char *other, hi_machine *m)
{
    const flat_entry *x = field_value(c, "host");
    bool is_table = x != NULL && x->type == FLAT_TABLE;

    if (!is_table && (x == NULL || !field_fits(&c->fields[HOST], x)))
        return field_refuse(c, "host",
                            "must be the name of a file in host/, of a-z, 0-9 and _ in quotes, or "
                            "a table: { ram = .., dram = .., copy = .., cores = .., source = .. }");
    if ((is_table ? load_inline_host(c, m) : field_load(c, &c->fields[HOST], m)) != 0)
        return -1;
    if (other != NULL)
        return load_host_file(a, other, m, c->e);
    return is_table ? check_copy(c, "host.copy", m) : load_named_host(a, c, m);
}

/* ---- the device ---- */

static int check_reserve(const source *c, const hi_machine *m)
{
    char text[160];

    if (m->memory == 0 || m->reserve < m->memory)
        return 0;
    snprintf(text, sizeof text, "must be below memory (%lld): it is a part of it",
             (long long)m->memory);
    return field_refuse(c, "reserve", text);
}

static int load_both(hi_arena *a, const char *path, const char *host, hi_machine *m, hi_error *e)
{
    source c = { .path = path, .fields = DEVICE, .n_fields = N_FIELDS(DEVICE), .e = e };

    if (run_source(a, &c) != 0 || field_check_known(&c) != 0 || load_fields(&c, 0, HOST, m) != 0)
        return -1;
    return check_reserve(&c, m) != 0 ? -1 : load_host(a, &c, host, m);
}

static int check_path(const char *path, hi_error *e)
{
    if (strlen(path) < 256)
        return 0;
    return gen_fail(e, "%.60s...: path of %zu characters; at most 255", path, strlen(path));
}

int machine_load(const char *path, const char *host, hi_machine *m, hi_error *e)
{
    hi_machine made;
    hi_arena *a;
    int rc;

    memset(&made, 0, sizeof made); /* the padding too: same file, same bytes */
    if (check_path(path, e) != 0 || (host != NULL && check_path(host, e) != 0) ||
        name_of(path, made.name, e) != 0)
        return -1;
    a = arena_new();
    if (a == NULL)
        return gen_fail(e, "%s: out of memory", path);
    rc = load_both(a, path, host, &made, e);
    arena_free(a);
    if (rc == 0)
        memcpy(m, &made, sizeof made);
    return rc;
}
