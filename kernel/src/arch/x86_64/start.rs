//! From the loader to Rust: the first instructions of the kernel, and the page tables that carry them.
//!
//! Invariants:
//! 1. The code and data of this file are linked at their physical addresses (`.boot.*` in `linker.ld`), are used
//!    until [`super::paging`] loads the kernel's own tables, and never after.
//! 2. The boot tables map the first 4 GiB where they are, so that whatever the loader left there can be read, and the
//!    first GiB at [`super::paging::KERNEL_BASE`] as well.
//! 3. An entry path does three things: it notes the time in `ebp:edi`, puts the address of what its loader handed over
//!    in `ebx` and a number that says which loader it was in `esi`, and goes on to `long_mode_entry`. So a further path
//!    is an addition.

use core::arch::global_asm;

use super::cpu::{BOOT_STACK_TOP_OFFSET, BOOT_STACKS};

/// By which path the kernel was entered.
pub const PVH: u64 = 1;
/// See [`PVH`].
pub const MULTIBOOT2: u64 = 2;

global_asm!(
    r#"
    // The note by which a PVH loader finds the 32-bit entry point (XEN_ELFNOTE_PHYS32_ENTRY).
    .section .note.Xen, "a", @note
    .balign 4
    .long 4, 8, 18
    .asciz "Xen"
    .quad pvh_entry

    .section .boot.text, "ax"
    // The header by which a Multiboot2 loader knows the kernel (Multiboot2 Specification 2.0, section 3.1): within the
    // first 32 KiB of the file, on a multiple of 8, as every tag in it.
    .balign 8
multiboot2_header:
    .long 0xe85250d6, 0, multiboot2_header_end - multiboot2_header
    .long -(0xe85250d6 + multiboot2_header_end - multiboot2_header)
    .word 1, 0                          // information request: the memory map
    .long 12, 6, 0
    .word 3, 0                          // entry address
    .long 12, multiboot2_entry, 0
    .word 6, 0                          // modules start on pages
    .long 8
    .word 0, 0                          // end
    .long 8
multiboot2_header_end:

    .code32
    // Multiboot2, also on UEFI: 32-bit protected mode, flat segments, paging and interrupts off, eax = magic number,
    // ebx = physical address of the boot information.
    .global multiboot2_entry
multiboot2_entry:
    mov esi, {multiboot2}
    cmp eax, 0x36d76289
    je 2f
    xor esi, esi                        // no loader that is known
2:  rdtsc
    mov edi, eax
    mov ebp, edx
    jmp long_mode_entry

    // PVH: 32-bit protected mode, flat segments, paging and interrupts off, ebx = physical address of hvm_start_info.
    .global pvh_entry
pvh_entry:
    rdtsc
    mov edi, eax
    mov ebp, edx
    mov esi, {pvh}

long_mode_entry:
    cli
    cld
    mov esp, offset boot_stack_top
    push ebx
    mov eax, 0x80000000
    cpuid
    cmp eax, 0x80000001
    jb no_long_mode
    mov eax, 0x80000001
    cpuid
    bt edx, 29
    jnc no_long_mode
    bt edx, 20
    jnc no_long_mode
    pop ebx

    mov eax, cr4
    or eax, 1 << 5                      // PAE
    mov cr4, eax
    mov eax, offset boot_pml4
    mov cr3, eax
    mov ecx, 0xc0000080                 // EFER
    rdmsr
    or eax, (1 << 8) | (1 << 11)        // LME, NXE
    wrmsr
    mov eax, cr0
    and eax, ~((1 << 2) | (1 << 3))     // EM, TS
    or eax, (1 << 31) | (1 << 16) | 3   // PG, WP, MP, PE
    mov cr0, eax
    lgdt [boot_gdt_pointer]
    push 8
    mov eax, offset long_mode
    push eax
    retf

    // Says why on COM1, and stays.
no_long_mode:
    mov esi, offset no_long_mode_text
    mov dx, 0x3f8
2:  lodsb
    test al, al
    jz 3f
    out dx, al
    jmp 2b
3:  hlt
    jmp 3b

    .code64
long_mode:
    xor eax, eax
    mov ds, eax
    mov es, eax
    mov ss, eax
    mov fs, eax
    mov gs, eax
    movabs rsp, offset {stacks} + {stack_top}
    mov edx, edi                        // the 32-bit moves clear the upper halves
    mov ecx, ebp
    shl rcx, 32
    or rdx, rcx                         // third argument: time-stamp counter at entry
    mov edi, esi                        // first: the entry path
    mov esi, ebx                        // second: what the loader handed over
    xor ebp, ebp                        // the end of every backtrace
    push rbp
    push rbp
    movabs rax, offset {main}
    call rax
    ud2

    .section .boot.data, "aw"
    .balign 4096
boot_pml4:
    .quad boot_pdpt_low + 3
    .fill 510, 8, 0
    .quad boot_pdpt_high + 3
boot_pdpt_low:
    .quad boot_pd + 0x0003, boot_pd + 0x1003, boot_pd + 0x2003, boot_pd + 0x3003
    .fill 508, 8, 0
boot_pdpt_high:
    .fill 510, 8, 0
    .quad boot_pd + 3
    .quad 0
boot_pd:
    .set boot_page, 0
    .rept 2048
    .quad boot_page + 0x83              // present, writable, 2 MiB
    .set boot_page, boot_page + 0x200000
    .endr

boot_gdt:
    .quad 0
    .quad 0x00af9b000000ffff            // 64-bit code
boot_gdt_pointer:
    .word 15
    .long boot_gdt
    .balign 16
    .fill 64, 1, 0
boot_stack_top:
no_long_mode_text:
    .asciz "kernel panic: this processor has no long mode, or no execute-disable bit\n"

    .text
    "#,
    pvh = const PVH,
    multiboot2 = const MULTIBOOT2,
    stacks = sym BOOT_STACKS,
    stack_top = const BOOT_STACK_TOP_OFFSET,
    main = sym crate::kernel_main,
);
