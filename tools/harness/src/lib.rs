//! Boots a Tessera system in QEMU and drives it: the public test library.
