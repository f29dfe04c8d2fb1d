// What the parts of the C guest offer each other: a small piece of a C library, and the algorithms that main exercises.
#pragma once

#include <stddef.h>
#include <stdint.h>

// string.c. gcc calls the first four on its own.
void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);
int memcmp(const void *left, const void *right, size_t size);
size_t strlen(const char *text);
int strcmp(const char *left, const char *right);

// printf.c. Conversions d i u x X c s p %, with flags - 0 and a width, and l or ll.
int printf(const char *format, ...) __attribute__((format(printf, 1, 2)));

// crc32.c
uint32_t crc32(const void *data, size_t size);

// sort.c
void sort(void *elements, size_t count, size_t size, int (*compare)(const void *, const void *));
