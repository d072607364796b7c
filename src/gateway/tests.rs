//! Gateway, link and agent together, over real sockets, against a simple model: calls of a game
//! that are made while agents and gateways die at any moment.
//!
//! The agent is [`client`](super::client) and a memory: what it applied, and up to which batch. A
//! death takes everything that isn't in that memory.
//!
//! | a call | must |
//! |---|---|
//! | any | be applied at most once |
//! | answered with 204 | lie in the memory by then |
//! | still awaited while only agents died | be answered with 204 |

use super::{
    client::{self, GatewayEvent, Levels},
    connection::Connection,
    server::{self, Order, read_words},
    wire::{AgentSays, GatewaySays, Token, VERSIONS},
};
use crate::{
    frontends::{
        BindAddress, BoundSocket, Events, GameMessage, GameQueue, Settings, SocketSpec, native,
        testing::{RUN, status},
    },
    model::{
        game::{BatchId, EventSource, GameBatch, GameEvent, GameNotice, Kept},
        gateway::MAX_WORDS_BYTES,
        gateway_facts::GatewayFact,
        ids::RunNumber,
        time::Timestamp,
    },
    net::client::{Address, Call, Client, TrustedServers},
};
use futures_util::FutureExt as _;
use http::{Method, StatusCode};
use proptest::prelude::*;
use secrecy::SecretString;
use std::{
    collections::{BTreeMap, VecDeque},
    os::fd::OwnedFd,
    path::PathBuf,
    sync::{Arc, Mutex},
};
use tokio::{
    sync::{mpsc, watch},
    task::{JoinHandle, JoinSet},
};

const TOKEN: &str = "token-of-the-run";

/// What becomes of an agent that gets a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Acknowledges,
    DiesBefore,
    /// After its commit, before anybody hears of it.
    DiesAfter,
}

/// What an agent has on disk.
#[derive(Debug, Default)]
struct Memory {
    heard: Option<BatchId>,
    applied: Vec<String>,
    /// Which batches came again.
    repeated: usize,
    /// Before each batch: what was heard, and how much was applied.
    records: Vec<(Option<BatchId>, usize)>,
}

impl Memory {
    fn apply(&mut self, batch: &GameBatch) {
        assert_eq!(batch.run, RUN);
        if self.heard.as_ref().is_some_and(|heard| heard.gateway == batch.gateway && heard.batch >= batch.number) {
            self.repeated += 1;
            return;
        }
        self.records.push((self.heard.clone(), self.applied.len()));
        for (source, event) in &batch.said {
            assert_eq!(*source, EventSource::Native);
            match event {
                GameEvent::MatchStarted { match_id: Some(id) } => self.applied.push(id.to_string()),
                GameEvent::Shutdown => self.applied.push("shutdown".to_owned()),
                other => panic!("{other:?}"),
            }
        }
        self.heard = Some(batch.id());
    }

    /// The journal is lost, and the keeper's record is so many batches older.
    fn lose(&mut self, batches: usize) {
        let left = self.records.len().saturating_sub(batches);
        if let Some((heard, applied)) = self.records.drain(left..).next() {
            self.heard = heard;
            self.applied.truncate(applied);
        }
    }

    fn times(&self, id: &str) -> usize {
        self.applied.iter().filter(|applied| *applied == id).count()
    }
}

/// The keeper's part: the game's sockets, and the present gateway.
struct World {
    dir: tempfile::TempDir,
    held: Vec<BoundSocket>,
    settings: Settings,
    gateway: Arc<Mutex<mpsc::Sender<Order>>>,
    serving: JoinHandle<Option<String>>,
    memory: Arc<Mutex<Memory>>,
    fates: Arc<Mutex<VecDeque<Fate>>>,
    events: Arc<Events>,
    agent: JoinHandle<()>,
    facts: mpsc::UnboundedReceiver<GatewayFact>,
    facts_to: mpsc::UnboundedSender<GatewayFact>,
}

fn copies(held: &[BoundSocket]) -> Vec<BoundSocket> {
    let copy = |bound: &BoundSocket| BoundSocket { name: bound.name.clone(), fd: bound.fd.try_clone().unwrap() };
    held.iter().map(copy).collect()
}

fn bind(spec: SocketSpec) -> BoundSocket {
    let fd: OwnedFd = match spec.address {
        BindAddress::Tcp(address) => std::net::TcpListener::bind(address).unwrap().into(),
        BindAddress::Udp(address) => std::net::UdpSocket::bind(address).unwrap().into(),
        BindAddress::Unix(path, _) => std::os::unix::net::UnixListener::bind(path).unwrap().into(),
    };
    BoundSocket { name: spec.name, fd }
}

fn start_gateway() -> (mpsc::Sender<Order>, JoinHandle<Option<String>>) {
    let (to, orders) = mpsc::channel(4);
    (to, tokio::spawn(server::serve(orders)))
}

impl World {
    fn new(fates: &[Fate]) -> World {
        let dir = tempfile::tempdir().unwrap();
        let native = native::Settings { socket: Some(dir.path().join("api.sock")), ..native::Settings::default() };
        let settings = Settings { native, ..Settings::default() };
        let frontends = crate::frontends::registry(&settings);
        let held = frontends.iter().flat_map(|frontend| frontend.sockets()).map(bind).collect();
        let (gateway, serving) = start_gateway();
        let (facts_to, facts) = mpsc::unbounded_channel();
        let mut world = World {
            dir,
            held,
            settings,
            gateway: Arc::new(Mutex::new(gateway)),
            serving,
            memory: Arc::default(),
            fates: Arc::new(Mutex::new(fates.iter().copied().collect())),
            events: Arc::new(Events::new("agent")),
            agent: tokio::spawn(async {}),
            facts,
            facts_to,
        };
        world.start_agent();
        world
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("api.sock")
    }

    fn client(&self) -> Client {
        Client::new(Address::Unix(self.socket()), Some(TOKEN.into()), TrustedServers::Anybody)
    }

    /// A gateway that is killed, and the next one.
    fn kill_gateway(&mut self) {
        self.serving.abort();
        let (gateway, serving) = start_gateway();
        *self.gateway.lock().unwrap() = gateway;
        self.serving = serving;
    }

    /// The agent dies, and what it knew of the last batches with it.
    async fn lose_memory(&mut self, batches: usize) {
        self.agent.abort();
        // It may have been on its way to apply one.
        let _ = (&mut self.agent).await;
        self.memory.lock().unwrap().lose(batches);
        self.start_agent();
    }

    /// Agents that die as they are fated to, each followed by the next.
    fn start_agent(&mut self) {
        self.agent.abort();
        let (memory, fates, events) = (Arc::clone(&self.memory), Arc::clone(&self.fates), Arc::clone(&self.events));
        let (keeper, held, settings) = (Arc::clone(&self.gateway), Arc::new(copies(&self.held)), self.settings.clone());
        let facts = self.facts_to.clone();
        self.agent = tokio::spawn(async move {
            loop {
                let introduce: client::Introduce = {
                    let (keeper, held) = (Arc::clone(&keeper), Arc::clone(&held));
                    Box::new(move || {
                        let (ours, link) = std::os::unix::net::UnixStream::pair().unwrap();
                        let order = Order::Agent { link: link.into(), listeners: copies(&held) };
                        let told = keeper.lock().unwrap().try_send(order).map_err(|error| error.to_string());
                        async move { told.map(|()| ours.into()) }.boxed()
                    })
                };
                let heard = watch::Sender::new(memory.lock().unwrap().heard.clone());
                let (_status, status) = watch::channel(Arc::new(status()));
                let (_run, run) = watch::channel(Some((RUN, SecretString::from(TOKEN))));
                let levels = Levels {
                    settings: settings.clone(),
                    status,
                    events: Arc::clone(&events),
                    run,
                    heard: heard.subscribe(),
                };
                let mut tasks = JoinSet::new();
                let (gateway, mut from) = client::start(introduce, Vec::new(), levels, &mut tasks);
                gateway.keeper(true);
                while let Some(event) = from.recv().await {
                    match event {
                        GatewayEvent::Fact(fact) => drop(facts.send(fact)),
                        GatewayEvent::Counted { .. } => {}
                        GatewayEvent::Batch(batch) => {
                            let fate = fates.lock().unwrap().pop_front().unwrap_or(Fate::Acknowledges);
                            if fate == Fate::DiesBefore {
                                break;
                            }
                            memory.lock().unwrap().apply(&batch);
                            if fate == Fate::DiesAfter {
                                break;
                            }
                            heard.send_replace(Some(batch.id()));
                            gateway.acknowledge(batch.id());
                        }
                    }
                }
            }
        });
    }
}

/// An agent may not know yet that its run is over when it is introduced.
#[tokio::test]
async fn one_that_is_told_of_a_later_run_ends_so_that_another_can_serve_that() {
    let (orders, serving) = start_gateway();
    for run in [RunNumber(1), RunNumber(2)] {
        let (ours, link) = std::os::unix::net::UnixStream::pair().unwrap();
        orders.send(Order::Agent { link: link.into(), listeners: Vec::new() }).await.unwrap();
        let mut agent = Connection::new(ours.into()).unwrap();
        let settings = Box::new(Settings::default());
        let hello = AgentSays::Hello { versions: VERSIONS.to_vec(), build: "test".into(), settings, heard: None };
        let (kept, kept_aside) = (BTreeMap::new(), BTreeMap::new());
        let begin = AgentSays::Run { run, token: Token(TOKEN.into()), kept, kept_aside };
        for said in [hello, begin, AgentSays::Count { question: 1 }] {
            agent.say(&said).unwrap();
        }
        // The answer shows that the run was taken in; the second link ends without one.
        while let Ok(said) = agent.next::<GatewaySays>().await {
            if matches!(said, GatewaySays::Counted { question: Some(1), .. }) {
                break;
            }
        }
    }
    assert!(serving.await.unwrap().is_some(), "it says what was left over, and ends");
}

/// One call: its answer, or none where the connection broke.
async fn call(client: Client, id: String) -> Option<StatusCode> {
    let body = format!(r#"{{"match_id":"{id}"}}"#);
    let asked = Call::new(Method::POST, "/v1/game/match/start").json(body);
    client.ask(&mut None, asked, 4096).await.ok().map(|answer| answer.status())
}

#[derive(Debug, Clone, Copy)]
enum Act {
    /// So many calls at once.
    Calls(u8),
    /// The oldest call that isn't answered is given up.
    HangsUp,
    AgentDies,
    /// And its journal is lost.
    MemoryDies(u8),
    GatewayDies,
    /// The oldest call is awaited.
    Awaits,
}

fn acts(gateways_die: bool) -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        6 => (1..6u8).prop_map(Act::Calls),
        2 => Just(Act::HangsUp),
        3 => Just(Act::AgentDies),
        1 => (0..4u8).prop_map(move |back| if gateways_die { Act::GatewayDies } else { Act::MemoryDies(back) }),
        3 => Just(Act::Awaits),
    ];
    prop::collection::vec(act, 1..20)
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let fate = prop_oneof![3 => Just(Fate::Acknowledges), 1 => Just(Fate::DiesBefore), 1 => Just(Fate::DiesAfter)];
    prop::collection::vec(fate, 0..20)
}

async fn play(acts: Vec<Act>, fates: Vec<Fate>) {
    let mut world = World::new(&fates);
    let mut calls: VecDeque<(String, JoinHandle<Option<StatusCode>>)> = VecDeque::new();
    let mut gateway_died = false;
    let mut made = 0;
    let mut acknowledged = Vec::new();
    let judge = |world: &World, id: &str, answer: Option<StatusCode>, gateway_died: bool| {
        let times = world.memory.lock().unwrap().times(id);
        match answer {
            // One whose memory was lost catches up; that is looked at in the end.
            Some(StatusCode::NO_CONTENT) => assert!(times <= 1, "{id} was applied {times} times"),
            other => assert!(gateway_died && times <= 1, "{id}: {other:?}, applied {times} times"),
        }
    };
    for act in acts {
        match act {
            Act::Calls(count) => {
                for _ in 0..count {
                    made += 1;
                    let id = format!("call-{made}");
                    calls.push_back((id.clone(), tokio::spawn(call(world.client(), id))));
                }
                tokio::task::yield_now().await;
            }
            Act::HangsUp => {
                if let Some((_, call)) = calls.pop_front() {
                    call.abort();
                }
            }
            Act::AgentDies => world.start_agent(),
            Act::MemoryDies(batches) => world.lose_memory(usize::from(batches)).await,
            Act::GatewayDies => {
                gateway_died = true;
                world.kill_gateway();
            }
            Act::Awaits => {
                if let Some((id, call)) = calls.pop_front() {
                    let answer = call.await.unwrap();
                    judge(&world, &id, answer, gateway_died);
                    acknowledged.extend(answer.map(|_| id));
                }
            }
        }
    }
    for (id, call) in calls {
        let answer = call.await.unwrap();
        judge(&world, &id, answer, gateway_died);
        acknowledged.extend(answer.map(|_| id));
    }
    // It is answered only once the agent has caught up.
    let last = call(world.client(), "last".to_owned()).await;
    judge(&world, "last", last, gateway_died);
    let memory = world.memory.lock().unwrap();
    for id in (1..=made).map(|number| format!("call-{number}")) {
        assert!(memory.times(&id) <= 1, "{id}");
    }
    for id in acknowledged {
        assert_eq!(memory.times(&id), 1, "{id} was acknowledged");
    }
}

/// Each case has real sockets, so there are fewer than elsewhere unless somebody wants more.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").map_or(24, |cases| cases.parse().unwrap())
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn every_call_is_applied_once_however_agents_die(acts in acts(false), fates in fates()) {
        runtime().block_on(play(acts, fates));
    }

    #[test]
    fn what_a_gateway_has_acknowledged_holds_after_its_death(acts in acts(true), fates in fates()) {
        runtime().block_on(play(acts, fates));
    }
}

#[tokio::test]
async fn an_agents_death_after_its_commit_is_answered_and_not_applied_again() {
    let mut world = World::new(&[Fate::DiesAfter, Fate::DiesBefore]);
    assert_eq!(call(world.client(), "a".to_owned()).await, Some(StatusCode::NO_CONTENT));
    assert_eq!(call(world.client(), "b".to_owned()).await, Some(StatusCode::NO_CONTENT));
    assert_eq!(world.memory.lock().unwrap().applied, ["a", "b"]);
    let mut facts = Vec::new();
    while let Ok(fact) = world.facts.try_recv() {
        facts.push(fact);
    }
    let linked = facts.iter().filter(|fact| matches!(fact, GatewayFact::Linked { .. })).count();
    let heard = facts.iter().filter(|fact| **fact == GatewayFact::Heard).count();
    assert_eq!((linked, heard), (3, 3), "{facts:?}");
}

#[tokio::test]
async fn at_the_end_what_no_agent_has_heard_is_handed_over() {
    let world = World::new(&[Fate::DiesBefore]);
    assert_eq!(call(world.client(), "a".to_owned()).await, Some(StatusCode::NO_CONTENT));
    world.agent.abort();
    let gateway = world.gateway.lock().unwrap().clone();
    let (ours, link) = std::os::unix::net::UnixStream::pair().unwrap();
    drop(ours);
    // The agent's place is taken by one that is gone at once.
    gateway.send(Order::Agent { link: link.into(), listeners: Vec::new() }).await.unwrap();
    let waiting = tokio::spawn(call(world.client(), "b".to_owned()));
    let asked = Call::new(Method::POST, "/v1/game/shutdown");
    let client = world.client();
    let shutdown =
        tokio::spawn(async move { client.ask(&mut None, asked, 4096).await.ok().map(|answer| answer.status()) });
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    gateway.send(Order::End).await.unwrap();
    let words = world.serving.await.unwrap().unwrap();
    let batches = read_words(&words).unwrap();
    let mut memory = Memory::default();
    batches.iter().for_each(|batch| memory.apply(batch));
    assert_eq!((memory.times("b"), memory.times("shutdown")), (1, 1), "{words}");
    drop((waiting, shutdown));
}

#[tokio::test]
async fn a_level_is_told_once_however_many_agents_tell_it() {
    let mut world = World::new(&[]);
    let drain = |reason: &str| GameNotice::Drain { reason: reason.to_owned(), deadline: Timestamp::EPOCH };
    let client = world.client();
    assert_eq!(call(world.client(), "linked".to_owned()).await, Some(StatusCode::NO_CONTENT));
    let mut stream = client.open(Call::new(Method::GET, "/v1/events")).await.unwrap().into_body();
    world.events.publish(RUN, drain("patch"));
    let mut text = String::new();
    let read = async |stream: &mut hyper::body::Incoming, text: &mut String, wanted: &str| {
        while !text.contains(wanted) {
            let frame = http_body_util::BodyExt::frame(stream).await.unwrap().unwrap();
            text.push_str(&String::from_utf8_lossy(&frame.into_data().unwrap()));
        }
    };
    read(&mut stream, &mut text, "patch").await;
    for _ in 0..3 {
        // The next agent says again what holds.
        world.start_agent();
        assert_eq!(call(world.client(), "again".to_owned()).await, Some(StatusCode::NO_CONTENT));
    }
    world.events.publish(RUN, drain("now"));
    read(&mut stream, &mut text, "now").await;
    assert_eq!(text.matches("event: drain").count(), 2, "{text}");
}

#[tokio::test]
async fn nonsense_ends_the_link_and_the_game_goes_on() {
    let world = World::new(&[]);
    assert_eq!(call(world.client(), "before".to_owned()).await, Some(StatusCode::NO_CONTENT));
    let mut stream = world.client().open(Call::new(Method::GET, "/v1/events")).await.unwrap().into_body();
    let long = format!("{}\n", "x".repeat(super::wire::MAX_LINE + 2));
    let hello = |versions: &str| {
        format!(
            r#"{{"say":"hello","versions":{versions},"build":"9","settings":{{"native":{{"tcp":"127.0.0.1:0","socket":null}},"gsdk":null,"a2s":null,"agones":null}}}}"#
        )
    };
    let rows = [
        "nonsense\n".to_owned(),
        "{\"say\":\"run\",\"run\":1,\"token\":\"x\"}\n".to_owned(),
        format!("{}\n", hello("[99]")),
        format!("{}\n{{\"say\":\"run\",\"run\":8,\"token\":\"x\"}}\n", hello("[1]")),
        long,
    ];
    for row in rows {
        world.agent.abort();
        let (ours, link) = std::os::unix::net::UnixStream::pair().unwrap();
        let order = Order::Agent { link: link.into(), listeners: Vec::new() };
        let gateway = world.gateway.lock().unwrap().clone();
        gateway.send(order).await.unwrap();
        ours.set_nonblocking(true).unwrap();
        let mut ours = tokio::net::UnixStream::from_std(ours).unwrap();
        let _ = tokio::io::AsyncWriteExt::write_all(&mut ours, row.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = tokio::io::AsyncReadExt::read_to_end(&mut ours, &mut answer).await;
        let answer = String::from_utf8_lossy(&answer);
        let shown: String = row.chars().take(40).collect();
        assert!(answer.is_empty() || answer.contains("refused"), "{shown}: {answer}");
    }
    let next = http_body_util::BodyExt::frame(&mut stream).await.unwrap();
    assert!(next.is_ok(), "the stream is open");
    let mut world = world;
    world.start_agent();
    assert_eq!(call(world.client(), "after".to_owned()).await, Some(StatusCode::NO_CONTENT));
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_says_nonsense_is_left_with_one_clear_line_and_asked_for_again() {
    let (ends, mut introduced) = mpsc::unbounded_channel();
    let introduce: client::Introduce = Box::new(move || {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        ends.send(theirs).unwrap();
        async move { Ok(ours.into()) }.boxed()
    });
    let (_status, status) = watch::channel(Arc::new(status()));
    let (_run, run) = watch::channel(None);
    let heard = watch::Sender::new(None);
    let events = Arc::new(Events::new("agent"));
    let levels = Levels { settings: Settings::default(), status, events, run, heard: heard.subscribe() };
    let mut tasks = JoinSet::new();
    let (gateway, mut from) = client::start(introduce, Vec::new(), levels, &mut tasks);
    gateway.keeper(true);
    let hello = r#"{"say":"hello","version":1,"gateway":"g","pid":1,"build":"1"}"#;
    let long = format!("{}\n", "x".repeat(super::wire::MAX_LINE + 2));
    let rows = [
        ("nonsense\n", "can't be read"),
        ("{\"say\":\"refused\",\"why\":\"too old\"}\n", "it refused: too old"),
        (long.as_str(), "a line of more than"),
    ];
    for (said, why) in rows {
        // Each breaks a link that stood: what follows a failure at once is not told.
        let said = format!("{hello}\n{said}");
        let theirs = introduced.recv().await.unwrap();
        theirs.set_nonblocking(true).unwrap();
        let mut theirs = tokio::net::UnixStream::from_std(theirs).unwrap();
        let _ = tokio::io::AsyncWriteExt::write_all(&mut theirs, said.as_bytes()).await;
        let told = loop {
            match from.recv().await.unwrap() {
                GatewayEvent::Fact(GatewayFact::Lost { why }) => break why,
                GatewayEvent::Fact(GatewayFact::Linked { .. } | GatewayFact::Heard) => {}
                other => panic!("{other:?}"),
            }
        };
        assert!(told.contains(why) && !told.contains('\n') && told.len() < 300, "{told}");
    }
}

#[tokio::test]
async fn what_is_kept_aside_is_none_of_the_last_words() {
    let queue = Arc::new(GameQueue::default());
    let say = |event| assert!(queue.post(GameMessage { run: RUN, source: EventSource::Agones, event }));
    let kept = |text: &str| Kept::from(text.to_owned());
    say(GameEvent::KeepAside(kept(&"x".repeat(MAX_WORDS_BYTES))));
    say(GameEvent::Keep(kept("a book")));
    say(GameEvent::Shutdown);
    let batches = read_words(&server::words(&"g".parse().unwrap(), &queue)).unwrap();
    let said: Vec<_> = batches.into_iter().flat_map(|batch| batch.said).map(|(_, event)| event).collect();
    assert_eq!(said, [GameEvent::Keep(kept("a book")), GameEvent::Shutdown]);
}
