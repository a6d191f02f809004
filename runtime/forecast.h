/*
** forecast.h - what the plan predicted for the run at hand.
*/
#ifndef FORECAST_H
#define FORECAST_H

#include "hi.h"

/* Between the table's points values go along straight lines in the logarithms. n >= 1. */
hi_forecast forecast_at(const hi_model *m, int64_t n);

/* Bytes that the change to decode copies to the device after n tokens. */
double forecast_enter(const hi_model *m, int64_t n);

#endif
