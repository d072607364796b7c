//! The agent supervises one game server. Its driver owns the core, which decides; this file puts
//! everything together and runs it from its lock to its exit entry.
//!
//! ```text
//!   run: lock ─► ports ─► journal ─► keeper (listeners) ─► core ─► frontends ─► READY ─► driver … ─► exit entry
//! ```
//!
//! | file | holds |
//! |---|---|
//! | this one | the agent's life, from the lock to its exit entry |
//! | `bootstrap`, `build` | the edges that are there before the core; the core, the driver and the rest |
//! | [`driver`], [`inbox`], [`effect_executor`] | the loop; what comes in; where decisions go |
//! | `figures`, `supervisor` | what the machine and our processes cost; what systemd is told |
//! | [`journal`], [`timeline_writer`] | the durable state; the timeline on disk |
//! | [`config`], [`validate`] | the configuration: its types and checks; what only the whole agent can say about it |
//! | [`settings`], [`reload`] | from the configuration to what each room wants; SIGHUP |
//! | [`ports`], [`secrets`], [`provide`], [`hooks`], [`console_quit`], [`local`] | reserved ports; tokens; the provider; `on_exit`; the remote console; the local session service |
//! | `log_reader` | what the game's output means |
//! | [`record`], [`offline_status`], [`summary`] | how others find an agent; what is left of a dead one; the status in a line |
//! | [`crash`] | places where a test kills the agent |
//!
//! Invariants: an agent that holds `agent.lock` is the only one of its name; whatever fails here
//! fails before the game is touched, and leaves a game that runs alone.

pub mod config;
pub(crate) mod console_quit;
pub(crate) mod crash;
pub(crate) mod driver;
pub(crate) mod effect_executor;
pub(crate) mod hooks;
pub(crate) mod inbox;
pub mod journal;
pub(crate) mod local;
pub(crate) mod log_reader;
pub(crate) mod offline_status;
pub(crate) mod ports;
pub(crate) mod provide;
pub(crate) mod record;
pub(crate) mod reload;
pub(crate) mod secrets;
pub mod settings;
pub(crate) mod summary;
pub(crate) mod timeline_writer;
pub mod validate;

mod bootstrap;
mod build;
mod build_id;
mod figures;
#[cfg(test)]
mod reach_tests;
mod supervisor;

pub(crate) use build::Built;

use crate::{
    core::io::Ending,
    host::{
        files::BadFile,
        lock::{Lock, NotLocked},
        notify,
        paths::{AgentPlace, BadPlace, Places},
        ports::NoPort,
        signals::{Caught, Signals},
        telemetry::Telemetry,
    },
    keeper::KeeperError,
    model::{policy::GameKind, status::TimelineEntry},
    session_api::SetupError,
};
use inbox::Control;
use std::{io, net::SocketAddr, path::PathBuf, sync::mpsc::SyncSender, time::Duration};
use tokio::sync::mpsc;

/// How long the keeper may take to answer the last orders.
const LAST_ORDERS: Duration = Duration::from_secs(5);

/// What an agent is started with, besides its configuration.
#[derive(Debug)]
pub(crate) struct Options {
    pub loaded: config::Loaded,
    /// As on the command line; a reload uses them again.
    pub overrides: config::Overrides,
    pub places: Places,
    /// Sees every entry of the timeline.
    pub viewer: Option<SyncSender<TimelineEntry>>,
    pub telemetry: Option<Telemetry>,
    /// What the process will exit with; goes into the last entry of the timeline.
    pub exit_code: fn(&Ending) -> u8,
}

/// Why no agent could be run. The game, if one runs, was not touched.
#[derive(Debug, thiserror::Error)]
pub enum NoAgent {
    #[error("another agent named {name:?} runs{}; end it with `gameside stop {name}`, or give this one another --name", .pid.map_or(String::new(), |pid| format!(" (pid {pid})")))]
    AlreadyRuns { name: String, pid: Option<u32> },
    #[error(transparent)]
    Place(#[from] BadPlace),
    #[error(transparent)]
    Setup(#[from] settings::BadSetup),
    #[error("[game.ports]: {0}")]
    Port(#[from] NoPort),
    #[error(transparent)]
    File(#[from] BadFile),
    #[error("can't open the journal {}: {source}", path.display())]
    Journal { path: PathBuf, source: io::Error },
    #[error("the keeper can't hold our sockets: {0}")]
    Keeper(#[from] KeeperError),
    #[error("the keeper in {} speaks no version that this agent knows: {why}; use the agent that started it", dir.display())]
    Incompatible { dir: PathBuf, why: String },
    #[error("another agent has taken the keeper in {} over", dir.display())]
    Superseded { dir: PathBuf },
    #[error("can't listen for operators on {address} ([api] operator_listen): {source}")]
    OperatorListen { address: SocketAddr, source: io::Error },
    #[error(transparent)]
    SessionClient(#[from] SetupError),
    #[error("failed to {doing}: {source}")]
    Io { doing: &'static str, source: io::Error },
}

impl NoAgent {
    pub(crate) fn io(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| NoAgent::Io { doing, source }
    }
}

/// Which kind of game is run, and why: somebody who tries out a server wants to know what will end it.
fn kind_note(config: &config::AgentConfig) -> Control {
    let (kind, why) = config.kind();
    let text = match kind {
        GameKind::Match => format!("run as a match, which ends: {why}"),
        GameKind::World => format!("run as a world, which goes on whoever plays: {why}"),
    };
    Control::Note { kind: "kind", text }
}

/// Runs an agent until it ends. Needs a current-thread tokio runtime with time and I/O.
pub(crate) async fn run(options: Options) -> Result<Ending, NoAgent> {
    let name = options.loaded.config.agent.name.clone();
    let place = options.places.prepare_agent(&name)?;
    let _lock = take_lock(&name, &place)?;
    let (control, orders) = mpsc::channel(16);
    let notes = control.clone();
    let ports = ports::reserve(&options.loaded.config, &place)?;

    let Some(built) = build::build(&options, &place, ports, control, orders).await? else {
        return Ok(Ending::Orderly { reason: "told to stop before the keeper was there".to_owned() });
    };
    // While the keeper is waited for, nobody notes anything.
    drop(notes.try_send(kind_note(&options.loaded.config)));
    drop(notes);
    let Built { driver, first, served, tasks } = built;
    notify::ready("started");
    let (ending, mut executor, inbox) = Box::pin(driver.run(first)).await;

    notify::stopping(&describe(&ending));
    executor.write_exit_entry(&ending, (options.exit_code)(&ending));
    let _ = tokio::time::timeout(LAST_ORDERS, executor.keeper.settled()).await;
    executor.hooks.finish().await;
    // Answers that were given are written out before their connections go.
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
    drop((inbox, served, tasks));
    Ok(ending)
}

/// How an agent ended, for a person.
pub(crate) fn describe(ending: &Ending) -> String {
    match ending {
        Ending::Orderly { reason } => format!("ended in order: {reason}"),
        Ending::Undelivered { reason, sessions } => format!(
            "ended in order: {reason}; but the session service could not be told ({sessions} to tell): the next \
             `gameside run` of this name does that"
        ),
        Ending::Detached { restart: false } => "detached; the game goes on under its keeper".to_owned(),
        Ending::Detached { restart: true } => "detached for a new agent; the game goes on".to_owned(),
        Ending::Superseded => "another agent took the game over".to_owned(),
        Ending::Failed { why } => format!("gave up: {why}"),
        Ending::KeeperSilent => {
            "gave up waiting: the keeper doesn't answer, so the game may still run; look at that process \
             (`gameside status`), then `gameside run` of this name goes on"
                .to_owned()
        }
        Ending::Unkillable => "processes of the game can't be killed; this host needs an operator".to_owned(),
        Ending::Incompatible { why } => format!("the keeper can't be talked to, the match is kept: {why}"),
    }
}

fn take_lock(name: &str, place: &AgentPlace) -> Result<Lock, NoAgent> {
    Lock::take(&place.lock(), &format!("gameside run --name {name}")).map_err(|error| match error {
        NotLocked::Held { holder, .. } => {
            NoAgent::AlreadyRuns { name: name.to_owned(), pid: holder.map(|holder| holder.pid) }
        }
        NotLocked::Io { doing, source, .. } => NoAgent::Io { doing, source },
    })
}

/// Hands signals on for as long as the agent lives.
async fn follow_signals(mut signals: Signals, control: mpsc::Sender<Control>, mut reloader: reload::Reloader) {
    loop {
        let order = match signals.next().await {
            Caught::Terminate | Caught::Interrupt => Control::Terminate,
            Caught::Reload => {
                for order in reloader.reload() {
                    if control.send(order).await.is_err() {
                        return;
                    }
                }
                continue;
            }
        };
        if control.send(order).await.is_err() {
            return;
        }
    }
}
