//! The driver on paused time, between edges that the test plays: a keeper that says what the test
//! says, a session service whose answers are scripted, a disk that writes when it may.
//!
//! Time goes on only when nobody has anything to do, so whoever waited for disk or network would
//! show as time that passed.

use crate::{
    session_client::settings as session_client_settings,
    support::scripted::{Asked as Request, Logins, PROBE, Server, health_config},
};
use futures_util::FutureExt as _;
use gameside::{
    internals::{
        agent::{
            config::AgentConfig,
            console_quit::ConsoleQuit,
            driver::{Driver, Identity},
            effect_executor::{EffectExecutor, ExecHandle, ExecutorState, WatchConfig},
            hooks::{Hooks, HooksConfig},
            inbox::Inbox,
            journal,
            log_reader::LogPlace,
            provide::Provider,
            settings::{self, Found},
            timeline_writer::TimelineWriter,
        },
        core::{
            Core,
            io::{Effect, Input, JournalFact, SavedState},
            settings::Settings,
        },
        frontends::{Events, Heartbeats, Timeline, TokenStore, native::OperatorRequest},
        gateway::{Command, Gateway, GatewayEvent},
        host::{
            addresses::Hosts,
            paths::{AgentPlace, Places},
        },
        keeper::{KeeperEvent, KeeperPlace, Mode, attach},
        probes::{CommandError, Log},
        providers::ProviderSettings,
        session_api::agent::connect,
    },
    model::{
        allocation::Allocation,
        calls::{Answer, Backend, Call, Refusal},
        game::{Admission, Counted, EventSource, GameBatch, GameEvent},
        ids::{GatewayId, KeeperId, RunNumber},
        keeper::{KeeperFact, KeeperOrder},
        orders::{Accepted, Order, Refused, RequestId},
        policy::Readiness,
        probe::LogPatterns,
        process::{Containment, KeeperHello, RunState},
        session::{HostType, InstanceHealth, InstanceInfo, JoinStatus},
        status::{AgentStatus, PhaseName, Status},
        time::{BootId, Instant, Now, Timestamp},
    },
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tempfile::TempDir;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};

/// Paused time that may pass before something counts as never happening.
const NEVER: Duration = Duration::from_secs(600);
const RUN: RunNumber = RunNumber(1);

thread_local! {
    static BEGUN: tokio::time::Instant = tokio::time::Instant::now();
}

/// The three clocks, as paused as tokio's.
fn paused() -> Now {
    let span = Duration::from_secs(1000) + BEGUN.with(tokio::time::Instant::elapsed);
    let wall = Timestamp::from_unix_millis(1_800_000_000_000).unwrap().plus(span);
    Now { boot: span, mono: Instant(span), wall, boot_id: BootId::default() }
}

/// An agent's driver and everything around it.
struct Rig {
    keeper: mpsc::Sender<KeeperEvent>,
    gateway: TestGateway,
    orders: mpsc::Sender<OperatorRequest>,
    liveness: mpsc::Sender<oneshot::Sender<()>>,
    status: watch::Receiver<Arc<Status>>,
    /// What the disk has written, and where the driver hears of it.
    written: Option<(mpsc::UnboundedReceiver<JournalFact>, mpsc::UnboundedSender<JournalFact>)>,
    _kept: (TempDir, mpsc::Receiver<KeeperEvent>, watch::Sender<Identity>),
}

/// The SDK gateway's side: numbers what the game says, and counts heartbeats.
struct TestGateway {
    events: mpsc::Sender<GatewayEvent>,
    heartbeats: Arc<Heartbeats>,
    unacknowledged: Arc<Mutex<VecDeque<oneshot::Sender<()>>>>,
    number: AtomicU64,
}

impl TestGateway {
    fn start(mut commands: mpsc::UnboundedReceiver<Command>, events: mpsc::Sender<GatewayEvent>) -> Self {
        let heartbeats = Arc::new(Heartbeats::default());
        let unacknowledged: Arc<Mutex<VecDeque<oneshot::Sender<()>>>> = Arc::default();
        let gateway = TestGateway {
            events: events.clone(),
            heartbeats: Arc::clone(&heartbeats),
            unacknowledged: Arc::clone(&unacknowledged),
            number: AtomicU64::new(0),
        };
        tokio::spawn(async move {
            let tell = |heartbeats: &Heartbeats, answer| {
                let taken = heartbeats.take(paused().mono).into_iter();
                let counted = taken.map(|one| Counted { source: one.source, count: one.count, age: one.age }).collect();
                events.try_send(GatewayEvent::Counted { run: RUN, counted, answer })
            };
            loop {
                tokio::select! {
                    () = heartbeats.urgent() => drop(tell(&heartbeats, false)),
                    command = commands.recv() => match command {
                        Some(Command::Count) => drop(tell(&heartbeats, true)),
                        Some(Command::Urgent(on)) => heartbeats.set_urgent(on),
                        Some(Command::Acknowledge(_)) => {
                            let waiting = unacknowledged.lock().unwrap().pop_front();
                            let _ = waiting.unwrap().send(());
                        }
                        Some(Command::Keeper(_)) => {}
                        None => return,
                    },
                }
            }
        });
        gateway
    }
}

impl Rig {
    /// Wakes with this memory. Nobody is told that anything was written before [`Rig::disk_catches_up`].
    #[allow(clippy::too_many_lines, reason = "a list of parts, each made and connected once")]
    fn start(server: &Server, saved: SavedState) -> Rig {
        let dir = tempfile::tempdir().unwrap();
        let (place, settings) = place_and_settings(&dir);
        let (session_client, backend) = connect(&session_client_settings(server.url())).unwrap();
        let (client, ignored) =
            attach(KeeperPlace { note: place.keeper_note(), dir: place.dir.clone() }, Mode::Connect);
        let (core, first) = Core::new(settings, saved, [7; 32], paused());
        let (writer, written) = journal::open(&place.journal(), paused().wall).unwrap().journal.start().unwrap();
        let (facts, journal) = mpsc::unbounded_channel();
        let (status_sender, status) = watch::channel(Arc::new(core.status()));
        let (provider, provider_events) = Provider::new(ProviderSettings::Hook, session_client.clone());
        let ((answers, answered), (findings, found)) = (mpsc::channel(64), mpsc::channel(64));
        let ((keeper, from_keeper), (gateway_events, from_gateway)) = (mpsc::channel(64), mpsc::channel(64));
        let (gateway, commands) = Gateway::new();
        let heard = watch::Sender::new(core.heard());
        let ((orders, asked), (liveness, questions)) = (mpsc::channel(64), mpsc::channel(16));
        let (_, control) = mpsc::channel(1);
        let identity = Identity { agent: AgentStatus::default(), sessions_url: None };
        let (identity_sender, identity) = watch::channel(identity);
        let ((examining, examined), (log_news, log)) = (mpsc::channel(1), mpsc::channel(1));
        let executor = EffectExecutor {
            keeper: client,
            session_client,
            answers,
            provider,
            journal: writer,
            gateway,
            game_run: watch::Sender::new(None),
            events: Arc::new(Events::new("life")),
            timeline: Arc::new(Timeline::new(0)),
            timeline_file: TimelineWriter::start(&place.timeline()).unwrap(),
            viewer: None,
            tokens: Arc::new(TokenStore::new("operator".to_owned().into())),
            game_secret: "game".to_owned().into(),
            watch: WatchConfig {
                probe: None,
                readiness: Readiness::default(),
                log: Log::compile(&LogPatterns::default(), &Readiness::default()).unwrap(),
                place: LogPlace::Keepers(dir.path().to_owned()),
                port: "game".to_owned(),
                findings,
                exec: ExecHandle(Arc::new(|_, _| async { Err(CommandError::Unavailable) }.boxed())),
            },
            log_news,
            launch_extensions: Vec::new(),
            console_quit: ConsoleQuit::new(&AgentConfig::default(), &gameside::model::ordered::Ports::default())
                .unwrap(),
            ports: Arc::default(),
            examining,
            hooks: Hooks::new("rig".into(), &HooksConfig::default(), dir.path().join("game.log")),
            state: ExecutorState::default(),
        };
        let inbox = Inbox {
            early: VecDeque::new(),
            keeper: from_keeper,
            journal,
            answers: answered,
            backend,
            provider: provider_events,
            gateway: from_gateway,
            operator: asked,
            liveness: questions,
            found,
            log,
            keeper_waits: false,
            examined,
            control,
        };
        let gateway = TestGateway::start(commands, gateway_events);
        let driver =
            Driver { core, inbox, executor, status: status_sender, identity, heard, clock: paused, alarm: None };
        tokio::spawn(driver.run(first));
        let written = Some((written, facts));
        Rig { keeper, gateway, orders, liveness, status, written, _kept: (dir, ignored, identity_sender) }
    }

    /// A match is on, and its game runs.
    async fn serving(server: &Server) -> Rig {
        let dir = tempfile::tempdir().unwrap();
        let text = served(place_and_settings(&dir).1);
        let mut rig = Rig::start(server, SavedState::Journal(text.into()));
        rig.meets(RunState::Running { run: RUN, pid: 4711, started: paused().wall }).await;
        rig.wait("serving", |status| status.keeper.connected && status.phase == PhaseName::Serving).await;
        rig
    }

    async fn meets(&self, run: RunState) {
        self.keeper.send(KeeperEvent::Fact(KeeperFact::Connected(Box::new(hello(run))))).await.unwrap();
    }

    async fn wait(&mut self, what: &str, wanted: impl Fn(&Status) -> bool) -> Arc<Status> {
        let found = timeout(NEVER, self.status.wait_for(|status| wanted(status))).await;
        found.unwrap_or_else(|_| panic!("never {what}")).unwrap().clone()
    }

    /// The game's word; the receiver hears when it is acknowledged.
    async fn says(&self, said: GameEvent) -> oneshot::Receiver<()> {
        let (taken, acknowledged) = oneshot::channel();
        self.gateway.unacknowledged.lock().unwrap().push_back(taken);
        let number = self.gateway.number.fetch_add(1, Ordering::Relaxed) + 1;
        let gateway: GatewayId = "rig".parse().unwrap();
        let batch = GameBatch { gateway, number, run: RUN, said: vec![(EventSource::Native, said)] };
        self.gateway.events.send(GatewayEvent::Batch(batch)).await.unwrap();
        acknowledged
    }

    /// A frontend counts a heartbeat.
    fn beats(&self) {
        self.gateway.heartbeats.record(RUN, EventSource::Native, paused().mono);
    }

    async fn orders(&self, order: Order) -> oneshot::Receiver<Result<Accepted, Refused>> {
        let (reply, answer) = oneshot::channel();
        self.orders.send(OperatorRequest { order, reply }).await.unwrap();
        answer
    }

    /// Whether the driver still makes decisions.
    async fn proves_alive(&self) {
        let (beat, heard) = oneshot::channel();
        self.liveness.send(beat).await.unwrap();
        timeout(NEVER, heard).await.expect("the driver stands still").unwrap();
    }

    /// What was written is told from now on, with what was held back.
    fn disk_catches_up(&mut self) {
        let (mut written, facts) = self.written.take().unwrap();
        tokio::spawn(async move {
            while let Some(fact) = written.recv().await {
                let _ = facts.send(fact);
            }
        });
    }
}

fn place_and_settings(dir: &TempDir) -> (AgentPlace, Settings) {
    let text = "[allocation]\nprovider = \"hook\"\n[game]\ncommand = [\"./game\", \"{{map}}\"]\n\
        [guards]\nno_show_timeout = \"1h\"\nempty_timeout = \"1h\"\n";
    let config: AgentConfig = toml::from_str(text).unwrap();
    let runtime = dir.path().join("run");
    std::fs::create_dir_all(&runtime).unwrap();
    let env = |key: &str| (key == "GAMESIDE_RUNTIME_DIR").then(|| runtime.display().to_string());
    let uid = rustix::process::geteuid().as_raw();
    let places = Places::find(Some(&dir.path().join("state")), uid, env).unwrap();
    let place = places.prepare_agent("rig").unwrap();
    let ports = [("game".to_owned(), 7777)].into();
    let found = Found { ports, frontends: BTreeMap::new(), hosts: Hosts::default(), version: None, seed: 1 };
    let settings = settings::core(&config, &place, &found).unwrap();
    (place, settings)
}

fn hello(run: RunState) -> KeeperHello {
    KeeperHello {
        keeper: KeeperId::new("keeper-1").unwrap(),
        pid: 10,
        epoch: 1,
        run,
        containment: Containment::Subreaper,
        record: None,
        listeners: Vec::new(),
        stop_requested: false,
        output_from: None,
        host_deadline: None,
        users: None,
        gateway: false,
    }
}

fn allocate(id: &str) -> Order {
    let startup_params = serde_json::from_value(json!({"map": "arena"})).unwrap();
    Order::Allocate(Box::new(Allocation {
        allocation_id: id.parse().unwrap(),
        session_id: None,
        startup_params,
        players: Vec::new(),
        expires: None,
    }))
}

/// The journal of a life in which all went well, up to a joinable match in the session `s1`.
fn served(settings: Settings) -> String {
    let now = paused();
    let (mut core, mut effects) = Core::new(settings, SavedState::Fresh, [7; 32], now);
    let mut inputs = VecDeque::from([
        Input::Keeper(KeeperFact::Connected(Box::new(hello(RunState::Empty)))),
        Input::Ordered { request: RequestId(1), order: allocate("a1") },
    ]);
    let (mut journal, mut ready) = (String::new(), false);
    loop {
        for effect in std::mem::take(&mut effects) {
            match effect {
                Effect::Commit { seq, text, bulk: _ } => {
                    journal = text;
                    inputs.push_back(Input::Journal(JournalFact::Committed { seq }));
                }
                Effect::Call { id: call, call: asked } => {
                    inputs.push_back(Input::Answered { call, answer: answer(&asked) });
                }
                Effect::Keeper(KeeperOrder::Start { run, .. }) => {
                    inputs.push_back(Input::Keeper(KeeperFact::Started {
                        run,
                        pid: 4711,
                        started: now.wall,
                        output_from: None,
                    }));
                }
                _ => {}
            }
        }
        match inputs.pop_front() {
            Some(input) => effects = core.handle(input, now),
            None if !std::mem::replace(&mut ready, true) => {
                effects = core
                    .handle(Input::GameEvent { run: RUN, source: EventSource::Native, event: GameEvent::Ready }, now);
            }
            None => break,
        }
    }
    assert_eq!(core.status().join_status, Some(JoinStatus::Joinable));
    journal
}

fn answer(call: &Call) -> Result<Answer, Refusal> {
    match call {
        Call::CreateSession(_) => Ok(Answer::Created("s1".parse().unwrap())),
        Call::PostInstance { body, .. } => {
            Ok(Answer::Instance(Box::new(instance(body.instance_id.as_ref().unwrap().as_str(), JoinStatus::Allocated))))
        }
        Call::PatchInstance { body, .. } => {
            Ok(Answer::Instance(Box::new(instance("i1", body.join_status.unwrap_or(JoinStatus::Pending)))))
        }
        _ => Err(Refusal::Unreachable { why: "not of this test".into() }),
    }
}

fn instance(id: &str, join_status: JoinStatus) -> InstanceInfo {
    InstanceInfo {
        allocation_id: None,
        instance_id: id.parse().unwrap(),
        host_type: HostType::Preallocated,
        host_player_id: None,
        host_player_uuid: None,
        host_dedicated_process_id: None,
        host_dedicated_server_id: None,
        join_status,
        join_params: None,
        instance_startup_params: None,
        version: None,
        created: Timestamp::EPOCH,
        custom_data: BTreeMap::new(),
        instance_health: None,
        match_making_profile_id: None,
        match_id: None,
    }
}

#[tokio::test(start_paused = true)]
async fn neither_a_silent_disk_nor_a_silent_service_holds_it_up() {
    let server = Server::start(Logins::Server).await;
    let mut rig = Rig::serving(&server).await;
    let mut acknowledged = rig.says(GameEvent::Joinable(Admission::Closed)).await;
    let status = rig.wait("unjoinable", |status| status.join_status == Some(JoinStatus::Unjoinable)).await;
    assert_eq!(status.agent.journal, None, "long before anybody could know how slow the disk is");
    rig.proves_alive().await;
    assert!(acknowledged.try_recv().is_err(), "what was said is not on the disk yet");

    // It learns that the disk takes too long; the game needn't wait for it, and the match goes on.
    timeout(NEVER, acknowledged).await.expect("never acknowledged").unwrap();
    let status = rig.wait("trouble", |status| status.agent.journal.is_some()).await;
    assert!(status.agent.journal.as_ref().unwrap().contains("more than 2 s"), "{:?}", status.agent.journal);
    assert_eq!(status.phase, PhaseName::Serving);
    rig.says(GameEvent::Joinable(Admission::Open)).await;
    rig.wait("joinable", |status| status.join_status == Some(JoinStatus::Joinable)).await;
    rig.proves_alive().await;
}

#[tokio::test(start_paused = true)]
async fn heartbeats_that_nobody_was_woken_for_count_at_the_deadline_that_they_meet() {
    let server = Server::start(Logins::Server).await;
    let mut rig = Rig::serving(&server).await;
    rig.beats();
    rig.wait("health", |status| status.instance_health == InstanceHealth::Healthy).await;
    let mut status = rig.status.clone();
    let silent = status.wait_for(|status| status.instance_health != InstanceHealth::Healthy);
    tokio::pin!(silent);
    // Every ten seconds, where every fifteen are wanted: far longer than silence may last.
    for _ in 0..20 {
        assert!(timeout(Duration::from_secs(10), &mut silent).await.is_err(), "it is not silent");
        rig.beats();
    }
    timeout(NEVER, silent).await.expect("silence counts").unwrap();
    let degraded = paused().mono;
    rig.beats();
    rig.beats();
    rig.wait("health again", |status| status.instance_health == InstanceHealth::Healthy).await;
    assert_eq!(paused().mono, degraded, "those that may change the verdict are heard at once");
}

#[tokio::test(start_paused = true)]
async fn while_the_disk_is_too_slow_no_allocation_is_taken() {
    let server = Server::start(Logins::Server).await;
    let mut rig = Rig::start(&server, SavedState::Fresh);
    rig.meets(RunState::Empty).await;
    let status = rig.wait("trouble", |status| status.agent.journal.is_some()).await;
    assert!(status.warnings.iter().any(|warning| warning.contains("no new allocation is taken")), "{status:?}");
    let refused = rig.orders(allocate("a1")).await.await.unwrap();
    assert!(matches!(refused, Err(Refused::JournalBroken { .. })), "{refused:?}");

    rig.disk_catches_up();
    rig.wait("no trouble", |status| status.agent.journal.is_none()).await;
    let _answer = rig.orders(allocate("a2")).await;
    let status = rig.wait("allocated", |status| status.allocation_id.is_some()).await;
    assert_eq!(status.warnings, [""; 0]);
}

/// A session service with one session and our instance in it.
struct Sessions {
    instance: Value,
    /// What it was asked since it came back, but for probes.
    asked: Vec<String>,
}

impl Sessions {
    fn answers(&mut self, request: Request) {
        if request.line() == PROBE {
            return request.json(200, &health_config());
        }
        self.asked.push(request.line());
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/session/v1/session/s1") => {
                let session = json!({"type": "match", "session_id": "s1", "joinable": true, "teams": [],
                    "created": "2026-11-21T10:00:00.000Z", "instance": self.instance});
                request.json(200, &session);
            }
            ("PATCH", "/session/v1/session/s1/instance") => {
                let status = request.body["join_status"].clone();
                if !status.is_null() {
                    self.instance["join_status"] = status;
                }
                let body = self.instance.clone();
                request.json(200, &body);
            }
            ("POST", "/session/v1/session/s1/instance/health") => {
                let health = request.body["instance_health"].clone();
                request.json(200, &json!({"updated_instance_health": health}));
            }
            _ => request.error(404, "not_found"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn back_from_a_black_hole_the_truth_is_the_first_thing_that_is_written() {
    let mut server = Server::start(Logins::Server).await;
    let mut rig = Rig::serving(&server).await;
    rig.disk_catches_up();
    let id = rig.status.borrow().instance_id.clone().unwrap();
    let mut sessions = Sessions {
        instance: serde_json::to_value(instance(id.as_str(), JoinStatus::Joinable)).unwrap(),
        asked: Vec::new(),
    };
    while rig.status.borrow().backend != Backend::Up {
        tokio::select! {
            request = server.next() => sessions.answers(request),
            _ = rig.status.changed() => {}
        }
    }
    // The black hole takes everything, and the game changes its mind.
    let mut swallowed = Vec::new();
    rig.says(GameEvent::Joinable(Admission::Closed)).await;
    while !matches!(rig.status.borrow().backend, Backend::Away { .. }) || swallowed.len() < 30 {
        tokio::select! {
            request = server.next() => swallowed.push(request),
            _ = rig.status.changed() => {}
        }
    }
    rig.proves_alive().await;
    assert_eq!(rig.status.borrow().join_status, Some(JoinStatus::Unjoinable));
    assert_eq!(sessions.instance["join_status"], "joinable");

    sessions.asked.clear();
    while sessions.instance["join_status"] != "unjoinable" {
        sessions.answers(timeout(NEVER, server.next()).await.expect("it never came back"));
    }
    // What was under way is in doubt, so it is read back first; nothing else is written before the
    // truth.
    let writes: Vec<_> = sessions.asked.iter().filter(|line| line.starts_with("PATCH")).collect();
    assert_eq!(writes.len(), 1, "{:?}", sessions.asked);
    let read = sessions.asked.iter().position(|line| line.starts_with("GET")).expect("read back");
    assert!(sessions.asked[read..].len() <= 6, "no attempt goes by: {:?}", sessions.asked);
    let status = rig.wait("back", |status| status.backend == Backend::Up).await;
    assert_eq!(status.phase, PhaseName::Serving);
}
