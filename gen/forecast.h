/*
** forecast.h - predicted times of a plan at contexts that people compare, and its longest one.
*/
#ifndef FORECAST_H
#define FORECAST_H

#include "cost.h"

enum {
    MAX_POINTS = 11
};

typedef struct forecast_point {
    int64_t tokens;
    hi_cost prompt; /* of so many tokens */
    hi_cost token;  /* decoded as the last of so many */
} forecast_point;

typedef struct forecast {
    forecast_point at[MAX_POINTS]; /* (n) 1K, 10K, .. 4M as far as the plan goes, and its ctx */
    int n;
} forecast;

void forecast_make(const hi_spec *s, const hi_plan *p, forecast *out);

/* A token decoded as the last of so many. */
void forecast_token(const hi_spec *s, const hi_plan *p, int64_t tokens, hi_cost *out);

/*
** The longest context within the request's budget and host memory; 0 where there is no budget.
** Returns -1 where memory for the search is lacking.
*/
int64_t forecast_longest(const hi_spec *s, const hi_plan *p);

/* The host memory that bounds it. */
int64_t forecast_ram(const hi_plan *p);

#endif
