//! From a cause to its effect, across processes.

use crate::{
    game, row, spread, spread_row,
    support::{
        agent::Agent,
        service::Service,
        world::{PATIENCE, World},
    },
};
use serde_json::json;
use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::unix::net::UnixDatagram,
    sync::mpsc,
    time::{Duration, Instant},
};

const ROUNDS: usize = 40;

pub fn measure() {
    start_to_ready();
    allocation_to_game();
    end_to_closed();
}

/// Tells when the game knocked.
struct EventSource {
    socket: UdpSocket,
}

impl EventSource {
    fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        EventSource { socket }
    }
    fn address(&self) -> String {
        self.socket.local_addr().unwrap().to_string()
    }
    /// Once the game knocks.
    fn knocked(&self) -> Instant {
        self.socket.recv(&mut [0; 64]).expect("the game knocks");
        Instant::now()
    }
}

/// What a supervisor sees: from fork to `READY=1`.
fn start_to_ready() {
    let world = World::new();
    let service = Service::start(&world);
    let mut cold = Vec::new();
    let mut takeover = Vec::new();
    for round in 0..ROUNDS / 2 {
        let config = format!("{}[allocation]\nprovider = \"hook\"\n", service.agent_config());
        let file = world.file(&format!("a{round}.toml"), &config);
        let mut agent = Agent::new(&world, &format!("a{round}"), ["--config", file.to_str().unwrap()]);
        cold.push(ready(&world, &mut agent));
        agent.kill();
        takeover.push(ready(&world, &mut agent));
        agent.stop();
    }
    spread_row("start to READY, with a new keeper", cold, "<= 30 ms");
    spread_row("start to READY, taking a keeper over", takeover, "<= 30 ms");
}

fn ready(world: &World, agent: &mut Agent<'_>) -> Duration {
    let path = world.path().join("notify");
    let _ = std::fs::remove_file(&path);
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    agent.env("NOTIFY_SOCKET", path.to_str().unwrap());
    let begun = Instant::now();
    agent.start();
    let mut buffer = [0; 4096];
    loop {
        let length = socket.recv(&mut buffer).expect("READY=1");
        if String::from_utf8_lossy(&buffer[..length]).lines().any(|line| line == "READY=1") {
            return begun.elapsed();
        }
    }
}

const BY_LOG: &str = "[game.readiness]\nby = \"log\"\npattern = \"^ready\"\n[game.restart]\nwhen = \"never\"\n";

fn allocation_to_game() {
    let (world, door) = (World::new(), EventSource::new());
    let service = Service::start(&world);
    let common = format!("{}{BY_LOG}", service.agent_config());
    let cold = |provider: &str| {
        let command = game::command("spawned", &[&door.address()]);
        format!("{common}[allocation]\nprovider = \"{provider}\"\n[game]\ncommand = {command}\n")
    };

    let mut agent = world.agent("hook", &cold("hook"));
    let hook = rounds(&agent, || {
        let body = json!({"allocation_id": uuid::Uuid::new_v4(), "startup_params": {"map": "a", "misc_params": ""}});
        let begun = Instant::now();
        agent.call("POST", "/v1/allocation", Some(&body)).unwrap().ok();
        door.knocked() - begun
    });
    spread_row("allocation by hook to the game's first instruction", hook, "<= 5 ms");
    agent.stop();

    let mut agent = world.agent("sic", &cold("sic"));
    let sic = rounds(&agent, || through_service(&service, &door));
    spread_row("instance requested from the service to the same", sic, "<= 5 ms");
    agent.stop();

    let command = game::command("told", &[&door.address()]);
    let warm = format!(
        "{common}[allocation]\nprovider = \"sic\"\n[game]\nstart = \"at-boot\"\ncommand = {command}\n[game.recycle]\nafter_matches = 0\n"
    );
    let mut agent = world.agent("warm", &warm);
    let told = rounds(&agent, || through_service(&service, &door));
    spread_row("instance requested to a warm game told", told, "<= 5 ms");
    agent.stop();
}

/// A platform makes a session and asks for a server; until the game knocks.
fn through_service(service: &Service<'_>, door: &EventSource) -> Duration {
    let session = service.make_session(&json!({}));
    let begun = Instant::now();
    service.request_instance(&session, &json!({"map": "a", "misc_params": ""}));
    door.knocked() - begun
}

/// Measures one match after the other: waits until the agent is free, measures, ends the match.
fn rounds(agent: &Agent<'_>, mut measure: impl FnMut() -> Duration) -> Vec<Duration> {
    (0..ROUNDS)
        .map(|_| {
            wait_free(agent);
            let took = measure();
            agent.wait_join_status("joinable");
            agent.call("POST", "/v1/drain", Some(&json!({"then": "recycle"}))).unwrap().ok();
            took
        })
        .collect()
}

/// Until it takes allocations, and the end of the last match has been delivered.
fn wait_free(agent: &Agent<'_>) {
    agent.wait("a free agent", |status| {
        let delivered = status["outbox"].as_array().is_some_and(Vec::is_empty);
        let listening = status["agent"]["provider"] == "hook" || status["agent"]["registered"] == true;
        status["phase"] == "idle" && delivered && listening
    });
}

/// From SIGKILL of the game until `closed` passes a proxy on its way to the service.
fn end_to_closed() {
    let world = World::new();
    let service = Service::start(&world);
    let (proxy, seen) = wire(service.address());
    let door = EventSource::new();
    let command = game::command("spawned", &[&door.address()]);
    let config = service.agent_config_through(&format!("http://{proxy}"));
    let config = format!("{config}{BY_LOG}[allocation]\nprovider = \"hook\"\n[game]\ncommand = {command}\n");
    let mut agent = world.agent("end", &config);
    let times = (0..ROUNDS)
        .map(|_| {
            wait_free(&agent);
            let body =
                json!({"allocation_id": uuid::Uuid::new_v4(), "startup_params": {"map": "a", "misc_params": ""}});
            agent.call("POST", "/v1/allocation", Some(&body)).unwrap().ok();
            let status = agent.wait_join_status("joinable");
            while seen.try_recv().is_ok() {}
            let game = u32::try_from(status["game"]["pid"].as_u64().unwrap()).unwrap();
            let begun = Instant::now();
            crate::support::proc::signal(game, 9);
            seen.recv_timeout(PATIENCE).expect("closed on the wire") - begun
        })
        .collect();
    spread_row("game's end to `closed` on the wire", times, "<= 5 ms");
    agent.stop();
    row("fsync of 4 KiB in the same directory, p50", &crate::millis(fsync(&world)), "(the disk)");
}

/// The disk's part in what has to be durable.
pub fn fsync(world: &World) -> Duration {
    let mut file = std::fs::File::create(world.path().join("fsync")).unwrap();
    let times = (0..ROUNDS).map(|_| {
        let begun = Instant::now();
        file.write_all(&[7; 4096]).unwrap();
        file.sync_data().unwrap();
        begun.elapsed()
    });
    spread(times.collect()).0
}

/// A proxy that says when a request with `closed` passed.
fn wire(service: SocketAddr) -> (SocketAddr, mpsc::Receiver<Instant>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, seen) = mpsc::channel();
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let Ok(server) = TcpStream::connect(service) else { continue };
            client.set_nodelay(true).unwrap();
            server.set_nodelay(true).unwrap();
            let (client2, server2) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            let sender = sender.clone();
            std::thread::spawn(move || {
                pump(client, server, |bytes| {
                    if bytes.windows(8).any(|part| part == b"\"closed\"") {
                        let _ = sender.send(Instant::now());
                    }
                });
            });
            std::thread::spawn(move || pump(server2, client2, |_| ()));
        }
    });
    (address, seen)
}

fn pump(mut from: TcpStream, mut to: TcpStream, mut look: impl FnMut(&[u8])) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        look(&buffer[..length]);
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Write);
}
