/*
** chat_template.h - a checkpoint's chat template: a conversation as one text.
*/
#ifndef CHAT_TEMPLATE_H
#define CHAT_TEMPLATE_H

#include "jinja.h"

typedef struct chat_template chat_template;

/*
** folder  checkpoint folder: chat_template.jinja, else tokenizer_config.json's chat_template (a
**         string, or a list of {name, template}: "default"); bos_token and eos_token from there
** file    a template's file in their place (--chat-template-file), or NULL
** NULL with a message that names the remedy.
*/
chat_template *chat_template_open(const char *folder, const char *file, char *err, size_t n);

/* messages: list of {role, content}; answer: the beginning of the next one is added
   (add_generation_prompt); kwargs: further variables, or NULL. Returns 0, or -1 with a message. */
int chat_template_render(const chat_template *t, json_t *messages, bool answer, json_t *kwargs,
                         jinja_text *out, char *err, size_t n);
void chat_template_close(chat_template *t);

#endif
