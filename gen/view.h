/*
** view.h - what templates see of spec and plan: plain Lua tables of strings and integers.
*/
#ifndef VIEW_H
#define VIEW_H

#include <lua.h>
#include "gen.h"

/* Pushes the environment {spec, plan, command, command_string}. Raises when memory runs out. */
void view_push(lua_State *L, const hi_spec *s, const hi_plan *p);

/* Sets 'pass' in the environment on top of the stack: one phase's schedule. */
void view_set_pass(lua_State *L, const hi_spec *s, const hi_plan *p, hi_phase phase);

#endif
