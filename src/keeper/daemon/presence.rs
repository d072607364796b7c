//! What others find this keeper by: its directory, lock and socket. Somebody may delete or move
//! them while a match is on; a new agent would then start a second keeper and a second game.
//!
//! ```text
//!   a file of ours goes (inotify; else by a look a minute) ──► 200 ms ──► what isn't ours any more is taken back
//!                                                                         └─ another keeper has the lock: it is said
//! ```
//!
//! Invariant: the socket is only made where the lock at that path is ours.

use super::{Daemon, Instant, directory::Links, start};
use crate::{host::lock::Lock, keeper::protocol::names};
use rustix::{
    fs::{AtFlags, Stat, fstat, inotify, stat, statat},
    io::Errno,
};
use std::{
    ffi::OsStr,
    io,
    mem::MaybeUninit,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    path::Path,
    time::Duration,
};

/// How long whoever deletes is given to be done: `rm -r` would not like what is made meanwhile.
const CALM: Duration = Duration::from_millis(200);
/// Where the kernel tells nothing, we look ourselves.
const LOOK: Duration = Duration::from_secs(60);

/// Watches the names.
#[derive(Debug)]
pub(super) struct Presence {
    events: Option<OwnedFd>,
    /// When we look next.
    due: Instant,
    /// The socket's file.
    socket: Option<(u64, u64)>,
    /// The trouble that was told last.
    said: Option<String>,
}

impl Presence {
    pub(super) fn new(dir: &OwnedFd, now: Instant) -> Presence {
        let socket = statat(dir, names::SOCKET, AtFlags::SYMLINK_NOFOLLOW).ok().map(|found| key(&found));
        Presence { events: watch(dir), due: now + LOOK, socket, said: None }
    }

    pub(super) fn events(&self) -> Option<&OwnedFd> {
        self.events.as_ref()
    }

    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// Something in the directory went.
    pub(super) fn changed(&mut self, now: Instant) {
        let Some(events) = &self.events else { return };
        let mut space = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(events, &mut space);
        while let Ok(event) = reader.next() {
            let name = event.file_name().map_or(&b""[..], std::ffi::CStr::to_bytes);
            if name.is_empty() || name == names::LOCK.as_bytes() || name == names::SOCKET.as_bytes() {
                self.due = now + CALM;
            }
        }
    }
}

/// None where the kernel has no more to give.
fn watch(dir: &OwnedFd) -> Option<OwnedFd> {
    let events = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK).ok()?;
    let gone = inotify::WatchFlags::DELETE | inotify::WatchFlags::MOVED_FROM | inotify::WatchFlags::MOVED_TO;
    let itself = inotify::WatchFlags::DELETE_SELF | inotify::WatchFlags::MOVE_SELF;
    inotify::add_watch(&events, format!("/proc/self/fd/{}", dir.as_raw_fd()), gone | itself).ok()?;
    Some(events)
}

fn key(found: &Stat) -> (u64, u64) {
    (found.st_dev, found.st_ino)
}

/// Whether this path leads to what is open.
pub(super) fn is_at(open: impl std::os::fd::AsFd, path: &Path) -> bool {
    fstat(open).is_ok_and(|ours| stat(path).is_ok_and(|found| key(&found) == key(&ours)))
}

impl Daemon {
    /// Looks whether we can still be found, and takes back what we have lost.
    pub(super) fn keep_names(&mut self, now: Instant) {
        if now < self.presence.due {
            return;
        }
        self.presence.due = now + LOOK;
        match self.take_names_back() {
            Ok(None) => self.presence.said = None,
            Ok(Some(what)) => {
                self.presence.said = None;
                warn!("{what} of this keeper was gone or another's, and is taken back");
            }
            Err(error) => {
                let why = error.to_string();
                if self.presence.said.as_ref() != Some(&why) {
                    warn!("no new agent can find this keeper, which goes on: {why}");
                    self.presence.said = Some(why);
                }
            }
        }
    }

    /// Says what had to be taken back.
    fn take_names_back(&mut self) -> io::Result<Option<&'static str>> {
        let path = self.settings.dir.clone();
        let mut lost = None;
        if !is_at(&self.store.dir, &path) {
            let links = if self.identity.guarded { Links::OfRoot } else { Links::All };
            self.store.reopen(&path, links).map_err(io::Error::other)?;
            self.log.move_to(self.store.logs.try_clone()?);
            self.presence.events = watch(&self.store.dir);
            if self.settings.detach {
                start::own_log(&self.store.own);
            }
            lost = Some("the state directory");
        } else if !is_at(self.store.lock.as_fd(), &path.join(names::LOCK)) {
            self.store.lock = Lock::take_at(&self.store.dir, Path::new(names::LOCK), "").map_err(io::Error::other)?;
            lost = Some("the lock");
        }
        let found = match statat(&self.store.dir, OsStr::new(names::SOCKET), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => Some(key(&found)),
            Err(Errno::NOENT) => None,
            Err(error) => return Err(error.into()),
        };
        if found.is_none() || found != self.presence.socket {
            self.server = start::serve(&self.store.dir, &self.identity)?;
            let made = statat(&self.store.dir, names::SOCKET, AtFlags::SYMLINK_NOFOLLOW)?;
            self.presence.socket = Some(key(&made));
            lost = lost.or(Some("the socket"));
        }
        Ok(lost)
    }
}
