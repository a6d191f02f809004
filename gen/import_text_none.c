/*
** import_text_none.c - in place of import_text.c where the runtime has no chat templates.
*/
#include "import.h"

int import_texts(const hf_model *m, text *notes, hi_error *e)
{
    (void)m;
    (void)notes;
    (void)e;
    return 0;
}
