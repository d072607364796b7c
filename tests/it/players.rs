//! Player counts under a real agent: a game that says nothing itself, lines of its log, and a
//! stand-in for its queries, in the form that Valve documents.

use crate::support::{agent::Agent, world::World};
use serde_json::{Value, json};
use std::{
    fs::File,
    io::Write as _,
    net::UdpSocket,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

/// What the server answers to queries: how many it counts, and whom it lists.
#[derive(Default)]
struct Answers {
    counts: u8,
    lists: Vec<&'static str>,
    silent: bool,
}

/// A stand-in for the queries of a game.
struct Queries {
    answers: Arc<Mutex<Answers>>,
    asked: Arc<AtomicU32>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Queries {
    fn at(port: u16) -> Queries {
        let socket = UdpSocket::bind(("127.0.0.1", port)).unwrap();
        let (answers, asked, over) = (Arc::default(), Arc::default(), Arc::default());
        let (theirs, count, ends) = (Arc::clone(&answers), Arc::clone(&asked), Arc::clone(&over));
        let thread = std::thread::spawn(move || answer(&socket, &theirs, &count, &ends));
        Queries { answers, asked, over, thread: Some(thread) }
    }

    fn set(&self, counts: u8, lists: &[&'static str]) {
        *self.answers.lock().unwrap() = Answers { counts, lists: lists.to_vec(), silent: false };
    }

    /// Waits until so many more queries were answered.
    fn wait(&self, agent: &Agent<'_>, more: u32) {
        let until = self.asked.load(Ordering::Relaxed) + more;
        while self.asked.load(Ordering::Relaxed) < until {
            agent.pause();
        }
    }
}

impl Drop for Queries {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.thread.take().into_iter().for_each(|thread| drop(thread.join()));
    }
}

fn answer(socket: &UdpSocket, answers: &Mutex<Answers>, asked: &AtomicU32, over: &AtomicBool) {
    const CHALLENGE: [u8; 4] = [0x4b, 0xa1, 0xd5, 0x22];
    socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let mut packet = [0; 1400];
    while !over.load(Ordering::Relaxed) {
        let Ok((length, asker)) = socket.recv_from(&mut packet) else { continue };
        let answers = answers.lock().unwrap();
        if answers.silent {
            continue;
        }
        let answer = match &packet[..length] {
            [0xff, 0xff, 0xff, 0xff, b'T', b'S', ..] => {
                let texts = b"I\x11Dust\0cp_dustbowl\0tf\0Team Fortress\0".as_slice();
                [texts, &440u16.to_le_bytes(), &[answers.counts, 24, 0], b"dl\x00\x01", b"8622567\0\0"].concat()
            }
            [0xff, 0xff, 0xff, 0xff, b'U', proof @ ..] if *proof == CHALLENGE => {
                let each = answers.lists.iter().flat_map(|name| [&[0], name.as_bytes(), &[0; 9]].concat());
                let listed = u8::try_from(answers.lists.len()).unwrap();
                asked.fetch_add(1, Ordering::Relaxed);
                [b'D', listed].into_iter().chain(each).collect()
            }
            [0xff, 0xff, 0xff, 0xff, b'U', ..] => [b"A".as_slice(), &CHALLENGE].concat(),
            _ => continue,
        };
        socket.send_to(&[[0xff; 4].as_slice(), &answer].concat(), asker).unwrap();
    }
}

/// A game that prints the lines that the test writes, and its queries; ready, and asked five times a second.
fn watched<'w>(world: &'w World, more: &str) -> (Agent<'w>, File, Queries) {
    let lines = world.path().join("lines");
    rustix::fs::mknodat(rustix::fs::CWD, &lines, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let command = ["/bin/sh", "-c", "while :; do cat lines; done"];
    let agent = world.agent(
        "server",
        &format!(
            "[session.startup]\nmap = 'harbour'\n[game]\nkind = 'match'\ndir = {:?}\ncommand = {command:?}\n\
             [game.readiness]\nby = 'probe'\n[probe]\nprotocol = 'valve'\ninterval = '200ms'\n\
             [log_patterns]\nplayer_joined = '^(?<name>\\w+) joined$'\nplayer_left = '^(?<name>\\w+) left$'\n{more}",
            world.path()
        ),
    );
    let log = File::options().write(true).open(lines).unwrap();
    let up = agent.wait("the game's process", |status| status["game"]["pid"].is_u64());
    let queries = Queries::at(u16::try_from(up["ports"]["game"].as_u64().unwrap()).unwrap());
    (agent, log, queries)
}

fn players_row(world: &World) -> String {
    let text = world.told(["status", "server"]);
    text.lines().find(|line| line.trim_start().starts_with("players")).unwrap_or_default().trim().to_owned()
}

#[test]
fn a_query_that_names_nobody_any_more_is_believed_by_its_number_and_no_match_is_ended_over_it() {
    let world = World::new();
    let (agent, _log, queries) = watched(&world, "[guards]\nno_show_timeout = '1h'\nempty_timeout = '1s'\n");
    queries.set(1, &["Pia"]);
    let one = agent.wait("Pia", |status| status["players"] == 1);
    assert_eq!(one["players_known"][0]["name"], "Pia");
    queries.set(3, &[]);
    let three = agent.wait("three whom it doesn't name", |status| status["players"] == 3);
    assert_eq!((&three["players_known"], &three["max_players"]), (&json!([]), &json!(24)));
    assert!(players_row(&world).ends_with("3 of 24"), "{}", players_row(&world));
    // Longer than an empty server is kept.
    queries.wait(&agent, 10);
    assert_eq!(agent.status()["session_id"], one["session_id"]);
    queries.set(0, &[]);
    let ended = agent.wait("its end", |status| status["last_end"]["reason"].is_string());
    assert_eq!(ended["last_end"]["reason"], "empty: everybody has left");
}

#[test]
fn a_phantom_of_the_log_is_named_in_the_status_and_holds_the_server_only_so_long() {
    let world = World::new();
    let more = "[players]\ncount_conflict = '2s'\n[guards]\nno_show_timeout = '1h'\nempty_timeout = '100ms'\n";
    let (agent, mut log, queries) = watched(&world, more);
    agent.wait("nobody", |status| status["players"] == 0 && status["phase"] == "serving");
    writeln!(log, "Ghost joined").unwrap();
    let disputed = agent.wait("a dispute", |status| status["players_disputed_until"].is_string());
    assert_eq!(disputed["players"], 1);
    let said = json!({"log": 1, "probe": 0, "session": 0});
    assert_eq!(disputed["players_said"], said);
    let row = players_row(&world);
    assert!(row.contains("1 of 24: Ghost; log says 1, probe says 0: the server counts as played on until"), "{row}");
    let ended = agent.wait("its end", |status| status["last_end"]["reason"].is_string());
    assert_eq!(ended["last_end"]["reason"], "empty: everybody has left");
    drop(queries);
}

#[test]
fn a_number_that_nobody_has_told_is_shown_as_unknown() {
    let world = World::new();
    let agent = world.agent(
        "server",
        "[session.startup]\nmap = 'harbour'\n[game]\ncommand = ['/bin/sleep', '1000']\n\
         [game.readiness]\nby = 'delay'\ndelay = '1ms'\n",
    );
    let status = agent.wait_join_status("joinable");
    assert_eq!(status["players"], Value::Null);
    assert!(players_row(&world).contains("unknown"), "{}", players_row(&world));
    assert!(world.told(["ps"]).contains("players unknown"));
    let metrics = agent.call("GET", "/metrics", None).unwrap();
    assert!(!metrics.text.contains("gameside_players "), "no number is made up");
}

#[test]
fn a_drain_waits_for_nobody_where_the_query_counts_nobody_and_not_long_where_nobody_knows() {
    let world = World::new();
    let (mut agent, _log, queries) = watched(&world, "[drain]\ndeadline = '1h'\nunknown_players = '1h'\n");
    queries.set(2, &[]);
    agent.wait("two players", |status| status["players"] == 2);
    agent.signal(15);
    agent.wait_phase("draining");
    queries.set(0, &[]);
    assert!(agent.ended().success());

    let world = World::new();
    let mut agent = world.agent(
        "server",
        "[session.startup]\nmap = 'harbour'\n[game]\ncommand = ['/bin/sleep', '1000']\n\
         [game.readiness]\nby = 'delay'\ndelay = '1ms'\n[drain]\ndeadline = '1h'\nunknown_players = '300ms'\n",
    );
    agent.wait_join_status("joinable");
    agent.signal(15);
    assert!(agent.ended().success());
    let drained = agent.timeline().into_iter().filter(|entry| entry["kind"] == "drain").count();
    assert_eq!(drained, 1, "it waited for players that nobody knew of");
}
