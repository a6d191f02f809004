/*
** words.c - the words for a plan's choices, on the command line and wherever a plan is told.
*/
#include "gen.h"

const char *const GOAL_WORDS[] = { "balanced", "prefill", "decode", NULL };
const char *const POLICY_WORDS[] = { "auto", "standard", "chunked", "layer", "head", NULL };
const char *const WEIGHTS_WORDS[] = { "stored", "q8", "q4", NULL };
const char *const PLACE_WORDS[] = { "none", "device", "host", NULL };
