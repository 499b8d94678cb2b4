# What tests/processor.rs has gdb do to a machine that stands before its first instruction.

import gdb

gdb.execute("set language c")
POINTER = (1 << 64) - 1
# The system call that a door may serve alone.
CLOCK = 3
# Registers of the local APIC, where the kernel maps them: the pin by which NMIs come, and the timer's count.
LINT1 = 0xffff_ffff_c000_0360
INITIAL_COUNT = 0xffff_ffff_c000_0380


def number(text):
    return int(gdb.parse_and_eval("(unsigned long)(%s)" % text)) & POINTER


def word(address):
    return int.from_bytes(gdb.selected_inferior().read_memory(address, 8).tobytes(), "little")


def place(name):
    return gdb.Breakpoint("*%#x" % (name if isinstance(name, int) else number("&" + name)), type=gdb.BP_HARDWARE_BREAKPOINT)


def go(name):
    """Goes on until this place is reached."""
    breakpoint = place(name)
    gdb.execute("continue", to_string=True)
    breakpoint.delete()


def instructions(first, last):
    """The instructions from one name to another."""
    architecture = gdb.selected_frame().architecture()
    first, last = number("&" + first), number("&" + last)
    return [(found["addr"], found["asm"]) for found in architecture.disassemble(first, last - 1)]


def door():
    """Goes on to the first instruction of the next system call that is more than reading the clock; its address."""
    doors = [place(name) for name in ("syscall_entry", "traced_entry", "general_entry")]
    gdb.execute("continue", to_string=True)
    while number("$rax") & 0xff == CLOCK:
        gdb.execute("continue", to_string=True)
    for breakpoint in doors:
        breakpoint.delete()
    return number("$pc")


def into_kernel():
    """To the kernel's first Rust function; what a program had in rip and rsp when it called."""
    door()
    user = number("$rcx"), number("$rsp")
    # Until the call: from there on the stack is the kernel's.
    while number("$rsp") < 1 << 63 or "call" not in instruction():
        gdb.execute("stepi", to_string=True)
    gdb.execute("stepi", to_string=True)
    return user


def instruction():
    return gdb.selected_frame().architecture().disassemble(number("$pc"))[0]["asm"]


def put(**registers):
    for name, value in registers.items():
        gdb.execute("set $%s = %#x" % (name, value & POINTER))


def flags():
    """eflags as a number."""
    return int(gdb.execute("info registers eflags", to_string=True).split()[1], 16)


def execute(code, **registers):
    """Has the processor execute one instruction of these bytes with these registers; all is as before after it."""
    at, memory = number("$pc"), gdb.selected_inferior()
    code_before = memory.read_memory(at, len(code)).tobytes()
    before = {name: number("$" + name) for name in registers}
    memory.write_memory(at, code)
    put(**registers)
    gdb.execute("stepi", to_string=True)
    memory.write_memory(at, code_before)
    put(rip=at, **before)


def dwell(rounds):
    """Has the processor loop for some time where it stands."""
    at, memory, rcx = number("$pc"), gdb.selected_inferior(), number("$rcx")
    code_before = memory.read_memory(at, 2).tobytes()
    memory.write_memory(at, b"\xe2\xfe")  # loop $
    put(rcx=rounds)
    go(at + 2)
    memory.write_memory(at, code_before)
    put(rip=at, rcx=rcx)


def write_register(address, value):
    execute(b"\x89\x37", rdi=address, rsi=value)  # mov [rdi], esi


def let_nmis_in():
    """Opens the pin by which NMIs come, which the kernel masks."""
    into_kernel()
    write_register(LINT1, 0x400)


def leave():
    gdb.execute("detach", to_string=True)


def interrupt_everywhere(first, last, command, door):
    """At each instruction between the names, when it is reached first, gives the monitor this command, which must lead
    to the door at once; says the place and where the door will return to."""
    left = {address: (place(address), asm) for address, asm in instructions(first, last)}
    place(door)
    door = number("&" + door)
    try:
        while left:
            gdb.execute("continue", to_string=True)
            at = number("$pc")
            breakpoint, asm = left.pop(at)
            breakpoint.delete()
            gdb.execute(command)
            gdb.execute("continue", to_string=True)
            print("at %#x, %s: door %s, back to %#x" % (at, asm, number("$pc") == door, word(number("$rsp"))))
    except gdb.error as error:
        # The machine has ended.
        print("the end:", error)
