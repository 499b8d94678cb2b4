//! The block driver: virtio-blk over PCI.
