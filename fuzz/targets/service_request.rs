//! The session service, whole, behind a socket: any bytes get an answer that isn't its own fault,
//! or none.
#![no_main]

use gameside::internals::service::{Listeners, Service, ServiceSettings};
use libfuzzer_sys::fuzz_target;
use std::{
    io::{Read, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::LazyLock,
    thread,
    time::Duration,
};

static SOCKET: LazyLock<PathBuf> = LazyLock::new(start);

fuzz_target!(|request: &[u8]| {
    let mut stream = UnixStream::connect(SOCKET.as_path()).expect("the service listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
    // The service may have answered and closed before it has read everything.
    let _ = stream.write_all(request);
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(why) => assert_eq!(why.kind(), std::io::ErrorKind::ConnectionReset, "no end of the answer: {why}"),
    }
    if let Some(status) = answer.strip_prefix(b"HTTP/1.1 ").or_else(|| answer.strip_prefix(b"HTTP/1.0 ")) {
        assert!(status[0] < b'5', "the service's own fault: {}", String::from_utf8_lossy(&answer));
    } else {
        assert!(answer.is_empty(), "no HTTP: {}", String::from_utf8_lossy(&answer));
    }
});

/// A service with an empty store in memory, in threads of this process for as long as it lives.
fn start() -> PathBuf {
    let dir = tempfile::tempdir_in("/dev/shm").expect("a directory in memory").keep();
    let socket = dir.join("socket");
    let (ready, started) = std::sync::mpsc::channel();
    let listened = socket.clone();
    thread::spawn(move || serve(&dir, &listened, &ready));
    started.recv().expect("the service started");
    socket
}

fn serve(dir: &Path, socket: &Path, ready: &std::sync::mpsc::Sender<()>) {
    let mut settings = ServiceSettings::default();
    settings.auth.dev = true;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let service = Service::open(settings, dir).expect("an empty store");
        let unix = vec![tokio::net::UnixListener::bind(socket).expect("a socket")];
        ready.send(()).expect("somebody waits");
        let listeners = Listeners { unix, ..Listeners::default() };
        service.run(listeners, std::future::pending::<()>()).await.expect("it serves");
    });
}
