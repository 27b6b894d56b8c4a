// One function of a library: its first call looks it up, every later one is a jump.
//   name     the symbol, hidden: the program's own, invisible to the libraries
//   library  a number of `Library`
// The entry behind it is `trampolines::Entry`: the address to jump to, the name, the library.
.macro graft_cuda_function name, library
    .section .text.graft_cuda.\name, "ax", @progbits
    .globl \name
    .hidden \name
    .type \name, @function
    .p2align 4
\name:
    jmp qword ptr [rip + .Lgraft_cuda_entry.\name]
.Lgraft_cuda_first.\name:
    lea r11, [rip + .Lgraft_cuda_entry.\name]
    jmp graft_cuda_first_call
    .size \name, . - \name

    .section .data.rel.graft_cuda.\name, "aw", @progbits
    .p2align 3
.Lgraft_cuda_entry.\name:
    .quad .Lgraft_cuda_first.\name
    .quad .Lgraft_cuda_name.\name
    .quad \library

    .section .rodata.graft_cuda.\name, "a", @progbits
.Lgraft_cuda_name.\name:
    .asciz "\name"
.endm

// A function that answers with a number and does nothing.
.macro graft_cuda_answer name, value
    .section .text.graft_cuda.\name, "ax", @progbits
    .globl \name
    .hidden \name
    .type \name, @function
    .p2align 4
\name:
    mov eax, \value
    ret
    .size \name, . - \name
.endm

// A function that nothing calls.
.macro graft_cuda_trap name
    .section .text.graft_cuda.\name, "ax", @progbits
    .globl \name
    .hidden \name
    .type \name, @function
\name:
    ud2
    .size \name, . - \name
.endm

// Keeps whatever may hold an argument, has `graft_cuda_resolve` look the entry in r11 up, and goes on there.
    .section .text.graft_cuda_first_call, "ax", @progbits
    .globl graft_cuda_first_call
    .hidden graft_cuda_first_call
    .type graft_cuda_first_call, @function
    .p2align 4
graft_cuda_first_call:
    .cfi_startproc
    push rbp
    .cfi_def_cfa_offset 16
    .cfi_offset rbp, -16
    mov rbp, rsp
    .cfi_def_cfa_register rbp
    and rsp, -16
    sub rsp, 192
    mov [rsp], rdi
    mov [rsp + 8], rsi
    mov [rsp + 16], rdx
    mov [rsp + 24], rcx
    mov [rsp + 32], r8
    mov [rsp + 40], r9
    mov [rsp + 48], rax
    mov [rsp + 56], r10
    movaps [rsp + 64], xmm0
    movaps [rsp + 80], xmm1
    movaps [rsp + 96], xmm2
    movaps [rsp + 112], xmm3
    movaps [rsp + 128], xmm4
    movaps [rsp + 144], xmm5
    movaps [rsp + 160], xmm6
    movaps [rsp + 176], xmm7
    mov rdi, r11
    call graft_cuda_resolve
    mov r11, rax
    movaps xmm7, [rsp + 176]
    movaps xmm6, [rsp + 160]
    movaps xmm5, [rsp + 144]
    movaps xmm4, [rsp + 128]
    movaps xmm3, [rsp + 112]
    movaps xmm2, [rsp + 96]
    movaps xmm1, [rsp + 80]
    movaps xmm0, [rsp + 64]
    mov r10, [rsp + 56]
    mov rax, [rsp + 48]
    mov r9, [rsp + 40]
    mov r8, [rsp + 32]
    mov rcx, [rsp + 24]
    mov rdx, [rsp + 16]
    mov rsi, [rsp + 8]
    mov rdi, [rsp]
    leave
    .cfi_def_cfa rsp, 8
    jmp r11
    .cfi_endproc
    .size graft_cuda_first_call, . - graft_cuda_first_call
