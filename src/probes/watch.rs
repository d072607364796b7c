//! Probes a run of the game again and again, and reports what has changed.
//!
//! | the game | is probed every |
//! |---|---|
//! | hasn't answered yet | [`STARTING_INTERVAL`] for [`STARTING_PERIOD`], then more and more slowly, down to the interval |
//! | has answered | interval |
//!
//! Every answer is evidence; a missing one is evidence too, once the game was up (before that it is
//! reported once an interval). One probe at a time: a slow game isn't probed again before it has
//! answered or the time is up.

use super::{
    CommandError, CommandRunner, Finding, Observation, ProbeError, Target, port,
    query::{self, Answer},
};
use crate::model::{
    game::{EventSource, Evidence, GameEvent, GamePlayer},
    policy::{Readiness, ReadyBy},
    probe::{Probe, ProbeKind},
};
use std::{net::SocketAddr, time::Duration};
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

pub(crate) const STARTING_INTERVAL: Duration = Duration::from_millis(100);
/// With `by = "auto"`, the port must stay bound for so long: a game that speaks an SDK has called it by then.
const SETTLING_PERIOD: Duration = Duration::from_secs(3);
pub(crate) const STARTING_PERIOD: Duration = Duration::from_secs(10);

/// The watch of one run; it ends when this is dropped.
#[derive(Debug)]
pub struct Watcher {
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Watches a run: with the probe, and the port where that proves readiness. The source of its findings is `Probe`.
pub fn start(
    probe: Option<Probe>,
    readiness: &Readiness,
    target: Target,
    exec: Option<CommandRunner>,
    findings: mpsc::Sender<Finding>,
) -> Watcher {
    let mut tasks = Vec::new();
    let settling = match readiness.by {
        ReadyBy::Port => Some(Duration::ZERO),
        ReadyBy::Auto => Some(SETTLING_PERIOD).filter(|_| probe.is_none() && !target.ports.is_empty()),
        ReadyBy::Sdk | ReadyBy::Probe | ReadyBy::Log | ReadyBy::Delay => None,
    };
    if let Some(settling) = settling {
        tasks.push(tokio::spawn(wait_for_port(target.clone(), settling, findings.clone())));
    }
    if let Some(probe) = probe {
        let prober = Prober { exec, target, findings, reported: Reported::default(), probe };
        tasks.push(tokio::spawn(prober.run()));
    }
    Watcher { tasks }
}

/// Waits until the port has been bound, by UDP or TCP, for as long as `settling`, and reports that the game is up.
async fn wait_for_port(target: Target, settling: Duration, findings: mpsc::Sender<Finding>) {
    let Some(number) = target.ports.get(&target.port).copied() else {
        tracing::warn!(port = target.port, "readiness waits for a port that isn't configured");
        return;
    };
    let mut pace = ProbeSchedule::new(Duration::from_secs(1));
    let mut since = None;
    loop {
        let bound = |kind| {
            port::is_bound(kind, number, target.pid).unwrap_or_else(|error| {
                tracing::warn!(%error, "can't read which ports are bound");
                false
            })
        };
        since = (bound(port::Kind::Udp) || bound(port::Kind::Tcp)).then(|| since.unwrap_or_else(Instant::now));
        if since.is_some_and(|since| since.elapsed() >= settling) {
            let observation = Observation::Evidence(Evidence::Up);
            let _ = findings.send(Finding { run: target.run, source: EventSource::Probe, observation }).await;
            return;
        }
        sleep(pace.next_while_starting()).await;
    }
}

/// When to probe again.
struct ProbeSchedule {
    interval: Duration,
    began: Instant,
    last: Duration,
}

impl ProbeSchedule {
    fn new(interval: Duration) -> Self {
        ProbeSchedule { interval, began: Instant::now(), last: STARTING_INTERVAL }
    }
    fn next_while_starting(&mut self) -> Duration {
        if self.began.elapsed() > STARTING_PERIOD {
            self.last = self.last * 3 / 2;
        }
        self.last = self.last.min(self.interval.max(STARTING_INTERVAL));
        self.last
    }
}

/// What was reported of the server's answers.
#[derive(Debug, Default)]
struct Reported {
    map: Option<String>,
    /// Ids; none = no list was ever reported.
    players: Option<Vec<String>>,
    /// How many play by the last report, and the places.
    count: Option<(u32, Option<u32>)>,
}

struct Prober {
    probe: Probe,
    exec: Option<CommandRunner>,
    target: Target,
    findings: mpsc::Sender<Finding>,
    reported: Reported,
}

impl Prober {
    async fn run(mut self) {
        let mut pace = ProbeSchedule::new(self.probe.interval.get());
        let (mut was_up, mut last_reported) = (false, None::<Instant>);
        loop {
            let mut observations = match self.ask().await {
                Ok(answer) => {
                    was_up = true;
                    let events = answer.map(|answer| self.reported.changes(answer)).unwrap_or_default();
                    // First what it says: the count that is known then is that of this answer.
                    let events = events.into_iter().map(Observation::GameEvent);
                    events.chain([Observation::Evidence(Evidence::Up)]).collect()
                }
                Err(why) if was_up || last_reported.is_none_or(|at| at.elapsed() >= pace.interval) => {
                    last_reported = Some(Instant::now());
                    vec![Observation::Evidence(Evidence::Down { why: why.to_string() })]
                }
                Err(_) => Vec::new(),
            };
            for observation in observations.drain(..) {
                let finding = Finding { run: self.target.run, source: EventSource::Probe, observation };
                if self.findings.send(finding).await.is_err() {
                    return;
                }
            }
            sleep(if was_up { pace.interval } else { pace.next_while_starting() }).await;
        }
    }

    fn server(&self) -> Result<SocketAddr, ProbeError> {
        let name = self.probe.port.as_ref().unwrap_or(&self.target.port);
        let port = self.target.ports.get(name);
        let port = port.ok_or_else(|| ProbeError::UnknownPort(name.clone()))?;
        Ok((self.probe.host, *port).into())
    }

    async fn ask(&self) -> Result<Option<Answer>, ProbeError> {
        // `server` takes host and port, `run` the interval.
        let Probe { kind, protocol, port: _, host: _, bots, path, command, interval: _, timeout } = &self.probe;
        let limit = timeout.get();
        match kind {
            ProbeKind::Gamedig => {
                let name = protocol.as_deref().unwrap_or("");
                let how = query::find(name).ok_or_else(|| ProbeError::UnknownProtocol(name.to_owned()))?;
                query::ask(&how, self.server()?, limit, *bots).await.map(Some)
            }
            ProbeKind::Tcp => in_time(limit, port::connect(self.server()?)).await,
            ProbeKind::Http => in_time(limit, port::get(self.server()?, path)).await,
            ProbeKind::Udp => {
                let port = self.server()?.port();
                match port::is_bound(port::Kind::Udp, port, self.target.pid) {
                    Ok(true) => Ok(None),
                    Ok(false) => Err(ProbeError::NotBound(port)),
                    Err(error) => Err(ProbeError::PortTable(error)),
                }
            }
            ProbeKind::Exec => self.run_command(command, limit).await.map(|()| None),
        }
    }

    async fn run_command(&self, command: &[String], limit: Duration) -> Result<(), ProbeError> {
        let exec = self.exec.as_ref().ok_or(CommandError::Unavailable)?;
        let output = exec(command.to_vec(), limit).await?;
        if output.code == 0 {
            return Ok(());
        }
        let last_line = output.output.lines().last().unwrap_or("").chars().take(200).collect();
        Err(ProbeError::CommandFailed { program: command[0].clone(), code: output.code, last_line })
    }
}

/// A probe that says no more than whether the game is up.
async fn in_time(
    limit: Duration,
    probe: impl Future<Output = Result<(), ProbeError>>,
) -> Result<Option<Answer>, ProbeError> {
    timeout(limit, probe).await.unwrap_or(Err(ProbeError::TimedOut(limit))).map(|()| None)
}

impl Reported {
    /// What is new in an answer. The first list of players is reported whole, then who came and who went.
    ///
    /// | the answer lists | is reported |
    /// |---|---|
    /// | as many as it counts | who they are |
    /// | another number, or none | the number: names may be blank, a sample, or left out by a full server |
    /// | somebody, and counts nobody | both: it disagrees with itself |
    fn changes(&mut self, answer: Answer) -> Vec<GameEvent> {
        let mut events = Vec::new();
        if answer.map.is_some() && answer.map != self.map {
            events.push(GameEvent::Map { map: answer.map.clone(), mode: None });
            self.map.clone_from(&answer.map);
        }
        let whole = |names: &Vec<String>| names.len() == answer.count as usize || answer.count == 0;
        match answer.names.filter(whole) {
            Some(names) => self.diff(unique(names), &mut events),
            // Nobody is left of those it has named.
            None if answer.count == 0 && self.players.is_some() => self.diff(Vec::new(), &mut events),
            None => {}
        }
        let count = Some((answer.count, answer.max));
        if self.count != count {
            events.push(GameEvent::PlayerCount { players: answer.count, max: answer.max });
        }
        self.count = count;
        events
    }

    fn diff(&mut self, now: Vec<String>, events: &mut Vec<GameEvent>) {
        let player = |id: &String| GamePlayer { id: id.clone(), name: Some(id.clone()), team: None };
        let known = events.len();
        match &self.players {
            None => events.push(GameEvent::Players(now.iter().map(player).collect())),
            Some(before) => {
                let gone = before.iter().filter(|id| !now.contains(id));
                events.extend(gone.map(|id| GameEvent::PlayerLeft { id: id.clone() }));
                let new = now.iter().filter(|id| !before.contains(id));
                events.extend(new.map(|id| GameEvent::PlayerJoined(player(id))));
            }
        }
        if events.len() > known {
            let listed = u32::try_from(now.len()).unwrap_or(u32::MAX);
            self.count = self.count.map(|(_, max)| (listed, max));
        }
        self.players = Some(now);
    }
}

/// Players of the same name are numbered: two of a name are two players.
fn unique(names: Vec<String>) -> Vec<String> {
    let mut unique: Vec<String> = Vec::with_capacity(names.len());
    for name in names {
        let same = |candidate: &String| unique.iter().any(|other| other == candidate);
        let name = if name.is_empty() { "unnamed".to_owned() } else { name };
        let numbered = (2..).map(|number| format!("{name} #{number}"));
        let free = std::iter::once(name.clone()).chain(numbered).find(|candidate| !same(candidate));
        unique.extend(free);
    }
    unique
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
