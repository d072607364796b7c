//! Gameside's own API for games and operators.

use super::{Bound, Frontend, Place, Shared, Wanted};
use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};
use tokio::task::JoinSet;

/// Where the native API listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Loopback only; port 0 = any free one.
    pub tcp: SocketAddr,
    /// The unix socket; none = off.
    pub socket: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { tcp: (Ipv4Addr::LOCALHOST, 0).into(), socket: None }
    }
}

/// Names of its sockets at the keeper.
pub const TCP: &str = "native-tcp";
pub const UNIX: &str = "native-unix";

/// The frontend.
#[derive(Debug)]
pub struct Native {
    settings: Settings,
}

impl Native {
    pub fn new(settings: Settings) -> Self {
        Native { settings }
    }
}

impl Frontend for Native {
    fn name(&self) -> &'static str {
        "native"
    }
    fn sockets(&self) -> Vec<Wanted> {
        let tcp = Wanted { name: TCP.to_owned(), place: Place::Tcp(self.settings.tcp) };
        let unix = self
            .settings
            .socket
            .as_ref()
            .map(|path| Wanted { name: UNIX.to_owned(), place: Place::Unix(path.clone(), 0o666) });
        std::iter::once(tcp).chain(unix).collect()
    }
    fn env(&self, bound: &[Bound]) -> BTreeMap<String, String> {
        let tcp = bound.iter().find(|bound| bound.name == TCP).and_then(Bound::tcp_address);
        let api = tcp.map(|address| ("GAMESIDE_API".to_owned(), format!("http://{address}")));
        let socket = self.settings.socket.as_ref();
        let socket = socket.map(|path| ("GAMESIDE_SOCKET".to_owned(), path.display().to_string()));
        api.into_iter().chain(socket).collect()
    }
    fn serve(self: Box<Self>, _bound: &mut Vec<Bound>, _shared: Shared, _tasks: &mut JoinSet<()>) -> io::Result<()> {
        unimplemented!("lands next")
    }
}
