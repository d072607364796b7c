//! Asks on a schedule.
//!
//! | the game | is asked every |
//! |---|---|
//! | hasn't answered yet | [`EAGER`] for [`EAGER_FOR`], then slower and slower, down to the interval |
//! | has answered | interval |
//!
//! Every answer is evidence; a missing one is evidence too, once the game was up (before that, it is told once an interval). One question
//! at a time: a slow game isn't asked again before it has answered or the time is up.

use super::{
    CommandRunner, Finding, Observation, Target, port,
    query::{self, Answer, How},
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

pub const EAGER: Duration = Duration::from_millis(100);
/// With `by = "auto"`, the port must stay bound for so long: a game that speaks an SDK has been heard by then.
const SETTLED: Duration = Duration::from_secs(3);
pub const EAGER_FOR: Duration = Duration::from_secs(10);
const SHORTEST: Duration = Duration::from_millis(100);

/// What is watched ends when this is dropped.
#[derive(Debug)]
pub struct Watcher {
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// What is wrong with a probe as configured, one text a fault: for `check`.
pub fn check(probe: &Probe) -> Vec<String> {
    let mut faults = Vec::new();
    match probe.kind {
        ProbeKind::Gamedig => match probe.protocol.as_deref() {
            None => faults.push("kind \"gamedig\" needs a protocol; `gameside probes` lists them".to_owned()),
            Some(name) if query::find(name).is_none() => {
                let hint = query::nearest(name).map(|near| format!("; did you mean {near:?}?")).unwrap_or_default();
                faults.push(format!("there is no protocol {name:?}; `gameside probes` lists them{hint}"));
            }
            Some(_) => {}
        },
        ProbeKind::Http if !probe.path.starts_with('/') || probe.path.contains([' ', '\r', '\n']) => {
            faults.push(format!("path must begin with \"/\" and have no blanks, found {:?}", probe.path));
        }
        ProbeKind::Exec if probe.command.is_empty() => {
            faults.push("kind \"exec\" needs a command: the program and its arguments".to_owned());
        }
        ProbeKind::Tcp | ProbeKind::Udp | ProbeKind::Http | ProbeKind::Exec => {}
    }
    for (name, span) in [("interval", probe.interval), ("timeout", probe.timeout)] {
        if span.get() < SHORTEST {
            faults.push(format!("{name} must be at least 100ms, found {span}"));
        }
    }
    faults
}

/// Watches a run: with the probe, and the port where that proves readiness. Findings: door `Probe`.
pub fn start(
    probe: Option<Probe>,
    readiness: &Readiness,
    target: Target,
    exec: Option<CommandRunner>,
    findings: mpsc::Sender<Finding>,
) -> Watcher {
    let mut tasks = Vec::new();
    let settled = match readiness.by {
        ReadyBy::Port => Some(Duration::ZERO),
        ReadyBy::Auto => Some(SETTLED).filter(|_| probe.is_none() && !target.ports.is_empty()),
        ReadyBy::Sdk | ReadyBy::Probe | ReadyBy::Log | ReadyBy::Delay => None,
    };
    if let Some(settled) = settled {
        tasks.push(tokio::spawn(wait_for_port(target.clone(), settled, findings.clone())));
    }
    if let Some(probe) = probe {
        let prober = Prober { exec, target, findings, told: Told::default(), probe };
        tasks.push(tokio::spawn(prober.run()));
    }
    Watcher { tasks }
}

/// Until the port is bound, by UDP or TCP, and has been for as long as is wanted; that is proof enough, and then it is over.
async fn wait_for_port(target: Target, settled: Duration, findings: mpsc::Sender<Finding>) {
    let Some(number) = target.ports.get(&target.port).copied() else {
        tracing::warn!(port = target.port, "readiness waits for a port that isn't configured");
        return;
    };
    let mut pace = Pace::new(Duration::from_secs(1));
    let mut since = None;
    loop {
        let bound = |kind| {
            port::is_bound(kind, number, target.pid).unwrap_or_else(|error| {
                tracing::warn!(%error, "can't read which ports are bound");
                false
            })
        };
        since = (bound(port::Kind::Udp) || bound(port::Kind::Tcp)).then(|| since.unwrap_or_else(Instant::now));
        if since.is_some_and(|since| since.elapsed() >= settled) {
            let observation = Observation::Evidence(Evidence::Up);
            let _ = findings.send(Finding { run: target.run, source: EventSource::Probe, observation }).await;
            return;
        }
        sleep(pace.starting()).await;
    }
}

/// When to ask again.
struct Pace {
    interval: Duration,
    began: Instant,
    last: Duration,
}

impl Pace {
    fn new(interval: Duration) -> Self {
        Pace { interval, began: Instant::now(), last: EAGER }
    }
    fn starting(&mut self) -> Duration {
        if self.began.elapsed() > EAGER_FOR {
            self.last = self.last * 3 / 2;
        }
        self.last = self.last.min(self.interval.max(EAGER));
        self.last
    }
}

/// What was told of the server's answers.
#[derive(Debug, Default)]
struct Told {
    map: Option<String>,
    /// Ids; none = the list was never told.
    players: Option<Vec<String>>,
    count: Option<(u32, Option<u32>)>,
}

struct Prober {
    probe: Probe,
    exec: Option<CommandRunner>,
    target: Target,
    findings: mpsc::Sender<Finding>,
    told: Told,
}

impl Prober {
    async fn run(mut self) {
        let mut pace = Pace::new(self.probe.interval.get());
        let (mut was_up, mut complained) = (false, None::<Instant>);
        loop {
            let asked = self.ask().await;
            let mut found = match asked {
                Ok(answer) => {
                    was_up = true;
                    let said = answer.map(|answer| self.told.changes(answer)).unwrap_or_default();
                    std::iter::once(Observation::Evidence(Evidence::Up))
                        .chain(said.into_iter().map(Observation::GameEvent))
                        .collect()
                }
                Err(why) if was_up || complained.is_none_or(|at| at.elapsed() >= pace.interval) => {
                    complained = Some(Instant::now());
                    vec![Observation::Evidence(Evidence::Down { why })]
                }
                Err(_) => Vec::new(),
            };
            for observation in found.drain(..) {
                let finding = Finding { run: self.target.run, source: EventSource::Probe, observation };
                if self.findings.send(finding).await.is_err() {
                    return;
                }
            }
            sleep(if was_up { pace.interval } else { pace.starting() }).await;
        }
    }

    fn server(&self) -> Result<SocketAddr, String> {
        let name = self.probe.port.as_ref().unwrap_or(&self.target.port);
        let port = self.target.ports.get(name);
        let port = port.ok_or_else(|| format!("the probe's port {name:?} isn't configured in [ports]"))?;
        Ok((self.probe.host, *port).into())
    }

    async fn ask(&self) -> Result<Option<Answer>, String> {
        let patience = self.probe.timeout.get();
        let in_time = async |asked: &mut (dyn Future<Output = Result<(), String>> + Send + Unpin)| {
            timeout(patience, asked).await.unwrap_or_else(|_| Err(format!("no answer within {patience:?}")))
        };
        match self.probe.kind {
            ProbeKind::Gamedig => {
                let name = self.probe.protocol.as_deref().unwrap_or("");
                let how: How = query::find(name).ok_or_else(|| format!("there is no protocol {name:?}"))?;
                query::ask(&how, self.server()?, patience, self.probe.bots).await.map(Some)
            }
            ProbeKind::Tcp => in_time(&mut Box::pin(port::connect(self.server()?))).await.map(|()| None),
            ProbeKind::Http => in_time(&mut Box::pin(port::get(self.server()?, &self.probe.path))).await.map(|()| None),
            ProbeKind::Udp => {
                let server = self.server()?;
                match port::is_bound(port::Kind::Udp, server.port(), self.target.pid) {
                    Ok(true) => Ok(None),
                    Ok(false) => Err(format!("UDP port {} isn't bound", server.port())),
                    Err(error) => Err(format!("can't read which ports are bound: {error}")),
                }
            }
            ProbeKind::Exec => self.run_command(patience).await.map(|()| None),
        }
    }

    async fn run_command(&self, patience: Duration) -> Result<(), String> {
        let exec = self.exec.as_ref().ok_or("commands can't be run here")?;
        let ran = exec(self.probe.command.clone(), patience).await?;
        let last = ran.output.lines().last().unwrap_or("").chars().take(200).collect::<String>();
        if ran.code == 0 { Ok(()) } else { Err(format!("{} ended with {}: {last}", self.probe.command[0], ran.code)) }
    }
}

impl Told {
    /// What is new in an answer. The first list of players is told whole, then who came and who went.
    fn changes(&mut self, answer: Answer) -> Vec<GameEvent> {
        let mut said = Vec::new();
        if answer.map.is_some() && answer.map != self.map {
            said.push(GameEvent::Map { map: answer.map.clone(), mode: None });
            self.map.clone_from(&answer.map);
        }
        if let Some(names) = answer.names {
            self.diff(unique(names), &mut said);
        }
        if self.count.map(|(_, max)| max) != Some(answer.max)
            || self.players.is_none() && self.count != Some((answer.count, answer.max))
        {
            said.push(GameEvent::PlayerCount { players: answer.count, max: answer.max });
        }
        self.count = Some((answer.count, answer.max));
        said
    }

    fn diff(&mut self, now: Vec<String>, said: &mut Vec<GameEvent>) {
        let player = |id: &String| GamePlayer { id: id.clone(), name: Some(id.clone()), team: None };
        match &self.players {
            None => said.push(GameEvent::Players(now.iter().map(player).collect())),
            Some(before) => {
                let gone = before.iter().filter(|id| !now.contains(id));
                said.extend(gone.map(|id| GameEvent::PlayerLeft { id: id.clone() }));
                let new = now.iter().filter(|id| !before.contains(id));
                said.extend(new.map(|id| GameEvent::PlayerJoined(player(id))));
            }
        }
        self.players = Some(now);
    }
}

/// Two players of a name are two players.
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
