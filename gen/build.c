/*
** build.c - compiles an emitted folder: cmake with fixed arguments, never a shell.
*/
#include "build.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Runs a program with its output appended to the log. */
static int run(char *const argv[], const char *log, hi_error *e)
{
    int status;
    pid_t pid = fork();

    if (pid < 0)
        return gen_fail(e, "%s: %s", argv[0], strerror(errno));
    if (pid == 0) {
        int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0666);
        dup2(fd, STDOUT_FILENO);
        dup2(fd, STDERR_FILENO);
        execvp(argv[0], argv);
        fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
        _exit(127);
    }
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return gen_fail(e, "%s: %s", argv[0], strerror(errno));
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return gen_fail(e, "--build: %s %s failed; its messages are in %s", argv[0], argv[1], log);
    return 0;
}

int build_model(const char *folder, const char *name, const char *home, hi_error *e)
{
    char build[4096], from[4096], to[4096], define[4096], log[4096];

    if (snprintf(build, sizeof build, "%s/build", folder) >= (int)sizeof build ||
        snprintf(from, sizeof from, "%s/build/%s", folder, name) >= (int)sizeof from ||
        snprintf(to, sizeof to, "%s/%s", folder, name) >= (int)sizeof to ||
        snprintf(log, sizeof log, "%s/build.log", folder) >= (int)sizeof log ||
        snprintf(define, sizeof define, "-DHI_HOME=%s", home) >= (int)sizeof define)
        return gen_fail(e, "%s: path too long", folder);
    char *configure[] = { "cmake", "-S", (char *)folder, "-B", build, "-DCMAKE_BUILD_TYPE=Release", define,
                          NULL };
    char *compile[] = { "cmake", "--build", build, "--parallel", NULL };
    char *copy[] = { "cmake", "-E", "copy", from, to, NULL };
    remove(log);
    if (run(configure, log, e) != 0 || run(compile, log, e) != 0)
        return -1;
    return run(copy, log, e);
}
