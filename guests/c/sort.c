// Heapsort: in place, no recursion, n log n in every case.
#include "guest.h"

static void swap(unsigned char *a, unsigned char *b, size_t size)
{
    while (size-- > 0) {
        unsigned char byte = *a;
        *a++ = *b;
        *b++ = byte;
    }
}

// Lets the element at `root` sink to its place in the heap of `count` elements.
static void sink(unsigned char *heap, size_t root, size_t count, size_t size, int (*compare)(const void *, const void *))
{
    for (size_t child; (child = 2 * root + 1) < count; root = child) {
        if (child + 1 < count && compare(heap + child * size, heap + (child + 1) * size) < 0)
            child++;
        if (compare(heap + root * size, heap + child * size) >= 0)
            return;
        swap(heap + root * size, heap + child * size, size);
    }
}

void sort(void *elements, size_t count, size_t size, int (*compare)(const void *, const void *))
{
    for (size_t root = count / 2; root-- > 0;)
        sink(elements, root, count, size, compare);
    for (size_t last = count; last-- > 1;) {
        swap(elements, (unsigned char *)elements + last * size, size);
        sink(elements, 0, last, size, compare);
    }
}
