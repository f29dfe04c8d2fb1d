// printf to the serial port.
#include <stdarg.h>
#include <stdbool.h>

#include "guest.h"

#define PORT_SERIAL 0x3f8

static int put(char character)
{
    __asm__ volatile("outb %0, %1" : : "a"(character), "d"((uint16_t)PORT_SERIAL));
    return 1;
}

static int fill(char character, int count)
{
    for (int i = 0; i < count; i++)
        put(character);
    return count > 0 ? count : 0;
}

struct conversion {
    bool left;      // flag -
    bool zeros;     // flag 0
    int width;
    int longs;      // how many l
};

static int put_text(const struct conversion *how, const char *text, int length)
{
    int printed = how->left ? 0 : fill(' ', how->width - length);
    for (int i = 0; i < length; i++)
        printed += put(text[i]);
    return printed + (how->left ? fill(' ', how->width - length) : 0);
}

static int put_number(struct conversion how, uint64_t value, bool negative, unsigned base, const char *digits)
{
    char text[24];
    int at = sizeof text;
    do
        text[--at] = digits[value % base];
    while (value /= base);

    int printed = 0;
    if (negative && how.zeros)
        printed = put('-'), how.width--;
    else if (negative)
        text[--at] = '-';
    int length = (int)sizeof text - at;
    if (how.zeros && !how.left) {
        printed += fill('0', how.width - length);
        how.width = 0;
    }
    return printed + put_text(&how, text + at, length);
}

int printf(const char *format, ...)
{
    static const char lower[] = "0123456789abcdef", upper[] = "0123456789ABCDEF";
    va_list values;
    int printed = 0;
    va_start(values, format);
    for (; *format; format++) {
        if (*format != '%') {
            printed += put(*format);
            continue;
        }
        struct conversion how = { 0 };
        for (format++; *format == '-' || *format == '0'; format++) {
            if (*format == '-')
                how.left = true;
            else
                how.zeros = true;
        }
        for (; *format >= '0' && *format <= '9'; format++)
            how.width = how.width * 10 + (*format - '0');
        for (; *format == 'l'; format++)
            how.longs++;
        switch (*format) {
        case 'd':
        case 'i': {
            int64_t value = how.longs ? va_arg(values, int64_t) : va_arg(values, int);
            printed += put_number(how, value < 0 ? -(uint64_t)value : (uint64_t)value, value < 0, 10, lower);
            break;
        }
        case 'u':
            printed += put_number(how, how.longs ? va_arg(values, uint64_t) : va_arg(values, unsigned), false, 10, lower);
            break;
        case 'x':
        case 'X':
            printed += put_number(how, how.longs ? va_arg(values, uint64_t) : va_arg(values, unsigned), false, 16,
                                  *format == 'x' ? lower : upper);
            break;
        case 'p':
            printed += put('0') + put('x') + put_number(how, (uintptr_t)va_arg(values, void *), false, 16, lower);
            break;
        case 'c': {
            char character = (char)va_arg(values, int);
            printed += put_text(&how, &character, 1);
            break;
        }
        case 's': {
            const char *text = va_arg(values, const char *);
            printed += put_text(&how, text, (int)strlen(text));
            break;
        }
        case '\0':
            va_end(values);
            return printed;
        default:
            printed += put(*format);
        }
    }
    va_end(values);
    return printed;
}
