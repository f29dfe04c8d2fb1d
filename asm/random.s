# Numbers by chance that are the same in every run: Marsaglia's xorshift of 32 bits.

        .text

# The next number, in %eax; changes %ecx.
random: movl    random_state(%rip), %eax
        movl    %eax, %ecx
        shll    $13, %ecx
        xorl    %ecx, %eax
        movl    %eax, %ecx
        shrl    $17, %ecx
        xorl    %ecx, %eax
        movl    %eax, %ecx
        shll    $5, %ecx
        xorl    %ecx, %eax
        movl    %eax, random_state(%rip)
        ret

        .data
        .balign 4
random_state:
        .long   2463534242
        .text
