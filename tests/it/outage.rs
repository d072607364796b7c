//! The session service breaks in every way, and comes back.

use crate::support::proxy::{Fault, Proxy};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// Answers every request with `hello`.
async fn hello_server() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = [0; 1024];
                while client.read(&mut buffer).await.is_ok_and(|count| count > 0) {
                    let _ = client.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").await;
                }
            });
        }
    });
    address
}

async fn ask(proxy: &Proxy) -> Result<String, reqwest::Error> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
    client.get(proxy.url()).timeout(Duration::from_millis(300)).send().await?.text().await
}

#[tokio::test]
async fn the_proxy_breaks_as_told_and_mends() {
    let mut proxy = Proxy::start(hello_server().await);
    assert_eq!(ask(&proxy).await.unwrap(), "hello");

    let mut open = TcpStream::connect(proxy.address()).await.unwrap();
    proxy.until_accepted(2).await;
    proxy.set(Fault::Refuse);
    assert!(ask(&proxy).await.unwrap_err().is_connect());
    assert_eq!(open.read(&mut [0; 8]).await.unwrap_or(0), 0, "the open connection is closed");

    proxy.set(Fault::BlackHole);
    assert!(ask(&proxy).await.unwrap_err().is_timeout());
    proxy.set(Fault::garbage());
    assert!(ask(&proxy).await.unwrap_err().is_request());
    proxy.set(Fault::Cut { after: 40 });
    assert!(ask(&proxy).await.is_err());
    proxy.set(Fault::Slow(Duration::from_secs(60)));
    assert!(ask(&proxy).await.unwrap_err().is_timeout());
    proxy.set(Fault::status(500, ""));
    assert_eq!(ask(&proxy).await.unwrap(), "");

    proxy.set(Fault::None);
    assert_eq!(ask(&proxy).await.unwrap(), "hello");
}
