//! The SDK gateway: a helper process that serves what the game talks to, and outlives agents. One
//! serves one run.
//!
//! ```text
//!            ┌─ ordered, or due ─► Starting ──exec worked──► Serving ──the run is over──► ReadingOut ─┐
//!   none ────┤                        │                        │ │            words, its end, READ_OUT│
//!            ▲                        └─exec failed─┐   it ends│ └─ordered between runs──► leaving ◄──┘
//!            └────────back-off────── crash ◄────────┴──────────┘                  its end, LET_GO ─► reaped
//! ```
//!
//! Invariants:
//! - It belongs to no run: a run is over with it alive, its figures aren't the run's, and it has
//!   none of the game's limits.
//! - An agent is introduced only to a gateway that hasn't served another run. One that was told of
//!   two ends by itself, and that is no crash.
//! - A run's exit waits for its gateway's last words for at most [`READ_OUT`], and nothing else
//!   waits for a gateway.
//! - No gateway outlives the keeper.

mod process;

use super::{
    Daemon, Instant,
    connections::Role,
    error::Refusal,
    privileges::{Account, Identity},
    settings::Settings,
    spawn::ExecOutcome,
    sys::Reaped,
};
use crate::{
    host::clock,
    keeper::protocol::Event,
    model::{
        backoff::{Backoff, NO_JITTER},
        gateway::{GatewayToKeeper, KeeperToGateway, MAX_WORDS_BYTES},
    },
};
use process::{Process, Received};
use std::{
    fs,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::PermissionsExt,
    },
    path::{Path, PathBuf},
    time::Duration,
};

/// How long a gateway may take for its last words when its run is over.
const READ_OUT: Duration = Duration::from_millis(300);
/// How long a gateway that we have hung up on may take to end.
const LET_GO: Duration = Duration::from_secs(2);
const FIRST_DELAY: Duration = Duration::from_millis(20);
const LAST_DELAY: Duration = Duration::from_secs(1);
/// A gateway that lived this long is well, and the back-off starts anew.
const WELL_AFTER: Duration = Duration::from_secs(10);
/// Messages of a gateway that are read in a turn.
const MESSAGES_A_TURN: usize = 16;

/// The gateway of the present run or of the next, and those before it that haven't ended.
#[derive(Debug)]
pub(super) struct Gateways {
    program: Option<PathBuf>,
    account: Option<Account>,
    present: Option<Gateway>,
    /// They serve nobody any more.
    leaving: Vec<Leaving>,
    /// Orders that can't be answered yet: who gave them, and their ids.
    waiting: Vec<(u64, u64)>,
    /// What the run's gateway handed over.
    words: Option<String>,
    backoff: Backoff,
    /// Before this no gateway is started, and why.
    not_before: Option<(Instant, String)>,
    /// An agent has asked for one.
    wanted: bool,
    /// The next one is started without being asked for.
    start_due: bool,
}

#[derive(Debug)]
struct Gateway {
    process: Process,
    stage: Stage,
    kill_at: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Whether exec works isn't known yet.
    Starting,
    /// No agent was introduced to it yet.
    Unused,
    Serving,
    /// Its run is over.
    ReadingOut(EndOrder),
}

/// What became of the order to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EndOrder {
    Sent,
    /// The gateway had hung up, or doesn't read.
    NotSent,
}

#[derive(Debug)]
struct Leaving {
    process: Process,
    kill_at: Option<Instant>,
}

impl Gateways {
    pub(super) fn new(settings: &Settings, identity: &Identity) -> Gateways {
        Gateways {
            program: settings.gateway.path(),
            account: identity.gateway.clone(),
            present: None,
            leaving: Vec::new(),
            waiting: Vec::new(),
            words: None,
            backoff: Backoff::default(),
            not_before: None,
            wanted: false,
            start_due: false,
        }
    }

    /// The program, if it is there now.
    pub(super) fn program(&self) -> Result<&Path, Refusal> {
        let path = self.program.as_deref().ok_or(Refusal::NoGateway)?;
        let is_program = fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0);
        if is_program { Ok(path) } else { Err(Refusal::GatewayMissing(path.to_owned())) }
    }

    /// All that haven't been reaped.
    pub(super) fn pids(&self) -> impl Iterator<Item = i32> {
        self.processes().map(|process| process.pid)
    }

    fn processes(&self) -> impl Iterator<Item = &Process> {
        let present = self.present.iter().map(|gateway| &gateway.process);
        present.chain(self.leaving.iter().map(|leaving| &leaving.process))
    }

    /// The present one's socket.
    pub(super) fn control(&self) -> Option<&OwnedFd> {
        self.present.as_ref().and_then(|gateway| gateway.process.control.as_ref())
    }

    /// Tells whether the present one's exec works, until that is known.
    pub(super) fn outcome(&self) -> Option<&OwnedFd> {
        self.present.as_ref().and_then(|gateway| gateway.process.outcome.as_ref())
    }

    /// The run's exit waits for its gateway.
    pub(super) fn is_reading_out(&self) -> bool {
        matches!(self.stage(), Some(Stage::ReadingOut(_)))
    }

    fn stage(&self) -> Option<Stage> {
        self.present.as_ref().map(|gateway| gateway.stage)
    }

    /// The run is over: its gateway is asked for its last words.
    pub(super) fn run_is_over(&mut self, now: Instant) {
        if let Some(gateway) = self.present.as_mut().filter(|gateway| gateway.stage == Stage::Serving) {
            let order = gateway.process.say(&KeeperToGateway::End, &[]).map_or(EndOrder::NotSent, |()| EndOrder::Sent);
            gateway.stage = Stage::ReadingOut(order);
            gateway.kill_at = Some(now + READ_OUT);
        }
    }

    /// What it handed over.
    pub(super) fn take_words(&mut self) -> Option<String> {
        self.words.take()
    }

    /// The keeper ends: the present gateway may do so too, and there is no next one.
    pub(super) fn close(&mut self, now: Instant) {
        self.start_due = false;
        self.let_go(now);
    }

    /// Hangs up on the present gateway; it ends by itself.
    fn let_go(&mut self, now: Instant) {
        self.leave(Some(now + LET_GO));
    }

    fn let_go_of_a_used_one(&mut self, now: Instant) {
        if let Some(Stage::Serving | Stage::ReadingOut(_)) = self.stage() {
            self.let_go(now);
        }
    }

    fn leave(&mut self, kill_at: Option<Instant>) {
        if let Some(Gateway { mut process, .. }) = self.present.take() {
            process.control = None;
            self.leaving.push(Leaving { process, kill_at });
        }
    }

    /// When the keeper ends.
    pub(super) fn kill(&self) {
        self.processes().for_each(Process::kill);
    }

    fn start(&mut self, now: Instant) -> Result<(), Refusal> {
        let program = self.program()?.to_owned();
        if let Some((at, why)) = self.not_before.as_ref().filter(|(at, _)| now < *at) {
            return Err(Refusal::GatewayFailed { why: why.clone(), wait: at.since(now) });
        }
        self.start_due = false;
        match Process::spawn(&program, self.account.as_ref(), now) {
            Ok(process) => {
                self.present = Some(Gateway { process, stage: Stage::Starting, kill_at: None });
                Ok(())
            }
            Err(why) => {
                self.failed(Duration::ZERO, why.to_string(), now);
                Err(Refusal::GatewayNotStarted(why))
            }
        }
    }

    fn failed(&mut self, lived: Duration, why: String, now: Instant) {
        if lived >= WELL_AFTER {
            self.backoff.reset();
            self.not_before = None;
        } else {
            self.not_before = Some((now + self.backoff.next(FIRST_DELAY, LAST_DELAY, NO_JITTER), why));
        }
    }

    /// Takes in what the present gateway has sent.
    pub(super) fn read(&mut self, now: Instant) {
        for _ in 0..MESSAGES_A_TURN {
            let Some(gateway) = &mut self.present else { return };
            match gateway.process.receive() {
                Received::Message(GatewayToKeeper::Ended { words }) => self.ended(words, now),
                Received::Unknown => {}
                Received::NothingYet => return,
                Received::HungUp => {
                    gateway.kill_at = gateway.kill_at.or(Some(now + READ_OUT));
                    return;
                }
            }
        }
    }

    fn ended(&mut self, words: Option<String>, now: Instant) {
        if self.stage() == Some(Stage::Serving) {
            // It was told of a later run than the one that it served. Its words aren't the present
            // run's.
            self.let_go(now);
            self.start_due = self.wanted;
            return;
        }
        match words {
            Some(words) if words.len() > MAX_WORDS_BYTES => {
                warn!("the gateway's last words of {} bytes were dropped", words.len());
            }
            Some(words) => self.words = Some(words),
            None => {}
        }
        if self.is_reading_out() {
            self.let_go(now);
        }
    }

    /// Does what is due by the clock.
    pub(super) fn advance(&mut self, now: Instant) {
        if let Some(gateway) = self.present.as_mut().filter(|gateway| is_due(gateway.kill_at, now)) {
            warn!("the gateway (pid {}) doesn't end and is killed", gateway.process.pid);
            gateway.process.kill();
            gateway.kill_at = None;
            if let Stage::ReadingOut(_) = gateway.stage {
                self.leave(None);
            }
        }
        for leaving in self.leaving.iter_mut().filter(|leaving| is_due(leaving.kill_at, now)) {
            leaving.process.kill();
            leaving.kill_at = None;
        }
    }

    /// When something is due next.
    pub(super) fn due(&self) -> Option<Instant> {
        let present = self.present.as_ref().and_then(|gateway| gateway.kill_at);
        let leaving = self.leaving.iter().filter_map(|leaving| leaving.kill_at).min();
        [present, leaving, self.start_due()].into_iter().flatten().min()
    }

    /// When the next one is started without being asked for.
    fn start_due(&self) -> Option<Instant> {
        let due = self.start_due && self.present.is_none();
        due.then(|| self.not_before.as_ref().map_or(Instant(Duration::ZERO), |(at, _)| *at))
    }
}

fn is_due(at: Option<Instant>, now: Instant) -> bool {
    at.is_some_and(|at| now >= at)
}

impl Daemon {
    /// Answered now, or when the present gateway is ready for an agent.
    pub(super) fn gateway(&mut self, peer: u64, re: u64) {
        if let Err(why) = self.introduce(peer, re, clock::mono()) {
            self.refuse(peer, Some(re), "gateway", &why);
        }
    }

    fn introduce(&mut self, peer: u64, re: u64, now: Instant) -> Result<(), Refusal> {
        if self.ending.is_some() {
            return Err(Refusal::Stopping);
        }
        self.gateways.program()?;
        self.gateways.wanted = true;
        if self.run.is_none() {
            self.gateways.let_go_of_a_used_one(now);
        }
        let gateways = &mut self.gateways;
        match &mut gateways.present {
            None => {
                gateways.start(now)?;
                gateways.waiting.push((peer, re));
            }
            Some(Gateway { stage: Stage::Starting | Stage::ReadingOut(_), .. }) => gateways.waiting.push((peer, re)),
            Some(gateway) => {
                let (ours, theirs) = process::stream().map_err(Refusal::GatewayNotTold)?;
                let (listeners, sockets): (Vec<_>, Vec<_>) =
                    self.held.all().map(|(name, socket)| (name.to_owned(), socket)).unzip();
                let fds: Vec<BorrowedFd<'_>> = std::iter::once(theirs.as_fd()).chain(sockets).collect();
                let message = KeeperToGateway::Agent { listeners };
                gateway.process.say(&message, &fds).map_err(Refusal::GatewayNotTold)?;
                gateway.stage = Stage::Serving;
                let event = Event::Gateway { pid: gateway.process.pid };
                self.connections.answer(peer, Some(re), event, vec![ours]);
            }
        }
        Ok(())
    }

    /// Those who have gone meanwhile, or been superseded, aren't introduced.
    fn introduce_waiting(&mut self) {
        for (peer, re) in std::mem::take(&mut self.gateways.waiting) {
            if self.connections.role(peer) == Some(Role::Controller) {
                self.gateway(peer, re);
            }
        }
    }

    /// It has become known whether exec worked.
    pub(super) fn gateway_outcome(&mut self) {
        let Some(gateway) = &mut self.gateways.present else { return };
        if gateway.process.exec_outcome() == ExecOutcome::Worked && gateway.stage == Stage::Starting {
            gateway.stage = Stage::Unused;
            self.introduce_waiting();
        }
    }

    /// Says whether this child was a gateway.
    pub(super) fn gateway_reaped(&mut self, child: &Reaped) -> bool {
        let now = clock::mono();
        if self.gateways.present.as_ref().is_some_and(|gateway| gateway.process.pid == child.pid) {
            // Its last message may not have been read yet.
            self.gateways.read(now);
        }
        if let Some(mut gateway) = self.gateways.present.take_if(|gateway| gateway.process.pid == child.pid) {
            gateway.process.exec_outcome();
            if gateway.stage != Stage::ReadingOut(EndOrder::Sent) {
                self.gateway_crashed(gateway, child, now);
            }
            return true;
        }
        let before = self.gateways.leaving.len();
        self.gateways.leaving.retain(|leaving| leaving.process.pid != child.pid);
        self.gateways.leaving.len() < before
    }

    /// It ended and wasn't told to.
    fn gateway_crashed(&mut self, gateway: Gateway, child: &Reaped, now: Instant) {
        let served = matches!(gateway.stage, Stage::Serving | Stage::ReadingOut(_));
        let lived = now.since(gateway.process.born);
        let status = gateway.process.failed.unwrap_or_else(|| child.status.to_string());
        warn!("the gateway (pid {}) ended: {status}", child.pid);
        let run = self.run.as_mut().filter(|_| served);
        let number = run.map(|run| {
            // One that couldn't be told of the run's end was gone before it.
            run.gateway_ended = Some(run.ended.unwrap_or_else(clock::wall));
            run.number
        });
        self.connections.tell(&Event::GatewayEnded { run: number, status: status.clone() });
        self.gateways.failed(lived, status, now);
        if self.run.as_ref().is_some_and(|run| run.ended.is_none()) {
            self.gateways.start_due = true;
        }
        if self.run.as_ref().is_none_or(|run| run.ended.is_none()) {
            self.introduce_waiting();
        }
    }

    /// A run has ended, or could not begin: a gateway that served it serves no other one.
    pub(super) fn replace_gateway(&mut self) {
        self.gateways.words = None;
        self.gateways.let_go_of_a_used_one(clock::mono());
        let goes_on = self.unkillable.is_none() && !self.orphaned.is_asked();
        self.gateways.start_due = self.gateways.wanted && goes_on && self.gateways.present.is_none();
        self.introduce_waiting();
    }

    /// Starts the next one, if that is due. The news of a turn are sent before that.
    pub(super) fn start_due_gateway(&mut self) {
        let now = clock::mono();
        if self.ending.is_some() || !is_due(self.gateways.start_due(), now) {
            return;
        }
        if let Err(why) = self.gateways.start(now) {
            warn!("{why}");
            // Where the program isn't there, it is waited for until somebody asks.
            self.gateways.start_due = matches!(why, Refusal::GatewayNotStarted(_));
        }
    }
}
