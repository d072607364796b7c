//! The status of an agent that isn't there: what its durable state says, beside what its keeper
//! has. Nothing is decided here, and nothing changed; the next agent will.
//!
//! | the keeper | the run that the state knows |
//! |---|---|
//! | has it | lives on |
//! | has its end | is over, as its report says |
//! | has another, or nothing | is over, nobody knows how |
//! | isn't there | is over, unless its end was already noted |

use super::{
    durable::{BulkText, Memory},
    game_match::MatchStage,
    headcount::{Background, Headcount},
    io::Saved,
    process::Process,
    status::{UNEXPLAINED, link_warning, of_run, unkillable},
    steady_time::{Clock, SteadyTime},
};
use crate::model::{
    game::Admission,
    policy::{GameKind, Players},
    process::{ExitReport, ExitStatus, KeeperHello, RunState},
    session::{InstanceHealth, JoinStatus},
    status::{AgentStatus, GameStatus, KeeperStatus, LastEnd, PhaseName, Status},
    time::{Now, Timestamp},
};
use std::collections::BTreeMap;

/// What is found of a dead agent's keeper.
#[derive(Debug)]
pub(crate) enum KeeperFound {
    Here(Box<KeeperHello>),
    /// It lives, but doesn't answer.
    Silent,
    /// It is gone; this is the end that it left, if it did.
    Gone(Option<Box<ExitReport>>),
}

/// The status of an agent that isn't there. `saved`: what its journal holds, if it can be read.
pub(crate) fn status(name: &str, saved: Option<&Saved>, keeper: &KeeperFound, now: Now) -> Status {
    let memory = believed(saved, keeper, now);
    let steady = Clock::starting(now).steady(now);
    let now = now.wall;
    let memory = memory.unwrap_or_else(|| Memory::new(now));
    let end = end_of_run(&memory, keeper, now);
    let running = memory.process.process.run().filter(|_| end.is_none());
    let game = memory.game.stage.game();
    let startup = game.map(|game| &game.params);
    let (health, reasons) = health(&memory, end.as_ref());
    let map = memory.words.map.clone().or_else(|| startup.map(|params| params.map.clone()));
    Status {
        name: name.to_owned(),
        kind: GameKind::default(),
        phase: phase(&memory, end.as_ref()),
        since: memory.game.since,
        join_status: join_status(&memory, end.as_ref()),
        instance_health: health,
        health_reasons: reasons,
        reason: reason(&memory),
        session_id: game.map(|game| game.session.clone()),
        instance_id: game.map(|game| game.instance.clone()),
        allocation_id: game.map(|game| game.allocation.allocation_id.clone()),
        match_id: game.and_then(|game| game.match_id.clone()),
        public_conn_str: None,
        private_conn_str: None,
        map: map.filter(|map| !map.is_empty()),
        mode: memory.words.mode.clone().or_else(|| startup.and_then(|params| params.mode.clone())),
        ports: crate::model::ordered::Ports::default(),
        players: if running.is_some() { headcount(&memory, steady).shown() } else { Some(0) },
        players_said: BTreeMap::new(),
        players_disputed_until: None,
        players_known: running.map(|_| memory.roster.named().cloned().collect()).unwrap_or_default(),
        players_from: memory.roster.source(),
        max_players: memory.roster.max,
        custom_data: BTreeMap::new(),
        agent: AgentStatus { version: env!("CARGO_PKG_VERSION").to_owned(), ..AgentStatus::default() },
        keeper: keeper_status(keeper),
        gateway: None,
        game: GameStatus {
            restarts: game.map_or(0, |game| game.restarts),
            version: memory.words.version.as_ref().map(ToString::to_string),
            speaks: memory.words.speaks.iter().copied().collect(),
            sdk: memory.words.sdk.clone(),
            ..of_run(running)
        },
        machine: None,
        sessions_url: None,
        backend: crate::model::calls::Backend::Untried,
        outbox: memory.outboxes.iter().flat_map(super::instance_outbox::InstanceOutbox::owed).collect(),
        backfill_id: None,
        warnings: warnings(&memory, keeper, end.as_ref()),
        last_end: last_end(&memory, end),
        deadline: deadline(&memory),
    }
}

/// How many play, as far as that doesn't get old: nobody asks the game meanwhile.
fn headcount(memory: &Memory, now: SteadyTime) -> Headcount {
    let patience = Players::default().count_conflict.get();
    memory.roster.headcount_at(now, Background { patience, ..Background::default() })
}

/// The journal, unless the keeper's record knows of a later run.
fn believed(saved: Option<&Saved>, keeper: &KeeperFound, now: Now) -> Option<Memory> {
    let clock = Clock::starting(now);
    let read = |text: &str, bulk: Option<BulkText>| Memory::read_by(&clock, clock.steady(now), text, bulk).ok();
    let bulk = |saved: &Saved| BulkText::read(&saved.bulk.as_ref()?.text);
    let journal = saved.and_then(|saved| read(&saved.text, bulk(saved)));
    let KeeperFound::Here(hello) = keeper else { return journal };
    let theirs = run_of(&hello.run).unwrap_or(0);
    if journal.as_ref().is_some_and(|memory| theirs <= memory.process.last_run) {
        return journal;
    }
    let record = hello.record.as_deref().and_then(|text| read(text, None));
    record.filter(|record| theirs <= record.process.last_run).or(journal)
}

fn run_of(state: &RunState) -> Option<u64> {
    match state {
        RunState::Running { run, .. } | RunState::Unkillable { run, .. } => Some(run.0),
        RunState::Exited { report } => Some(report.run.0),
        RunState::Empty => None,
    }
}

/// How the run that the state knows ended, if it did.
fn end_of_run(memory: &Memory, keeper: &KeeperFound, now: Timestamp) -> Option<ExitReport> {
    let run = memory.process.process.run()?;
    let left = match keeper {
        KeeperFound::Silent => return None,
        KeeperFound::Here(hello) => match &hello.run {
            RunState::Running { run: theirs, .. } | RunState::Unkillable { run: theirs, .. }
                if *theirs == run.number =>
            {
                return None;
            }
            RunState::Exited { report } => Some(report),
            RunState::Running { .. } | RunState::Unkillable { .. } | RunState::Empty => None,
        },
        KeeperFound::Gone(report) => report.as_deref(),
    };
    let lost = || ExitReport::new(run.number, ExitStatus::Lost, run.started.unwrap_or(now), now);
    Some(left.filter(|report| report.run == run.number).cloned().unwrap_or_else(lost))
}

fn phase(memory: &Memory, end: Option<&ExitReport>) -> PhaseName {
    match &memory.game.stage {
        MatchStage::Idle if memory.reports.is_some() => PhaseName::Closing,
        MatchStage::Idle if memory.allocation.acquiring.is_some() => PhaseName::Starting,
        MatchStage::Idle => PhaseName::Idle,
        MatchStage::Starting(_) if end.is_none() => PhaseName::Starting,
        MatchStage::Serving(_) if end.is_none() => PhaseName::Serving,
        MatchStage::Draining(..) if end.is_none() => PhaseName::Draining,
        MatchStage::Starting(_) | MatchStage::Serving(_) | MatchStage::Draining(..) | MatchStage::Closing(..) => {
            PhaseName::Closing
        }
    }
}

fn join_status(memory: &Memory, end: Option<&ExitReport>) -> Option<JoinStatus> {
    let game = memory.game.stage.game()?;
    match &memory.game.stage {
        MatchStage::Starting(_) => Some(JoinStatus::Pending),
        MatchStage::Serving(_) => {
            let open = game.operator_gate.unwrap_or(memory.words.gate) == Admission::Open && end.is_none();
            Some(if open { JoinStatus::Joinable } else { JoinStatus::Unjoinable })
        }
        MatchStage::Draining(..) | MatchStage::Closing(..) => Some(JoinStatus::Unjoinable),
        MatchStage::Idle => None,
    }
}

fn health(memory: &Memory, end: Option<&ExitReport>) -> (InstanceHealth, Vec<String>) {
    let why = match (memory.process.process.run(), end) {
        (Some(run), None) if run.ready.is_some() => return (InstanceHealth::Healthy, Vec::new()),
        (Some(_), None) => "nothing is known of it yet",
        (Some(_), Some(_)) | (None, _) => "it is not running",
    };
    (InstanceHealth::Unknown, vec![why.to_owned()])
}

fn reason(memory: &Memory) -> Option<String> {
    match &memory.game.stage {
        MatchStage::Draining(_, drain) => Some(drain.reason.clone()),
        MatchStage::Closing(_, closing) => Some(closing.reason.clone()),
        MatchStage::Idle | MatchStage::Starting(_) | MatchStage::Serving(_) => {
            memory.reports.as_ref().map(|reports| reports.reason.clone())
        }
    }
}

fn deadline(memory: &Memory) -> Option<Timestamp> {
    match &memory.game.stage {
        MatchStage::Draining(_, drain) => drain.deadline.map(|deadline| deadline.0),
        MatchStage::Idle | MatchStage::Starting(_) | MatchStage::Serving(_) | MatchStage::Closing(..) => None,
    }
}

fn keeper_status(keeper: &KeeperFound) -> KeeperStatus {
    match keeper {
        KeeperFound::Here(hello) => KeeperStatus {
            pid: Some(hello.pid),
            id: Some(hello.keeper.clone()),
            connected: true,
            containment: Some(hello.containment),
            users: hello.users,
            memory: None,
        },
        KeeperFound::Silent | KeeperFound::Gone(_) => KeeperStatus::default(),
    }
}

fn warnings(memory: &Memory, keeper: &KeeperFound, end: Option<&ExitReport>) -> Vec<String> {
    let mut warnings = Vec::new();
    if let KeeperFound::Here(hello) = keeper
        && let RunState::Running { run, .. } = &hello.run
        && memory.process.process.run().is_none_or(|known| known.number != *run)
    {
        warnings.push(UNEXPLAINED.to_owned());
    }
    if let KeeperFound::Here(hello) = keeper
        && let RunState::Unkillable { run, left } = hello.run
    {
        warnings.extend(unkillable(&Process::Unkillable { run, left }));
    }
    if end.is_some() {
        warnings.push("the game is over; the session service hears of it when the agent is started again".to_owned());
    }
    if memory.game.stage.game().is_some() {
        warnings.extend(link_warning(memory.link));
    }
    warnings
}

/// The end of the run that nobody has dealt with yet, or of the last match.
fn last_end(memory: &Memory, end: Option<ExitReport>) -> Option<LastEnd> {
    let Some(report) = end else { return memory.game.last_end.clone() };
    let lost = report.status == ExitStatus::Lost;
    let reason = if lost { "the game was lost with its keeper" } else { "the game ended while no agent was there" };
    Some(LastEnd {
        session_id: memory.game.stage.game().map(|game| game.session.clone()),
        reason: reason.to_owned(),
        at: report.ended,
        exit: Some(report),
        reported: false,
    })
}
