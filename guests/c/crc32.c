// CRC-32 of IEEE 802.3, reflected, with a table that is computed at first use.
#include "guest.h"

#define POLYNOMIAL 0xedb88320u

static uint32_t table[256];

static void fill_table(void)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t remainder = byte;
        for (int bit = 0; bit < 8; bit++)
            remainder = remainder >> 1 ^ (remainder & 1 ? POLYNOMIAL : 0);
        table[byte] = remainder;
    }
}

uint32_t crc32(const void *data, size_t size)
{
    const unsigned char *bytes = data;
    uint32_t crc = ~0u;
    if (table[1] == 0)
        fill_table();
    for (size_t i = 0; i < size; i++)
        crc = crc >> 8 ^ table[(crc ^ bytes[i]) & 0xff];
    return ~crc;
}
