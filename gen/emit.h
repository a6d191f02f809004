/*
** emit.h - a plan as sources.
*/
#ifndef EMIT_H
#define EMIT_H

#include "gen.h"

/*
** Renders every template for the plan and writes the files into 'folder' (made if missing), with
** plan.json and report.html.
** Files that already have the right bytes are left alone, so that builds stay incremental.
**
** templates   the folder 'templates'
** line_marks  put #line directives into the C files
** Returns 0, or -1 with a message; a template that fails leaves the folder as it was.
*/
int emit(const hi_spec *s, const hi_plan *p, const char *templates, const char *folder, bool line_marks,
         hi_error *e);

#endif
