/*
** build.h - compiles an emitted folder.
*/
#ifndef BUILD_H
#define BUILD_H

#include "gen.h"

/* Runs cmake on the folder and copies the executable 'name' into it; home is hi-gen's folder. */
int build_model(const char *folder, const char *name, const char *home, hi_error *e);

#endif
