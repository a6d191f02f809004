/*
** sandbox.c - runs a hostile Lua text in a child process and returns its table.
**
** Owns the process: the walls (limits, system calls) that the child builds around
** itself, and the parent's waiting, killing and telling. What runs inside is
** sandbox_lua.c's business, what a field means is spec.c's.
*/
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sandbox_job.h"

#if defined(__x86_64__)
#define MACHINE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define MACHINE AUDIT_ARCH_AARCH64
#else
#error "sandbox.c: name this machine's AUDIT_ARCH_ constant"
#endif

const sandbox_limits SANDBOX_LIMITS = {
    .cpu_s = 5,
    .wall_ms = 10000,
    .instructions = 100000000,
    .heap_bytes = 64 << 20,
    .space_bytes = 512 << 20,
};

enum {
    REPLY_FD = 3
};

/* ---- the walls ---- */

#define LOAD(field) \
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offsetof(struct seccomp_data, field))
#define ALLOW BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define KILL BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)
#define ALLOW_CALL(nr) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (nr), 0, 1), ALLOW
/* Memory calls carry PROT_ in the third argument: never executable. */
#define ALLOW_DATA_CALL(nr)                                         \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (nr), 0, 4), LOAD(args[2]), \
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1), KILL, ALLOW

/*
** The allow-list. There is nothing to read and one descriptor to write: 'read' is left
** out, 'write' is bound to the pipe. Arguments are 64 bits; the low half decides on
** both little-endian machines, as the kernel too takes an int.
*/
static const struct sock_filter FILTER[] = {
    LOAD(arch),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MACHINE, 1, 0),
    KILL,
    LOAD(nr), /* x32 numbers on x86-64 carry bit 30: equal to none below */
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_write, 0, 4),
    LOAD(args[0]),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, REPLY_FD, 1, 0),
    KILL,
    ALLOW,
    ALLOW_DATA_CALL(__NR_mmap),
    ALLOW_DATA_CALL(__NR_mprotect),
    ALLOW_CALL(__NR_brk),
    ALLOW_CALL(__NR_munmap),
    ALLOW_CALL(__NR_mremap),
    ALLOW_CALL(__NR_madvise),
    ALLOW_CALL(__NR_futex),
    ALLOW_CALL(__NR_clock_gettime),
#ifdef __NR_time
    ALLOW_CALL(__NR_time),
#endif
    ALLOW_CALL(__NR_rt_sigreturn),
    ALLOW_CALL(__NR_rt_sigprocmask),
    ALLOW_CALL(__NR_getpid),
    ALLOW_CALL(__NR_gettid),
    ALLOW_CALL(__NR_close),
    ALLOW_CALL(__NR_exit),
    ALLOW_CALL(__NR_exit_group),
    KILL,
};

static int filter_calls(void)
{
    struct sock_fprog prog = { sizeof FILTER / sizeof *FILTER, (struct sock_filter *)FILTER };

    if (SANDBOX_SANITIZED)
        return 0;
    if (syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) == 0)
        return 0;
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog, 0, 0);
}

/* Never above a limit that the process has already. */
static int limit(int what, int64_t soft, int64_t hard)
{
    struct rlimit r;

    if (getrlimit(what, &r) != 0)
        return -1;
    if ((rlim_t)hard < r.rlim_max)
        r.rlim_max = (rlim_t)hard;
    r.rlim_cur = (rlim_t)soft < r.rlim_max ? (rlim_t)soft : r.rlim_max;
    return setrlimit(what, &r);
}

static int limit_all(const sandbox_limits *lim)
{
    if (limit(RLIMIT_CPU, lim->cpu_s, lim->cpu_s + 1) != 0) /* SIGXCPU, then SIGKILL */
        return -1;
    if (!SANDBOX_SANITIZED && limit(RLIMIT_AS, lim->space_bytes, lim->space_bytes) != 0)
        return -1;
    limit(RLIMIT_NPROC, 0, 0); /* without effect for root; the filter refuses forks anyway */
    if (limit(RLIMIT_CORE, 0, 0) != 0 || limit(RLIMIT_FSIZE, 0, 0) != 0)
        return -1;
    return limit(RLIMIT_NOFILE, 8, 8);
}

/* Only the pipe stays open, as REPLY_FD; a sanitizer keeps its way to the terminal. */
static int close_files(int fd)
{
    if (fd != REPLY_FD && dup2(fd, REPLY_FD) < 0)
        return -1;
    for (int i = 0; i < REPLY_FD && !SANDBOX_SANITIZED; i++)
        close(i);
    if (syscall(__NR_close_range, REPLY_FD + 1, ~0U, 0) != 0) { /* older than Linux 5.9? */
        for (int i = REPLY_FD + 1; i < 65536; i++)
            close(i);
    }
    return 0;
}

static void reset_signals(void)
{
    sigset_t none;

    for (int i = 1; i < NSIG; i++)
        signal(i, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Locks the process up for good. Returns NULL or the wall that could not be built. */
static const char *lock_up(const job *j)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
        return "parent-death signal";
    if (limit_all(j->lim) != 0)
        return "resource limits";
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return "no_new_privs";
    return filter_calls() != 0 ? "seccomp filter" : NULL;
}

/* ---- the reply, child's side ---- */

static void send_all(const uint8_t *p, size_t n)
{
    while (n > 0) {
        ssize_t k = write(REPLY_FD, p, n);
        if (k < 0 && errno != EINTR)
            _exit(1);
        if (k > 0) {
            p += k;
            n -= (size_t)k;
        }
    }
}

static void send_reply(char tag, const void *payload, size_t n)
{
    uint8_t head[REPLY_HEAD] = { (uint8_t)tag };
    uint32_t len = (uint32_t)n;

    memcpy(head + 1, &len, sizeof len);
    send_all(head, sizeof head);
    send_all(payload, n);
}

void sandbox_reply_error(const char *text)
{
    size_t n = strlen(text);

    send_reply(TAG_ERROR, text, n < TEXT_MAX ? n : TEXT_MAX);
}

void sandbox_reply_table(const job *j)
{
    send_reply(TAG_TABLE, j->reply + REPLY_HEAD, j->n_reply - REPLY_HEAD);
}

/* ---- the child ---- */

static void probe_body(job *j)
{
    j->probe(j->arg);
    sandbox_reply_table(j);
}

/* Nothing is freed: the process ends. */
static void child_main(job *j, int fd)
{
    const char *open_wall;
    char line[TEXT_MAX];

    reset_signals();
    if (close_files(fd) != 0)
        _exit(1);
    j->n_reply = REPLY_HEAD;
    open_wall = lock_up(j);
    if (open_wall != NULL) {
        snprintf(line, sizeof line, "not run: this system refuses the sandbox its %s (%s)",
                 open_wall, strerror(errno));
        sandbox_reply_error(line);
    } else {
        j->body(j);
    }
    _exit(0);
}

/* ---- the parent ---- */

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Reads to the end of file. Returns the bytes; more than REPLY_MAX where there were more. */
static size_t drain(int fd, uint8_t *buf, int64_t deadline)
{
    size_t got = 0;

    for (;;) {
        struct pollfd p = { fd, POLLIN, 0 };
        int64_t left = deadline - now_ms();
        ssize_t k;
        if (left <= 0)
            return got;
        if (poll(&p, 1, (int)left) <= 0)
            continue; /* interrupted, or late: seen above */
        k = read(fd, buf + got, REPLY_MAX + 1 - got);
        if (k == 0 || (k < 0 && errno != EINTR) || got > REPLY_MAX)
            return got;
        got += k > 0 ? (size_t)k : 0;
    }
}

/* Waits until the deadline, then kills. Returns whether it had to. */
static bool reap(pid_t pid, int64_t deadline, int *status)
{
    const struct timespec pause = { 0, 1000000 };

    *status = 0; /* stays where SIGCHLD is ignored: the reply alone decides */
    while (now_ms() < deadline) {
        pid_t r = waitpid(pid, status, WNOHANG);
        if (r == pid || (r < 0 && errno != EINTR))
            return false;
        nanosleep(&pause, NULL);
    }
    kill(pid, SIGKILL);
    while (waitpid(pid, status, 0) < 0 && errno == EINTR)
        continue;
    return true;
}

static int fail_signal(const char *path, int sig, const sandbox_limits *lim, hi_error *e)
{
    if (sig == SIGXCPU)
        return gen_fail(e, "%s: stopped after %d s of processor time; a spec only returns a table",
                        path, lim->cpu_s);
    if (sig == SIGSYS)
        return gen_fail(e, "%s: stopped: it tried a system call; a spec only returns a table",
                        path);
    return gen_fail(e, "%s: its process ended with signal %d; make the file smaller", path, sig);
}

/* What became of the child, but for its reply. */
static int check_end(const char *path, const sandbox_limits *lim, bool late, int status,
                     hi_error *e)
{
    if (late)
        return gen_fail(e, "%s: stopped after %g s; a spec only returns a table", path,
                        lim->wall_ms / 1000.0);
    if (WIFSIGNALED(status))
        return fail_signal(path, WTERMSIG(status), lim, e);
    if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
        return gen_fail(e, "%s: its process ended with status %d; run it again", path,
                        WEXITSTATUS(status));
    return 0;
}

/* Runs j->body in a child. Returns the bytes of its reply in j->reply, or -1. */
static int64_t run_child(job *j, const char *path, hi_error *e)
{
    int64_t deadline = now_ms() + j->lim->wall_ms;
    int fd[2], status, saved;
    size_t got;
    bool late;
    pid_t pid;

    if (pipe2(fd, O_CLOEXEC) != 0)
        return gen_fail(e, "%s: cannot start its process: %s", path, strerror(errno));
    pid = fork();
    saved = errno;
    if (pid == 0)
        child_main(j, fd[1]);
    close(fd[1]);
    if (pid < 0) {
        close(fd[0]);
        return gen_fail(e, "%s: cannot start its process: %s", path, strerror(saved));
    }
    got = drain(fd[0], j->reply, deadline);
    close(fd[0]);
    late = reap(pid, deadline, &status);
    return check_end(path, j->lim, late, status, e) != 0 ? -1 : (int64_t)got;
}

int sandbox_run(hi_arena *a, const char *path, const char *text, size_t len,
                const sandbox_limits *lim, flat *out, hi_error *e)
{
    job j = { .body = sandbox_lua, .lim = lim, .text = text, .len = len };
    int64_t got;

    j.reply = arena_alloc(a, REPLY_MAX + 1);
    if (j.reply == NULL)
        return gen_fail(e, "%s: out of memory", path);
    got = run_child(&j, path, e);
    return got < 0 ? -1 : sandbox_decode(a, path, j.reply, (size_t)got, out, e);
}

int sandbox_try(const char *path, void (*body)(void *), void *arg, const sandbox_limits *lim,
                hi_error *e)
{
    job j = { .body = probe_body, .lim = lim, .probe = body, .arg = arg };
    hi_arena *a = arena_new();
    flat out;
    int rc = -1;
    int64_t got;

    j.reply = a == NULL ? NULL : arena_alloc(a, REPLY_MAX + 1);
    if (j.reply != NULL && (got = run_child(&j, path, e)) >= 0)
        rc = sandbox_decode(a, path, j.reply, (size_t)got, &out, e);
    arena_free(a);
    return rc;
}

/* ---- reading a source ---- */

static int64_t read_all(int fd, char *buf, size_t size)
{
    size_t got = 0;

    while (got < size) {
        ssize_t k = read(fd, buf + got, size - got);
        if (k == 0)
            break;
        if (k < 0 && errno != EINTR)
            return -1;
        got += k > 0 ? (size_t)k : 0;
    }
    return (int64_t)got;
}

static const char *read_open(hi_arena *a, int fd, const char *path, size_t *len, hi_error *e)
{
    struct stat st;
    char *buf;
    int64_t got;

    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        gen_fail(e, "%s: not a regular file; give the path of a .lua file", path);
        return NULL;
    }
    buf = st.st_size > SOURCE_MAX ? NULL : arena_alloc(a, (size_t)st.st_size + 1);
    if (buf == NULL) {
        gen_fail(e,
                 st.st_size > SOURCE_MAX ? "%s: has %lld bytes; at most 1 MiB is read"
                                         : "%s: out of memory for its %lld bytes",
                 path, (long long)st.st_size);
        return NULL;
    }
    got = read_all(fd, buf, (size_t)st.st_size);
    if (got < 0) {
        gen_fail(e, "%s: cannot be read: %s", path, strerror(errno));
        return NULL;
    }
    *len = (size_t)got;
    return buf;
}

const char *sandbox_read(hi_arena *a, const char *path, size_t *len, hi_error *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); /* a FIFO must not wait */
    const char *text;

    if (fd < 0) {
        gen_fail(e, "%s: cannot be opened: %s", path, strerror(errno));
        return NULL;
    }
    text = read_open(a, fd, path, len, e);
    close(fd);
    return text;
}
