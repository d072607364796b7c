//! Carries out the effects: each is passed to the edge that carries it out, and nothing is waited
//! for.
//!
//! | effect | goes to | overflow |
//! |---|---|---|
//! | commit | the journal's thread | the newest state stands for the older |
//! | keeper order | the keeper client's order queue | levels coalesce; a refusal comes back as an event |
//! | call | a task of its own | the core has one under way a lane |
//! | availability | a watch | the newest counts |
//! | ask to quit | the game's remote console, in a task | one at a time |
//! | notice | the game's event log | slow readers are told that they lag |
//! | question for heartbeats | the SDK gateway, over its link | one at a time |
//! | timeline event | timeline and its thread | dropped on disk, and counted |

use super::{
    console_quit::ConsoleQuit,
    hooks::Hooks,
    inbox::Answered,
    journal::Writer,
    log_replay,
    ports::{Examined, GamePorts},
    provide::Provider,
    secrets,
    timeline_writer::TimelineWriter,
};
use crate::{
    core::io::{Availability, Effect, Ending, Input, TimelineEvent, Watch},
    frontends::{Events, LaunchExtension, Timeline, TokenStore},
    gateway::client::Gateway,
    host::clock,
    keeper::{Keeper, Losses},
    model::{
        game::{EventSource, Evidence},
        ids::{KeeperId, RunId, RunNumber},
        keeper::{KeeperFact, KeeperOrder},
        ordered::Ports,
        policy::{Readiness, ReadyBy},
        probe::Probe,
        process::{ExitReport, KeeperHello, LaunchSpec, OutputFrom, RunState},
        status::TimelineEntry,
        time::Now,
    },
    probes::{self, CommandRunner, Finding, Log, Observation, Target, Watcher},
    providers::Offer,
    session_api::agent::SessionClient,
};
use secrecy::{ExposeSecret as _, SecretString};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, mpsc::SyncSender},
};
use tokio::sync::{mpsc, watch};

/// What is watched from outside, and how.
#[derive(Debug)]
pub struct WatchConfig {
    pub probe: Option<Probe>,
    pub readiness: Readiness,
    pub log: Log,
    /// Where the keeper keeps the game's output.
    pub logs: PathBuf,
    /// The port that players connect to.
    pub port: String,
    pub findings: mpsc::Sender<Finding>,
    pub exec: ExecHandle,
}

/// Runs commands in the game's context.
#[derive(Clone)]
pub struct ExecHandle(pub CommandRunner);

impl std::fmt::Debug for ExecHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Exec")
    }
}

/// Everything that effects go to.
#[derive(Debug)]
pub struct EffectExecutor {
    pub keeper: Keeper,
    pub session_client: SessionClient,
    pub answers: mpsc::Sender<Answered>,
    pub provider: Provider,
    pub journal: Writer,
    pub events: Arc<Events>,
    pub gateway: Gateway,
    /// The newest run and its token, for the gateway.
    pub game_run: watch::Sender<Option<(RunNumber, SecretString)>>,
    pub timeline: Arc<Timeline>,
    pub timeline_file: TimelineWriter,
    /// Someone who looks on: the live view of `gameside run`.
    pub viewer: Option<SyncSender<TimelineEntry>>,
    pub tokens: Arc<TokenStore>,
    pub game_secret: SecretString,
    /// What the frontends add to each start.
    pub launch_extensions: Vec<Box<dyn LaunchExtension>>,
    pub watch: WatchConfig,
    pub hooks: Hooks,
    pub console_quit: ConsoleQuit,
    pub ports: Arc<Mutex<GamePorts>>,
    /// Whoever examined the ports says so here.
    pub examining: mpsc::Sender<Examined>,
    pub state: ExecutorState,
}

/// What the executor has to remember.
#[derive(Debug, Default)]
pub struct ExecutorState {
    /// Number of the last timeline entry.
    pub seq: u64,
    pub keeper: Option<KeeperId>,
    pub process: Option<(RunNumber, i32)>,
    pub watcher: Option<Watcher>,
    /// A run that printed while no agent listened.
    pub unread: Option<(RunNumber, OutputFrom)>,
}

impl EffectExecutor {
    /// Carries one effect out. `Reply` and `End` are the driver's own.
    pub fn carry_out(&mut self, effect: Effect, now: Now) {
        match effect {
            Effect::Commit { seq, text } => self.journal.commit(seq, text),
            Effect::Keeper(order) => self.order(order),
            Effect::Call { id, call } => {
                let (session_client, answers) = (self.session_client.clone(), self.answers.clone());
                tokio::spawn(async move {
                    let answer = session_client.carry_out(call).await;
                    // The receiver goes only with the driver, and then nobody wants to know.
                    let _ = answers.send((id, answer)).await;
                });
            }
            Effect::Availability(Availability::Free { term: _, warm_map, version }) => {
                self.provider.offer(Offer::Open { warm_map, version });
            }
            Effect::Availability(Availability::Unavailable) => self.provider.offer(Offer::Withdrawn),
            Effect::Notify { run, notice } => self.events.publish(run, notice),
            Effect::CountHeartbeats { run: _ } => self.gateway.count(),
            Effect::Watch(watch) => self.watch(watch),
            Effect::AskToQuit { run: _ } => self.console_quit.ask(),
            Effect::Timeline(event) => self.timeline(event, now),
            Effect::ExitHook { report, reason } => self.hooks.exited(&report, &reason, now.wall),
            Effect::Reply { .. } | Effect::End(_) => {}
        }
    }

    fn order(&mut self, order: KeeperOrder) {
        if let KeeperOrder::Start { run, spec } = order {
            self.start(run, spec);
        } else {
            self.keeper.give(order);
        }
    }

    /// The run's token is valid before its process can use it.
    fn start(&mut self, run: RunNumber, mut spec: Box<LaunchSpec>) {
        if let Some(token) = self.token_of(run) {
            spec.env.insert("GAMESIDE_TOKEN".to_owned(), token.expose_secret().to_owned());
            self.launch_extensions.iter().for_each(|extension| extension.apply(&token, &mut spec));
            self.set_game(run, token);
        }
        // Before the start: its first line may be the one that matters.
        self.keeper.output(!self.watch.log.is_empty());
        self.keeper.give(KeeperOrder::Start { run, spec });
    }

    fn set_game(&self, run: RunNumber, token: SecretString) {
        self.game_run.send_replace(Some((run, token.clone())));
        self.tokens.set_game(run, token);
    }

    fn token_of(&self, run: RunNumber) -> Option<SecretString> {
        let keeper = self.state.keeper.clone()?;
        Some(secrets::game_token(&self.game_secret, &RunId { keeper, run }))
    }

    /// What the executor has to know of it, before the core decides. `met`: the keepers that were met before it, the latest
    /// first.
    pub fn note(&mut self, fact: &KeeperFact, met: impl FnOnce() -> Vec<KeeperId>) {
        match fact {
            KeeperFact::Connected(hello) => self.greet(hello, met),
            KeeperFact::Started { run, pid, .. } => self.state.process = Some((*run, *pid)),
            KeeperFact::Away { .. }
            | KeeperFact::Gone { .. }
            | KeeperFact::StartRefused { .. }
            | KeeperFact::Exited(_)
            | KeeperFact::Unkillable { .. }
            | KeeperFact::StopRequested
            | KeeperFact::Superseded
            | KeeperFact::Incompatible { .. }
            | KeeperFact::Stats(_)
            | KeeperFact::GatewayEnded { .. } => {}
        }
    }

    /// A keeper introduced itself: runs are named after it from now on, and its game's token is valid again.
    fn greet(&mut self, hello: &KeeperHello, met: impl FnOnce() -> Vec<KeeperId>) {
        if self.state.keeper.as_ref() != Some(&hello.keeper) {
            self.state.keeper = Some(hello.keeper.clone());
            self.provider.restart_for(hello.keeper.clone(), met());
        }
        let run = match &hello.run {
            RunState::Empty => None,
            RunState::Running { run, pid, .. } => {
                self.state.process = Some((*run, *pid));
                self.state.unread = hello.output_from.map(|from| (*run, from));
                Some(*run)
            }
            RunState::Exited { report } => Some(report.run),
            RunState::Unkillable { run, .. } => Some(*run),
        };
        if let Some((run, token)) = run.and_then(|run| Some((run, self.token_of(run)?))) {
            self.set_game(run, token);
        }
        self.gateway.keeper(hello.gateway);
    }

    fn watch(&mut self, watch: Watch) {
        // The old watcher ends before the new one begins.
        self.state.watcher = None;
        let Watch::Run { run, ports } = watch else {
            self.keeper.output(false);
            return;
        };
        let pid = self.state.process.filter(|(known, _)| *known == run).map(|(_, pid)| pid);
        self.watch.log.reset();
        let target = Target { run, ports, port: self.watch.port.clone(), pid };
        let watch = &self.watch;
        let exec = Some(watch.exec.0.clone());
        self.state.watcher =
            Some(probes::start(watch.probe.clone(), &watch.readiness, target, exec, watch.findings.clone()));
        self.keeper.output(!self.watch.log.is_empty());
        if let Some((_, from)) = self.state.unread.take().filter(|(unread, _)| *unread == run) {
            self.replay_log(run, from);
        }
    }

    /// The line that proves a run ready may have been printed while nobody listened.
    fn replay_log(&self, run: RunNumber, from: OutputFrom) {
        if self.watch.readiness.by != ReadyBy::Log {
            return;
        }
        let (logs, patterns) = (self.watch.logs.clone(), self.watch.log.ready_patterns());
        let findings = self.watch.findings.clone();
        tokio::task::spawn_blocking(move || match log_replay::proves(&logs, from, &patterns) {
            Ok(true) => {
                let observation = Observation::Evidence(Evidence::Up);
                // The receiver goes only with the driver.
                let _ = findings.blocking_send(Finding { run, source: EventSource::Log, observation });
            }
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(%error, logs = %logs.display(), "what the game printed while no agent was there can't be read");
            }
        });
    }

    /// A run ended before it was ready: perhaps somebody else has one of its ports. The answer comes as an arrival.
    pub fn examine_ports(&self, report: ExitReport) {
        let (ports, examining) = (Arc::clone(&self.ports), self.examining.clone());
        tokio::task::spawn_blocking(move || {
            let examined = ports.lock().unwrap_or_else(PoisonError::into_inner).renew(report);
            // The receiver goes only with the driver; the keeper has the report for the next agent.
            let _ = examining.blocking_send(examined);
        });
    }

    /// The game has other ports from now on.
    pub fn set_ports(&mut self, ports: &Ports) {
        self.launch_extensions.iter_mut().for_each(|extension| extension.set_ports(ports));
        self.console_quit.set_ports(ports);
        if let Some(port) = ports.get(&self.watch.port) {
            self.provider.set_port(*port);
        }
    }

    /// What a line of the game's output says.
    pub fn read_line(&mut self, run: RunNumber, line: &str) -> Vec<Input> {
        let source = EventSource::Log;
        let inputs = self.watch.log.line(line).into_iter().map(|found| match found {
            Observation::Evidence(evidence) => Input::Evidence { run, source, evidence },
            Observation::GameEvent(event) => Input::GameEvent { run, source, event },
        });
        inputs.collect()
    }

    /// Output of the game that could not be kept.
    pub fn lost(&mut self, losses: Losses, now: Now) {
        let text = format!(
            "output of the game was lost: {} bytes the log could not take, {} lines nobody read in time",
            losses.log_bytes, losses.lines
        );
        self.timeline(TimelineEvent { kind: "output_lost", text, fields: BTreeMap::new() }, now);
    }

    /// Into the timeline: for readers here, on disk, and on the terminal.
    pub fn timeline(&mut self, event: TimelineEvent, now: Now) {
        self.state.seq += 1;
        let TimelineEvent { kind, text, fields } = event;
        let entry = TimelineEntry { seq: self.state.seq, at: now.wall, kind: kind.to_owned(), text, fields };
        self.timeline_file.write(entry.clone());
        if let Some(viewer) = &self.viewer {
            // A terminal that is stopped misses entries; they are in the file.
            drop(viewer.try_send(entry.clone()));
        } else {
            tracing::info!(target: "gameside::timeline", kind, "{}", entry.text);
        }
        self.timeline.push(entry);
    }

    /// The last entry: how it ended, with the exit code for whoever waits for it.
    pub fn write_exit_entry(&mut self, ending: &Ending, exit_code: u8) {
        let fields = BTreeMap::from([("exit_code".to_owned(), exit_code.to_string())]);
        let text = super::describe(ending);
        self.timeline(TimelineEvent { kind: "ended", text, fields }, clock::now());
    }

    /// This life is a good one.
    pub fn settled(&self) {
        self.journal.replayed();
    }
}
