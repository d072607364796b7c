//! The agent as our child, for containers (`--run-agent`). It is started again, with a back-off,
//! whenever it ends.
//!
//! ```text
//!   keeper (PID 1) ─┬─► runner (subreaper) ──► agent ──► its own children
//!                   └─► the game
//! ```
//!
//! The runner is between them so that orphans of the agent (a session service, a hook) come to it
//! and not to the keeper, which would take them for processes of the game. It is in a process group
//! of its own: Ctrl-C and SIGTERM are for the keeper, which tells the agent.

use super::{
    Daemon,
    sys::{self, Forked},
};
use crate::{
    host::{clock, environment},
    keeper::protocol::exit,
    model::backoff::{Backoff, NO_JITTER},
};
use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::OFlags,
    pipe::PipeFlags,
    process::{Signal, getpid, getppid, set_child_subreaper, set_parent_process_death_signal, setpgid},
};
use std::{
    ffi::{CString, OsString},
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::{ffi::OsStringExt, process::ExitStatusExt},
    },
    time::Duration,
};

const FIRST_DELAY: Duration = Duration::from_millis(100);
const LAST_DELAY: Duration = Duration::from_secs(30);
/// An agent that lived this long is well, and the back-off starts anew.
const WELL_AFTER: Duration = Duration::from_secs(60);

/// How long an agent of ours may take to end after it has ordered the shutdown.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// The keeper's handle on the runner.
#[derive(Debug)]
pub(super) struct Runner {
    pub(super) pid: i32,
    /// While this is open, the agent is started again.
    hold: Option<OwnedFd>,
    /// Says how the agent ended, each time: one byte, its exit code.
    pub(super) ends: OwnedFd,
}

impl Runner {
    pub(super) fn start(command: &[OsString]) -> io::Result<Runner> {
        let words = command.iter().map(|word| CString::new(word.clone().into_vec()));
        let words = words.collect::<Result<Vec<_>, _>>().map_err(io::Error::other)?;
        let (released, hold) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        let (ends, tell) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        rustix::fs::fcntl_setfl(&ends, OFlags::NONBLOCK)?;
        let keeper = getpid();
        match sys::fork()? {
            Forked::Parent(pid) => Ok(Runner { pid, hold: Some(hold), ends }),
            Forked::Child => {
                drop((hold, ends));
                let _ = setpgid(None, None);
                let _ = set_child_subreaper(Some(getpid()));
                let _ = set_parent_process_death_signal(Some(Signal::KILL));
                if getppid() != Some(keeper) {
                    sys::exit_now(1);
                }
                run(&words, &released, &tell)
            }
        }
    }

    /// The agent isn't started again when it ends.
    pub(super) fn release(&mut self) {
        self.hold = None;
    }

    /// The exit code of an agent that has ended, the newest.
    pub(super) fn ended(&self) -> Option<u8> {
        let mut codes = [0; 64];
        let count = rustix::io::read(&self.ends, &mut codes).ok()?;
        codes[..count].last().copied()
    }
}

impl Daemon {
    /// The agent that is our child has ended. If it has never connected and there is nothing to keep, the keeper ends too, so that a bad
    /// configuration shows outside the container.
    pub(super) fn agent_ended(&mut self) {
        let code = self.runner.as_ref().and_then(Runner::ended);
        if let Some(code) = code.filter(|_| self.ending.is_none()) {
            warn!("the agent has ended with code {code}");
            if !self.orphaned.met && self.run.is_none() && self.unkillable.is_none() {
                self.runner = None;
                self.end(code);
            }
        }
    }

    /// The runner ends by itself only after it was released. If it was killed, the agent died with it.
    pub(super) fn runner_ended(&mut self) {
        self.runner = None;
        if self.ending.is_none() {
            self.runner = Runner::start(&self.settings.agent).ok();
        }
    }

    /// Ends; after an orderly end only when the agent that we run has ended too.
    pub(super) fn end(&mut self, code: u8) {
        if let Some(runner) = &mut self.runner {
            runner.release();
        }
        let last_words = if code == exit::ORDERLY { LAST_WORDS } else { Duration::ZERO };
        let now = clock::mono();
        self.gateways.close(now);
        self.ending = Some((code, now + last_words));
    }
}

fn run(words: &[CString], released: &OwnedFd, tell: &OwnedFd) -> ! {
    let Ok(signals) = sys::signal_fd(&[libc::SIGCHLD]) else { sys::exit_now(1) };
    // The keeper's lock, socket and pipes are none of the runner's business.
    sys::close_all_but(&[released.as_raw_fd(), tell.as_raw_fd(), signals.as_raw_fd()]);
    let mut backoff = Backoff::default();
    loop {
        let began = clock::mono();
        let code = agent(words).map_or(1, |pid| wait(pid, &signals));
        let _ = rustix::io::write(tell, &[code]);
        if clock::mono().since(began) > WELL_AFTER {
            backoff.reset();
        }
        if is_released(released, &signals, backoff.next(FIRST_DELAY, LAST_DELAY, NO_JITTER)) {
            sys::exit_now(i32::from(code));
        }
    }
}

fn agent(words: &[CString]) -> io::Result<i32> {
    let runner = getpid();
    match sys::fork()? {
        Forked::Parent(pid) => Ok(pid),
        Forked::Child => {
            let _ = set_parent_process_death_signal(Some(Signal::KILL));
            if getppid() == Some(runner) {
                sys::reset_signals();
                sys::close_on_exec_from(3);
                if let Ok(Some(secrets)) = environment::hand_on() {
                    let _ = sys::put_at(&secrets, environment::HANDED_ON_FD);
                    // Its number may be that one already; exec closes it otherwise.
                    std::mem::forget(secrets);
                }
                let error = sys::exec_in_path(words);
                warn!("starting the agent {:?}: {error}", words.first());
            }
            sys::exit_now(127)
        }
    }
}

/// Waits for the agent and reaps whoever else comes by.
fn wait(agent: i32, signals: &OwnedFd) -> u8 {
    loop {
        while let Some(child) = sys::reap() {
            if child.pid == agent {
                let signal = child.status.signal().unwrap_or(0);
                return child.status.code().unwrap_or(128 + signal) as u8;
            }
        }
        super::wait_for(signals, None);
        while sys::next_signal(signals).is_some() {}
    }
}

/// Waits out the back-off; true as soon as the keeper has let go.
fn is_released(released: &OwnedFd, signals: &OwnedFd, delay: Duration) -> bool {
    let until = clock::mono() + delay;
    loop {
        let left = until.since(clock::mono());
        let mut fds = [PollFd::new(released, PollFlags::IN), PollFd::new(signals, PollFlags::IN)];
        let _ = poll(&mut fds, rustix::event::Timespec::try_from(left).ok().as_ref());
        if !fds[0].revents().is_empty() {
            return true;
        }
        while sys::next_signal(signals).is_some() {}
        while sys::reap().is_some() {}
        if left.is_zero() {
            return false;
        }
    }
}
