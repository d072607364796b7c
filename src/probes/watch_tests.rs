use super::*;
use crate::{
    model::{ids::RunNumber, units::Span},
    probes::CommandOutput,
};
use futures_util::FutureExt;
use std::sync::{Arc, Mutex};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, UdpSocket},
};

fn target(port: u16) -> Target {
    let ports = [("game".to_owned(), port)].into();
    Target { run: RunNumber(1), ports, port: "game".to_owned(), pid: None }
}

fn probe(kind: ProbeKind) -> Probe {
    Probe { kind, interval: Span::from_millis(100), timeout: Span::from_secs(2), ..Probe::default() }
}

fn watch(probe: Probe, port: u16, exec: Option<CommandRunner>) -> (Watcher, mpsc::Receiver<Finding>) {
    let (to, findings) = mpsc::channel(64);
    (start(Some(probe), &Readiness::default(), target(port), exec, to), findings)
}

async fn next(findings: &mut mpsc::Receiver<Finding>) -> Observation {
    let finding = findings.recv().await.unwrap();
    assert_eq!((finding.run, finding.source), (RunNumber(1), EventSource::Probe));
    finding.observation
}

/// The next that isn't mere evidence.
async fn said(findings: &mut mpsc::Receiver<Finding>) -> GameEvent {
    loop {
        match next(findings).await {
            Observation::GameEvent(said) => return said,
            // Under load an answer may come too late.
            Observation::Evidence(_) | Observation::Build(_) => {}
        }
    }
}

fn joined(name: &str) -> GameEvent {
    GameEvent::PlayerJoined(GamePlayer { id: name.to_owned(), name: Some(name.to_owned()), team: None })
}

fn answer(map: &str, names: &[&str], max: u32) -> Answer {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    Answer { map: Some(map.to_owned()), count: names.len() as u32, max: Some(max), names: Some(names) }
}

#[test]
fn only_changes_are_told_after_the_first_list() {
    let mut reported = Reported::default();
    let first = reported.changes(answer("a", &["Pia", "Pia"], 8));
    let list = ["Pia", "Pia #2"].map(|id| GamePlayer { id: id.to_owned(), name: Some(id.to_owned()), team: None });
    let map = GameEvent::Map { map: Some("a".to_owned()), mode: None };
    assert_eq!(first, [map, GameEvent::Players(list.to_vec()), GameEvent::PlayerCount { players: 2, max: Some(8) }]);
    assert_eq!(reported.changes(answer("a", &["Pia", "Pia"], 8)), []);
    let next = reported.changes(answer("b", &["Pia", "Olu"], 8));
    let map = GameEvent::Map { map: Some("b".to_owned()), mode: None };
    assert_eq!(next, [map, GameEvent::PlayerLeft { id: "Pia #2".to_owned() }, joined("Olu")]);
}

#[test]
fn where_only_numbers_are_known_numbers_are_told() {
    let mut reported = Reported::default();
    let count = |count| Answer { count, max: Some(8), ..Answer::default() };
    assert_eq!(reported.changes(count(3)), [GameEvent::PlayerCount { players: 3, max: Some(8) }]);
    assert_eq!(reported.changes(count(3)), []);
    assert_eq!(reported.changes(count(0)), [GameEvent::PlayerCount { players: 0, max: Some(8) }]);
}

#[test]
fn an_answer_that_lists_other_players_than_it_counts_is_told_by_its_number() {
    let listing = |names: Option<&[&str]>, count| Answer {
        count,
        names: names.map(|names| names.iter().map(|name| (*name).to_owned()).collect()),
        ..Answer::default()
    };
    let left = |name: &str| GameEvent::PlayerLeft { id: name.to_owned() };
    let number = |players| GameEvent::PlayerCount { players, max: None };
    let mut reported = Reported::default();
    let list = GamePlayer { id: "Pia".to_owned(), name: Some("Pia".to_owned()), team: None };
    assert_eq!(reported.changes(listing(Some(&["Pia"]), 1)), [GameEvent::Players(vec![list]), number(1)]);
    // One answer after the other: what it lists, what it counts, and what is told of that.
    let rows = [
        ("blank names", Some(&[][..]), 3, vec![number(3)]),
        ("no list at all", None, 4, vec![number(4)]),
        ("a sample", Some(&["Bo"][..]), 3, vec![number(3)]),
        ("the same list as before", Some(&["Pia"][..]), 1, vec![number(1)]),
        ("a new list", Some(&["Pia", "Bo"][..]), 2, vec![joined("Bo")]),
        ("two listed, nobody counted", Some(&["Pia", "Bo"][..]), 0, vec![number(0)]),
        ("the same again", Some(&["Pia", "Bo"][..]), 0, vec![]),
        ("one listed, nobody counted", Some(&["Bo"][..]), 0, vec![left("Pia"), number(0)]),
        ("nobody counted, no list", None, 0, vec![left("Bo")]),
        ("somebody again, without a name", Some(&[][..]), 1, vec![number(1)]),
    ];
    for (what, names, count, told) in rows {
        assert_eq!(reported.changes(listing(names, count)), told, "{what}");
    }
}

/// A game that answers Quake 3 queries with whatever the test says.
async fn scripted() -> (u16, Arc<Mutex<Option<&'static str>>>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = socket.local_addr().unwrap().port();
    let script = Arc::new(Mutex::new(None));
    let reading = Arc::clone(&script);
    tokio::spawn(async move {
        let mut datagram = [0; 64];
        while let Ok((length, from)) = socket.recv_from(&mut datagram).await {
            assert!(datagram[..length].starts_with(b"\xff\xff\xff\xffgetstatus"));
            let line: Option<&'static str> = *reading.lock().unwrap();
            if let Some(players) = line {
                let text = format!("statusResponse\n\\mapname\\oa_dm1\\sv_maxclients\\4\n{players}");
                socket.send_to(&[b"\xff\xff\xff\xff", text.as_bytes()].concat(), from).await.unwrap();
            }
        }
    });
    (port, script)
}

#[tokio::test]
async fn a_game_is_seen_to_come_up_fill_empty_and_fall_silent() {
    let (port, script) = scripted().await;
    let probe = Probe { protocol: Some("quake3".to_owned()), ..probe(ProbeKind::Gamedig) };
    let (_watcher, mut findings) = watch(probe, port, None);
    assert!(
        matches!(next(&mut findings).await, Observation::Evidence(Evidence::Down { why }) if why.contains("no answer"))
    );
    *script.lock().unwrap() = Some("");
    assert_eq!(said(&mut findings).await, GameEvent::Map { map: Some("oa_dm1".to_owned()), mode: None });
    assert_eq!(said(&mut findings).await, GameEvent::Players(Vec::new()));
    assert_eq!(said(&mut findings).await, GameEvent::PlayerCount { players: 0, max: Some(4) });
    assert_eq!(next(&mut findings).await, Observation::Evidence(Evidence::Up), "once all that is new was said");
    *script.lock().unwrap() = Some("0 5 \"Pia\"\n0 0 \"Bot\"\n");
    assert_eq!([said(&mut findings).await, said(&mut findings).await], [joined("Pia"), joined("Bot")]);
    *script.lock().unwrap() = Some("0 0 \"Bot\"\n");
    assert_eq!(said(&mut findings).await, GameEvent::PlayerLeft { id: "Pia".to_owned() });
    *script.lock().unwrap() = None;
    while !matches!(next(&mut findings).await, Observation::Evidence(Evidence::Down { .. })) {}
}

#[tokio::test]
async fn tcp_http_and_udp_ports_are_seen_to_open() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (_watcher, mut findings) = watch(probe(ProbeKind::Tcp), port, None);
    assert_eq!(next(&mut findings).await, Observation::Evidence(Evidence::Up));
    drop(listener);
    while next(&mut findings).await == Observation::Evidence(Evidence::Up) {}

    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (_watcher, mut findings) = watch(probe(ProbeKind::Udp), socket.local_addr().unwrap().port(), None);
    assert_eq!(next(&mut findings).await, Observation::Evidence(Evidence::Up));

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        for answer in
            ["HTTP/1.1 503 No\r\n\r\n", "SSH-2.0-x\r\n", "HTTP/1.1 204 Yes\r\n\r\n", "HTTP/1.1 204 Yes\r\n\r\n"]
        {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let (_watcher, mut findings) = watch(Probe { path: "/health".to_owned(), ..probe(ProbeKind::Http) }, port, None);
    let Observation::Evidence(Evidence::Down { why }) = next(&mut findings).await else { panic!() };
    assert_eq!(why, "GET /health answers 503");
    while next(&mut findings).await != Observation::Evidence(Evidence::Up) {}
}

#[tokio::test]
async fn commands_are_run_by_whoever_can() {
    let exec: CommandRunner = Arc::new(|argv, _| {
        let code = i32::from(argv[1] == "bad");
        std::future::ready(Ok(CommandOutput { code, output: "one\nlast words\n".to_owned() })).boxed()
    });
    for (word, expected) in
        [("good", Evidence::Up), ("bad", Evidence::Down { why: "check ended with 1: last words".to_owned() })]
    {
        let probe = Probe { command: vec!["check".to_owned(), word.to_owned()], ..probe(ProbeKind::Exec) };
        let (_watcher, mut findings) = watch(probe, 1, Some(Arc::clone(&exec)));
        assert_eq!(next(&mut findings).await, Observation::Evidence(expected));
    }
}

#[tokio::test]
async fn a_bound_port_proves_readiness_once() {
    let free = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let by_port = Readiness { by: ReadyBy::Port, ..Readiness::default() };
    let (to, mut findings) = mpsc::channel(8);
    let _watcher = start(None, &by_port, target(free), None, to);
    let _bound = UdpSocket::bind(("127.0.0.1", free)).await.unwrap();
    assert_eq!(next(&mut findings).await, Observation::Evidence(Evidence::Up));
    assert!(findings.recv().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn without_a_probe_a_port_that_stays_bound_proves_it_too_but_not_at_once() {
    let bound = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = bound.local_addr().unwrap().port();
    let began = Instant::now();
    let (to, mut findings) = mpsc::channel(8);
    let _watcher = start(None, &Readiness { by: ReadyBy::Auto, ..Readiness::default() }, target(port), None, to);
    assert_eq!(next(&mut findings).await, Observation::Evidence(Evidence::Up));
    assert!(began.elapsed() >= SETTLING_PERIOD);

    let (to, mut findings) = mpsc::channel(8);
    let _watcher = start(None, &Readiness { by: ReadyBy::Sdk, ..Readiness::default() }, target(port), None, to);
    assert!(findings.recv().await.is_none(), "where the SDK's word is wanted nobody looks at ports");
}

#[tokio::test(start_paused = true)]
async fn a_game_that_starts_is_asked_eagerly_then_slower() {
    let mut pace = ProbeSchedule::new(Duration::from_secs(5));
    assert_eq!(pace.next_while_starting(), STARTING_INTERVAL);
    tokio::time::advance(STARTING_PERIOD * 2).await;
    assert_eq!(
        (pace.next_while_starting(), pace.next_while_starting()),
        (Duration::from_millis(150), Duration::from_millis(225))
    );
    for _ in 0..20 {
        pace.next_while_starting();
    }
    assert_eq!(pace.next_while_starting(), Duration::from_secs(5));
}
