/*
** tok_file.c - fields of a tokenizer.json.
*/
#include "tok_file.h"

#include <string.h>

int tok_file_no_memory(const tok_file *f)
{
    return TOK_FAIL(f, "%s", "out of memory");
}

bool tok_absent(const json_t *v)
{
    return !v || json_is_null(v);
}

const char *tok_type(const json_t *v)
{
    const char *type = json_string_value(json_object_get(v, "type"));
    return type ? type : "(no type)";
}

bool tok_is_type(const json_t *v, const char *type)
{
    return strcmp(tok_type(v), type) == 0;
}

int tok_refuse_type(const tok_file *f, const char *where, const json_t *v)
{
    return TOK_FAIL(f, "%s = %.64s: not supported; " TOK_REMEDY, where, tok_type(v));
}

int tok_flag(const tok_file *f, const json_t *v, const char *where, const char *field, bool missing,
             bool *out)
{
    const json_t *flag = json_object_get(v, field);
    *out = tok_absent(flag) ? missing : json_is_true(flag);
    if (tok_absent(flag) || json_is_boolean(flag))
        return 0;
    return TOK_FAIL(f, "%s.%s: must be true or false", where, field);
}

int tok_string(const tok_file *f, const json_t *v, const char *where, const char *field,
               const char **out, size_t *n)
{
    const json_t *text = json_object_get(v, field);
    *out = json_string_value(text);
    *n = json_string_length(text);
    if (*out && *n > 0)
        return 0;
    return TOK_FAIL(f, "%s.%s: must be a string that is not empty", where, field);
}

int tok_number(const tok_file *f, const json_t *v, const char *where, const char *field,
               int64_t most, int64_t *out)
{
    const json_t *number = json_object_get(v, field);
    *out = json_integer_value(number);
    if (json_is_integer(number) && *out >= 0 && *out <= most)
        return 0;
    return TOK_FAIL(f, "%s.%s: must be a whole number from 0 to %lld", where, field,
                    (long long)most);
}

const json_t *tok_part(const json_t *v, const char *list, size_t i)
{
    return tok_is_type(v, "Sequence") ? json_array_get(json_object_get(v, list), i) : v;
}

int tok_parts(const tok_file *f, const json_t *v, const char *where, const char *list, size_t *n)
{
    const json_t *parts = json_object_get(v, list);
    *n = 0;
    if (tok_absent(v))
        return 0;
    *n = tok_is_type(v, "Sequence") ? json_array_size(parts) : 1;
    if (!tok_is_type(v, "Sequence") || json_is_array(parts))
        return 0;
    return TOK_FAIL(f, "%s.%s: must be an array", where, list);
}
