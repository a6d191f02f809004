/*
** view_fields.h - what the files that fill the templates' view share.
*/
#ifndef VIEW_FIELDS_H
#define VIEW_FIELDS_H

#include <lua.h>
#include "gen.h"

enum { LINE_LEN = 512 };

/* Fields of the table on top of the stack. */
void set_int(lua_State *L, const char *name, int64_t value);
void set_text(lua_State *L, const char *name, const char *value);
void set_bool(lua_State *L, const char *name, bool value);

/* Appends a line to the list on top of the stack. */
void add_line(lua_State *L, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Digits of a layer's number in names. */
int layer_width(const hi_spec *s);

/* ---- parts of the view; each pushes or fills one table ---- */

void push_spec(lua_State *L, const hi_spec *s, const hi_plan *p);
void push_plan(lua_State *L, const hi_spec *s, const hi_plan *p);

#endif
