//! The session service breaks in every way, and comes back.

use crate::support::{
    inprocess::InProcess,
    proxy::{Fault, Proxy},
};
use gameside::{
    internals::{
        providers::{self, Incarnations, Offer, ProviderEvent, ProviderSettings, sic::SicSettings},
        session_api::agent::SessionClient,
    },
    model::{
        CustomData,
        allocation::Allocation,
        calls::{Answer, Backend, Call, NewSession, Refusal},
        ids::{KeeperId, SessionId},
        session::{HostType, InstanceRequest, InstanceUpdate, JoinStatus, Session, StartupParams},
    },
};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(60);

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

/// `patience` is short only where silence is expected.
async fn ask(proxy: &Proxy, patience: Duration) -> Result<String, reqwest::Error> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
    client.get(proxy.url()).timeout(patience).send().await?.text().await
}

#[tokio::test]
async fn the_proxy_breaks_as_told_and_mends() {
    let mut proxy = Proxy::start(hello_server().await);
    assert_eq!(ask(&proxy, LONG).await.unwrap(), "hello");

    let mut open = TcpStream::connect(proxy.address()).await.unwrap();
    proxy.until_accepted(2).await;
    proxy.set(Fault::Refuse);
    assert!(ask(&proxy, LONG).await.unwrap_err().is_connect());
    assert_eq!(open.read(&mut [0; 8]).await.unwrap_or(0), 0, "the open connection is closed");

    proxy.set(Fault::BlackHole);
    assert!(ask(&proxy, SHORT).await.unwrap_err().is_timeout());
    proxy.set(Fault::garbage());
    assert!(ask(&proxy, LONG).await.unwrap_err().is_request());
    proxy.set(Fault::Cut { after: 40 });
    assert!(ask(&proxy, LONG).await.is_err());
    proxy.set(Fault::Slow(Duration::from_secs(60)));
    assert!(ask(&proxy, SHORT).await.unwrap_err().is_timeout());
    proxy.set(Fault::status(500, ""));
    assert_eq!(ask(&proxy, LONG).await.unwrap(), "");

    proxy.set(Fault::None);
    assert_eq!(ask(&proxy, LONG).await.unwrap(), "hello");
}

/// A session of the agent's own, with its instance.
async fn own_session(session_client: &SessionClient) -> SessionId {
    let new = NewSession {
        request: "a1".into(),
        session_type: "default".into(),
        region: None,
        version: None,
        startup_params: StartupParams::default(),
        joinable: true,
        browser: CustomData::new(),
        custom_data: CustomData::new(),
        teams: Vec::new(),
    };
    let Ok(Answer::Created(session)) = session_client.carry_out(Call::CreateSession(Box::new(new))).await else {
        panic!()
    };
    session
}

async fn post(session_client: &SessionClient, session: &SessionId, host_type: HostType) {
    let body = InstanceRequest { host_type: Some(host_type), ..InstanceRequest::default() };
    session_client.carry_out(Call::PostInstance { session: session.clone(), body: Box::new(body) }).await.unwrap();
}

fn status(session: &SessionId, join_status: JoinStatus) -> Call {
    let body = InstanceUpdate { join_status: Some(join_status), ..InstanceUpdate::default() };
    Call::PatchInstance { session: session.clone(), body: Box::new(body) }
}

async fn read(session_client: &SessionClient, session: &SessionId) -> Box<Session> {
    match session_client.carry_out(Call::ReadSession { session: session.clone() }).await {
        Ok(Answer::Session(session)) => session,
        other => panic!("{other:?}"),
    }
}

/// Serves a session, loses the service through `fault`, and writes again as soon as it is told that the service is back.
async fn lose_and_regain(fault: Fault) -> Refusal {
    let service = InProcess::start().await;
    let proxy = Proxy::start(service.address);
    let (session_client, mut backend) = service.client(proxy.address());
    let session = own_session(&session_client).await;
    post(&session_client, &session, HostType::Preallocated).await;
    session_client.carry_out(status(&session, JoinStatus::Pending)).await.unwrap();
    assert_eq!(backend.recv().await, Some(Backend::Up));

    // The first call meets the old connection, cut by the change; the second meets the fault
    // itself.
    proxy.set(fault);
    session_client.carry_out(status(&session, JoinStatus::Joinable)).await.unwrap_err();
    let refusal = session_client.carry_out(status(&session, JoinStatus::Joinable)).await.unwrap_err();
    let Some(Backend::Away { .. }) = backend.recv().await else { panic!("it should be away") };
    proxy.set(Fault::None);
    loop {
        match backend.recv().await {
            Some(Backend::Up) => break,
            Some(Backend::Away { .. }) => {} // For another reason than before.
            other => panic!("{other:?}"),
        }
    }
    session_client.carry_out(status(&session, JoinStatus::Joinable)).await.unwrap();
    assert_eq!(read(&session_client, &session).await.instance.unwrap().join_status, JoinStatus::Joinable);
    refusal
}

#[tokio::test]
async fn refused() {
    assert!(matches!(lose_and_regain(Fault::Refuse).await, Refusal::Unreachable { .. }));
}

#[tokio::test]
async fn black_holed() {
    assert!(matches!(lose_and_regain(Fault::BlackHole).await, Refusal::Ambiguous { .. }));
}

#[tokio::test]
async fn errors() {
    assert!(matches!(lose_and_regain(Fault::status(500, "")).await, Refusal::Ambiguous { .. }));
}

#[tokio::test]
async fn too_many_requests() {
    assert!(matches!(lose_and_regain(Fault::too_many(1)).await, Refusal::Busy { retry_after: Some(_) }));
}

#[tokio::test]
async fn garbage() {
    assert!(matches!(lose_and_regain(Fault::garbage()).await, Refusal::Ambiguous { .. }));
    assert!(matches!(lose_and_regain(Fault::garbage_body()).await, Refusal::Ambiguous { .. }));
}

#[tokio::test]
async fn another_server_in_its_place() {
    assert_eq!(lose_and_regain(Fault::html_404()).await, Refusal::NoSuchApi);
}

#[tokio::test]
async fn too_slow() {
    assert!(matches!(lose_and_regain(Fault::Slow(Duration::from_secs(600))).await, Refusal::Ambiguous { .. }));
}

#[tokio::test]
async fn answers_cut_off() {
    assert!(matches!(lose_and_regain(Fault::Cut { after: 50 }).await, Refusal::Ambiguous { .. }));
}

async fn allocated(events: &mut tokio::sync::mpsc::Receiver<ProviderEvent>) -> Allocation {
    loop {
        match events.recv().await.unwrap() {
            ProviderEvent::Allocated(allocation) => return allocation,
            ProviderEvent::Registered { .. } | ProviderEvent::Deallocated { .. } => {}
        }
    }
}

#[tokio::test]
async fn a_registered_server_is_allocated_also_after_an_outage() {
    let service = InProcess::start().await;
    let proxy = Proxy::start(service.address);
    let (agent, _backend) = service.client(proxy.address());
    let (platform, _there) = service.client(service.address);
    let settings = SicSettings {
        id: None,
        public_host: "127.0.0.1".into(),
        public_port: 7777,
        group_tags: Vec::new(),
        region_id: None,
        wait: SicSettings::WAIT,
        interval: SicSettings::INTERVAL,
    };
    let open = Offer::Open { warm_map: None, version: None };
    let (offer, offers) = tokio::sync::watch::channel(open.clone());
    let kind = ProviderSettings::Sic(settings);
    let incarnations = Incarnations::from("keeper-1".parse::<KeeperId>().unwrap());
    let mut events = providers::start(kind, agent.clone(), offers, incarnations);

    let session = own_session(&platform).await;
    post(&platform, &session, HostType::Dedicated).await;
    let first = allocated(&mut events).await;
    assert_eq!(first.session_id.as_ref(), Some(&session));
    let found = agent.carry_out(Call::FindAllocation { allocation: first.allocation_id.clone() }).await;
    assert!(matches!(found, Ok(Answer::Session(found)) if found.session_id == session));

    // The match ends; while the agent registers again, the service is away.
    offer.send_replace(Offer::Withdrawn);
    let closed = InstanceUpdate {
        allocation_id: Some(first.allocation_id.clone()),
        join_status: Some(JoinStatus::Closed),
        ..InstanceUpdate::default()
    };
    agent.carry_out(Call::PatchInstance { session, body: Box::new(closed) }).await.unwrap();
    proxy.set(Fault::status(503, ""));
    offer.send_replace(open);
    let session = own_session(&platform).await;
    post(&platform, &session, HostType::Dedicated).await;
    loop {
        if let ProviderEvent::Registered { registered: false, trouble: Some(_) } = events.recv().await.unwrap() {
            break;
        }
    }
    proxy.set(Fault::None);
    let second = allocated(&mut events).await;
    assert_eq!(second.session_id, Some(session));
    assert_ne!(second.allocation_id, first.allocation_id);
}

#[tokio::test]
async fn the_service_says_from_where_it_is_called() {
    let service = InProcess::start().await;
    let (session_client, _backend) = service.client(service.address);
    assert!(session_client.connection_info().await.unwrap().is_loopback());
}
