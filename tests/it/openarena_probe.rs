//! OpenArena's real server, watched in each of the two ways that need nothing of it: queries, and
//! its log.

use crate::support::component;
use gameside::{
    internals::probes::{Finding, Log, Observation, Target, start},
    model::{
        game::{Evidence, GameEvent},
        ids::RunNumber,
        policy::Readiness,
        probe::{LogPatterns, Probe, ProbeKind},
        units::Span,
    },
};
use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, Command, Stdio},
    time::Duration,
};
use tokio::sync::mpsc;

const PATIENCE: Duration = Duration::from_secs(60);

struct Server {
    child: Child,
    console: ChildStdin,
    lines: mpsc::UnboundedReceiver<String>,
    port: u16,
    _home: tempfile::TempDir,
}

impl Server {
    fn start(program: &std::path::Path) -> Server {
        let home = tempfile::tempdir().unwrap();
        let port = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut child = Command::new(program)
            .args(["+set", "dedicated", "1", "+set", "net_ip", "127.0.0.1", "+set", "ttycon", "0"])
            .args(["+set", "net_port", &port.to_string(), "+set", "sv_maxclients", "6", "+map", "oa_dm1"])
            .env("HOME", home.path())
            .current_dir(home.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let console = child.stdin.take().unwrap();
        let (to, lines) = mpsc::unbounded_channel();
        let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        for stream in [Box::new(out) as Box<dyn std::io::Read + Send>, Box::new(err)] {
            let to = to.clone();
            std::thread::spawn(move || {
                let lines = BufReader::new(stream).split(b'\n').map_while(Result::ok);
                lines.for_each(|line| drop(to.send(String::from_utf8_lossy(&line).into_owned())));
            });
        }
        Server { child, console, lines, port, _home: home }
    }

    fn tell(&mut self, command: &str) {
        writeln!(self.console, "{command}").unwrap();
    }

    /// The next thing that the log says and that is wanted.
    async fn logged(&mut self, log: &mut Log, wanted: impl Fn(&Observation) -> bool) -> Observation {
        let look = async {
            loop {
                let line = self.lines.recv().await.expect("the server prints on");
                if let Some(found) = log.line(&line).into_iter().find(&wanted) {
                    return found;
                }
            }
        };
        tokio::time::timeout(PATIENCE, look).await.expect("the log says it")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn probed(findings: &mut mpsc::Receiver<Finding>, wanted: impl Fn(&GameEvent) -> bool) -> GameEvent {
    let look = async {
        loop {
            match findings.recv().await.unwrap().observation {
                Observation::GameEvent(said) if wanted(&said) => return said,
                Observation::GameEvent(_) | Observation::Evidence(_) | Observation::Build(_) => {}
            }
        }
    };
    tokio::time::timeout(PATIENCE, look).await.expect("the probe sees it")
}

fn patterns() -> LogPatterns {
    LogPatterns {
        ready: Some("^AAS initialized".to_owned()),
        player_joined: Some(r"^ClientUserinfoChanged: (?P<id>\d+) n\\(?P<name>[^\\]*)\\".to_owned()),
        player_left: Some(r"^ClientDisconnect: (?P<id>\d+)".to_owned()),
        map_changed: Some(r"^InitGame: .*\\mapname\\(?P<map>[^\\]+)".to_owned()),
        ..LogPatterns::default()
    }
}

fn map(name: &str) -> Observation {
    Observation::GameEvent(GameEvent::Map { map: Some(name.to_owned()), mode: None })
}

#[tokio::test]
async fn both_ways_see_it_come_up_and_players_come_and_go() {
    let Some(program) = component::program("openarena-server", "openarena-server") else { return };
    let mut server = Server::start(&program);
    let mut log = Log::compile(&patterns(), &Readiness::default()).unwrap();
    let target = Target {
        run: RunNumber(1),
        ports: [("game".to_owned(), server.port)].into(),
        port: "game".to_owned(),
        pid: Some(server.child.id() as i32),
    };
    // The server answers about one query a second and address.
    let probe = Probe {
        kind: ProbeKind::Gamedig,
        protocol: Some("openarena".to_owned()),
        interval: Span::from_millis(1100),
        ..Probe::default()
    };
    let (to, mut findings) = mpsc::channel(64);
    let _watcher = start(Some(probe), &Readiness::default(), target, None, to);

    assert_eq!(server.logged(&mut log, |found| matches!(found, Observation::GameEvent(_))).await, map("oa_dm1"));
    server.logged(&mut log, |found| *found == Observation::Evidence(Evidence::Up)).await;
    probed(&mut findings, |said| *said == GameEvent::Map { map: Some("oa_dm1".to_owned()), mode: None }).await;
    probed(&mut findings, |said| *said == GameEvent::Players(Vec::new())).await;
    probed(&mut findings, |said| *said == GameEvent::PlayerCount { players: 0, max: Some(6) }).await;

    server.tell("addbot sarge 3");
    let logged =
        server.logged(&mut log, |found| matches!(found, Observation::GameEvent(GameEvent::PlayerJoined(_)))).await;
    assert!(
        matches!(&logged, Observation::GameEvent(GameEvent::PlayerJoined(player)) if player.name.as_deref() == Some("Sarge"))
    );
    probed(&mut findings, |said| matches!(said, GameEvent::PlayerJoined(player) if player.id == "Sarge")).await;

    server.tell("kick Sarge");
    let left = Observation::GameEvent(GameEvent::PlayerLeft { id: "0".to_owned() });
    assert_eq!(
        server.logged(&mut log, |found| matches!(found, Observation::GameEvent(GameEvent::PlayerLeft { .. }))).await,
        left
    );
    probed(&mut findings, |said| *said == GameEvent::PlayerLeft { id: "Sarge".to_owned() }).await;

    server.tell("map oa_dm2");
    assert_eq!(
        server.logged(&mut log, |found| matches!(found, Observation::GameEvent(GameEvent::Map { .. }))).await,
        map("oa_dm2")
    );
    probed(&mut findings, |said| *said == GameEvent::Map { map: Some("oa_dm2".to_owned()), mode: None }).await;
}
