//! Secrets that came in environment variables, taken out of the environment. From then on they are
//! in this process's memory alone: `/proc/PID/environ` shows them to nobody, and nothing that this
//! process starts inherits them.
//!
//! ```text
//!   environment ─ take ─► this process ─ hand_on ─► a socket at descriptor 3 ─ receive ─► the agent that it executes
//! ```

#![allow(unsafe_code, reason = "the environment's own memory has no safe way in; each call says why it is sound")]

use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, send, socketpair, sockopt::socket_type};
use secrecy::{ExposeSecret as _, SecretString};
use std::{
    collections::BTreeMap,
    ffi::{CStr, c_char},
    io::{self, Read as _},
    os::fd::{BorrowedFd, FromRawFd as _, OwnedFd},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Where a client's secret stands unless the configuration names another variable.
pub(crate) const CLIENT_SECRET: &str = "GAMESIDE_CLIENT_SECRET";

/// The descriptor at which a process that we execute finds what was handed on.
pub(crate) const HANDED_ON_FD: i32 = 3;

/// Bytes that are handed on at most.
const MOST: usize = 64 << 10;

static TAKEN: Mutex<BTreeMap<String, SecretString>> = Mutex::new(BTreeMap::new());

fn taken() -> MutexGuard<'static, BTreeMap<String, SecretString>> {
    TAKEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes these variables out of the environment. Call it while the process has one thread.
pub(crate) fn take(names: &[&str]) {
    for name in names.iter().filter(|name| !name.is_empty() && !name.contains(['=', '\0'])) {
        let Ok(text) = std::env::var(name) else { continue };
        taken().insert((*name).to_owned(), SecretString::from(text));
        wipe(name);
    }
}

/// A variable's text: one that was taken, or of the environment.
pub(crate) fn variable(name: &str) -> Option<String> {
    let found = taken().get(name).map(|text| text.expose_secret().to_owned());
    found.or_else(|| std::env::var(name).ok())
}

/// A socket from which the program that is executed next can [`receive`] what was taken here. None: nothing was.
pub(crate) fn hand_on() -> io::Result<Option<OwnedFd>> {
    let taken = taken();
    if taken.is_empty() {
        return Ok(None);
    }
    let each = taken.iter().map(|(name, text)| format!("{name}={}", text.expose_secret()));
    let text = SecretString::from(each.collect::<Vec<_>>().join("\0"));
    let text = text.expose_secret().as_bytes();
    // No path below /proc leads to a socket, as one leads to a pipe or a file.
    let flags = SocketFlags::CLOEXEC;
    let (theirs, ours) = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    if text.len() > MOST || send(&ours, text, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)? != text.len() {
        return Err(io::Error::other("the secrets are too long to be handed on"));
    }
    Ok(Some(theirs))
}

/// Whether there is anything to hand on.
pub(crate) fn has_taken() -> bool {
    !taken().is_empty()
}

/// Takes over what the process that executed this one has handed on. Call it before anything is opened.
pub(crate) fn receive() -> io::Result<()> {
    // SAFETY: the number is only looked at; nothing of this process owns it yet.
    let kind = socket_type(unsafe { BorrowedFd::borrow_raw(HANDED_ON_FD) })?;
    if kind != SocketType::STREAM {
        return Err(io::Error::other("descriptor 3 is no socket with secrets"));
    }
    // SAFETY: it is open, as was just seen, and this is the one place that takes it over.
    let socket = unsafe { OwnedFd::from_raw_fd(HANDED_ON_FD) };
    let mut text = String::new();
    std::os::unix::net::UnixStream::from(socket).take(MOST as u64).read_to_string(&mut text)?;
    let each = text.split('\0').filter_map(|entry| entry.split_once('='));
    taken().extend(each.map(|(name, text)| (name.to_owned(), SecretString::from(text.to_owned()))));
    Ok(())
}

unsafe extern "C" {
    static mut environ: *mut *mut c_char;
}

/// Overwrites the variable where the kernel shows it, and removes it.
fn wipe(name: &str) {
    // SAFETY: called while there is one thread, so nobody else reads or changes the environment.
    // The array ends with null; each of its entries is a text that ends with zero, in memory of
    // this process that may be written; only bytes before that zero are.
    unsafe {
        let mut entry = environ;
        while !entry.is_null() && !(*entry).is_null() {
            let text = CStr::from_ptr(*entry).to_bytes();
            let value = text.strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b"="));
            if let Some(length) = value.map(<[u8]>::len) {
                (*entry).add(name.len() + 1).write_bytes(0, length);
            }
            entry = entry.add(1);
        }
        #[allow(clippy::disallowed_methods, reason = "there is one thread")]
        std::env::remove_var(name);
    }
}
