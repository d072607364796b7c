//! `gameside gateway`: the process that the keeper starts. It gets one descriptor, its end of the
//! control socket; everything else comes over that.
//!
//! It goes by the keeper alone: SIGTERM and SIGINT, which a service manager sends to all of a unit,
//! are passed over, and it ends when the keeper says so or closes the socket.

use super::{
    confine::confine,
    server::{self, Order},
};
use crate::{
    frontends::BoundSocket,
    host::{process, socket},
    model::gateway::{CONTROL_FD, GatewayToKeeper, KeeperToGateway, MAX_MESSAGE_BYTES},
};
use rustix::{
    io::Errno,
    net::{SendFlags, SocketType, send, sockopt::socket_type},
};
use std::{
    ffi::OsString,
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, FromRawFd as _, OwnedFd},
    process::ExitCode,
};
use tokio::{io::Interest, net::UnixStream, sync::mpsc};

/// Descriptors of one message: an agent's socket, and those that the game knows.
const MAX_FDS: usize = 1 + 16;
const USAGE: u8 = 2;
const TROUBLE: u8 = 1;

/// The whole life. Call it first thing in a process.
pub(crate) fn main(args: &[OsString]) -> ExitCode {
    process::guard();
    let control = match inherited() {
        Ok(control) if args.is_empty() => control,
        _ => {
            let text =
                "gameside gateway: the keeper starts this, and hands it a socket; there is nothing to start by hand\n";
            let _ = io::Write::write_all(&mut io::stderr(), text.as_bytes());
            return ExitCode::from(USAGE);
        }
    };
    let log = tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).with_target(false).with_ansi(false);
    // A log that can't be written mustn't end it.
    let _ = log.with_writer(io::stderr).log_internal_errors(false).try_init();
    match live(control) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the gateway has ended");
            ExitCode::from(TROUBLE)
        }
    }
}

fn live(control: OwnedFd) -> io::Result<()> {
    process::pass_over_endings();
    // Clients hold connections; a soft limit of 1024 would be met.
    let _ = process::raise_open_files();
    rustix::io::ioctl_fionbio(&control, true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    confine();
    runtime.block_on(async {
        // It is no stream, but waits as one.
        let control = UnixStream::from_std(control.into())?;
        let (to, orders) = mpsc::channel(4);
        tokio::select! {
            words = server::serve(orders) => {
                if let Some(words) = words {
                    say_ended(control.as_fd(), words);
                }
                Ok(())
            }
            error = follow(&control, to) => error,
        }
    })
}

/// Hands the keeper's orders on, until it is gone.
async fn follow(control: &UnixStream, orders: mpsc::Sender<Order>) -> io::Result<()> {
    let mut buffer = vec![0; MAX_MESSAGE_BYTES];
    loop {
        let received = control.async_io(Interest::READABLE, || receive(control.as_fd(), &mut buffer)).await?;
        let Some((message, fds)) = received else { return Ok(()) };
        if let Some(order) = order(message, fds)
            && orders.send(order).await.is_err()
        {
            // The server has ended and says its last words.
            std::future::pending::<()>().await;
        }
    }
}

/// One message. None: the keeper is gone. A message that isn't known has no order in it.
fn receive(control: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Option<(Option<KeeperToGateway>, Vec<OwnedFd>)>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let received = socket::receive_with_fds(control, buffer, &mut space)?;
    if received.bytes == 0 {
        return Ok(None);
    }
    if !received.is_whole {
        tracing::warn!("a message of the keeper is too long and was passed over");
        return Ok(Some((None, Vec::new())));
    }
    let message = serde_json::from_slice(&buffer[..received.bytes]);
    let message = message.inspect_err(|error| tracing::warn!(%error, "a message of the keeper isn't known here")).ok();
    Ok(Some((message, received.fds)))
}

fn order(message: Option<KeeperToGateway>, fds: Vec<OwnedFd>) -> Option<Order> {
    match message? {
        KeeperToGateway::Agent { listeners } => {
            let mut fds = fds.into_iter();
            let link = fds.next()?;
            let listeners = listeners.into_iter().zip(fds).map(|(name, fd)| BoundSocket { name, fd }).collect();
            Some(Order::Agent { link, listeners })
        }
        KeeperToGateway::End => Some(Order::End),
    }
}

fn say_ended(control: BorrowedFd<'_>, words: String) {
    let ended = GatewayToKeeper::Ended { words: Some(words).filter(|words| !words.is_empty()) };
    let text = serde_json::to_vec(&ended).expect("plain data always serialises");
    if let Err(error) = send(control, &text, SendFlags::NOSIGNAL) {
        tracing::warn!(%error, "the keeper couldn't be told what was left over");
    }
}

/// The control socket.
#[allow(unsafe_code, reason = "an inherited descriptor has no safe way in")]
fn inherited() -> Result<OwnedFd, Errno> {
    // SAFETY: the number is only looked at; nothing of this process owns it yet.
    let control = unsafe { BorrowedFd::borrow_raw(CONTROL_FD) };
    if socket_type(control)? != SocketType::SEQPACKET {
        return Err(Errno::NOTSOCK);
    }
    // SAFETY: it is open, as was just seen, and this is the one place that takes it over.
    let control = unsafe { OwnedFd::from_raw_fd(CONTROL_FD) };
    rustix::io::fcntl_setfd(&control, rustix::io::FdFlags::CLOEXEC)?;
    Ok(control)
}
