//! The doors between user mode and the kernel.
//!
//! Invariants:
//! 1. Interrupts are off from the door in to the door out; the kernel is left by [`leave`], [`idle`] or [`breathe`] only.
//! 2. A thread's registers lie in its `Context`. `PerCpu::save_area` points at the field `rcx` of the running thread's:
//!    below it are the registers that can be pushed and popped, above it those that the processor hands over.
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
//! Instructions of a system call: 24 in with the call of Rust code, 24 out; of a handoff 23 in for a call and 25 for a
//! reply, 23 out. Of those with a price beyond the count each executes `swapgs` twice and `sysretq`; a change of the
//! running thread executes one `mov cr3` and one `fxrstor64`.

use core::arch::global_asm;
use core::mem::offset_of;

use abi::{Registers, Sysno};
use kernel::machine::{Clock, Context, Entered};

use super::cpu::{PerCpu, USER_CODE, USER_DATA};
use super::{dispatch, panic};

unsafe extern "C" {
    /// Where `syscall` leads: serves `Clock` at once.
    pub fn syscall_entry();
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
    /// Leaves to user mode through `to`, with the words that the registers in `from` hold, 0 in `rax`, and the other
    /// arguments in the registers of a received message.
    ///
    /// # Safety
    /// As of `leave` for `to`, which must have entered by a system call; `from` must be a thread's context, too.
    pub fn deliver(badge: u64, tag: u64, id: u64, from: *const Context, to: *const Context) -> !;
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

// The layout that the code below counts on.
const _: () = {
    let order = [
        offset_of!(Registers, rax),
        offset_of!(Registers, rdi),
        offset_of!(Registers, rsi),
        offset_of!(Registers, rdx),
        offset_of!(Registers, r8),
        offset_of!(Registers, r9),
        offset_of!(Registers, r10),
        offset_of!(Registers, rbx),
        offset_of!(Registers, r12),
        offset_of!(Registers, r13),
        offset_of!(Registers, r14),
        offset_of!(Registers, r15),
        offset_of!(Registers, rbp),
        offset_of!(Registers, rcx),
        offset_of!(Registers, r11),
    ];
    let mut i = 0;
    while i < order.len() {
        assert!(order[i] == i * 8);
        i += 1;
    }
    assert!(offset_of!(Context, registers) == 0);
    assert!(Entered::Syscall as u64 == 0 && Entered::Interrupt as u64 == 1);
};

/// Bytes from the field `rcx` on.
const fn from_rcx(offset: usize) -> usize {
    offset - offset_of!(Registers, rcx)
}

global_asm!(
    r#"
    .text

    // What `syscall` has done: rcx = rip, r11 = rflags, flags masked by FMASK (interrupts off). rsp and GS are still
    // the user's.
    .balign 64
    .global syscall_entry
    .global general_entry
syscall_entry:
    cmp rax, {clock}
    jne general_entry
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

general_entry:
    swapgs
    mov gs:[{scratch}], rsp
    mov rsp, gs:[{save_area}]
    mov [rsp + {rcx_rip}], rcx
    mov [rsp + {rcx_rflags}], r11
    push rbp
    push r15
    push r14
    push r13
    push r12
    push rbx
    push r10
    push r9
    push r8
    push rdx
    push rsi
    push rdi
    push rax
    mov rcx, gs:[{scratch}]
    mov [rsp + {rsp_}], rcx
    mov rsp, gs:[{kernel_stack}]
    cmp al, {call}
    je 2f
    cmp al, {reply_recv}
    je 3f
    call {on_syscall}                   // does not return, like all that is called here
2:  call {on_call}
3:  call {on_reply_recv}

    // A message goes over: rdi = badge, rsi = tag, rdx = id, rcx = the context that holds the words, r8 = the context to
    // leave through, in the kernel by a system call.
    .global deliver
deliver:
    lea rax, [r8 + {rcx_}]
    mov gs:[{save_area}], rax
    mov r15, rdx
    mov rbx, [rcx + {rbx_}]
    mov rdx, [rcx + {rdx_}]
    mov r9, [rcx + {r9_}]
    mov r10, [rcx + {r10_}]
    mov r12, [rcx + {r12_}]
    mov r13, [rcx + {r13_}]
    mov r14, [rcx + {r14_}]
    mov rax, [rcx + {r8_}]
    mov rbp, [r8 + {rbp_}]
    mov r11, [r8 + {rflags}]
    mov rsp, [r8 + {rsp_}]
    mov rcx, [r8 + {rip}]
    shl rcx, 17
    shr rcx, 17
    mov r8, rax
    xor eax, eax
    swapgs
    sysretq

    // rdi = the context to leave through. The general way out is further down.
    //
    // SYSRET faults in ring 0, on the user's rsp, if rcx is not canonical (Intel), and so would IRETQ. The two shifts
    // keep the low 47 bits, an address of the user half, whatever stood there. An address that `syscall` has put there
    // is not changed: no code is mapped in the last page of the user half (abi::layout::USER_END).
    .global leave
leave:
    cmp qword ptr [rdi + {entered}], 0
    jne leave_all
    mov rsp, rdi
    pop rax
    pop rdi
    pop rsi
    pop rdx
    pop r8
    pop r9
    pop r10
    pop rbx
    pop r12
    pop r13
    pop r14
    pop r15
    pop rbp
    mov gs:[{save_area}], rsp
    mov rcx, [rsp + {rcx_rip}]
    shl rcx, 17
    shr rcx, 17
    mov r11, [rsp + {rcx_rflags}]
    mov rsp, [rsp + {rcx_rsp}]
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
    lea rcx, [rdi + {rcx_}]
    mov gs:[{save_area}], rcx
    mov r11, [rdi + {r11_}]
    mov rcx, [rdi + {rcx_}]
    mov rbp, [rdi + {rbp_}]
    mov r15, [rdi + {r15_}]
    mov r14, [rdi + {r14_}]
    mov r13, [rdi + {r13_}]
    mov r12, [rdi + {r12_}]
    mov rbx, [rdi + {rbx_}]
    mov r10, [rdi + {r10_}]
    mov r9, [rdi + {r9_}]
    mov r8, [rdi + {r8_}]
    mov rdx, [rdi + {rdx_}]
    mov rsi, [rdi + {rsi_}]
    mov rax, [rdi + {rax_}]
    mov qword ptr [rdi + {entered}], 0
    mov rdi, [rdi + {rdi_}]
    swapgs
    iretq

    // In both, `sti` lets interrupts in one instruction later, so they all arrive at `wake`. They never come back here;
    // an NMI that ends `hlt` does.
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
    mov rsp, gs:[{save_area}]
    mov [rsp], rcx
    mov [rsp + 8], r11
    push rbp
    push r15
    push r14
    push r13
    push r12
    push rbx
    push r10
    push r9
    push r8
    push rdx
    push rsi
    push rdi
    push rax
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

    // Nothing in this kernel asks for an NMI, and nothing can be done about those that hardware sends.
    .global nmi_entry
nmi_entry:
    iretq

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
    save_area = const offset_of!(PerCpu, save_area),
    kernel_stack = const offset_of!(PerCpu, kernel_stack),
    entered = const offset_of!(Context, entered),
    rcx_rip = const from_rcx(offset_of!(Registers, rip)),
    rcx_rflags = const from_rcx(offset_of!(Registers, rflags)),
    rcx_rsp = const from_rcx(offset_of!(Registers, rsp)),
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
    time = sym dispatch::CLOCK,
    time_entry = const offset_of!(Clock, entry),
    time_to_ns = const offset_of!(Clock, to_ns),
    time_shift = const Clock::SHIFT,
    on_syscall = sym dispatch::on_syscall,
    on_call = sym dispatch::on_call,
    on_reply_recv = sym dispatch::on_reply_recv,
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
