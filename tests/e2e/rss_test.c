/*
** rss_test.c - runs a program and fails where it, or a child of it, had more than so much memory
** resident.
**
**   rss MIB PROGRAM [arguments]
*/
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct rusage self;
    int status = 0;

    if (argc < 3) {
        fprintf(stderr, "usage: rss MIB PROGRAM [arguments]\n");
        return 2;
    }
    pid_t child = fork();
    if (child == 0) {
        execv(argv[2], argv + 2);
        _exit(127);
    }
    if (child < 0 || wait4(child, &status, 0, &self) != child || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        fprintf(stderr, "%s: did not succeed\n", argv[2]);
        return 1;
    }
    fprintf(stderr, "%s: at most %ld KiB resident, %s allowed MiB\n", argv[2], self.ru_maxrss, argv[1]);
    return self.ru_maxrss > atol(argv[1]) * 1024;
}
