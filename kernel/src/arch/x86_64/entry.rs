//! The doors between user mode and the kernel.
//!
//! Invariants:
//! 1. Interrupts are off from the door in to the door out; the kernel is left by [`leave`], [`idle`], [`breathe`], or the end of the
//!    door by which it was entered.
//! 2. A thread's registers lie in its `Context`, but that the rest of the running thread's are where they were while a short call
//!    is served. `PerCpu::context` points at that of the running thread.
//! 3. In ring 0, a maskable interrupt arrives at one instruction only, `wake`, where the kernel stack is empty. Any
//!    exception in ring 0 is a defect of the kernel, and ends in a panic.
//! 4. NMI, debug exception, double fault and machine check may arrive at any instruction, even where `rsp` and GS are
//!    still the user's. They have stacks of their own and never read GS: the first two go back at once (the debug
//!    exception only where it came from ring 0), the other two never do. So there is no guessing whose GS it is.
//! 5. Whatever stands in a `Context`, leaving through it cannot fault in the kernel: see [`leave`].
//!
//! 6. The field `entered` of the thread that runs says `Syscall`: an interrupt sets it to `Interrupt`, and leaving after
//!    one sets it back.
//!
//! Instructions of a system call: 33 in with the call of Rust code, 23 out; of a short call 19 and 15. Of a handoff: 25 in and 16
//! out for a call, 27 and 16 for a reply, 29 and 20 for a call that is passed on, 31 and 16 for a reply with a deadline. Each of
//! these executes `swapgs` twice and `sysretq`; where the running thread changes, one `mov cr3` and one `fxrstor64` as well.

use core::arch::global_asm;
use core::mem::offset_of;

use abi::{CallFlags, Registers, Sysno};
use kernel::machine::{Clock, Context, Entered};
use kernel::thread::Thread;

use super::cpu::{PerCpu, USER_CODE, USER_DATA};
use super::{dispatch, panic};

unsafe extern "C" {
    /// Where `syscall` leads: serves `Clock` at once, and handoffs.
    pub fn syscall_entry();
    /// The same with handoffs that are noted in the trace.
    pub fn traced_entry();
    /// Where it leads if every system call must be seen by the object logic.
    pub fn general_entry();
    /// Vector 1.
    pub fn debug_entry();
    /// Vector 2.
    pub fn nmi_entry();
    /// Vector 8.
    pub fn double_fault_entry();
    /// Vector 18.
    pub fn machine_check_entry();
    fn interrupt_stubs();
    /// Leaves to user mode through `context`.
    ///
    /// # Safety
    /// 1. `context` must be a thread's, stay until the thread enters the kernel again, and then be where its registers
    ///    are to be saved.
    /// 2. The thread's address space must be loaded.
    pub fn leave(context: *const Context) -> !;
    /// Waits for an interrupt on an empty kernel stack.
    ///
    /// # Safety
    /// No value on the kernel stack may be needed any more.
    pub fn idle() -> !;
    /// Lets waiting interrupts in, then goes on in the kernel, both on an empty kernel stack.
    ///
    /// # Safety
    /// As of `idle`.
    pub fn breathe() -> !;
}

/// Address of the stub of `vector`.
pub fn stub(vector: u8) -> u64 {
    interrupt_stubs as *const () as u64 + u64::from(vector) * STUB_SIZE
}

const STUB_SIZE: u64 = 16;

/// RFLAGS bits that a program may have; `IF` and the constant bit are added. Not among them: IOPL, VM, VIF, VIP.
const USER_FLAGS: u32 = 0x0025_4dd5;

/// In `rax`, the flag of a wait that ends.
const TIMED: u64 = (CallFlags::DEADLINE.bits() as u64) << 8;

// The layout and the numbers that the code below counts on.
const _: () = {
    let short = [
        Sysno::Duplicate,
        Sysno::Close,
        Sysno::LeaseRead,
        Sysno::LeaseWrite,
        Sysno::MemoryMap,
        Sysno::MemoryUnmap,
        Sysno::Post,
        Sysno::Recv,
    ];
    let mut n = 0;
    while n < short.len() {
        assert!(short[n] as usize == Sysno::Clock as usize + 1 + n);
        n += 1;
    }
    assert!(Sysno::Call as usize == Sysno::Clock as usize + 1 + short.len());
    assert!(offset_of!(Context, registers) == 0 && offset_of!(Thread, context) == 0);
    assert!(Entered::Syscall as u64 == 0 && Entered::Interrupt as u64 == 1);
};

global_asm!(
    r#"
    .text

    // Into the context at rsp: what every short call needs.
    .macro save_operands
    mov [rsp + {r15_}], r15
    mov [rsp + {r10_}], r10
    mov [rsp + {r9_}], r9
    mov [rsp + {r8_}], r8
    mov [rsp + {rdx_}], rdx
    mov [rsp + {rsi_}], rsi
    mov [rsp + {rdi_}], rdi
    mov [rsp + {rax_}], rax
    .endm

    // Into the context at a register: words 4 to 7.
    .macro save_late_words context
    mov [\context + {r14_}], r14
    mov [\context + {r13_}], r13
    mov [\context + {r12_}], r12
    mov [\context + {rbx_}], rbx
    .endm

    // Into the context at rsp: all but rsp, rcx and r11.
    .macro save_registers
    save_operands
    save_late_words rsp
    mov [rsp + {rbp_}], rbp
    .endm

    // From the context at a register: words 4 to 7.
    .macro load_late_words context
    mov r14, [\context + {r14_}]
    mov r13, [\context + {r13_}]
    mov r12, [\context + {r12_}]
    mov rbx, [\context + {rbx_}]
    .endm

    // From the context at rdi: all but rsp, rdi, rcx and r11.
    .macro load_registers
    mov rbp, [rdi + {rbp_}]
    mov r15, [rdi + {r15_}]
    load_late_words rdi
    mov r10, [rdi + {r10_}]
    mov r9, [rdi + {r9_}]
    mov r8, [rdi + {r8_}]
    mov rdx, [rdi + {rdx_}]
    mov rsi, [rdi + {rsi_}]
    mov rax, [rdi + {rax_}]
    .endm

    // What `syscall` has done: rcx = rip, r11 = rflags, flags masked by FMASK (interrupts off). rsp and GS are still
    // the user's. Flags stay as they are.
    .macro enter
    swapgs
    mov gs:[{scratch}], rsp
    mov rsp, gs:[{context}]
    mov [rsp + {rip}], rcx
    mov [rsp + {rflags}], r11
    mov rcx, gs:[{scratch}]
    mov [rsp + {rsp_}], rcx
    save_registers
    mov rsp, gs:[{kernel_stack}]
    .endm

    // Leaves with the message of the context rcx through the context rax, in the kernel by a system call. rdi, rsi, r15
    // and the words in rbx, r12, r13 and r14 are in their registers. rip is canonical: `syscall` has left it.
    .macro leave_with_message
    mov gs:[{context}], rax
    mov rdx, [rcx + {rdx_}]
    mov r8, [rcx + {r8_}]
    mov r9, [rcx + {r9_}]
    mov r10, [rcx + {r10_}]
    mov rbp, [rax + {rbp_}]
    mov r11, [rax + {rflags}]
    mov rsp, [rax + {rsp_}]
    mov rcx, [rax + {rip}]
    xor eax, eax
    swapgs
    sysretq
    .endm

    // The same with the call of the thread that came, which has rbx, r12, r13 and r14.
    .macro leave_with_call
    mov rcx, gs:[{context}]
    mov rdi, [rcx + {badge}]
    mov rsi, [rcx + {rsi_}]
    mov r15, [rcx + {call_id}]
    leave_with_message
    .endm

    // The same with its reply.
    .macro leave_with_reply
    mov rcx, gs:[{context}]
    mov rsi, [rcx + {rsi_}]
    mov rdi, [rax + {rdi_}]
    mov r15, [rax + {r15_}]
    leave_with_message
    .endm

    // A door with these functions for calls and replies, which return where there was a handoff; `on_syscall` does not.
    .macro door on_call, on_reply_recv, on_forward_recv, on_timed_call, on_timed_reply_recv
    cmp rax, {call}
    jb enter_below_call
    enter
    je 1f                               // of the comparison
    cmp rax, {reply_recv}
    je 2f
    cmp rax, {forward_recv}
    je 3f
    cmp rax, {timed_reply_recv}
    je 4f
    cmp rax, {timed_call}
    je 5f
    call {on_syscall}
1:  call \on_call
    leave_with_call
5:  call \on_timed_call
    leave_with_call
2:  call \on_reply_recv
    leave_with_reply
4:  call \on_timed_reply_recv
    leave_with_reply
3:  call \on_forward_recv
    mov rcx, rdx                        // the message is the caller's
    mov rdi, [rcx + {badge}]
    mov rsi, [rcx + {rsi_}]
    mov r15, [rcx + {call_id}]
    load_late_words rcx
    leave_with_message
    .endm

    .balign 64
    .global syscall_entry
syscall_entry:
    door {on_call}, {on_reply_recv}, {on_forward_recv}, {on_timed_call}, {on_timed_reply_recv}

    .balign 64
    .global traced_entry
traced_entry:
    door {on_traced_call}, {on_traced_reply_recv}, {on_traced_forward_recv}, {on_traced_timed_call}, {on_traced_timed_reply_recv}

    .global general_entry
general_entry:
    enter
    call {on_syscall}

enter_below_call:
    cmp rax, {clock}
    ja short_entry
    jb general_entry
    // `Clock`, as `Clock::nanoseconds` computes it: needs no register but rax and rdx, which are its to change, and no
    // stack. rcx is canonical, as said at `leave`.
    rdtsc
    shl rdx, 32
    or rax, rdx
    sub rax, [rip + {time} + {time_entry}]
    mul qword ptr [rip + {time} + {time_to_ns}]
    shrd rax, rdx, {time_shift}
    mov rdx, rax
    xor eax, eax
    sysretq

    // A short call. What it does not need stays in its registers, which the functions in the table keep; rsp stays in
    // scratch, which nothing changes while interrupts are off.
short_entry:
    swapgs
    mov gs:[{scratch}], rsp
    mov rsp, gs:[{context}]
    mov [rsp + {rip}], rcx
    mov [rsp + {rflags}], r11
    save_operands
    mov rsp, gs:[{kernel_stack}]
    call [short_calls + rax * 8 - {first_short} * 8]
    mov rdi, gs:[{context}]
    test al, al
    jz 1f
    mov rcx, [rdi + {rip}]
    mov r11, [rdi + {rflags}]
    mov r10, [rdi + {r10_}]
    mov r9, [rdi + {r9_}]
    mov r8, [rdi + {r8_}]
    mov rdx, [rdi + {rdx_}]
    mov rsi, [rdi + {rsi_}]
    mov rax, [rdi + {rax_}]
    mov rsp, gs:[{scratch}]
    mov rdi, [rdi + {rdi_}]
    swapgs
    sysretq
1:  mov rcx, gs:[{scratch}]
    mov [rdi + {rsp_}], rcx
    mov [rdi + {rbp_}], rbp
    save_late_words rdi
    call {on_long}

    // These words are a part of the message.
short_post:
    mov rcx, gs:[{context}]
    save_late_words rcx
    jmp {on_post}

    // The same, and the message id, where one has come.
short_recv:
    push rbp                            // for the alignment
    call {on_recv}
    pop rbp
    test al, al
    jz 1f
    mov rcx, gs:[{context}]
    mov r15, [rcx + {r15_}]
    load_late_words rcx
1:  ret

    .section .rodata
    .balign 64
short_calls:
    .quad {on_duplicate}, {on_close}, {on_lease_read}, {on_lease_write}, {on_map}, {on_unmap}, short_post, short_recv
    .text

    // rdi = the context to leave through. The general way out is further down.
    //
    // SYSRET faults in ring 0, on the user's rsp, if rcx is not canonical (Intel), and so would IRETQ. The two shifts
    // keep the low 47 bits, an address of the user half, whatever stood there. An address that `syscall` has put there
    // is not changed: no code is mapped in the last page of the user half (abi::layout::USER_END).
    .global leave
leave:
    cmp qword ptr [rdi + {entered}], 0
    jne leave_all
    mov gs:[{context}], rdi
    mov rcx, [rdi + {rip}]
    shl rcx, 17
    shr rcx, 17
    mov r11, [rdi + {rflags}]
    load_registers
    mov rsp, [rdi + {rsp_}]
    mov rdi, [rdi + {rdi_}]
    swapgs
    sysretq

    // rdi = a context whose registers were all saved, or made.
leave_all:
    mov rsp, gs:[{kernel_stack}]
    push {user_data}
    push qword ptr [rdi + {rsp_}]
    mov rcx, [rdi + {rflags}]
    and ecx, {user_flags}
    or ecx, 0x202
    push rcx
    push {user_code}
    mov rcx, [rdi + {rip}]
    shl rcx, 17
    shr rcx, 17
    push rcx
    mov gs:[{context}], rdi
    mov r11, [rdi + {r11_}]
    mov rcx, [rdi + {rcx_}]
    load_registers
    mov qword ptr [rdi + {entered}], 0
    mov rdi, [rdi + {rdi_}]
    swapgs
    iretq

    // In both, `sti` lets interrupts in one instruction later, so they all arrive at `wake`. They never come back here. An
    // NMI in between ends that delay: it goes back to `wake` too.
    .global idle
idle:
    mov rsp, gs:[{kernel_stack}]
    sti
    hlt
wake:
    cli
    call {on_wake}
    .global breathe
breathe:
    mov rsp, gs:[{kernel_stack}]
    sti
    jmp wake

    // Stack: vector, error code, rip, cs, rflags, rsp, ss.
interrupt_entry:
    test byte ptr [rsp + 24], 3
    jz interrupt_in_kernel
    swapgs
    mov gs:[{scratch}], rsp
    mov rsp, gs:[{context}]
    mov [rsp + {rcx_}], rcx
    mov [rsp + {r11_}], r11
    save_registers
    mov rcx, gs:[{scratch}]
    mov rax, [rcx + 16]
    mov [rsp + {rip}], rax
    mov rax, [rcx + 32]
    mov [rsp + {rflags}], rax
    mov rax, [rcx + 40]
    mov [rsp + {rsp_}], rax
    mov qword ptr [rsp + {entered}], 1
    mov rdi, [rcx]                      // vector
    mov rsi, [rcx + 8]                  // error code
    mov rdx, rsp                        // context
    mov rsp, gs:[{kernel_stack}]
    push 2                              // a gate leaves DF and AC as the user had them
    popfq
    call {on_interrupt}

interrupt_in_kernel:
    cmp qword ptr [rsp], 32
    jb fault_in_kernel
    push rax
    lea rax, [rip + wake]
    cmp rax, [rsp + 24]
    pop rax
    jne fault_in_kernel
    mov rdi, [rsp]
    xor esi, esi
    xor edx, edx                        // no context: at `wake`
    mov rsp, gs:[{kernel_stack}]
    call {on_interrupt}

    // As above, and it is the end.
fault_in_kernel:
    push rax
    push rcx
    push rdx
    push rbx
    push rbp
    push rsi
    push rdi
    push r8
    push r9
    push r10
    push r11
    push r12
    push r13
    push r14
    push r15
    mov rdi, rsp
    and rsp, -16
    cld
    call {on_kernel_fault}

    .global double_fault_entry
double_fault_entry:
    push 8
    jmp fault_in_kernel

    .global machine_check_entry
machine_check_entry:
    push 0
    push 18
    jmp fault_in_kernel

    // Nothing in this kernel asks for an NMI, and nothing can be done about those that hardware sends. One that finds
    // interrupts on in ring 0 has come behind a `sti`.
    .global nmi_entry
nmi_entry:
    test byte ptr [rsp + 8], 3
    jnz 2f
    test byte ptr [rsp + 17], 2         // IF
    jz 2f
    push rax
    lea rax, [rip + wake]
    mov [rsp + 8], rax
    pop rax
2:  iretq

    // From ring 3 it is the program's. In ring 0 it can only be one that `mov ss` delayed into the kernel, or a single
    // step that ran into the door: nobody's. Breakpoints are never set.
    .global debug_entry
debug_entry:
    push rax
    xor eax, eax
    mov dr6, rax
    pop rax
    test byte ptr [rsp + 8], 3
    jz 2f
    push 0
    push 1
    jmp interrupt_entry
2:  and qword ptr [rsp + 16], ~0x100    // TF
    iretq
    "#,
    scratch = const offset_of!(PerCpu, scratch),
    context = const offset_of!(PerCpu, context),
    badge = const offset_of!(Thread, badge),
    call_id = const offset_of!(Thread, call),
    kernel_stack = const offset_of!(PerCpu, kernel_stack),
    entered = const offset_of!(Context, entered),
    rip = const offset_of!(Registers, rip),
    rflags = const offset_of!(Registers, rflags),
    rsp_ = const offset_of!(Registers, rsp),
    rax_ = const offset_of!(Registers, rax),
    rdi_ = const offset_of!(Registers, rdi),
    rsi_ = const offset_of!(Registers, rsi),
    rdx_ = const offset_of!(Registers, rdx),
    r8_ = const offset_of!(Registers, r8),
    r9_ = const offset_of!(Registers, r9),
    r10_ = const offset_of!(Registers, r10),
    rbx_ = const offset_of!(Registers, rbx),
    r12_ = const offset_of!(Registers, r12),
    r13_ = const offset_of!(Registers, r13),
    r14_ = const offset_of!(Registers, r14),
    r15_ = const offset_of!(Registers, r15),
    rbp_ = const offset_of!(Registers, rbp),
    rcx_ = const offset_of!(Registers, rcx),
    r11_ = const offset_of!(Registers, r11),
    user_data = const USER_DATA,
    user_code = const USER_CODE,
    user_flags = const USER_FLAGS,
    clock = const Sysno::Clock as u64,
    call = const Sysno::Call as u64,
    reply_recv = const Sysno::ReplyRecv as u64,
    forward_recv = const Sysno::ForwardRecv as u64,
    timed_call = const Sysno::Call as u64 | TIMED,
    timed_reply_recv = const Sysno::ReplyRecv as u64 | TIMED,
    on_timed_call = sym dispatch::on_full_call::<true, false>,
    on_timed_reply_recv = sym dispatch::on_full_reply_recv::<true, false>,
    on_traced_timed_call = sym dispatch::on_full_call::<true, true>,
    on_traced_timed_reply_recv = sym dispatch::on_full_reply_recv::<true, true>,
    time = sym dispatch::CLOCK,
    time_entry = const offset_of!(Clock, entry),
    time_to_ns = const offset_of!(Clock, to_ns),
    time_shift = const Clock::SHIFT,
    first_short = const Sysno::Duplicate as u64,
    on_duplicate = sym dispatch::on_short::<{ Sysno::Duplicate as u8 }>,
    on_close = sym dispatch::on_short::<{ Sysno::Close as u8 }>,
    on_lease_read = sym dispatch::on_short::<{ Sysno::LeaseRead as u8 }>,
    on_lease_write = sym dispatch::on_short::<{ Sysno::LeaseWrite as u8 }>,
    on_map = sym dispatch::on_short::<{ Sysno::MemoryMap as u8 }>,
    on_unmap = sym dispatch::on_short::<{ Sysno::MemoryUnmap as u8 }>,
    on_post = sym dispatch::on_short::<{ Sysno::Post as u8 }>,
    on_recv = sym dispatch::on_short::<{ Sysno::Recv as u8 }>,
    on_long = sym dispatch::on_long,
    on_syscall = sym dispatch::on_syscall,
    on_call = sym dispatch::on_call::<false>,
    on_reply_recv = sym dispatch::on_reply_recv::<false>,
    on_forward_recv = sym dispatch::on_forward_recv::<false>,
    on_traced_call = sym dispatch::on_call::<true>,
    on_traced_reply_recv = sym dispatch::on_reply_recv::<true>,
    on_traced_forward_recv = sym dispatch::on_forward_recv::<true>,
    on_wake = sym dispatch::on_wake,
    on_interrupt = sym dispatch::on_interrupt,
    on_kernel_fault = sym panic::on_kernel_fault,
);

// One stub for each vector, so that the common code knows which it was. Exceptions 8, 10 to 14, 17, 21, 29 and 30 come
// with an error code, the others get one.
global_asm!(
    r#"
    .text
    .balign 16
interrupt_stubs:
    .set vector, 0
    .rept 256
    .balign 16
    .if (vector != 8) && (vector < 10 || vector > 14) && (vector != 17) && (vector != 21) && (vector != 29) && (vector != 30)
    pushq $0
    .endif
    pushq $vector
    jmp interrupt_entry
    .set vector, vector + 1
    .endr
    "#,
    options(att_syntax)
);
