//! The game in the measurements: started by the agent as `numbers --game WHAT …`.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpStream, UdpSocket},
    os::fd::AsFd as _,
    time::{Duration, Instant},
};

/// Tells this program that it is the game.
pub const WORD: &str = "--game";

/// The command line by which the agent starts it.
pub fn command(what: &str, args: &[&str]) -> String {
    let this = std::env::current_exe().unwrap();
    let words = [this.to_str().unwrap(), WORD, what].into_iter().chain(args.iter().copied());
    format!("[{}]", words.map(|word| format!("{word:?}")).collect::<Vec<_>>().join(", "))
}

pub fn main(args: &[String]) {
    match args[0].as_str() {
        "spawned" => spawned(&args[1]),
        "told" => told(&args[1]),
        "write" => write(args[1].parse().unwrap()),
        "bare" => crate::bare::main(),
        "paced" => paced(args[1].parse().unwrap(), args[2].parse().unwrap()),
        other => panic!("no game {other}"),
    }
}

fn knock(address: &str, word: &str) {
    UdpSocket::bind("127.0.0.1:0").unwrap().send_to(word.as_bytes(), address).unwrap();
}

fn for_ever() {
    loop {
        std::thread::park();
    }
}

/// Says that it has been started, and lives.
fn spawned(address: &str) {
    knock(address, "spawned");
    nobody_plays();
    println!("ready");
    for_ever();
}

/// A request to the agent's API, with the game's token.
fn ask(request: &str, body: &str) -> BufReader<TcpStream> {
    let api = std::env::var("GAMESIDE_API").unwrap();
    let token = std::env::var("GAMESIDE_TOKEN").unwrap();
    let host = api.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    let length = body.len();
    let head = format!("{request} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\n");
    let about = format!("content-type: application/json\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all(format!("{head}{about}{body}").as_bytes()).unwrap();
    BufReader::new(stream)
}

/// This game counts its players, so that a drain needn't wait for those whom nobody counts.
fn nobody_plays() {
    let mut answer = String::new();
    ask("PUT /v1/game/players", r#"{"players":[]}"#).read_line(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 2"), "{answer}");
}

/// Follows the agent's events, and says when it is told of its allocation.
fn told(address: &str) {
    nobody_plays();
    let events = ask("GET /v1/events", "");
    println!("ready");
    for line in events.lines().map_while(Result::ok) {
        if line.starts_with("event: allocated") {
            knock(address, "told");
        }
    }
    for_ever();
}

/// As much output as fast as it is taken; reports how long that took on stderr, and ends.
fn write(megabytes: usize) {
    let line = format!("{}\n", "0123456789abcdef".repeat(6));
    let block = line.repeat(64 * 1024 / line.len());
    let mut out = std::io::stdout().lock();
    for _ in 0..megabytes * (1 << 20) / block.len() {
        out.write_all(block.as_bytes()).unwrap();
    }
}

/// A talkative server: so many lines in bursts of a millisecond, for so many milliseconds. Counts the writes that would have
/// blocked, and says so in its last line.
fn paced(lines_a_millisecond: usize, milliseconds: usize) {
    let out = std::io::stdout();
    let flags = rustix::fs::fcntl_getfl(out.as_fd()).unwrap();
    rustix::fs::fcntl_setfl(out.as_fd(), flags | rustix::fs::OFlags::NONBLOCK).unwrap();
    let line = format!("{}\n", "0123456789abcdef".repeat(6));
    let begun = Instant::now();
    let mut blocked = 0;
    for tick in 0..milliseconds {
        let next = Duration::from_millis(tick as u64);
        while begun.elapsed() < next {
            std::thread::park_timeout(next.saturating_sub(begun.elapsed()));
        }
        for _ in 0..lines_a_millisecond {
            blocked += usize::from(rustix::io::write(out.as_fd(), line.as_bytes()) != Ok(line.len()));
        }
    }
    rustix::fs::fcntl_setfl(out.as_fd(), flags).unwrap();
    println!("\nblocked={blocked} of {}", lines_a_millisecond * milliseconds);
}
