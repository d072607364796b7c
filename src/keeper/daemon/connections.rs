//! Connections: one controller, a few observers. Nothing here blocks, and a slow peer delays nobody
//! else.
//!
//! ```text
//!   accept ─► peer uid? ─► New ──hello──► Controller (epoch n; the older one is told and closed first)
//!                           └───hello observe──► Observer (may look, and say stop)
//! ```
//!
//! Only the agent's user may control the keeper. Root, who could kill it anyway, may observe.
//!
//! A turn takes at most [`LINES_A_TURN`] lines of a peer, and looks at each byte once. What waits
//! beyond that is taken in the next turn, and nothing more is read from the peer before.
//!
//! Facts and answers are never dropped: the connection of a peer that lets [`MAX_OUTBOX`] bytes of
//! them pile up is closed, and its next hello tells it everything again. Lines of output are
//! dropped, and counted, from [`MAX_LINES`] on; an agent that reads the log is only told that there
//! is more of it, and falls behind without losing anything.

use super::{Instant, error::shortage, last_lines::LastLines, output::Lines};
use crate::{
    host::socket,
    keeper::protocol::{Event, MAX_ORDER_BYTES, Reply, Stream},
    model::{ids::RunNumber, keeper::Forward},
};
use rustix::{
    io::Errno,
    net::{RecvFlags, SocketFlags, accept_with, recv},
};
use std::{
    collections::VecDeque,
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::Duration,
};

/// How long we wait after an `accept` that failed for want of something.
const ACCEPT_AGAIN: Duration = Duration::from_millis(200);
const MAX_PEERS: usize = 8;
/// Lines of one peer that are carried out in a turn.
const LINES_A_TURN: usize = 32;
/// Bytes of answers and facts that may wait for one peer.
const MAX_OUTBOX: usize = 4 << 20;
/// Bytes that may wait when another line of output comes.
const MAX_LINES: usize = 128 << 10;

/// What the peer at the other end may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    New,
    Observer,
    Controller,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    socket: OwnedFd,
    pub(super) role: Role,
    /// The peer is the user who may control.
    is_agent: bool,
    /// Names the connection for as long as the keeper lives.
    pub(super) number: u64,
    inbox: Inbox,
    outbox: VecDeque<Packet>,
    waiting: usize,
    closed: bool,
}

/// A peer's bytes that aren't carried out yet.
#[derive(Debug, Default)]
struct Inbox {
    bytes: Vec<u8>,
    /// Where the next line begins.
    start: usize,
    /// Up to here there is no further end of a line.
    seen: usize,
    /// As many lines as a turn takes were taken: there may be more.
    full: bool,
    /// Nothing more will come.
    ended: bool,
}

/// Bytes, and descriptors that go with the first of them.
#[derive(Debug, Default)]
struct Packet {
    bytes: Vec<u8>,
    sent: usize,
    fds: Vec<OwnedFd>,
}

/// All connections.
#[derive(Debug, Default)]
pub(super) struct Connections {
    list: Vec<Connection>,
    last: u64,
    /// After an `accept` that failed for want of something: when it is tried again, and what was wanting.
    accept_from: Option<Instant>,
    short_of: Option<&'static str>,
    /// What the controller wants of the game's output.
    pub(super) output: Forward,
    /// The run whose log has more than the controller was told.
    kept: Option<RunNumber>,
    pub(super) lost_lines: u64,
}

impl Connections {
    pub(super) fn accept(&mut self, server: &OwnedFd, uid: u32, now: Instant) {
        loop {
            let socket = match accept_with(server, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
                Ok(socket) => socket,
                Err(error) => return self.not_accepted(error, now),
            };
            let peer = super::sys::peer_uid(&socket).unwrap_or(u32::MAX);
            if peer != uid && peer != 0 {
                warn!("a connection from uid {peer} was refused; only uid {uid} may give orders");
                continue;
            }
            if self.list.len() >= MAX_PEERS
                && let Some(at) = self.list.iter().position(|peer| peer.role != Role::Controller)
            {
                self.list.remove(at);
            }
            (self.accept_from, self.short_of) = (None, None);
            self.last += 1;
            self.list.push(Connection {
                socket,
                role: Role::New,
                is_agent: peer == uid,
                number: self.last,
                inbox: Inbox::default(),
                outbox: VecDeque::new(),
                waiting: 0,
                closed: false,
            });
        }
    }

    /// A connection that can't be accepted for want of something would be there again at once, and again.
    fn not_accepted(&mut self, error: Errno, now: Instant) {
        // Of a socket, EAGAIN only says that nobody else waits.
        let wanting = if error == Errno::AGAIN { None } else { shortage(&error.into()) };
        let Some(what) = wanting else { return self.short_of = None };
        if self.short_of.replace(what) != Some(what) {
            warn!("an agent that connects has to wait: {what}");
        }
        self.accept_from = Some(now + ACCEPT_AGAIN);
    }

    /// From when on connections are accepted again; none: at any time.
    pub(super) fn accept_from(&self) -> Option<Instant> {
        self.accept_from
    }

    /// True if the server's socket is to be waited for.
    pub(super) fn accepts(&self, now: Instant) -> bool {
        self.accept_from.is_none_or(|from| now >= from)
    }

    /// Descriptors to wait for, and whether there is something to write.
    pub(super) fn sockets(&self) -> impl Iterator<Item = (u64, BorrowedFd<'_>, bool)> {
        self.list.iter().map(|peer| (peer.number, peer.socket.as_fd(), !peer.outbox.is_empty()))
    }

    pub(super) fn role(&self, number: u64) -> Option<Role> {
        self.list.iter().find(|peer| peer.number == number).map(|peer| peer.role)
    }

    pub(super) fn may_control(&self, number: u64) -> bool {
        self.list.iter().any(|peer| peer.number == number && peer.is_agent)
    }

    pub(super) fn has_controller(&self) -> bool {
        self.list.iter().any(|peer| peer.role == Role::Controller && !peer.closed)
    }

    /// Takes in what this peer has sent.
    pub(super) fn read(&mut self, number: u64, buffer: &mut [u8]) {
        if let Some(peer) = self.find(number) {
            peer.read(buffer);
        }
    }

    /// The lines that are carried out in this turn, and the peers they came from.
    pub(super) fn lines(&mut self) -> Vec<(u64, Vec<u8>)> {
        let mut all = Vec::new();
        for peer in &mut self.list {
            all.extend(peer.inbox.lines().into_iter().map(|line| (peer.number, line)));
            peer.closed |= peer.inbox.is_over();
        }
        all
    }

    /// Lines wait for the next turn.
    pub(super) fn has_lines(&self) -> bool {
        self.list.iter().any(|peer| peer.inbox.full)
    }

    /// Makes this peer the controller. The older one is told and closed before anything is said to the newer.
    pub(super) fn set_controller(&mut self, number: u64) {
        let older = self.list.iter().find(|peer| peer.role == Role::Controller && peer.number != number);
        if let Some(older) = older.map(|peer| peer.number) {
            self.answer(older, None, Event::Superseded, Vec::new());
            self.drop_peer(older);
        }
        self.output = Forward::Nothing;
        self.kept = None;
        self.set_role(number, Role::Controller);
    }

    pub(super) fn set_role(&mut self, number: u64, role: Role) {
        if let Some(peer) = self.find(number) {
            peer.role = role;
        }
    }

    /// Sends what goes without waiting, and forgets the peer.
    pub(super) fn drop_peer(&mut self, number: u64) {
        if let Some(peer) = self.find(number) {
            peer.flush();
        }
        self.list.retain(|peer| peer.number != number);
    }

    /// To one peer; `re` = the order that this answers.
    pub(super) fn answer(&mut self, number: u64, re: Option<u64>, event: Event, fds: Vec<OwnedFd>) {
        if let Some(peer) = self.find(number) {
            peer.queue(&Reply { re, event }, fds);
        }
    }

    /// A fact, to everybody who has said hello.
    pub(super) fn tell(&mut self, event: &Event) {
        let reply = Reply { re: None, event: event.clone() };
        for peer in self.list.iter_mut().filter(|peer| peer.role != Role::New) {
            peer.queue(&reply, Vec::new());
        }
    }

    /// Writes what goes, and forgets who has gone.
    pub(super) fn flush(&mut self) {
        for peer in &mut self.list {
            peer.flush();
        }
        self.tell_kept();
        self.list.retain(|peer| !peer.closed);
    }

    /// That there is more in the log is said once, behind everything else, and again only when it was sent.
    fn tell_kept(&mut self) {
        let Some(run) = self.kept else { return };
        let controller = self.list.iter_mut().find(|peer| peer.role == Role::Controller && !peer.closed);
        if let Some(peer) = controller.filter(|peer| peer.outbox.is_empty()) {
            peer.queue(&Reply { re: None, event: Event::OutputKept { run } }, Vec::new());
            peer.flush();
            self.kept = None;
        }
    }

    /// Where the lines of one stream of one run go.
    pub(super) fn forwarder<'a>(
        &'a mut self,
        run: RunNumber,
        stream: Stream,
        last: &'a mut LastLines,
    ) -> OutputForwarder<'a> {
        OutputForwarder { connections: self, run, stream, last }
    }

    fn find(&mut self, number: u64) -> Option<&mut Connection> {
        self.list.iter_mut().find(|peer| peer.number == number)
    }
}

impl Inbox {
    fn take(&mut self, bytes: &[u8]) {
        // Only the beginning of a line is left when more is read.
        self.bytes.drain(..self.start);
        self.seen -= self.start;
        self.start = 0;
        self.bytes.extend_from_slice(bytes);
    }

    fn lines(&mut self) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        while lines.len() < LINES_A_TURN
            && let Some(length) = self.bytes[self.seen..].iter().position(|byte| *byte == b'\n')
        {
            let end = self.seen + length;
            lines.push(self.bytes[self.start..end].to_vec());
            self.start = end + 1;
            self.seen = self.start;
        }
        self.full = lines.len() == LINES_A_TURN;
        if !self.full {
            self.seen = self.bytes.len();
        }
        if self.start == self.bytes.len() {
            *self = Inbox { full: self.full, ended: self.ended, ..Inbox::default() };
        }
        lines
    }

    /// The peer has ended, or its line is too long; and everything before is carried out.
    fn is_over(&self) -> bool {
        !self.full && (self.ended || self.bytes.len() - self.start > MAX_ORDER_BYTES)
    }
}

impl Connection {
    fn read(&mut self, buffer: &mut [u8]) {
        while !self.inbox.full && !self.inbox.ended && self.inbox.bytes.len() - self.inbox.start <= MAX_ORDER_BYTES {
            match recv(&self.socket, &mut *buffer, RecvFlags::DONTWAIT) {
                Ok((0, _)) => self.inbox.ended = true,
                Ok((count, _)) => self.inbox.take(&buffer[..count]),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => self.closed = true,
            }
            if self.closed {
                return;
            }
        }
    }

    fn queue(&mut self, reply: &Reply, fds: Vec<OwnedFd>) {
        let Ok(mut bytes) = serde_json::to_vec(reply) else { return };
        bytes.push(b'\n');
        self.waiting += bytes.len();
        if self.waiting > MAX_OUTBOX {
            self.closed = true;
            return;
        }
        match self.outbox.back_mut() {
            Some(last) if fds.is_empty() && last.fds.is_empty() && last.bytes.len() < 32 << 10 => {
                last.bytes.extend(bytes);
            }
            _ => self.outbox.push_back(Packet { bytes, sent: 0, fds }),
        }
    }

    fn flush(&mut self) {
        while let Some(packet) = self.outbox.front_mut() {
            match packet.send(&self.socket) {
                Ok(count) => {
                    self.waiting -= count;
                    packet.sent += count;
                    packet.fds = Vec::new();
                    if packet.sent == packet.bytes.len() {
                        self.outbox.pop_front();
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => {
                    self.closed = true;
                    return;
                }
            }
        }
        self.outbox = VecDeque::new();
    }
}

impl Packet {
    fn send(&self, socket: &OwnedFd) -> Result<usize, Errno> {
        let fds: Vec<BorrowedFd<'_>> = self.fds.iter().map(AsFd::as_fd).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(crate::keeper::protocol::MAX_LISTENERS))];
        socket::send_with_fds(socket, &self.bytes[self.sent..], &fds, &mut space)
    }
}

/// Passes lines of output on to the controller, while it wants them and keeps up.
#[derive(Debug)]
pub(super) struct OutputForwarder<'a> {
    connections: &'a mut Connections,
    run: RunNumber,
    stream: Stream,
    last: &'a mut LastLines,
}

impl Lines for OutputForwarder<'_> {
    fn lines(&mut self, bytes: &[u8], kept: bool) {
        self.last.add(bytes);
        match self.connections.output {
            Forward::Nothing => return,
            Forward::News if kept => {
                self.connections.kept = Some(self.run);
                return;
            }
            Forward::Lines | Forward::News => {}
        }
        let Some(peer) = self.connections.list.iter_mut().find(|peer| peer.role == Role::Controller) else { return };
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            if peer.waiting > MAX_LINES {
                peer.flush();
            }
            if peer.waiting > MAX_LINES {
                self.connections.lost_lines += rest.split(|byte| *byte == b'\n').count() as u64 - 1;
                return;
            }
            let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
            let line = String::from_utf8_lossy(line).into_owned();
            let event = Event::Output { run: self.run, stream: self.stream, line, lost: !kept };
            peer.queue(&Reply { re: None, event }, Vec::new());
            rest = &rest[end + 1..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_the_same_however_they_come_and_a_turn_takes_so_many() {
        let text: Vec<u8> = (0..100).flat_map(|n| format!("{}\n", "x".repeat(n)).into_bytes()).collect();
        for size in [1, 7, 64, text.len()] {
            let mut inbox = Inbox::default();
            let (mut lines, mut turns) = (Vec::new(), 0);
            for part in text.chunks(size) {
                inbox.take(part);
                loop {
                    let some = inbox.lines();
                    assert!(some.len() <= LINES_A_TURN);
                    turns += 1;
                    lines.extend(some);
                    if !inbox.full {
                        break;
                    }
                }
            }
            let lengths: Vec<usize> = lines.iter().map(Vec::len).collect();
            assert_eq!(lengths, (0..100).collect::<Vec<_>>(), "in parts of {size}");
            assert!(turns >= 4 && inbox.bytes.capacity() == 0, "nothing is kept for nothing");
        }
    }

    #[test]
    fn a_line_holds_no_more_than_itself() {
        let mut inbox = Inbox::default();
        inbox.take(&vec![b'\n'; 300_000]);
        let mut lines = Vec::new();
        while {
            lines.extend(inbox.lines());
            inbox.full
        } {}
        assert_eq!((lines.len(), lines.iter().map(Vec::capacity).sum::<usize>()), (300_000, 0));
    }

    #[test]
    fn a_line_without_an_end_ends_the_connection() {
        let mut inbox = Inbox::default();
        inbox.take(&vec![b'x'; MAX_ORDER_BYTES]);
        assert!(inbox.lines().is_empty() && !inbox.is_over());
        inbox.take(b"xx");
        assert!(inbox.lines().is_empty() && inbox.is_over());
    }

    #[test]
    fn what_can_not_be_accepted_is_not_tried_again_at_once() {
        let at = |millis| Instant(Duration::from_millis(millis));
        let mut connections = Connections::default();
        connections.not_accepted(Errno::AGAIN, at(0));
        assert!(connections.accepts(at(0)), "nobody waits");
        connections.not_accepted(Errno::MFILE, at(0));
        assert!(!connections.accepts(at(199)) && connections.accepts(at(200)));
        assert_eq!(connections.accept_from(), Some(at(200)));
    }
}
