# Tessera's commands for gdb. Read by `cargo xtask gdb`, which sets `tessera_server` and `tessera_file` before.
#
# A server lies at another address each time that it is loaded. The kernel calls `image::note` then, where gdb stops to
# learn the address. A breakpoint made here is a hardware breakpoint in all programs, and stops only where the bytes at its
# address are those of the server's file.

import gdb
import struct


def file_bytes(path, address, length):
    """The bytes that the ELF file loads at an address, or None."""
    with open(path, "rb") as file:
        data = file.read()
    table, = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    for number in range(count):
        kind, _, offset, start, _, held, _, _ = struct.unpack_from("<IIQQQQQQ", data, table + number * size)
        if kind == 1 and start <= address < start + held:
            return data[offset + address - start:][:min(length, start + held - address)]
    return None


# Where the server lies, once it was loaded.
base = None
breakpoints = []


def server_file():
    """The file of the server that gdb was started for."""
    path = globals().get("tessera_file")
    if not path:
        raise gdb.GdbError("start gdb with the name of a server: cargo xtask gdb fs")
    return path


def run_to_load():
    """Runs until the server is loaded, and has its names from then on."""
    global base
    path = server_file()
    if base is not None:
        gdb.execute("remove-symbol-file %s" % path, to_string=True)
        base = None
    while breakpoints:
        breakpoints.pop().delete()
    here = gdb.Breakpoint("image::note", type=gdb.BP_HARDWARE_BREAKPOINT, internal=True)
    here.silent = True
    try:
        while True:
            gdb.execute("continue", to_string=True)
            if gdb.selected_frame().pc() != address_of(here):
                raise gdb.GdbError("the machine stopped before %s was loaded" % tessera_server)
            name, at = [int(gdb.parse_and_eval(register)) & (1 << 64) - 1 for register in ("$rdi", "$rsi")]
            name = gdb.selected_inferior().read_memory(name, 16).tobytes().rstrip(b"\0").decode(errors="replace")
            if name == tessera_server:
                break
    finally:
        here.delete()
    gdb.execute("add-symbol-file %s -o %#x" % (path, at), to_string=True)
    base = at
    print("%s lies at %#x" % (name, at))


def address_of(breakpoint):
    """Where a breakpoint with one place is."""
    return breakpoint.locations[0].address


class ServerBreakpoint(gdb.Breakpoint):
    """Stops in one server only."""

    def __init__(self, address):
        self.address = address
        self.code = file_bytes(server_file(), address - base, 64)
        super().__init__("*%#x" % address, type=gdb.BP_HARDWARE_BREAKPOINT)

    def stop(self):
        try:
            found = gdb.selected_inferior().read_memory(self.address, len(self.code))
        except gdb.MemoryError:
            return False
        return found.tobytes() == self.code


class ServerLoad(gdb.Command):
    """Run until the server that gdb was started for is loaded (again): sload"""

    def __init__(self):
        super().__init__("sload", gdb.COMMAND_RUNNING)

    def invoke(self, argument, from_tty):
        run_to_load()


class ServerBreak(gdb.Command):
    """Stop at a place in the server that gdb was started for: sbreak FUNCTION | FILE:LINE | *ADDRESS"""

    def __init__(self):
        super().__init__("sbreak", gdb.COMMAND_BREAKPOINTS, gdb.COMPLETE_LOCATION)

    def invoke(self, argument, from_tty):
        path = server_file()
        if not argument:
            raise gdb.GdbError("sbreak needs a place: a function, FILE:LINE or *ADDRESS")
        if base is None:
            run_to_load()
        places = gdb.decode_line(argument)[1] or []
        addresses = {place.pc for place in places if file_bytes(path, place.pc - base, 1)}
        if not addresses:
            raise gdb.GdbError("%s is nowhere in %s" % (argument, path))
        breakpoints.extend(ServerBreakpoint(address) for address in sorted(addresses))


ServerLoad()
ServerBreak()
