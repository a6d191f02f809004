/*
** command.h - hi-gen's command line.
*/
#ifndef COMMAND_H
#define COMMAND_H

#include "gen.h"

typedef struct hi_command {
    const char *spec;                /* path; import: the checkpoint's folder, or org/name */
    bool import;                     /* 'hi-gen import' */
    bool plans;                      /* import: an option asks for more than the spec */
    const char *name, *spec_out;     /* import: of the spec, its file; NULL: from the folder's */
    const char *out;                 /* folder, or NULL: build-models/<name> */
    const char *check;               /* architectures to compile the kernels for; NULL: none */
    const char *machine, *host;      /* names of profiles, or files; NULL: by --vram; the profile's */
    bool build, explain, json, line_marks;
    bool help, version;
    bool target_given;               /* else request.target is the machine's */
    hi_request request;
} hi_command;

/* Returns 0, or -1 with "--flag value: what is wrong; what would be right". */
int command_parse(int argc, char **argv, hi_command *c, hi_error *e);

/* "24G", "1.5G", "500M", "1048576": bytes; units are powers of 1024. -1: not a size. */
int64_t parse_size(const char *text);

extern const char COMMAND_HELP[];

#endif
