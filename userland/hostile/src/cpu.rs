//! Single instructions that a program must not be able to make use of, and the vector registers as they are.

use core::arch::asm;

/// An instruction by name.
pub type Instruction = (&'static str, fn());

macro_rules! instructions {
    ($($name:literal => $($line:literal),+;)*) => {
        &[$(($name, || {
            // SAFETY: the instruction faults in user mode, which ends the program here. Where a kernel lets it pass, the
            //         program says so and ends: nothing after it counts on any register but the stack's.
            unsafe {
                asm!($($line),+, out("rax") _, out("rcx") _, out("rdx") _, out("rdi") _, out("rsi") _, out("r8") _);
            }
        })),*]
    };
}

/// Instructions that must end the program with a protection fault.
pub const PRIVILEGED: &[Instruction] = instructions! {
    "cli" => "cli";
    "sti" => "sti";
    "hlt" => "hlt";
    "clts" => "clts";
    "invd" => "invd";
    "wbinvd" => "wbinvd";
    "invlpg" => "invlpg [rsp]";
    "lgdt" => "lgdt [rsp]";
    "lidt" => "lidt [rsp]";
    "lldt" => "xor eax, eax", "lldt ax";
    "ltr" => "mov eax, 0x28", "ltr ax";
    "lmsw" => "xor eax, eax", "lmsw ax";
    "sgdt" => "sub rsp, 16", "sgdt [rsp]", "add rsp, 16";
    "sidt" => "sub rsp, 16", "sidt [rsp]", "add rsp, 16";
    "sldt" => "sldt ax";
    "str" => "str ax";
    "smsw" => "smsw eax";
    "read-cr0" => "mov rax, cr0";
    "read-cr2" => "mov rax, cr2";
    "read-cr3" => "mov rax, cr3";
    "read-cr4" => "mov rax, cr4";
    "read-cr8" => "mov rax, cr8";
    "write-cr0" => "xor eax, eax", "mov cr0, rax";
    "write-cr3" => "xor eax, eax", "mov cr3, rax";
    "write-cr4" => "xor eax, eax", "mov cr4, rax";
    "write-cr8" => "xor eax, eax", "mov cr8, rax";
    "read-dr0" => "mov rax, dr0";
    "write-dr7" => "mov eax, 0x401", "mov dr7, rax";
    "rdmsr" => "mov ecx, 0xc0000082", "rdmsr";
    "wrmsr" => "mov ecx, 0xc0000082", "xor eax, eax", "xor edx, edx", "wrmsr";
    "rdpmc" => "xor ecx, ecx", "rdpmc";
    "swapgs" => "swapgs";
    "sysret" => "mov rcx, 0xffff800000000000", "sysretq";
    "in" => "mov dx, 0x3f8", "in al, dx";
    "out" => "mov dx, 0x3f8", "xor eax, eax", "out dx, al";
    "in-immediate" => "in al, 0x80";
    "insb" => "sub rsp, 16", "mov rdi, rsp", "mov dx, 0x3f8", "insb", "add rsp, 16";
    "outsb" => "mov rsi, rsp", "mov dx, 0x3f8", "outsb";
    "int-80h" => "int 0x80";
    "int-irq" => "int 0x20";
    "int-page-fault" => "int 14";
    "int-double-fault" => "int 8";
    "int-nmi" => "int 2";
    "kernel-segment" => "mov eax, 0x10", "mov ss, ax";
    "load-tss-segment" => "mov eax, 0x28", "mov ds, ax";
};

/// Instructions that must end the program as ones that do not exist.
pub const UNKNOWN: &[Instruction] = instructions! {
    "ud2" => "ud2";
    "vmcall" => ".byte 0x0f, 0x01, 0xc1";
    "vmxoff" => ".byte 0x0f, 0x01, 0xc4";
    "rsm" => ".byte 0x0f, 0xaa";
    "wrfsbase" => "xor eax, eax", ".byte 0xf3, 0x48, 0x0f, 0xae, 0xd0";
    "wrgsbase" => "xor eax, eax", ".byte 0xf3, 0x48, 0x0f, 0xae, 0xd8";
    "avx" => ".byte 0xc5, 0xfc, 0x57, 0xc0";
};

/// Instructions that must end the program with a fault; of which kind depends on the processor.
pub const IMPOSSIBLE: &[Instruction] = instructions! {
    "iret-to-ring-0" => "lea rax, [rip + 2f]", "mov rcx, rsp", "push 0x10", "push rcx", "push 2", "push 0x8", "push rax",
        "iretq", "2:";
    "far-return-to-ring-0" => "lea rax, [rip + 2f]", "push 0x8", "push rax", "retfq", "2:";
    "xsetbv" => "xor ecx, ecx", "xor eax, eax", "xor edx, edx", ".byte 0x0f, 0x01, 0xd1";
    "monitor" => "xor ecx, ecx", "xor edx, edx", "lea rax, [rsp]", ".byte 0x0f, 0x01, 0xc8";
    "sysenter" => "sysenter";
    "sysexit" => ".byte 0x0f, 0x35";
};

/// The vector registers, with the control words: what a switch to another address space must not let through.
#[repr(C, align(16))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vectors {
    /// `xmm0` to `xmm15`.
    pub registers: [[u64; 2]; 16],
    /// `mxcsr`.
    pub mxcsr: u32,
    /// The x87 control word.
    pub control: u16,
}

impl Vectors {
    /// What a program finds after a system call from which it comes back through another address space.
    pub const CLEAR: Vectors = Vectors { registers: [[0; 2]; 16], mxcsr: 0x1f80, control: 0x037f };
}

/// Fills all vector registers with `secret`, sets other control words, and makes a system call at once; returns what
/// `rax`, `rdi` and the vector registers hold after it.
pub fn call_with_secret(secret: u64, rax: u64, rdi: u64, rsi: u64, r15: u64) -> (u64, Vectors) {
    let mut found = Vectors { registers: [[1; 2]; 16], mxcsr: 1, control: 1 };
    let result;
    // SAFETY: 1. All registers that the call and the fills change are declared. 2. `found` is writable and aligned.
    //         3. The control words are put back to what the ABI wants before the block ends.
    unsafe {
        asm!(
            "push rbx", "sub rsp, 16", "mov [rsp + 8], rcx",
            "mov dword ptr [rsp], 0x7f80", "ldmxcsr [rsp]", "mov word ptr [rsp], 0x0f7f", "fldcw [rsp]",
            "movq xmm0, rdx", "punpcklqdq xmm0, xmm0",
            "movdqa xmm1, xmm0", "movdqa xmm2, xmm0", "movdqa xmm3, xmm0", "movdqa xmm4, xmm0", "movdqa xmm5, xmm0",
            "movdqa xmm6, xmm0", "movdqa xmm7, xmm0", "movdqa xmm8, xmm0", "movdqa xmm9, xmm0", "movdqa xmm10, xmm0",
            "movdqa xmm11, xmm0", "movdqa xmm12, xmm0", "movdqa xmm13, xmm0", "movdqa xmm14, xmm0", "movdqa xmm15, xmm0",
            "syscall",
            "mov rcx, [rsp + 8]",
            "movdqa [rcx], xmm0", "movdqa [rcx + 16], xmm1", "movdqa [rcx + 32], xmm2", "movdqa [rcx + 48], xmm3",
            "movdqa [rcx + 64], xmm4", "movdqa [rcx + 80], xmm5", "movdqa [rcx + 96], xmm6", "movdqa [rcx + 112], xmm7",
            "movdqa [rcx + 128], xmm8", "movdqa [rcx + 144], xmm9", "movdqa [rcx + 160], xmm10",
            "movdqa [rcx + 176], xmm11", "movdqa [rcx + 192], xmm12", "movdqa [rcx + 208], xmm13",
            "movdqa [rcx + 224], xmm14", "movdqa [rcx + 240], xmm15",
            "stmxcsr [rcx + 256]", "fnstcw [rcx + 260]",
            "mov dword ptr [rsp], 0x1f80", "ldmxcsr [rsp]", "mov word ptr [rsp], 0x037f", "fldcw [rsp]",
            "add rsp, 16", "pop rbx",
            inlateout("rax") rax => result, inlateout("rdi") rdi => _, inlateout("rsi") rsi => _,
            inlateout("r15") r15 => _, inlateout("rdx") secret => _, inlateout("rcx") &raw mut found => _,
            lateout("r8") _, lateout("r9") _, lateout("r10") _, lateout("r11") _, lateout("r12") _, lateout("r13") _,
            lateout("r14") _,
            out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _, out("xmm4") _, out("xmm5") _, out("xmm6") _,
            out("xmm7") _, out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _, out("xmm12") _, out("xmm13") _,
            out("xmm14") _, out("xmm15") _,
            lateout("st(0)") _, lateout("st(1)") _, lateout("st(2)") _, lateout("st(3)") _,
            lateout("st(4)") _, lateout("st(5)") _, lateout("st(6)") _, lateout("st(7)") _,
        );
    }
    (result, found)
}

/// Makes the system call that reads the clock with these flags set; returns its error and the flags after it.
pub fn clock_with_flags(flags: u64) -> (u64, u64) {
    let result;
    let after;
    // SAFETY: 1. All registers that the call changes are declared. 2. The flags are set between two pushes and pops and
    //         are put back to a clear direction flag before the block ends.
    unsafe {
        asm!(
            "push rbx", "pushfq", "pop rdx", "or rdx, rdi", "push rdx", "popfq", "syscall", "pushfq", "pop rdi",
            "push 0x202", "popfq", "pop rbx",
            inlateout("rax") libipc::abi::Sysno::Clock as u64 => result, inlateout("rdi") flags => after,
            out("rsi") _, out("rdx") _, out("rcx") _, out("r8") _, out("r9") _, out("r10") _, out("r11") _,
            out("r12") _, out("r13") _, out("r14") _, out("r15") _,
            out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _, out("xmm4") _, out("xmm5") _, out("xmm6") _,
            out("xmm7") _, out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _, out("xmm12") _, out("xmm13") _,
            out("xmm14") _, out("xmm15") _,
        );
    }
    (result, after)
}

/// Makes a system call right after a load of the stack segment, which holds interrupts back for one instruction.
pub fn clock_after_stack_segment() -> u64 {
    let result;
    // SAFETY: all registers that the call changes are declared; the selector is the one that is loaded.
    unsafe {
        asm!(
            "push rbx", "mov edx, ss", "mov ss, edx", "syscall", "pop rbx",
            inlateout("rax") libipc::abi::Sysno::Clock as u64 => result,
            out("rdi") _, out("rsi") _, out("rdx") _, out("rcx") _, out("r8") _, out("r9") _, out("r10") _,
            out("r11") _, out("r12") _, out("r13") _, out("r14") _, out("r15") _,
            out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _, out("xmm4") _, out("xmm5") _, out("xmm6") _,
            out("xmm7") _, out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _, out("xmm12") _, out("xmm13") _,
            out("xmm14") _, out("xmm15") _,
        );
    }
    result
}

/// Single-steps into a system call.
pub fn step_into_call() {
    // SAFETY: the trap ends the program; where it does not, all registers that the call changes are declared.
    unsafe {
        asm!(
            "push rbx", "pushfq", "or qword ptr [rsp], 0x100", "popfq", "syscall", "nop", "pop rbx",
            inlateout("rax") libipc::abi::Sysno::Clock as u64 => _,
            out("rdi") _, out("rsi") _, out("rdx") _, out("rcx") _, out("r8") _, out("r9") _, out("r10") _,
            out("r11") _, out("r12") _, out("r13") _, out("r14") _, out("r15") _,
        );
    }
}

/// Makes a system call with the stack pointer at `stack`, and goes on with the old one.
pub fn clock_on_stack(stack: u64) -> u64 {
    let result;
    // SAFETY: the stack pointer is put back before it is used again; all registers that the call changes are declared.
    unsafe {
        asm!(
            "push rbx", "mov r12, rsp", "mov rsp, rdi", "mov rbx, r12", "syscall", "mov rsp, rbx", "pop rbx",
            inlateout("rax") libipc::abi::Sysno::Clock as u64 => result, inlateout("rdi") stack => _,
            out("rsi") _, out("rdx") _, out("rcx") _, out("r8") _, out("r9") _, out("r10") _,
            out("r11") _, out("r12") _, out("r13") _, out("r14") _, out("r15") _,
            out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _, out("xmm4") _, out("xmm5") _, out("xmm6") _,
            out("xmm7") _, out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _, out("xmm12") _, out("xmm13") _,
            out("xmm14") _, out("xmm15") _,
        );
    }
    result
}

/// Runs a program's last instruction at a non-canonical address.
pub fn jump_past_the_gap() -> ! {
    crate::raw::jump(0x0000_8000_0000_0000)
}

/// Loads all registers with numbers that look like kernel addresses and touches nothing, for ever.
pub fn spin() -> ! {
    // SAFETY: an endless loop that changes nothing.
    unsafe {
        asm!("mov rax, -1", "mov rbx, -1", "mov rcx, -1", "2:", "jmp 2b", options(noreturn));
    }
}
