//! The practice game as a program: its players, its words to the agent, and its bad days.

use crate::support::world::{PATIENCE, World};
use gameside::{
    internals::{
        frontends::{
            self, BindAddress, BoundSocket, Events, Frontend, GameMessage, GameQueue, Shared, TokenStore, native,
        },
        practice::{
            JoinOptions,
            player::{VisitEnd, visit},
            wire::FromPlayer,
        },
    },
    model::{
        calls::Backend,
        game::{GameEvent, GameNotice},
        ids::RunNumber,
        session::{InstanceHealth, StartupParams},
        status::{AgentStatus, GameStatus, KeeperStatus, PhaseName, Status},
        time::Timestamp,
    },
};
use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, UdpSocket},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, atomic::AtomicBool, mpsc::Receiver},
    time::Duration,
};
use tokio::{sync::watch, task::JoinSet};

const RUN: RunNumber = RunNumber(3);

/// A practice server of its own world.
struct Game {
    child: Child,
    lines: Receiver<String>,
    port: u16,
}

impl Game {
    fn start(mut command: Command) -> Game {
        let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        command.args(["--bind", "127.0.0.1", "--port", &port.to_string()]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (to, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                eprintln!("practice: {line}");
                let _ = to.send(line);
            }
        });
        Game { child, lines, port }
    }
    fn alone(world: &World, args: &[&str]) -> Game {
        let mut command = world.gameside(["practice", "--no-sdk"]);
        command.args(args);
        Game::start(command)
    }
    /// Waits for a line with this in it.
    fn prints(&self, part: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|error| panic!("no line with {part:?}: {error}"));
            if line.contains(part) {
                return line;
            }
        }
    }
    fn tell(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }
    fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }
    fn terminate(&self) {
        crate::support::proc::signal(self.child.id(), 15);
    }
    fn ends(&mut self) -> ExitStatus {
        assert!(crate::support::proc::gone(self.child.id(), PATIENCE), "it goes on and on");
        self.child.wait().unwrap()
    }
    fn join(&self, name: &str) -> std::thread::JoinHandle<VisitEnd> {
        let options = JoinOptions {
            server: self.address(),
            name: name.to_owned(),
            uuid: None,
            token: None,
            stay: None,
            count: 1,
            say: None,
        };
        std::thread::spawn(move || visit(&options, &AtomicBool::new(false)).unwrap())
    }
}

impl Drop for Game {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn players_come_and_the_console_rules_them() {
    let world = World::new();
    let mut game = Game::alone(&world, &["--map", "foundry", "--mode", "siege", "--max-players", "2"]);
    game.prints("ready: map foundry, mode siege, 2 places");
    let pia = game.join("Pia");
    game.prints("player joined: Pia");
    let olu = game.join("Olu");
    game.prints("player joined: Olu");
    assert_eq!(game.join("late").join().unwrap(), VisitEnd::Refused("full".to_owned()));
    game.tell("kick Pia");
    game.prints("player left: Pia");
    assert_eq!(pia.join().unwrap(), VisitEnd::SentAway("kicked".to_owned()));
    game.tell("map harbour");
    game.prints("map: harbour, mode: siege");
    game.tell("nonsense");
    game.prints("no command \"nonsense\"");
    game.terminate();
    assert_eq!(olu.join().unwrap(), VisitEnd::SentAway("the match is over".to_owned()));
    game.prints("match ended");
    assert!(game.ends().success());
}

#[test]
fn the_player_program_plays_and_says_how_it_went() {
    let world = World::new();
    let game = Game::alone(&world, &["--join-token", "sesame"]);
    game.prints("ready");
    let address = game.address().to_string();
    let refused = world.ask(["practice", "join", &address, "--name", "Pia", "--for", "1s"]);
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stdout).contains("Pia: refused: wrong join token"));
    let bots = ["practice", "join", &address, "--bots", "3", "--token", "sesame", "--for", "300ms", "--say", "hello"];
    let played = world.told(bots);
    assert_eq!(played.matches(": welcome as ").count(), 3, "{played}");
    assert_eq!(played.matches(": left").count(), 3, "{played}");
    game.prints("chat: player-");
}

#[test]
fn it_misbehaves_as_told() {
    let world = World::new();
    let ended = |args: &[&str]| {
        let mut game = Game::alone(&world, args);
        let status = game.ends();
        let code = status.code();
        (code, std::os::unix::process::ExitStatusExt::signal(&status))
    };
    assert_eq!(ended(&["--crash-after", "10ms", "--crash-how", "7"]), (Some(7), None));
    assert_eq!(ended(&["--crash-after", "10ms"]), (None, Some(6)));
    assert_eq!(ended(&["--misc", "?crash-after=10ms?crash-how=segv"]), (None, Some(11)));
    assert_eq!(ended(&["--crash-after", "10ms", "--crash-how", "panic"]), (Some(101), None));
    assert_eq!(ended(&["--exit-during-start", "4"]), (Some(4), None));

    let mut stubborn = Game::alone(&world, &["--refuse-sigterm"]);
    stubborn.prints("ready");
    stubborn.terminate();
    stubborn.prints("refusing SIGTERM");
    stubborn.tell("crash 9");
    assert_eq!(stubborn.ends().code(), Some(9));

    let hung = Game::alone(&world, &["--hang-after", "50ms"]);
    hung.prints("hanging from here on");
    hung.terminate();
    assert!(!crate::support::proc::gone(hung.child.id(), Duration::from_millis(300)));

    let spammer = Game::alone(&world, &["--spam", "1000"]);
    spammer.prints("spam 100 ");
}

#[test]
fn it_leaks_starts_slowly_and_misbehaves_on_command() {
    let world = World::new();
    let begun = std::time::Instant::now();
    let slow = Game::alone(&world, &["--start-delay", "400ms"]);
    slow.prints("ready");
    assert!(begun.elapsed() >= Duration::from_millis(400), "ready after {:?}", begun.elapsed());

    let memory = |game: &Game| -> u64 {
        let text = crate::support::proc::status(game.child.id(), "VmRSS").unwrap();
        text.split(' ').next().unwrap().parse().unwrap()
    };
    let leaks = |game: &Game| {
        game.prints("leaked ");
        assert!(memory(game) >= 64 * 1024, "{} kB", memory(game));
    };
    let leaky = Game::alone(&world, &["--leak", "256MiB"]);
    leaky.prints("ready");
    leaks(&leaky);

    let mut told = Game::alone(&world, &[]);
    told.prints("ready");
    told.tell("spam 1000");
    told.prints("spam 100 ");
    told.tell("leak 256MiB");
    leaks(&told);
    told.tell("crash segv");
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&told.ends()), Some(11));

    let mut stuck = Game::alone(&world, &[]);
    stuck.prints("ready");
    stuck.tell("hang");
    stuck.prints("hanging from here on");
}

#[test]
fn it_leaves_processes_behind_as_told() {
    let world = World::new();
    let mut daemon = Game::alone(&world, &["--daemonise"]);
    let line = daemon.prints("gone to the background as process ");
    let second: u32 = line.rsplit(' ').next().unwrap().parse().unwrap();
    assert!(daemon.ends().success());
    daemon.prints("ready");
    assert!(crate::support::proc::alive(second));
    crate::support::proc::signal(second, 15);
    assert!(crate::support::proc::gone(second, PATIENCE));

    let mut parent = Game::alone(&world, &["--fork-helpers", "2"]);
    let helper = |line: String| -> u32 { line.rsplit(' ').next().unwrap().parse().unwrap() };
    let helpers = [helper(parent.prints("helper process")), helper(parent.prints("helper process"))];
    parent.prints("ready");
    parent.terminate();
    assert!(parent.ends().success());
    for helper in helpers {
        assert!(crate::support::proc::alive(helper));
        crate::support::proc::signal(helper, 9);
    }
}

/// The agent's side, without the agent: the native API over a real socket.
struct Desk {
    queue: Arc<GameQueue>,
    /// Of the batches that came: what nobody has heard yet.
    said: VecDeque<GameMessage>,
    events: Arc<Events>,
    heartbeats: Arc<frontends::Heartbeats>,
    _status: watch::Sender<Arc<Status>>,
    tasks: JoinSet<()>,
    env: std::collections::BTreeMap<String, String>,
}

fn bind(spec: frontends::SocketSpec) -> BoundSocket {
    let fd = match spec.address {
        BindAddress::Tcp(address) => std::net::TcpListener::bind(address).unwrap().into(),
        BindAddress::Udp(address) => std::net::UdpSocket::bind(address).unwrap().into(),
        BindAddress::Unix(path, _) => std::os::unix::net::UnixListener::bind(path).unwrap().into(),
    };
    BoundSocket { name: spec.name, fd }
}

/// `fds` from an earlier life, as the keeper would hand them over.
fn desk(life: &str, settings: &native::Settings, bound: Vec<BoundSocket>) -> Desk {
    let frontend = Box::new(native::Native::new(settings.clone()));
    let (status_to, status) = watch::channel(Arc::new(status()));
    let tokens = TokenStore::new("operator".into());
    tokens.set_game(RUN, "secret".into());
    let events = Arc::new(Events::new(life));
    let heartbeats = Arc::new(frontends::Heartbeats::default());
    let shared = Shared {
        queue: Arc::default(),
        heartbeats: Arc::clone(&heartbeats),
        status,
        events: Arc::clone(&events),
        tokens: Arc::new(tokens),
        api_counters: Arc::default(),
        connections: Arc::default(),
    };
    let queue = Arc::clone(&shared.queue);
    queue.set_agent(true);
    let mut bound = bound;
    let mut env = frontend.env(&bound);
    env.insert("GAMESIDE_TOKEN".to_owned(), "secret".to_owned());
    let mut tasks = JoinSet::new();
    frontend.serve(&mut bound, shared, &mut tasks).unwrap();
    Desk { queue, said: VecDeque::new(), events, heartbeats, _status: status_to, tasks, env }
}

impl Desk {
    async fn hears(&mut self, wanted: impl Fn(&GameEvent) -> bool) -> GameEvent {
        let listen = async {
            loop {
                let Some(heard) = self.said.pop_front() else {
                    if let Some(batch) = self.queue.out() {
                        self.said.extend(batch.messages.iter().cloned());
                        self.queue.acknowledge(batch.number);
                    } else {
                        self.queue.sent().await;
                    }
                    continue;
                };
                assert_eq!(heard.run, RUN);
                if wanted(&heard.event) {
                    return heard.event;
                }
            }
        };
        tokio::time::timeout(PATIENCE, listen).await.expect("the game says it")
    }
}

impl Desk {
    /// The first heartbeat of the game.
    async fn counts_a_heartbeat(&self) {
        tokio::time::timeout(PATIENCE, self.heartbeats.urgent()).await.expect("the game sends heartbeats");
        let counted = self.heartbeats.take(gameside::internals::host::clock::mono());
        assert!(counted.iter().all(|heartbeat| heartbeat.run == RUN) && !counted.is_empty(), "{counted:?}");
    }
}

fn socket_only(path: PathBuf) -> native::Settings {
    native::Settings { socket: Some(path), ..native::Settings::default() }
}

#[tokio::test]
async fn it_speaks_to_its_agent_through_the_agents_restart() {
    let world = World::new();
    let settings = socket_only(world.path().join("api.sock"));
    let bound: Vec<BoundSocket> = native::Native::new(settings.clone()).sockets().into_iter().map(bind).collect();
    let kept: Vec<BoundSocket> =
        bound.iter().map(|b| BoundSocket { name: b.name.clone(), fd: b.fd.try_clone().unwrap() }).collect();
    let mut first = desk("first", &settings, bound);
    let mut command = world.gameside(["practice", "--report-version", "1.2.3"]);
    command.envs(&first.env);
    let game = Game::start(command);

    assert_eq!(first.hears(|_| true).await, GameEvent::Version("1.2.3".parse().unwrap()));
    first.counts_a_heartbeat().await;
    first.hears(|said| *said == GameEvent::Ready).await;
    first.events.publish(RUN, allocated("a1", "foundry"));
    let map = GameEvent::Map { map: Some("foundry".to_owned()), mode: Some("siege".to_owned()) };
    first.hears(|said| *said == map).await;
    first.hears(|said| matches!(said, GameEvent::MatchStarted { match_id: Some(_) })).await;
    let pia = game.join("Pia");
    first.hears(|said| matches!(said, GameEvent::PlayerJoined(player) if player.name.as_deref() == Some("Pia"))).await;

    // The agent dies. Its listening sockets live on, and the game says something meanwhile.
    first.tasks.abort_all();
    while first.tasks.join_next().await.is_some() {}
    drop(first);
    let olu = game.join("Olu");
    // Nothing of ours is to run meanwhile.
    game.prints("player joined: Olu");

    let mut second = desk("second", &settings, kept);
    second.events.publish(RUN, allocated("a1", "foundry"));
    let both = |said: &GameEvent| matches!(said, GameEvent::Players(players) if players.len() == 2);
    second.hears(both).await;
    second.events.publish(RUN, GameNotice::Drain { reason: "test".to_owned(), deadline: Timestamp::EPOCH });
    let mut game = aside(move || {
        game.prints("draining");
        assert_eq!(game.join("late").join().unwrap(), VisitEnd::Refused("draining".to_owned()));
        game
    })
    .await;
    second.events.publish(RUN, GameNotice::Stop { within: Duration::from_secs(5) });
    second.hears(|said| matches!(said, GameEvent::PlayerLeft { .. } | GameEvent::Players(_))).await;
    second.hears(|said| matches!(said, GameEvent::MatchEnded { .. })).await;
    second.hears(|said| *said == GameEvent::Shutdown).await;
    aside(move || {
        assert!(game.ends().success());
        for visit in [pia, olu] {
            assert!(matches!(visit.join().unwrap(), VisitEnd::SentAway(_)));
        }
    })
    .await;
}

/// Waits for something that blocks, while the desk goes on.
async fn aside<T: Send + 'static>(wait: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(wait).await.unwrap()
}

#[test]
fn an_admin_needs_the_password_and_browsers_get_an_answer() {
    let world = World::new();
    let game = Game::alone(&world, &["--admin-password", "sesame"]);
    game.prints("ready");
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(game.address()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    for password in ["wrong", "sesame"] {
        let command = format!("map by-{password}");
        socket.send(&FromPlayer::Admin { password: password.to_owned(), command }.encode()).unwrap();
    }
    game.prints("map: by-sesame");
    socket.send(&FromPlayer::Query.encode()).unwrap();
    let mut answer = [0; 1500];
    let length = socket.recv(&mut answer).unwrap();
    assert!(String::from_utf8_lossy(&answer[..length]).contains("\\mapname\\by-sesame\\"));
}

fn allocated(id: &str, map: &str) -> GameNotice {
    let startup_params =
        StartupParams { map: map.to_owned(), mode: Some("siege".to_owned()), ..StartupParams::default() };
    GameNotice::Allocated {
        allocation: serde_json::from_value(serde_json::json!({ "allocation_id": id })).unwrap(),
        session_id: "s".parse().unwrap(),
        instance_id: "i".parse().unwrap(),
        startup_params,
        join_token: None,
    }
}

fn status() -> Status {
    Status {
        name: "practice".to_owned(),
        phase: PhaseName::Serving,
        since: Timestamp::EPOCH,
        join_status: None,
        instance_health: InstanceHealth::Unknown,
        health_reasons: Vec::new(),
        reason: None,
        session_id: None,
        instance_id: None,
        allocation_id: None,
        match_id: None,
        public_conn_str: None,
        private_conn_str: None,
        map: None,
        mode: None,
        ports: gameside::model::ordered::Ports::default(),
        kind: serde_json::from_str("\"match\"").unwrap(),
        players: Some(0),
        players_said: std::collections::BTreeMap::new(),
        players_disputed_until: None,
        players_from: None,
        players_known: Vec::new(),
        max_players: None,
        custom_data: gameside::model::CustomData::new(),
        agent: AgentStatus::default(),
        keeper: KeeperStatus::default(),
        gateway: None,
        game: GameStatus::default(),
        machine: None,
        sessions_url: None,
        backend: Backend::Untried,
        outbox: Vec::new(),
        backfill_id: None,
        warnings: Vec::new(),
        last_end: None,
        deadline: None,
    }
}
