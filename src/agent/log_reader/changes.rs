//! When a game's own log is worth another look: when something in its directory was written, made
//! or renamed.

use rustix::{
    fs::inotify::{self, CreateFlags, WatchFlags},
    io::Errno,
};
use std::{
    mem::MaybeUninit,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{io::Interest, io::unix::AsyncFd, time::sleep};

/// Where the kernel tells nothing, because the directory isn't there yet.
const LOOK: Duration = Duration::from_secs(1);
/// Where it tells: the file may lie on another machine, whose kernel knows.
const LOOK_SELDOM: Duration = Duration::from_secs(10);

/// The directory of one file.
#[derive(Debug)]
pub(super) struct Changes {
    dir: PathBuf,
    events: Option<AsyncFd<OwnedFd>>,
}

impl Changes {
    pub(super) fn of(file: &Path) -> Changes {
        let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut changes = Changes { dir: dir.to_owned(), events: None };
        changes.watch();
        changes
    }

    /// Waits until it is worth a look.
    pub(super) async fn next(&mut self) {
        if self.events.is_none() {
            self.watch();
        }
        let look = if self.events.is_some() { LOOK_SELDOM } else { LOOK };
        let told = async {
            match &self.events {
                Some(events) => events.async_io(Interest::READABLE, drain).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            told = told => if told.is_err() {
                self.events = None;
                sleep(LOOK).await;
            },
            () = sleep(look) => {}
        }
    }

    fn watch(&mut self) {
        self.events = watch(&self.dir);
    }
}

#[expect(deprecated, reason = "an owned descriptor keeps what the successor wants promised by `unsafe`")]
fn watch(dir: &Path) -> Option<AsyncFd<OwnedFd>> {
    let events = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok()?;
    let what = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::ONLYDIR;
    inotify::add_watch(&events, dir, what).ok()?;
    AsyncFd::new(events).ok()
}

/// Takes what the kernel has told; all of it means the same.
fn drain(events: &OwnedFd) -> std::io::Result<()> {
    let mut space = [MaybeUninit::uninit(); 4096];
    let mut reader = inotify::Reader::new(events, &mut space);
    reader.next()?;
    loop {
        match reader.next() {
            Ok(_) => {}
            Err(Errno::AGAIN | Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}
