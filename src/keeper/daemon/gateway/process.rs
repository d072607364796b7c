//! One gateway as a process: how it is started, and the socket between it and us.

use crate::{
    host::socket,
    keeper::{
        daemon::{
            Instant,
            error::SpawnError,
            privileges::Account,
            settings::Limit,
            spawn::{self, Confinement, ExecOutcome, Privileges, Stdio},
            sys,
        },
        protocol::MAX_LISTENERS,
    },
    model::gateway::{GatewayToKeeper, KeeperToGateway, MAX_MESSAGE_BYTES},
};
use rustix::{
    fs::{OFlags, fcntl_setfl},
    io::Errno,
    net::{AddressFamily, RecvFlags, SocketFlags, SocketType, recv, socketpair},
    process::{Pid, Signal, kill_process},
};
use std::{
    env, fs, io,
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

/// What of our environment it gets.
const ENVIRONMENT: [&str; 3] = ["PATH", "GAMESIDE_LOG", "RUST_LOG"];

/// A gateway that isn't reaped yet: its pid can't be anybody else's.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) pid: i32,
    pub(super) born: Instant,
    /// None once either side has hung up.
    pub(super) control: Option<OwnedFd>,
    /// Open until exec has closed it or failed.
    pub(super) outcome: Option<OwnedFd>,
    /// Why it wasn't executed.
    pub(super) failed: Option<String>,
}

/// What was read from a gateway.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received {
    Message(GatewayToKeeper),
    /// Something that we don't understand.
    Unknown,
    NothingYet,
    HungUp,
}

impl Process {
    /// Forks it, outside every cgroup of a run, and with our own limits. Whether exec works comes out later.
    pub(super) fn spawn(program: &Path, account: Option<&Account>, now: Instant) -> Result<Process, SpawnError> {
        let env: Vec<_> = ENVIRONMENT.iter().filter_map(|name| Some((*name, env::var(name).ok()?))).collect();
        let plan = spawn::plan_gateway(program, &env)?;
        let (ours, theirs) = pair(SocketType::SEQPACKET).map_err(SpawnError::Socket)?;
        // Ours alone doesn't block.
        fcntl_setfl(&theirs, OFlags::empty()).map_err(|why| SpawnError::Socket(why.into()))?;
        let own_error = || io::stderr().as_fd().try_clone_to_owned();
        let streams = || Ok((fs::File::open("/dev/null")?.into(), own_error()?, own_error()?));
        let (input, output, error) = streams().map_err(SpawnError::Pipes)?;
        let stdio = Stdio { input, output, error, control: Some(theirs) };
        let limits = limits();
        let privileges = Privileges::None;
        // Its score is ours.
        let confinement = Confinement { leaf: None, limits: &limits, oom_score_adj: "", account, privileges };
        let child = spawn::spawn(&plan, &stdio, &confinement).map_err(SpawnError::Fork)?;
        Ok(Process { pid: child.pid, born: now, control: Some(ours), outcome: Some(child.outcome), failed: None })
    }

    /// Whether exec has worked.
    pub(super) fn exec_outcome(&mut self) -> ExecOutcome {
        let Some(pipe) = &self.outcome else { return ExecOutcome::Worked };
        let outcome = ExecOutcome::read(pipe);
        if outcome != ExecOutcome::NotYet {
            self.outcome = None;
        }
        if let ExecOutcome::Failed(failure) = &outcome {
            self.failed = Some(failure.why.clone());
        }
        outcome
    }

    /// Sends it a message whole, or nothing.
    pub(super) fn say(&self, message: &KeeperToGateway, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let control = self.control.as_ref().ok_or(Errno::PIPE)?;
        let text = serde_json::to_vec(message)?;
        if text.len() > MAX_MESSAGE_BYTES {
            return Err(Errno::MSGSIZE.into());
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1 + MAX_LISTENERS))];
        rustix::io::retry_on_intr(|| socket::send_with_fds(control, &text, fds, &mut space))?;
        Ok(())
    }

    /// Its next message.
    pub(super) fn receive(&mut self) -> Received {
        let Some(control) = &self.control else { return Received::NothingYet };
        let mut message = vec![0; MAX_MESSAGE_BYTES];
        match recv(control, &mut *message, RecvFlags::DONTWAIT | RecvFlags::TRUNC) {
            Ok((1.., length)) if length <= message.len() => {
                serde_json::from_slice(&message[..length]).map_or(Received::Unknown, Received::Message)
            }
            Ok((1.., _)) => Received::Unknown,
            Err(Errno::AGAIN | Errno::INTR) => Received::NothingYet,
            Ok((0, _)) | Err(_) => {
                self.control = None;
                Received::HungUp
            }
        }
    }

    pub(super) fn kill(&self) {
        if let Some(pid) = Pid::from_raw(self.pid) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// The two ends of a stream between an agent and a gateway.
pub(super) fn stream() -> io::Result<(OwnedFd, OwnedFd)> {
    pair(SocketType::STREAM)
}

fn pair(kind: SocketType) -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?)
}

/// It leaves no core file, and may open as many descriptors as we may.
#[allow(clippy::unnecessary_cast, reason = "a signed number with musl")]
fn limits() -> [Limit; 2] {
    let (core, files) = (libc::RLIMIT_CORE as u32, libc::RLIMIT_NOFILE as u32);
    let most = sys::limit(files).1;
    [Limit { resource: core, soft: 0, hard: 0 }, Limit { resource: files, soft: most, hard: most }]
}
