/*
** fake_driver.c - as much of libcuda.so.1 as hi-gen asks: FAKE_GPUS devices (1) of compute
*capability
** FAKE_MAJOR.0 (9).
*/
#include <stdlib.h>

int cuInit(unsigned flags);
int cuDeviceGetCount(int *n);
int cuDeviceGet(int *device, int index);
int cuDeviceGetAttribute(int *value, int attribute, int device);

static int number(const char *name, int otherwise)
{
    const char *text = getenv(name);
    return text != NULL ? atoi(text) : otherwise;
}

int cuInit(unsigned flags)
{
    (void)flags;
    return number("FAKE_INIT", 0);
}

int cuDeviceGetCount(int *n)
{
    *n = number("FAKE_GPUS", 1);
    return 0;
}

int cuDeviceGet(int *device, int index)
{
    *device = index + 7;
    return index < number("FAKE_GPUS", 1) ? 0 : 101;
}

int cuDeviceGetAttribute(int *value, int attribute, int device)
{
    *value = attribute == 75 ? number("FAKE_MAJOR", 9) : attribute == 76 ? 0 : -1;
    return device == 7 ? 0 : 101;
}
