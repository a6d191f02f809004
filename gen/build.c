/*
** build.c - compiles an emitted folder: cmake with fixed arguments, never a shell.
*/
#include "build.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int run(char *const argv[], hi_error *e)
{
    int status;
    pid_t pid = fork();

    if (pid < 0)
        return gen_fail(e, "%s: %s", argv[0], strerror(errno));
    if (pid == 0) {
        dup2(STDERR_FILENO, STDOUT_FILENO);
        execvp(argv[0], argv);
        fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
        _exit(127);
    }
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return gen_fail(e, "%s: %s", argv[0], strerror(errno));
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return gen_fail(e, "--build: %s %s failed; its messages are above", argv[0], argv[1]);
    return 0;
}

int build_model(const char *folder, const char *name, const char *home, hi_error *e)
{
    char build[4096], from[4096], to[4096], define[4096];

    if (snprintf(build, sizeof build, "%s/build", folder) >= (int)sizeof build ||
        snprintf(from, sizeof from, "%s/build/%s", folder, name) >= (int)sizeof from ||
        snprintf(to, sizeof to, "%s/%s", folder, name) >= (int)sizeof to ||
        snprintf(define, sizeof define, "-DHI_HOME=%s", home) >= (int)sizeof define)
        return gen_fail(e, "%s: path too long", folder);
    char *configure[] = { "cmake", "-S", (char *)folder, "-B", build, "-DCMAKE_BUILD_TYPE=Release", define,
                          NULL };
    char *compile[] = { "cmake", "--build", build, NULL };
    char *copy[] = { "cmake", "-E", "copy", from, to, NULL };
    if (run(configure, e) != 0 || run(compile, e) != 0)
        return -1;
    return run(copy, e);
}
