/*
** tmpl.h - templates: C files with Lua lines and holes.
**
**     //% <lua>       the line is Lua: for, if, local, end
**     $(<lua expr>)   a hole: replaced by a string or an integer
*/
#ifndef TMPL_H
#define TMPL_H

#include <lua.h>
#include "gen.h"

typedef struct tmpl_text {
    char *data;                      /* malloc'd; the caller frees */
    size_t len;
} tmpl_text;

/*
** Renders the template file 'path' in the environment table on top of L's stack, which
** stays there. line_marks puts #line directives in front of every rendered line.
**
** Returns 0 and fills *out, or -1 with "template:line: what is wrong". A name the
** environment lacks and a hole that is neither string nor integer are errors.
*/
int tmpl_render(lua_State *L, const char *path, bool line_marks, tmpl_text *out, hi_error *e);

#endif
