// A guest in C: what gcc makes of ordinary code. It sorts, hashes, divides and prints; main returns how many answers were
// wrong.
//
// expect: vcpus: 1
// expect: crc32 of "123456789": cbf43926
// expect: 1000 numbers sorted: 0 to 4288792287, in order
// expect: words: apple banana cherry fig grape lemon orange pear
// expect: 20! = 2432902008176640000, its digits add up to 54
// expect: fib(25) = 75025
// expect: 2^64 / 10^9 = 18446744073, remainder 709551616
// expect: -7 / 2 = -3, remainder -1
// expect: [   42] [42   ] [00042] [-0042] [ffffffff] [c] [   right] [left    ]
// expect: 0 wrong answers
#include <stdbool.h>

#include "guest.h"

#define COUNT 1000

static int wrong;

static void check(bool right)
{
    if (!right)
        wrong++;
}

static int compare_numbers(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

static int compare_words(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

// A linear congruential generator (Numerical Recipes).
static uint32_t next_random(void)
{
    static uint32_t state;
    uint32_t value = state;
    state = state * 1664525 + 1013904223;
    return value;
}

static void hash(void)
{
    static const char digits[] = "123456789";
    uint32_t crc = crc32(digits, strlen(digits));
    printf("crc32 of \"%s\": %08x\n", digits, crc);
    check(crc == 0xcbf43926);
}

static void sort_numbers(void)
{
    static uint32_t numbers[COUNT];
    for (int i = 0; i < COUNT; i++)
        numbers[i] = next_random();
    sort(numbers, COUNT, sizeof numbers[0], compare_numbers);
    bool in_order = true;
    for (int i = 1; i < COUNT; i++)
        in_order &= numbers[i - 1] <= numbers[i];
    check(in_order);
    printf("%d numbers sorted: %u to %u, %s\n", COUNT, numbers[0], numbers[COUNT - 1],
           in_order ? "in order" : "not in order");
}

static void sort_words(void)
{
    const char *words[] = { "pear", "fig", "banana", "orange", "apple", "cherry", "lemon", "grape" };
    size_t count = sizeof words / sizeof words[0];
    sort(words, count, sizeof words[0], compare_words);
    printf("words:");
    for (size_t i = 0; i < count; i++)
        printf(" %s", words[i]);
    printf("\n");
    check(strcmp(words[0], "apple") == 0 && strcmp(words[count - 1], "pear") == 0);
}

static void multiply(void)
{
    uint64_t factorial = 1, sum = 0;
    for (unsigned i = 2; i <= 20; i++)
        factorial *= i;
    for (uint64_t rest = factorial; rest != 0; rest /= 10)
        sum += rest % 10;
    printf("20! = %lu, its digits add up to %lu\n", factorial, sum);
    check(factorial == 2432902008176640000 && sum == 54);
}

__attribute__((noinline)) static unsigned fib(unsigned n)
{
    return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

static void recurse(void)
{
    printf("fib(25) = %u\n", fib(25));
    check(fib(25) == 75025);
}

// volatile: gcc may not know the answers.
static void divide(void)
{
    volatile uint64_t low = 0, high = 1, divisor = 1000000000;
    uint64_t quotient, remainder;
    __asm__("divq %4" : "=a"(quotient), "=d"(remainder) : "a"(low), "d"(high), "r"((uint64_t)divisor) : "cc");
    printf("2^64 / 10^9 = %lu, remainder %lu\n", quotient, remainder);
    check(quotient == 18446744073 && remainder == 709551616);

    volatile int dividend = -7, two = 2;
    printf("%d / %d = %d, remainder %d\n", dividend, two, dividend / two, dividend % two);
    check(dividend / two == -3 && dividend % two == -1);
}

static void format(void)
{
    int printed = printf("[%5d] [%-5d] [%05d] [%05d] [%x] [%c] [%8s] [%-8s]\n", 42, 42, 42, -42, ~0u, 'c', "right", "left");
    check(printed == 69);
}

int main(int vcpus)
{
    printf("vcpus: %d\n", vcpus);
    hash();
    sort_numbers();
    sort_words();
    multiply();
    recurse();
    divide();
    format();
    printf("%d wrong answers\n", wrong);
    return wrong;
}
