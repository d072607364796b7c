//! A player, or a few bots, who walk about until their time is up.

use super::{
    options::JoinOptions,
    server::log,
    wire::{FromPlayer, FromServer, MAX_DATAGRAM},
};
use signal_hook::consts::{SIGINT, SIGTERM};
use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// A hello or bye that isn't answered is sent again.
const RESEND: Duration = Duration::from_millis(250);
/// A server that doesn't answer within this time isn't there.
const NOBODY: Duration = Duration::from_secs(10);
const INPUT_EVERY: Duration = Duration::from_millis(500);

/// How a player's visit ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VisitEnd {
    /// Left by itself.
    Left,
    /// The server removed the player, with this reason.
    SentAway(String),
    Refused(String),
    NoAnswer,
}

/// Plays until the time is up, a signal comes or the server sends the player away. Exit code 0 only in the first two cases.
pub(crate) fn join(options: &JoinOptions) -> ExitCode {
    let leave = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        if let Err(error) = signal_hook::flag::register(signal, Arc::clone(&leave)) {
            log(format_args!("can't listen for signals: {error}"));
        }
    }
    let visits: Vec<_> = (1..=options.count.max(1))
        .map(|number| {
            let mut options = options.clone();
            if options.count > 1 {
                options.name = format!("{}-{number}", options.name);
                options.uuid = None;
            }
            let leave = Arc::clone(&leave);
            std::thread::spawn(move || visit(&options, &leave))
        })
        .collect();
    let mut code = ExitCode::SUCCESS;
    for visit in visits {
        match visit.join() {
            Ok(Ok(VisitEnd::Left)) => {}
            Ok(Ok(VisitEnd::SentAway(_) | VisitEnd::Refused(_) | VisitEnd::NoAnswer)) | Err(_) => {
                code = ExitCode::FAILURE;
            }
            Ok(Err(error)) => {
                log(format_args!("failed to play on {}: {error}", options.server));
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}

/// One visit, blocking.
pub fn visit(options: &JoinOptions, leave: &AtomicBool) -> io::Result<VisitEnd> {
    let socket = match options.server {
        SocketAddr::V4(_) => UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?,
        SocketAddr::V6(_) => UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))?,
    };
    socket.connect(options.server)?;
    socket.set_read_timeout(Some(RESEND))?;
    let name = &options.name;
    let uuid = options.uuid.unwrap_or_else(uuid::Uuid::new_v4);
    let hello = FromPlayer::Hello { name: name.clone(), uuid: Some(uuid), token: options.token.clone() };
    match ask(&socket, &hello, |answer| matches!(answer, FromServer::Welcome { .. } | FromServer::Refused { .. }))? {
        Some(FromServer::Welcome { id, map, mode, players, places }) => {
            log(format_args!("{name}: welcome as {id}: map {map}, mode {mode}, {players} of {places}"));
        }
        Some(FromServer::Refused { reason }) => {
            log(format_args!("{name}: refused: {reason}"));
            return Ok(VisitEnd::Refused(reason));
        }
        Some(_) | None => {
            log(format_args!("{name}: no answer from {}", options.server));
            return Ok(VisitEnd::NoAnswer);
        }
    }
    if let Some(text) = &options.say {
        send(&socket, &FromPlayer::Say { text: text.clone() })?;
    }
    if let Some(ended) = play(options, &socket, leave)? {
        return Ok(ended);
    }
    ask(&socket, &FromPlayer::Bye, |answer| matches!(answer, FromServer::Bye { .. } | FromServer::Refused { .. }))?;
    log(format_args!("{name}: left"));
    Ok(VisitEnd::Left)
}

/// Walks about; none when it is time to leave.
fn play(options: &JoinOptions, socket: &UdpSocket, leave: &AtomicBool) -> io::Result<Option<VisitEnd>> {
    let name = &options.name;
    let (begun, mut moved, mut heard, mut step) = (Instant::now(), Instant::now(), Instant::now(), 0i32);
    while !leave.load(Ordering::Relaxed) && options.stay.is_none_or(|stay| begun.elapsed() < stay) {
        if moved.elapsed() >= INPUT_EVERY {
            (moved, step) = (Instant::now(), step + 1);
            send(socket, &FromPlayer::Input { x: step % 3 - 1, y: (step / 3) % 3 - 1 })?;
        }
        match receive(socket)? {
            Some(FromServer::Bye { reason } | FromServer::Refused { reason }) => {
                log(format_args!("{name}: sent away: {reason}"));
                return Ok(Some(VisitEnd::SentAway(reason)));
            }
            Some(FromServer::Chat { from, text }) => log(format_args!("{name}: {from} says: {text}")),
            Some(FromServer::Map { map, mode }) => log(format_args!("{name}: now map {map}, mode {mode}")),
            Some(FromServer::World { .. } | FromServer::Pong { .. } | FromServer::Welcome { .. }) => {}
            None if heard.elapsed() < NOBODY => continue,
            None => {
                log(format_args!("{name}: the server is gone"));
                return Ok(Some(VisitEnd::NoAnswer));
            }
        }
        heard = Instant::now();
    }
    Ok(None)
}

/// Sends until an answer of the right kind comes.
fn ask(socket: &UdpSocket, packet: &FromPlayer, right: impl Fn(&FromServer) -> bool) -> io::Result<Option<FromServer>> {
    let begun = Instant::now();
    while begun.elapsed() < NOBODY {
        send(socket, packet)?;
        let sent = Instant::now();
        while sent.elapsed() < RESEND {
            if let Some(answer) = receive(socket)?.filter(&right) {
                return Ok(Some(answer));
            }
        }
    }
    Ok(None)
}

/// A server that isn't up (yet) refuses; that is as good as silence.
fn send(socket: &UdpSocket, packet: &FromPlayer) -> io::Result<()> {
    match socket.send(&packet.encode()) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(error),
    }
}

fn receive(socket: &UdpSocket) -> io::Result<Option<FromServer>> {
    let mut datagram = [0; MAX_DATAGRAM];
    match socket.recv(&mut datagram) {
        Ok(length) => Ok(FromServer::parse(&datagram[..length])),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::thread::sleep(RESEND);
            Ok(None)
        }
        Err(error)
            if [io::ErrorKind::WouldBlock, io::ErrorKind::TimedOut, io::ErrorKind::Interrupted]
                .contains(&error.kind()) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
