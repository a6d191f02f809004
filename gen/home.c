/*
** home.c - where hi-gen's own files are: specs, templates, the runtime's sources.
*/
#include <stdlib.h>

#include "gen.h"

const char *home_folder(void)
{
    const char *h = getenv("HI_HOME");
    return h != NULL ? h : HI_HOME;
}
