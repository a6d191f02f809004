/*
** bench_timed.c - how long a command took and how much memory it had.
**
** usage: bench_timed FILE COMMAND..: writes "SECONDS PEAK_KIB" to FILE, whole-process wall time and
** peak resident set; exits as the command does.
*/
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_NO_COMMAND = 127,
    EXIT_SIGNALLED = 128
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int main(int argc, char **argv)
{
    struct rusage used;
    int status;

    if (argc < 3) {
        fprintf(stderr, "usage: bench_timed FILE COMMAND..\n");
        return EXIT_USAGE;
    }
    double start = now();
    pid_t pid = fork();
    if (pid == 0) {
        execvp(argv[2], argv + 2);
        fprintf(stderr, "bench_timed: %s: %s\n", argv[2], strerror(errno));
        _exit(EXIT_NO_COMMAND);
    }
    if (pid < 0 || wait4(pid, &status, 0, &used) != pid) {
        perror("bench_timed");
        return EXIT_FAILED;
    }
    double took = now() - start;
    FILE *f = fopen(argv[1], "w");
    if (f == NULL || fprintf(f, "%.6f %ld\n", took, used.ru_maxrss) < 0 || fclose(f) != 0) {
        perror(argv[1]);
        return EXIT_FAILED;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_SIGNALLED + WTERMSIG(status);
}
