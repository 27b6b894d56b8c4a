// One function of a library: its first call looks it up, every later one is a jump.
//   name     the symbol, hidden: the program's own, invisible to the libraries
//   library  a number of `Library`
// The entry behind it is `trampolines::Entry`: the address to jump to, the name, the library.
.macro graft_cuda_function name, library
    .section .text.graft_cuda.\name, "ax", %progbits
    .globl \name
    .hidden \name
    .type \name, %function
    .p2align 4
\name:
    adrp x17, .Lgraft_cuda_entry.\name
    add x17, x17, :lo12:.Lgraft_cuda_entry.\name
    ldr x16, [x17]
    br x16
.Lgraft_cuda_first.\name:
    b graft_cuda_first_call
    .size \name, . - \name

    .section .data.rel.graft_cuda.\name, "aw", %progbits
    .p2align 3
.Lgraft_cuda_entry.\name:
    .quad .Lgraft_cuda_first.\name
    .quad .Lgraft_cuda_name.\name
    .quad \library

    .section .rodata.graft_cuda.\name, "a", %progbits
.Lgraft_cuda_name.\name:
    .asciz "\name"
.endm

// A function that answers with a number and does nothing.
.macro graft_cuda_answer name, value
    .section .text.graft_cuda.\name, "ax", %progbits
    .globl \name
    .hidden \name
    .type \name, %function
    .p2align 4
\name:
    mov x0, #\value
    ret
    .size \name, . - \name
.endm

// A function that nothing calls.
.macro graft_cuda_trap name
    .section .text.graft_cuda.\name, "ax", %progbits
    .globl \name
    .hidden \name
    .type \name, %function
\name:
    brk #1
    .size \name, . - \name
.endm

// Keeps whatever may hold an argument, has `graft_cuda_resolve` look the entry in x17 up, and goes on there.
// x8 holds the place of a large result.
    .section .text.graft_cuda_first_call, "ax", %progbits
    .globl graft_cuda_first_call
    .hidden graft_cuda_first_call
    .type graft_cuda_first_call, %function
    .p2align 4
graft_cuda_first_call:
    .cfi_startproc
    stp x29, x30, [sp, #-224]!
    .cfi_def_cfa_offset 224
    .cfi_offset x29, -224
    .cfi_offset x30, -216
    mov x29, sp
    stp x0, x1, [sp, #16]
    stp x2, x3, [sp, #32]
    stp x4, x5, [sp, #48]
    stp x6, x7, [sp, #64]
    str x8, [sp, #80]
    stp q0, q1, [sp, #96]
    stp q2, q3, [sp, #128]
    stp q4, q5, [sp, #160]
    stp q6, q7, [sp, #192]
    mov x0, x17
    bl graft_cuda_resolve
    mov x16, x0
    ldp q6, q7, [sp, #192]
    ldp q4, q5, [sp, #160]
    ldp q2, q3, [sp, #128]
    ldp q0, q1, [sp, #96]
    ldr x8, [sp, #80]
    ldp x6, x7, [sp, #64]
    ldp x4, x5, [sp, #48]
    ldp x2, x3, [sp, #32]
    ldp x0, x1, [sp, #16]
    ldp x29, x30, [sp], #224
    .cfi_def_cfa_offset 0
    .cfi_restore x29
    .cfi_restore x30
    br x16
    .cfi_endproc
    .size graft_cuda_first_call, . - graft_cuda_first_call
