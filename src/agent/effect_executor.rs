//! Carries out the effects: each is passed to the edge that carries it out, and nothing is waited
//! for.
//!
//! | effect | goes to | overflow |
//! |---|---|---|
//! | commit | the journal's thread | the newest state stands for the older |
//! | keeper order | the keeper client's order queue | levels coalesce; a refusal comes back as an event |
//! | call | a task of its own | the core has one under way a lane |
//! | availability | a watch | the newest counts |
//! | watch | the probes' task, and the log's reader | the reader falls behind, and catches up from the file |
//! | ask to quit | the game's remote console, in a task | one at a time |
//! | notice | the game's event log | slow readers are told that they lag |
//! | question for heartbeats | the SDK gateway, over its link | one at a time |
//! | timeline event | timeline and its thread | dropped on disk, and counted |

use super::{
    build_id,
    console_quit::ConsoleQuit,
    hooks::Hooks,
    inbox::Answered,
    journal::Writer,
    log_reader::{self, LogNews, LogPlace, LogReader},
    ports::{Examined, GamePorts},
    provide::Provider,
    secrets,
    timeline_writer::TimelineWriter,
};
use crate::{
    core::io::{Availability, Effect, Ending, TimelineEvent, Watch},
    frontends::{Events, LaunchExtension, Timeline, TokenStore},
    gateway::client::Gateway,
    host::clock,
    keeper::{Keeper, Losses},
    model::{
        game::EventSource,
        ids::{KeeperId, RunId, RunNumber},
        keeper::{Forward, KeeperFact, KeeperOrder},
        ordered::Ports,
        policy::Readiness,
        probe::Probe,
        process::{ExitReport, KeeperHello, LaunchSpec, OutputFrom, OutputRead, RunState},
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
    sync::{Arc, Mutex, PoisonError, mpsc::SyncSender},
};
use tokio::sync::{mpsc, watch};

/// What is watched from outside, and how.
#[derive(Debug)]
pub struct WatchConfig {
    pub probe: Option<Probe>,
    pub readiness: Readiness,
    pub log: Log,
    /// Where the game's lines are.
    pub place: LogPlace,
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
    /// Whoever reads the game's output says here what it means.
    pub log_news: mpsc::Sender<LogNews>,
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
    /// Where the output of a run begins that was there before this agent.
    pub begins: Option<(RunNumber, OutputFrom)>,
    pub reader: Option<LogReader>,
}

impl EffectExecutor {
    /// Carries one effect out. `Reply` and `End` are the driver's own.
    pub fn carry_out(&mut self, effect: Effect, now: Now) {
        match effect {
            Effect::Commit { seq, text, bulk } => self.journal.commit(seq, text, bulk),
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
        self.identify_build(run, &spec);
        // Before the start: its first line may be the one that matters.
        let prints = matches!(self.watch.place, LogPlace::Keepers(_)) && !self.watch.log.is_empty();
        self.keeper.output(if prints { Forward::News } else { Forward::Nothing });
        self.keeper.give(KeeperOrder::Start { run, spec });
    }

    /// Which build of the game it is, as far as the files of its command line show.
    fn identify_build(&self, run: RunNumber, spec: &LaunchSpec) {
        let (argv, dir, findings) = (spec.argv.clone(), spec.dir.clone(), self.watch.findings.clone());
        tokio::task::spawn_blocking(move || {
            let observation = Observation::Build(build_id::of(&argv, dir.as_deref()));
            // The receiver goes only with the driver.
            let _ = findings.blocking_send(Finding { run, source: EventSource::Log, observation });
        });
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
            | KeeperFact::LeftBehind { .. }
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
                self.state.begins = hello.output_from.map(|from| (*run, from));
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
        let Watch::Run { run, ports, output } = watch else {
            self.state.reader = None;
            self.keeper.output(Forward::Nothing);
            return;
        };
        let pid = self.state.process.filter(|(known, _)| *known == run).map(|(_, pid)| pid);
        let target = Target { run, ports, port: self.watch.port.clone(), pid };
        let watch = &self.watch;
        let exec = Some(watch.exec.0.clone());
        self.state.watcher =
            Some(probes::start(watch.probe.clone(), &watch.readiness, target, exec, watch.findings.clone()));
        // A keeper that comes back finds its run being read.
        if self.state.reader.as_ref().is_none_or(|reader| reader.run != run) {
            self.read_output(run, output);
        }
    }

    /// What a run prints is read for what it means, where a pattern asks for that.
    fn read_output(&mut self, run: RunNumber, output: Option<OutputRead>) {
        self.state.reader = None;
        if self.watch.log.is_empty() {
            return self.keeper.output(Forward::Nothing);
        }
        let begins = self.state.begins.filter(|(of, _)| *of == run).map(|(_, from)| from);
        let (log, place) = (self.watch.log.clone(), self.watch.place.clone());
        let source = log_reader::Source { run, log, place, output, begins };
        self.state.reader = Some(LogReader::start(source, &self.keeper, &self.log_news));
    }

    /// The log has more of the game's output.
    pub fn output_kept(&self) {
        self.state.reader.iter().for_each(LogReader::more);
    }

    /// A line of the game's output.
    pub fn output_line(&self, run: RunNumber, line: String, lost: bool) {
        if let Some(reader) = self.state.reader.as_ref().filter(|reader| reader.run == run) {
            reader.line(line, lost);
        }
    }

    /// The keeper says that a run is over: what it has printed counts first. The fact is given back where nothing is to be
    /// read; else it comes as [`LogNews::Ended`]. `output`: how far the run was read by an earlier agent.
    pub fn read_to_the_end(
        &mut self,
        run: RunNumber,
        output: Option<OutputRead>,
        fact: KeeperFact,
    ) -> Option<KeeperFact> {
        if self.state.reader.is_none() && output.is_some() {
            self.read_output(run, output);
        }
        match self.state.reader.take() {
            Some(reader) if reader.run == run => {
                reader.finish(fact);
                None
            }
            Some(_) | None => Some(fact),
        }
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
