//! A TCP proxy that breaks on command: it stands between an agent and the session service.
//!
//! ```text
//!   client ──► Proxy (own thread, own runtime) ──► the real server
//!                ▲ set(Fault): in force when it returns
//! ```
//!
//! | fault | new connections | those already open |
//! |---|---|---|
//! | `None` | passed through | stay |
//! | `Refuse` | refused by the kernel: nobody listens | closed |
//! | `BlackHole` | accepted, read, never answered | frozen for ever, also after the fault is over |
//! | `Answer` | every request gets this answer, or these bytes | closed |
//! | `Slow` | passed through, every answer held back this long | closed |
//! | `Cut` | passed through until this many bytes of answers went by, then closed | closed |

use std::{net::SocketAddr, sync::mpsc as blocking, thread, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
};

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    None,
    Refuse,
    BlackHole,
    Answer(Vec<u8>),
    Slow(Duration),
    Cut { after: usize },
}

impl Fault {
    /// A status with an empty body; `headers` as they go over the wire, each with its line end.
    pub fn status(status: u16, headers: &str) -> Fault {
        Fault::Answer(format!("HTTP/1.1 {status} Fault\r\nContent-Length: 0\r\n{headers}\r\n").into_bytes())
    }

    /// 429 that asks to wait this many seconds.
    pub fn too_many(seconds: u32) -> Fault {
        Fault::status(429, &format!("Retry-After: {seconds}\r\n"))
    }

    /// Bytes that are no HTTP at all.
    pub fn garbage() -> Fault {
        Fault::Answer(b"\x16\x03\x01garbage \xff\xfe\r\n\r\n{{{{".to_vec())
    }

    /// A success whose body can't be read.
    pub fn garbage_body() -> Fault {
        let body = "{\"session_id\": [unfinished";
        let text = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        Fault::Answer(text.into_bytes())
    }

    /// What a load balancer answers that has lost its backend.
    pub fn html_404() -> Fault {
        let body = "<html><h1>404 page not found</h1></html>";
        let text = format!(
            "HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        Fault::Answer(text.into_bytes())
    }
}

/// The proxy; it ends when this is dropped.
pub struct Proxy {
    address: SocketAddr,
    orders: mpsc::UnboundedSender<(Fault, blocking::Sender<()>)>,
    accepted: watch::Receiver<u64>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Proxy {
    /// Passes everything to `server`, at first.
    pub fn start(server: SocketAddr) -> Self {
        let (orders, taken) = mpsc::unbounded_channel();
        let (count, accepted) = watch::channel(0);
        let (ready, address) = blocking::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                ready.send(listener.local_addr().unwrap()).unwrap();
                run(listener, server, taken, count).await;
            });
        });
        let address = address.recv().unwrap();
        Proxy { address, orders, accepted, thread: Some(thread) }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Breaks, or mends. In force when this returns.
    pub fn set(&self, fault: Fault) {
        let (done, wait) = blocking::channel();
        self.orders.send((fault, done)).unwrap();
        wait.recv().unwrap();
    }

    /// Waits until it has accepted so many.
    pub async fn until_accepted(&mut self, count: u64) {
        self.accepted.wait_for(|now| *now >= count).await.unwrap();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let (orders, _) = mpsc::unbounded_channel();
        drop(std::mem::replace(&mut self.orders, orders));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Accepts while there is a listener; ends when nobody can give orders any more.
async fn run(
    listener: TcpListener,
    server: SocketAddr,
    mut orders: mpsc::UnboundedReceiver<(Fault, blocking::Sender<()>)>,
    count: watch::Sender<u64>,
) {
    let address = listener.local_addr().unwrap();
    let mut listener = Some(listener);
    let (fault, _) = watch::channel(Fault::None);
    loop {
        tokio::select! {
            biased;
            order = orders.recv() => {
                let Some((wanted, done)) = order else { return };
                if wanted == Fault::Refuse {
                    listener = None;
                } else if listener.is_none() {
                    listener = Some(TcpListener::bind(address).await.unwrap());
                }
                fault.send_replace(wanted);
                let _ = done.send(());
            }
            client = accept(listener.as_ref()) => {
                count.send_modify(|count| *count += 1);
                tokio::spawn(serve(client, server, fault.subscribe()));
            }
        }
    }
}

async fn accept(listener: Option<&TcpListener>) -> TcpStream {
    let Some(listener) = listener else { return std::future::pending().await };
    loop {
        if let Ok((client, _)) = listener.accept().await {
            return client;
        }
    }
}

/// One connection, under the fault in force when it was accepted; what follows when that changes is in the module's table.
async fn serve(mut client: TcpStream, server: SocketAddr, mut fault: watch::Receiver<Fault>) {
    let now = fault.borrow_and_update().clone();
    let work = async {
        match now {
            Fault::None => pass(&mut client, server, Duration::ZERO, usize::MAX).await,
            Fault::Slow(by) => pass(&mut client, server, by, usize::MAX).await,
            Fault::Cut { after } => pass(&mut client, server, Duration::ZERO, after).await,
            Fault::Answer(bytes) => answer(&mut client, &bytes).await,
            Fault::BlackHole => swallow(&mut client).await,
            Fault::Refuse => Ok(()),
        }
    };
    let next = tokio::select! {
        _ = work => return,
        _ = fault.changed() => fault.borrow().clone(),
    };
    if next == Fault::BlackHole {
        let _ = swallow(&mut client).await;
    }
}

async fn swallow(client: &mut TcpStream) -> std::io::Result<()> {
    let mut buffer = [0; 4096];
    while client.read(&mut buffer).await? > 0 {}
    Ok(())
}

/// Copies both ways; answers are held back by `delay`, and end after `limit` bytes.
async fn pass(client: &mut TcpStream, server: SocketAddr, delay: Duration, limit: usize) -> std::io::Result<()> {
    let mut server = TcpStream::connect(server).await?;
    let _ = server.set_nodelay(true);
    let _ = client.set_nodelay(true);
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    tokio::select! {
        ended = copy(&mut from_client, &mut to_server, Duration::ZERO, usize::MAX) => ended,
        ended = copy(&mut from_server, &mut to_client, delay, limit) => ended,
    }
}

async fn copy(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    delay: Duration,
    mut left: usize,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    while left > 0 {
        let count = from.read(&mut buffer).await?.min(left);
        if count == 0 {
            break;
        }
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        to.write_all(&buffer[..count]).await?;
        left -= count;
    }
    Ok(())
}

/// Reads requests whole and answers each the same.
async fn answer(client: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    let mut seen = Vec::new();
    loop {
        let Some(length) = request_length(&seen) else {
            let mut buffer = [0; 4096];
            match client.read(&mut buffer).await? {
                0 => return Ok(()),
                count => seen.extend_from_slice(&buffer[..count]),
            }
            continue;
        };
        seen.drain(..length);
        client.write_all(bytes).await?;
    }
}

/// The length of the first request, head and body, if it is there whole.
fn request_length(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
    let body = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .map_or(0, |value| value.trim().parse::<usize>().unwrap());
    (bytes.len() >= head + body).then_some(head + body)
}
