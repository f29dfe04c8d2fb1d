# A vCPU that waits for interrupts or events of another, running or halted, and how long that one lets it wait. Needs asm/random.s.

        .text

# Long enough for the target to halt, and not always the same: 4096 to 8191 rounds.
pause_a_while:
        call    random
        andl    $4095, %eax
        addl    $4096, %eax
1:      decl    %eax
        jnz     1b
        ret

# Spins, or halts, for ever; the handler does the rest.
target:
        sti
1:      cmpl    $0, halts(%rip)
        jne     2f
        jmp     1b
2:      cli
        sti                                     # takes effect after HLT has begun
        hlt
        jmp     2b

        .data
        .balign 4
halts:  .long   0
