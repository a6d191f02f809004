/*
** chat_template.h - a checkpoint's chat template: messages to the text its model was trained on.
*/
#ifndef CHAT_TEMPLATE_H
#define CHAT_TEMPLATE_H

#include <stdbool.h>
#include "jinja.h"

typedef struct chat_template chat_template;

/*
** folder  the checkpoint's: chat_template.jinja, else chat_template of tokenizer_config.json (a
**         string, or the one named "default" of a list); its special tokens are variables
** file    a template to use in place of both; NULL: none
** Returns a template that chat_template_close frees; NULL with a message that names the file,
** the line and what is not supported, or how to give a template where there is none.
*/
chat_template *chat_template_open(const char *folder, const char *file, char *err, size_t n);
void chat_template_close(chat_template *t);

/* As jinja_set_clock. */
void chat_template_set_clock(chat_template *t, time_t now);

/*
** messages  an array of objects, role and content each
** answer    the text ends where the model's answer begins (add_generation_prompt)
** kwargs    an object of further variables (tools, enable_thinking, date_string, ...), or NULL
** Returns 0 and a text that jinja_text_free frees, where only the template's own bytes and the
** tokens' are trusted; -1 with "chat template: ...".
*/
int chat_template_render(const chat_template *t, json_t *messages, bool answer, json_t *kwargs,
                         jinja_text *out, char *err, size_t n);

#endif
