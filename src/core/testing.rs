//! A small world for tests: a keeper, a session service and a journal that do as they should, until told otherwise.
//!
//! [`World::give`] hands an input to the core and lets the world answer until all is quiet; [`World::pass`] lets time pass
//! from deadline to deadline. What the core decided is in [`World::seen`], what the service was told in [`Service::told`].

use super::{
    Core,
    io::{Effect, Ending, Input, JournalFact, KeeperFact, KeeperOrder, Memory, Provide, Restored},
    settings::{Addresses, Launch, SessionSettings, Settings},
};
use crate::model::{
    allocation::{Allocation, ProviderKind},
    calls::{Answer, Backend, Call, CallId, Refusal},
    game::{Door, Said, Told},
    ids::{AllocationId, InstanceId, KeeperId, RunNumber, SessionId},
    orders::{Order, RequestId},
    policy::{ReportBy, Start},
    process::{Containment, ExitReport, ExitStatus, KeeperHello, RunState, StopAction, StopStep},
    session::{
        BackfillInfo, BackfillSettings, HealthSettings, HostType, InstanceInfo, InstanceUpdate, JoinStatus, Session,
        StartupParams,
    },
    status::Status,
    time::{Instant, Now, Timestamp},
};
use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

pub fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A sensible configuration; tests change what they are about.
pub fn settings() -> Settings {
    Settings {
        name: "test".into(),
        seed: 1,
        provider: ProviderKind::Auto,
        launch: Launch {
            start: Start::OnAllocation,
            command: vec!["/game".into(), "-port={{ports.game}}".into(), "{{map}}".into()],
            env: BTreeMap::new(),
            dir: None,
            startup_file: "/state/game/startup.json".into(),
            forking: false,
            version: Some("1.2.3".parse().unwrap()),
            ports: BTreeMap::from([("game".into(), 7777)]),
            frontends: BTreeMap::new(),
        },
        readiness: crate::model::policy::Readiness::default(),
        restart: crate::model::policy::Restart::default(),
        recycle: crate::model::policy::Recycle::default(),
        ladder: vec![
            StopStep { action: StopAction::Signal(15), wait: secs(10) },
            StopStep { action: StopAction::Kill, wait: secs(5) },
        ],
        unattended: None,
        guards: crate::model::policy::Guards::default(),
        drain: crate::model::policy::Drain::default(),
        session: SessionSettings {
            session_type: "default".into(),
            region: None,
            startup_params: Some(StartupParams { map: "arena".into(), ..StartupParams::default() }),
            teams: vec![2, 2],
            joinable: true,
            custom_data: BTreeMap::new(),
            report: ReportBy::Agent,
            on_lost: None,
            join_token: false,
            instance_data: BTreeMap::new(),
            join_data: BTreeMap::new(),
            browser_data: BTreeMap::new(),
        },
        players: crate::model::policy::Players::default(),
        health: crate::model::policy::Health::default(),
        backfill: crate::model::policy::Backfill::default(),
        addresses: Addresses {
            public: None,
            private: Some("10.0.0.5".into()),
            public_format: "{host}:{port}".into(),
            private_format: "{host}:{port}".into(),
            port: "game".into(),
        },
        poll: secs(10),
    }
}

/// How the journal behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    Works,
    Fails,
    Silent,
}

/// How the service behaves.
#[derive(Debug, Clone, PartialEq)]
pub enum Net {
    Up,
    /// Does nothing, answers this.
    Refuses(Refusal),
    /// Does it, but the answer is lost.
    LosesAnswers,
    Silent,
}

/// The session service.
#[derive(Debug)]
pub struct Service {
    pub net: Net,
    pub sessions: BTreeMap<SessionId, Session>,
    /// Everything that was asked, in short.
    pub told: Vec<String>,
    pub audits: Vec<(&'static str, Timestamp)>,
    pub health: Vec<crate::model::session::InstanceHealth>,
    pub acks: Vec<Timestamp>,
    pub ack_timeout: f64,
    pub ack_answer: VecDeque<Result<Answer, Refusal>>,
    created: u32,
    pub closed_by_others: bool,
}

/// The keeper and the game under it.
#[derive(Debug)]
pub struct Keeper {
    pub id: &'static str,
    pub run: RunState,
    pub record: Option<String>,
    pub stop_requested: bool,
    pub starts: Vec<u64>,
    /// What the game does when it is signalled.
    pub obeys: bool,
    pub orders: Vec<String>,
    pub running: bool,
}

pub struct World {
    pub core: Core,
    pub settings: Settings,
    pub mono: Duration,
    pub disk: Disk,
    pub journal: Option<String>,
    pub service: Service,
    pub keeper: Keeper,
    pub seen: Vec<Effect>,
    pub offer: Option<Provide>,
    pub ended: Option<Ending>,
    pub allocates: bool,
    allocations: u32,
    inputs: VecDeque<Input>,
    /// Calls that nobody has answered, and the session that they write to.
    open: BTreeMap<CallId, Option<SessionId>>,
    uncommitted: Option<(u64, String)>,
}

impl World {
    /// A core that has met its keeper.
    pub fn new(settings: Settings) -> Self {
        let now = at(Duration::ZERO);
        let restored = Restored { memory: Memory::Fresh, entropy: [7; 32] };
        let (core, effects) = Core::new(settings.clone(), restored, now);
        let mut world = World {
            core,
            settings,
            mono: Duration::ZERO,
            disk: Disk::Works,
            journal: None,
            service: Service::new(),
            keeper: Keeper::new("keeper-1"),
            seen: Vec::new(),
            offer: None,
            ended: None,
            allocates: true,
            allocations: 0,
            inputs: VecDeque::new(),
            open: BTreeMap::new(),
            uncommitted: None,
        };
        world.carry_out(effects);
        world.run();
        world.give(Input::Backend(Backend::Up));
        world.connect();
        world
    }

    /// The same, up to a game that serves.
    pub fn serving(settings: Settings) -> Self {
        let mut world = World::new(settings);
        world.say(Said::Ready);
        assert_eq!(world.shown(), Some(JoinStatus::Joinable), "{:?}", world.service.told);
        world
    }

    pub fn now(&self) -> Now {
        at(self.mono)
    }

    pub fn give(&mut self, input: Input) {
        self.inputs.push_back(input);
        self.run();
    }

    fn run(&mut self) {
        let mut steps = 0;
        while let Some(input) = self.inputs.pop_front() {
            if let Input::Answered { call, .. } = &input {
                self.open.remove(call);
            }
            let effects = self.core.handle(input, self.now());
            self.carry_out(effects);
            steps += 1;
            assert!(steps < 5000, "the core and the world keep answering each other: {:?}", self.seen.last());
        }
    }

    /// Time passes, from deadline to deadline.
    pub fn pass(&mut self, span: Duration) {
        let end = self.mono + span;
        for _ in 0..100_000 {
            let next = self.core.next_deadline().map_or(end, |Instant(at)| at.max(self.mono)).min(end);
            // A deadline that doesn't move must not hold up time.
            self.mono = if next == self.mono && next < end { (next + Duration::from_millis(1)).min(end) } else { next };
            self.give(Input::Tick);
            if let Some(Instant(at)) = self.core.next_deadline() {
                assert!(at > self.mono, "a deadline that is due stays due");
            }
            if self.mono >= end {
                return;
            }
        }
        panic!("too many deadlines: {:?}", self.core.next_deadline());
    }

    pub fn connect(&mut self) {
        self.give(Input::Keeper(KeeperFact::Connected(Box::new(self.keeper.hello()))));
    }

    pub fn say(&mut self, said: Said) {
        if let RunState::Running { run, .. } = self.keeper.run {
            self.give(Input::Said { run, door: Door::Native, said });
        }
    }

    pub fn order(&mut self, order: Order) {
        self.give(Input::Ordered { request: RequestId(99), order });
    }

    /// The game ends by itself.
    pub fn game_exits(&mut self, status: ExitStatus) {
        let RunState::Running { run, started, .. } = self.keeper.run else { panic!("no game runs") };
        let report = exit(run, status, started, self.now().wall);
        self.keeper.run = RunState::Exited { report: report.clone() };
        self.give(Input::Keeper(KeeperFact::Exited(report)));
    }

    /// The agent is killed, and a new one wakes from what reached the disk.
    pub fn kill_agent(&mut self) {
        self.inputs.clear();
        self.mono += Duration::from_millis(10);
        let memory = self.journal.clone().map_or(Memory::Fresh, Memory::Journal);
        self.wake(memory);
    }

    pub fn wake(&mut self, memory: Memory) {
        let mut entropy = [7; 32];
        entropy[0] = self.mono.as_millis() as u8;
        entropy[1] = (self.mono.as_millis() >> 8) as u8;
        let (core, effects) = Core::new(self.settings.clone(), Restored { memory, entropy }, self.now());
        self.core = core;
        self.open.clear();
        self.uncommitted = None;
        self.offer = None;
        self.ended = None;
        self.carry_out(effects);
        self.run();
        self.give(Input::Backend(Backend::Up));
        self.connect();
    }

    /// Every open call times out.
    pub fn time_out(&mut self) {
        let open: Vec<_> = self.open.keys().copied().collect();
        for call in open {
            self.give(Input::Answered { call, answer: Err(Refusal::Ambiguous { why: "timed out".into() }) });
        }
    }

    /// An answer to a call that nobody waits for any more.
    pub fn late_answer(&mut self) {
        let call = CallId(1);
        if !self.open.contains_key(&call) {
            self.give(Input::Answered { call, answer: Err(Refusal::SessionNotFound) });
        }
    }

    /// A disk that was silent has written after all.
    pub fn catch_up(&mut self) {
        if self.disk != Disk::Silent
            && let Some((seq, text)) = self.uncommitted.take()
        {
            self.commit(seq, &text);
            self.run();
        }
    }

    pub fn status(&self) -> Status {
        self.core.status()
    }

    /// What the service shows of our (or the last) instance.
    pub fn shown(&self) -> Option<JoinStatus> {
        let ours = self.status().session_id;
        let session =
            ours.and_then(|id| self.service.sessions.get(&id)).or_else(|| self.service.sessions.values().last());
        session.and_then(|session| session.instance.as_ref()).map(|info| info.join_status)
    }

    pub fn take_told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.service.told)
    }

    pub fn kinds(&self) -> Vec<&'static str> {
        let kinds = self.seen.iter().filter_map(|effect| match effect {
            Effect::Happened(happening) => Some(happening.kind),
            _ => None,
        });
        kinds.collect()
    }

    pub fn told_game(&self) -> Vec<&Told> {
        let told = self.seen.iter().filter_map(|effect| match effect {
            Effect::Tell { told, .. } => Some(told),
            _ => None,
        });
        told.collect()
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match &effect {
                Effect::Commit { seq, text } => self.commit(*seq, text),
                Effect::Keeper(order) => self.obey(order.clone()),
                Effect::Call { id, call } => {
                    let writes = written_session(call);
                    if let Some(session) = &writes {
                        let twice = self.open.values().any(|open| open.as_ref() == Some(session));
                        assert!(!twice, "two writes to {session} at once");
                    }
                    self.open.insert(*id, writes);
                    if let Some(answer) = self.service.answer(call, at(self.mono).wall) {
                        self.inputs.push_back(Input::Answered { call: *id, answer });
                    }
                }
                Effect::Provide(provide) => self.provide(provide.clone()),
                Effect::End(ending) => self.ended = Some(ending.clone()),
                Effect::Tell { .. }
                | Effect::Watch(_)
                | Effect::Reply { .. }
                | Effect::Happened(_)
                | Effect::ExitHook { .. } => {}
            }
            self.seen.push(effect);
        }
    }

    fn commit(&mut self, seq: u64, text: &str) {
        match self.disk {
            Disk::Works => {
                self.journal = Some(text.to_owned());
                self.inputs.push_back(Input::Journal(JournalFact::Committed { seq }));
            }
            Disk::Fails => {
                self.inputs.push_back(Input::Journal(JournalFact::Failed { seq, why: "no space left".into() }));
            }
            Disk::Silent => self.uncommitted = Some((seq, text.to_owned())),
        }
    }

    /// What `auto` does; other providers' allocations are given by the test.
    fn provide(&mut self, provide: Provide) {
        let offered = matches!(provide, Provide::Offer { .. });
        let status = self.core.status();
        let free = status.agent.journal.is_none() && status.outbox.is_empty() && status.keeper.connected;
        assert!(free || !offered, "offered though it isn't free: {:?} {:?}", status.warnings, status.outbox);
        self.offer = Some(provide);
        if offered && self.allocates && self.settings.provider == ProviderKind::Auto {
            self.allocations += 1;
            let id = format!("auto-{}-{}", self.allocations, self.mono.as_millis());
            self.inputs.push_back(Input::Allocated(allocation(&id, None)));
        }
    }

    fn obey(&mut self, order: KeeperOrder) {
        let wall = at(self.mono).wall;
        self.keeper.orders.push(short(&order));
        match order {
            KeeperOrder::Start { run, .. } => {
                assert!(
                    matches!(self.keeper.run, RunState::Empty),
                    "two games at once: {run} and {:?}",
                    self.keeper.run
                );
                let journal = self.journal.clone().unwrap_or_default();
                assert!(
                    journal.contains(&format!("\"last_run\":{run},")),
                    "run {run} was started before it was committed"
                );
                self.keeper.starts.push(run.0);
                self.keeper.run = RunState::Running { run, pid: 1000 + run.0 as i32, started: wall };
                if self.keeper.running {
                    self.inputs.push_back(Input::Keeper(KeeperFact::Started {
                        run,
                        pid: 1000 + run.0 as i32,
                        started: wall,
                    }));
                }
            }
            KeeperOrder::Signal { run, signal } if self.keeper.obeys => self.end_run(run, signal),
            KeeperOrder::Kill { run } => self.end_run(run, 9),
            KeeperOrder::ExitTaken { run } => {
                if matches!(&self.keeper.run, RunState::Exited { report } if report.run == run) {
                    self.keeper.run = RunState::Empty;
                }
            }
            KeeperOrder::Record(record) => self.keeper.record = Some(record),
            KeeperOrder::Signal { .. }
            | KeeperOrder::Stdin { .. }
            | KeeperOrder::Standing(_)
            | KeeperOrder::Stats
            | KeeperOrder::Shutdown => {}
        }
    }

    fn end_run(&mut self, run: RunNumber, signal: i32) {
        if let RunState::Running { run: running, started, .. } = self.keeper.run
            && running == run
        {
            let status = ExitStatus::Signaled { signal, core: false };
            let report = exit(run, status, started, at(self.mono).wall);
            self.keeper.run = RunState::Exited { report: report.clone() };
            self.inputs.push_back(Input::Keeper(KeeperFact::Exited(report)));
        }
    }
}

impl Keeper {
    pub fn new(id: &'static str) -> Self {
        Keeper {
            id,
            run: RunState::Empty,
            record: None,
            stop_requested: false,
            starts: Vec::new(),
            obeys: true,
            orders: Vec::new(),
            running: true,
        }
    }

    pub fn hello(&self) -> KeeperHello {
        KeeperHello {
            keeper: KeeperId::new(self.id).unwrap(),
            pid: 10,
            epoch: 1,
            run: self.run.clone(),
            containment: Containment::Subreaper,
            record: self.record.clone(),
            listeners: Vec::new(),
            stop_requested: self.stop_requested,
        }
    }
}

impl Service {
    fn new() -> Self {
        Service {
            net: Net::Up,
            sessions: BTreeMap::new(),
            told: Vec::new(),
            audits: Vec::new(),
            health: Vec::new(),
            acks: Vec::new(),
            ack_timeout: 10.0,
            ack_answer: VecDeque::new(),
            created: 0,
            closed_by_others: false,
        }
    }

    pub fn add_session(&mut self, id: &str) -> &mut Session {
        let id = SessionId::new(id).unwrap();
        self.sessions.entry(id.clone()).or_insert_with(|| session(id))
    }

    fn answer(&mut self, call: &Call, now: Timestamp) -> Option<Result<Answer, Refusal>> {
        match self.net.clone() {
            Net::Up => Some(self.carry_out(call, now)),
            Net::Refuses(refusal) => Some(Err(refusal)),
            Net::LosesAnswers => {
                let _lost = self.carry_out(call, now);
                Some(Err(Refusal::Ambiguous { why: "timed out".into() }))
            }
            Net::Silent => None,
        }
    }

    fn carry_out(&mut self, call: &Call, now: Timestamp) -> Result<Answer, Refusal> {
        match call {
            Call::CreateSession(_) => {
                self.created += 1;
                let id = format!("own-{}", self.created);
                self.told.push("create".into());
                self.add_session(&id);
                Ok(Answer::Created(SessionId::new(id).unwrap()))
            }
            Call::ReadSession { session } => Ok(Answer::Session(Box::new(self.find(session)?.clone()))),
            Call::FindAllocation { allocation } => {
                let mut all = self.sessions.values();
                let of = |s: &&Session| s.instance.as_ref().and_then(|i| i.allocation_id.as_ref()) == Some(allocation);
                all.find(of).map(|s| Answer::Session(Box::new(s.clone()))).ok_or(Refusal::SessionNotFound)
            }
            Call::DeleteSession { .. } => Ok(Answer::Done),
            Call::PostInstance { session, body } => {
                let session = self.find(session)?;
                let info = instance(body.instance_id.clone().unwrap(), None, JoinStatus::Allocated, now);
                session.instance = Some(info.clone());
                self.told.push("post".into());
                Ok(Answer::Instance(Box::new(info)))
            }
            Call::PatchInstance { session, body } => self.patch(session, body),
            Call::PostHealth { session, health, .. } => {
                self.find(session)?;
                self.health.push(*health);
                Ok(Answer::Health(*health))
            }
            Call::HealthConfig => Ok(Answer::HealthConfig(HealthSettings {
                cadence_seconds: 10,
                unhealthy_health_check_percentage: 50.0,
                missed_checks_before_unknown: 3,
            })),
            Call::BackfillConfig => Ok(Answer::BackfillConfig(BackfillSettings { timeout: self.ack_timeout })),
            Call::AckBackfill { session, body } => {
                let extensions = self.find(session)?.backfill.as_ref().map(|b| b.extensions.clone());
                assert_eq!(extensions, Some(body.extensions.clone()));
                self.acks.push(now);
                self.ack_answer.pop_front().unwrap_or(Ok(Answer::Backfilled(Vec::new())))
            }
            Call::UpdateBackfill { body, .. } => {
                let needs: Vec<_> = body.teams.iter().map(|need| need.players_required.to_string()).collect();
                self.told.push(format!("needs {}", needs.join("+")));
                Ok(Answer::Done)
            }
            Call::DeleteBackfill { session, .. } => {
                self.told.push("delete backfill".into());
                self.find(session)?.backfill = None;
                Ok(Answer::Done)
            }
            Call::AddPlayer { player, team, .. } => {
                self.told.push(format!("add {player} to {}", team.unwrap_or(9)));
                Ok(Answer::Done)
            }
            Call::RemovePlayer { player, .. } => {
                self.told.push(format!("remove {player}"));
                Ok(Answer::Done)
            }
            Call::UpdateBrowser { .. } => Ok(Answer::Done),
            Call::Audit { name, at, .. } => {
                self.audits.push((name, *at));
                self.told.push(format!("audit {name}"));
                Ok(Answer::Done)
            }
        }
    }

    fn find(&mut self, id: &SessionId) -> Result<&mut Session, Refusal> {
        self.sessions.get_mut(id).ok_or(Refusal::SessionNotFound)
    }

    fn patch(&mut self, id: &SessionId, body: &InstanceUpdate) -> Result<Answer, Refusal> {
        let others = self.closed_by_others;
        let info = self.find(id)?.instance.as_mut().ok_or(Refusal::NotFound { code: "instance_not_found".into() })?;
        if info.allocation_id != body.allocation_id {
            return Err(Refusal::Conflict { code: "allocation_mismatch".into(), desc: String::new() });
        }
        assert!(
            info.join_status != JoinStatus::Closed || body.join_status == Some(JoinStatus::Closed) || others,
            "a word after the last: {body:?}"
        );
        if info.join_status == JoinStatus::Closed {
            return Err(Refusal::Conflict { code: "instance_closed".into(), desc: String::new() });
        }
        info.join_status = body.join_status.unwrap_or(info.join_status);
        info.join_params = body.join_params.clone().or(info.join_params.take());
        info.version = body.version.clone().or(info.version.take());
        info.match_id = body.match_id.clone().or(info.match_id.take());
        info.custom_data = body.custom_data.clone().unwrap_or_default();
        let info = info.clone();
        self.told.push(body.join_status.map_or("details".into(), |status| format!("{status:?}").to_lowercase()));
        Ok(Answer::Instance(Box::new(info)))
    }
}

pub fn at(mono: Duration) -> Now {
    let wall = Timestamp::from_unix_millis(1_800_000_000_000).unwrap().plus(mono);
    Now { boot: mono, mono: Instant(mono), wall }
}

pub fn allocation(id: &str, session: Option<&str>) -> Allocation {
    Allocation {
        allocation_id: AllocationId::new(id).unwrap(),
        session_id: session.map(|id| SessionId::new(id).unwrap()),
        startup_params: None,
        players: Vec::new(),
        expires: None,
    }
}

pub fn instance(id: InstanceId, allocation: Option<&str>, join_status: JoinStatus, created: Timestamp) -> InstanceInfo {
    InstanceInfo {
        allocation_id: allocation.map(|id| AllocationId::new(id).unwrap()),
        instance_id: id,
        host_type: HostType::Dedicated,
        host_player_id: None,
        host_player_uuid: None,
        host_dedicated_process_id: None,
        host_dedicated_server_id: None,
        join_status,
        join_params: None,
        instance_startup_params: Some(StartupParams { map: "theirs".into(), ..StartupParams::default() }),
        version: None,
        created,
        custom_data: BTreeMap::new(),
        instance_health: None,
        match_making_profile_id: None,
        match_id: None,
    }
}

pub fn session(id: SessionId) -> Session {
    let team = |id| crate::model::player::SessionTeam {
        players: Vec::new(),
        max_size: 2,
        team_id: Some(id),
        ticket_ids: None,
        custom_data: None,
    };
    Session {
        session_type: "default".into(),
        session_id: id,
        instance: None,
        backfill: None,
        browser: None,
        joinable: true,
        joinability: None,
        teams: vec![team(0), team(1)],
        custom_data: BTreeMap::new(),
        created: Timestamp::EPOCH,
        region_id: None,
        created_by_matchmaking: false,
        short_code: None,
    }
}

pub fn backfill(id: &str) -> BackfillInfo {
    BackfillInfo {
        backfill_id: crate::model::ids::BackfillId::new(id).unwrap(),
        extensions: BTreeMap::from([("k".into(), "v".into())]),
    }
}

pub fn exit(run: RunNumber, status: ExitStatus, started: Timestamp, ended: Timestamp) -> ExitReport {
    let (stopped_at_step, stragglers, peak_memory, core_path) = (None, 0, None, None);
    ExitReport { run, status, started, ended, stopped_at_step, stragglers, peak_memory, core_path }
}

/// The session that a lane writes to.
fn written_session(call: &Call) -> Option<SessionId> {
    match call {
        Call::PostInstance { session, .. }
        | Call::PatchInstance { session, .. }
        | Call::UpdateBrowser { session, .. } => Some(session.clone()),
        _ => None,
    }
}

fn short(order: &KeeperOrder) -> String {
    match order {
        KeeperOrder::Start { run, .. } => format!("start {run}"),
        KeeperOrder::Signal { run, signal } => format!("signal {signal} to {run}"),
        KeeperOrder::Kill { run } => format!("kill {run}"),
        KeeperOrder::Stdin { line, .. } => format!("stdin {line}"),
        KeeperOrder::ExitTaken { run } => format!("taken {run}"),
        KeeperOrder::Record(_) => "record".into(),
        KeeperOrder::Standing(_) => "standing".into(),
        KeeperOrder::Stats => "stats".into(),
        KeeperOrder::Shutdown => "shutdown".into(),
    }
}
