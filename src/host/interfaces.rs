//! The addresses of this machine's network interfaces.

use crate::model::address::InterfaceAddress;
use std::{
    ffi::CStr,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ptr,
};

/// The list that the C library made; given back when dropped.
struct List(*mut libc::ifaddrs);

/// Every IPv4 and IPv6 address of every interface that is up, in the kernel's order.
pub fn addresses() -> io::Result<Vec<InterfaceAddress>> {
    let list = List::read()?;
    let mut found = Vec::new();
    let mut at = list.0;
    while !at.is_null() {
        #[allow(unsafe_code, reason = "getifaddrs answers with a linked list that lives until it is given back")]
        // SAFETY: `at` is a node of `list`, which is alive; the C library says its members are null or valid.
        let (next, address) = unsafe { ((*at).ifa_next, read(&*at)) };
        found.extend(address);
        at = next;
    }
    Ok(found)
}

impl List {
    fn read() -> io::Result<Self> {
        let mut first = ptr::null_mut();
        #[allow(unsafe_code, reason = "getifaddrs has no safe face in the standard library or rustix")]
        // SAFETY: the pointer is valid for one write.
        let outcome = unsafe { libc::getifaddrs(&raw mut first) };
        if outcome == 0 { Ok(List(first)) } else { Err(io::Error::last_os_error()) }
    }
}

impl Drop for List {
    fn drop(&mut self) {
        #[allow(unsafe_code, reason = "gives back what getifaddrs made")]
        // SAFETY: made by getifaddrs, given back once.
        unsafe {
            libc::freeifaddrs(self.0);
        }
    }
}

/// # Safety
///
/// `node` comes from a list of getifaddrs that is alive.
#[allow(unsafe_code, reason = "socket addresses are told apart by their family and cast")]
unsafe fn read(node: &libc::ifaddrs) -> Option<InterfaceAddress> {
    let up = node.ifa_flags & libc::IFF_UP.unsigned_abs() != 0;
    if !up || node.ifa_addr.is_null() || node.ifa_name.is_null() {
        return None;
    }
    // SAFETY: not null; the family says which type it is, and the C library aligns it for that.
    let address = unsafe {
        match i32::from((*node.ifa_addr).sa_family) {
            libc::AF_INET => {
                let address = ptr::read_unaligned(node.ifa_addr.cast::<libc::sockaddr_in>());
                IpAddr::V4(Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr)))
            }
            libc::AF_INET6 => {
                let address = ptr::read_unaligned(node.ifa_addr.cast::<libc::sockaddr_in6>());
                IpAddr::V6(Ipv6Addr::from(address.sin6_addr.s6_addr))
            }
            _ => return None,
        }
    };
    // SAFETY: not null, and a C string for as long as the list lives.
    let interface = unsafe { CStr::from_ptr(node.ifa_name) }.to_string_lossy().into_owned();
    Some(InterfaceAddress { interface, address })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_found() {
        let found = addresses().unwrap();
        assert!(found.iter().any(|on| on.interface == "lo" && on.address.is_loopback()), "{found:?}");
    }
}
