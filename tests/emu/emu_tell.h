/*
** emu_tell.h - what the emulation tells a sanitizer; nothing in a plain build.
**
** Its files are compiled without one and tell the one named by EMU_ASAN, EMU_TSAN or EMU_MSAN what
** happens: which stack is in use, what orders threads, what is written on a thread's behalf.
*/
#ifndef EMU_TELL_H
#define EMU_TELL_H

#ifdef EMU_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef EMU_TSAN
#include <sanitizer/tsan_interface.h>
void __tsan_read_range(void *p, unsigned long bytes);
void __tsan_write_range(void *p, unsigned long bytes);
#endif
#ifdef EMU_MSAN
#include <sanitizer/msan_interface.h>
#endif

#ifdef EMU_TSAN
#define ORDER_RELEASE(tag) __tsan_release(tag)
#define ORDER_ACQUIRE(tag) __tsan_acquire(tag)
#define IS_READ(p, n) __tsan_read_range((void *)(p), n)
#define IS_WRITTEN(p, n) __tsan_write_range(p, n)
#else
#define ORDER_RELEASE(tag) ((void)(tag))
#define ORDER_ACQUIRE(tag) ((void)(tag))
#define IS_READ(p, n) ((void)(p), (void)(n))
#define IS_WRITTEN(p, n) ((void)(p), (void)(n))
#endif

#ifdef EMU_MSAN
#define IS_DEFINED(p, n) __msan_unpoison(p, n)
#define IS_UNDEFINED(p, n) __msan_poison(p, n)
#define MUST_BE_DEFINED(p, n) __msan_check_mem_is_initialized(p, n)
#else
#define IS_DEFINED(p, n) ((void)(p), (void)(n))
#define IS_UNDEFINED(p, n) ((void)(p), (void)(n))
#define MUST_BE_DEFINED(p, n) ((void)(p), (void)(n))
#endif

#ifdef EMU_ASAN
#define IS_ADDRESSABLE(p, n) __asan_unpoison_memory_region(p, n)
#define IS_OUT_OF_BOUNDS(p, n) __asan_poison_memory_region(p, n)
#else
#define IS_ADDRESSABLE(p, n) ((void)(p), (void)(n))
#define IS_OUT_OF_BOUNDS(p, n) ((void)(p), (void)(n))
#endif

#endif
