//! The real session service, in the test's own process, and a client that it knows.

use gameside::{
    internals::{
        service::{self, Listeners, ServiceSettings},
        session_api::{
            ConnectionSettings, Credentials,
            agent::{SessionClient, SessionClientSettings, connect},
        },
    },
    model::calls::Backend,
};
use std::{net::SocketAddr, path::PathBuf};
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::mpsc};

/// The service; it ends with the test's runtime.
pub struct InProcess {
    pub address: SocketAddr,
    dir: TempDir,
}

impl InProcess {
    pub async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut settings = ServiceSettings::default();
        let secret = dir.path().join("secret");
        std::fs::write(&secret, "a local secret").unwrap();
        settings.auth.local_secret = Some(secret);
        let state = dir.path().join("state");
        tokio::spawn(async move {
            let listeners = Listeners { tcp: vec![listener], ..Listeners::default() };
            service::serve(settings, &state, listeners, std::future::pending()).await.unwrap();
        });
        InProcess { address, dir }
    }

    pub fn secret(&self) -> PathBuf {
        self.dir.path().join("secret")
    }

    /// A client that reaches it at `address`: its own, or a proxy's.
    pub fn client(&self, address: SocketAddr) -> (SessionClient, mpsc::Receiver<Backend>) {
        let connection = ConnectionSettings {
            base_url: format!("http://{address}").parse().unwrap(),
            unix_socket: None,
            ca_file: None,
            credentials: Credentials::Local { secret_file: self.secret() },
            user_agent: "gameside/test".into(),
        };
        connect(&SessionClientSettings { connection, call_timeout: SessionClientSettings::CALL_TIMEOUT }).unwrap()
    }
}
