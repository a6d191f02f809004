/*
** conversation.h - questions and answers over one run, of which what they share with what was
** computed before is kept.
*/
#ifndef CONVERSATION_H
#define CONVERSATION_H

#include <jansson.h>
#include "answer.h"
#include "chat_template.h"

typedef struct conversation {
    const speaker *speaker;
    hi_run *r;
    const chat_template *template;
    json_t *arguments;               /* of the template; NULL: none */
    json_t *messages;                /* list of {role, content} */
    int32_t *ids;                    /* (ctx + 1) what the run holds, hi_length of them */
    int64_t n_prompt, n_kept;        /* tokens of the last prompt; that were in the run */
    double prefill_s;
    answer answer;                   /* the last one; number: how many there were */
    answer_end end;
} conversation;

typedef enum {
    TALK_ANSWERED,
    TALK_REFUSED,                    /* with a message; the conversation is as before the question */
    TALK_CANCELLED,                  /* before the answer began; likewise */
    TALK_LOST                        /* with a message; the run is over */
} talk;

/* All pointers are borrowed. Returns 0, or -1 with a message. conversation_close in either case. */
int conversation_open(conversation *c, const speaker *s, hi_run *r, const chat_template *t,
                      json_t *arguments, char *err, size_t n);
void conversation_close(conversation *c);

/* Forgets all but the system message. */
void conversation_clear(conversation *c);

/* From now on; "": none. Returns 0, or -1 with a message. */
int conversation_system(conversation *c, const char *text, char *err, size_t n);

/* A question and its answer; most: tokens, -1: any number; text of the answer goes to put(arg, ..). */
talk conversation_ask(conversation *c, const char *text, size_t n_text, int64_t most,
                      answer_put *put, void *arg, char *err, size_t n);

/* Another answer to the last question; the one that there is stays if there is none. */
talk conversation_again(conversation *c, int64_t most, answer_put *put, void *arg, char *err,
                        size_t n);

#endif
