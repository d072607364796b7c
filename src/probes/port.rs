//! TCP connections; the kernel, whether a port is bound.
