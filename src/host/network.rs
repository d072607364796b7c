//! The addresses of this machine's network interfaces.

use crate::model::address::InterfaceAddress;
use std::{
    ffi::CStr,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ptr,
};

/// Every address of every interface that is up; an empty list where the kernel doesn't tell.
pub fn interfaces() -> Vec<InterfaceAddress> {
    read().unwrap_or_else(|error| {
        tracing::warn!(%error, "the network interfaces can't be listed; configure [addresses]");
        Vec::new()
    })
}

#[allow(unsafe_code, reason = "getifaddrs has no safe counterpart among our dependencies")]
fn read() -> io::Result<Vec<InterfaceAddress>> {
    let mut list: *mut libc::ifaddrs = ptr::null_mut();
    // SAFETY: `list` is a valid place for the pointer; it is freed below, once, and not used after.
    if unsafe { libc::getifaddrs(&raw mut list) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let mut found = Vec::new();
    let mut next = list;
    // SAFETY: the list is linked by `ifa_next`, ends with null, and stays until freeifaddrs.
    while let Some(entry) = unsafe { next.as_ref() } {
        next = entry.ifa_next;
        let up = entry.ifa_flags & (libc::IFF_UP as libc::c_uint) != 0;
        // SAFETY: `ifa_addr` is null or points to a socket address of the family that it names.
        if let Some(address) = unsafe { address(entry.ifa_addr) }
            && up
        {
            // SAFETY: `ifa_name` is a string with its terminating zero.
            let interface = unsafe { CStr::from_ptr(entry.ifa_name) }.to_string_lossy().into_owned();
            found.push(InterfaceAddress { interface, address });
        }
    }
    // SAFETY: `list` came from getifaddrs.
    unsafe { libc::freeifaddrs(list) };
    Ok(found)
}

/// # Safety
/// `from` is null or points to a socket address that is as large as its family says.
#[allow(unsafe_code, reason = "reads what getifaddrs returned")]
unsafe fn address(from: *const libc::sockaddr) -> Option<IpAddr> {
    // SAFETY: as promised by the caller; unaligned reads, since a sockaddr may be less aligned than its kinds.
    unsafe {
        match i32::from(from.as_ref()?.sa_family) {
            libc::AF_INET => {
                let v4 = ptr::read_unaligned(from.cast::<libc::sockaddr_in>());
                Some(Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr)).into())
            }
            libc::AF_INET6 => {
                let v6 = ptr::read_unaligned(from.cast::<libc::sockaddr_in6>());
                Some(Ipv6Addr::from(v6.sin6_addr.s6_addr).into())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_interface_is_found() {
        let found = interfaces();
        assert!(found.iter().any(|found| found.interface == "lo" && found.address.is_loopback()), "{found:?}");
    }
}
