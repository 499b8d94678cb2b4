# Tessera's commands for gdb. Read by `cargo xtask gdb`, which sets `tessera_server` before.
#
# Every server is linked at the same address, so an address alone does not say whose code is there. A breakpoint made here
# is a hardware breakpoint in all of them, and stops only where the bytes at its address are those of the server's file.

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


class ServerBreakpoint(gdb.Breakpoint):
    """Stops in one server only."""

    def __init__(self, address, path):
        self.address = address
        self.code = file_bytes(path, address, 64)
        if not self.code:
            raise gdb.GdbError("%#x is not in %s" % (address, path))
        super().__init__("*%#x" % address, type=gdb.BP_HARDWARE_BREAKPOINT)

    def stop(self):
        try:
            found = gdb.selected_inferior().read_memory(self.address, len(self.code))
        except gdb.MemoryError:
            return False
        return found.tobytes() == self.code


class ServerBreak(gdb.Command):
    """Stop at a place in the server that gdb was started for: sbreak FUNCTION | FILE:LINE | *ADDRESS"""

    def __init__(self):
        super().__init__("sbreak", gdb.COMMAND_BREAKPOINTS, gdb.COMPLETE_LOCATION)

    def invoke(self, argument, from_tty):
        path = globals().get("tessera_server")
        if not path:
            raise gdb.GdbError("start gdb with the name of a server: cargo xtask gdb fs")
        if not argument:
            raise gdb.GdbError("sbreak needs a place: a function, FILE:LINE or *ADDRESS")
        places = gdb.decode_line(argument)[1] or []
        addresses = {place.pc for place in places if file_bytes(path, place.pc, 1)}
        if not addresses:
            raise gdb.GdbError("%s is nowhere in %s" % (argument, path))
        for address in sorted(addresses):
            ServerBreakpoint(address, path)


ServerBreak()
