//! The provider `sic` against a registration service whose every answer is scripted.

use crate::support::scripted::{Asked, Logins, Server};
use gameside::internals::{
    providers::{Incarnations, Offer, ProviderEvent, ProviderSettings, sic::SicSettings, start},
    session_api::{
        ConnectionSettings, Credentials, Secret,
        agent::{SessionClientSettings, connect},
    },
};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::sync::{mpsc, watch};

const REGISTER: &str = "POST /instances/sic_registration/v3/register";
const STATE: &str = "POST /instances/sic_registration/v1/state?wait=25";
const STATE_NOW: &str = "POST /instances/sic_registration/v1/state";
const DEREGISTER: &str = "POST /instances/sic_registration/v1/deregister";

struct World {
    server: Server,
    offer: watch::Sender<Offer>,
    events: mpsc::Receiver<ProviderEvent>,
}

async fn world() -> World {
    world_after(&[]).await
}

/// A world in which there were lives before.
async fn world_after(former: &[&str]) -> World {
    let server = Server::start(Logins::Server).await;
    let secret = Secret::Text("s3cret".to_owned().into());
    let connection = ConnectionSettings {
        base_url: server.url(),
        unix_socket: None,
        ca_file: None,
        credentials: Credentials::Client { id: "agent".into(), secret },
        user_agent: "gameside/test".into(),
    };
    let settings = SessionClientSettings { connection, call_timeout: SessionClientSettings::CALL_TIMEOUT };
    let (session_client, _) = connect(&settings).unwrap();
    let (offer, offers) = watch::channel(Offer::Withdrawn);
    let settings = SicSettings {
        id: None,
        public_host: "play.example.com".into(),
        public_port: 7777,
        group_tags: vec![("profile_id".into(), "1".into()), ("server_id".into(), "n1".into())],
        region_id: Some("eu".into()),
        wait: SicSettings::WAIT,
        interval: SicSettings::INTERVAL,
    };
    let former = former.iter().map(|former| former.parse().unwrap()).collect();
    let incarnations = Incarnations { present: "keeper-1".parse().unwrap(), former };
    let events = start(ProviderSettings::Sic(settings), session_client, offers, incarnations);
    World { server, offer, events }
}

impl World {
    fn open(&self, warm_map: Option<&str>) {
        let version = Some("1.2.3".parse().unwrap());
        self.offer.send_replace(Offer::Open { warm_map: warm_map.map(str::to_owned), version });
    }

    /// Registered, with a state call waiting.
    async fn registered(&mut self) -> Asked {
        self.open(None);
        self.server.expect(REGISTER).await.json(200, &fine());
        assert_eq!(self.events.recv().await, Some(registered()));
        self.server.expect(STATE).await
    }

    /// The next event that isn't about the registration.
    async fn event(&mut self) -> ProviderEvent {
        loop {
            match self.events.recv().await.unwrap() {
                ProviderEvent::Registered { .. } => {}
                event => return event,
            }
        }
    }

    async fn trouble(&mut self) -> String {
        loop {
            if let Some(ProviderEvent::Registered { trouble: Some(trouble), .. }) = self.events.recv().await {
                return trouble;
            }
        }
    }
}

fn registered() -> ProviderEvent {
    ProviderEvent::Registered { registered: true, trouble: None }
}

fn fine() -> Value {
    json!({"items": [{"success": true, "error_code": 0, "error_message": ""}]})
}

fn failed(code: i32) -> Value {
    json!({"items": [{"success": false, "error_code": code, "error_message": "scripted"}]})
}

fn state(state: &str) -> Value {
    json!({"items": [{"success": true, "error_code": 0, "state": state}]})
}

fn allocated(id: &str) -> Value {
    json!({"items": [{"success": true, "error_code": 0, "state": "allocated", "allocation_id": id, "session_id": "s1"}]})
}

fn is_allocation(event: &ProviderEvent, id: &str) -> bool {
    matches!(event, ProviderEvent::Allocated(allocation)
        if allocation.allocation_id.as_str() == id && allocation.session_id.as_ref().is_some_and(|s| s.as_str() == "s1"))
}

#[tokio::test]
async fn registers_polls_and_is_allocated() {
    let mut world = world().await;
    world.open(Some("dm1"));
    let register = world.server.expect(REGISTER).await;
    assert_eq!(
        register.body,
        json!({"items": [{
            "id": "sic_play.example.com_7777", "group_tags": "profile_id:1,server_id:n1",
            "public_host": "play.example.com", "public_port": 7777,
            "incarnation": "keeper-1", "warm_map": "dm1", "version": "1.2.3", "region_id": "eu"
        }]})
    );
    register.json(200, &fine());
    assert_eq!(world.events.recv().await, Some(registered()));
    let poll = world.server.expect(STATE).await;
    assert_eq!(poll.body, json!({"items": [{"id": "sic_play.example.com_7777"}]}));
    poll.json(200, &allocated("a1"));
    assert!(is_allocation(&world.event().await, "a1"));

    // Allocated, it only wants to hear whether that is taken back.
    let poll = world.server.expect(STATE).await;
    assert_eq!(poll.body["items"][0]["allocation_id"], "a1");
    poll.json(200, &state("deallocated"));
    let taken_back = ProviderEvent::Deallocated { allocation: "a1".parse().unwrap() };
    assert_eq!(world.event().await, taken_back);

    // Free again, it registers again, and the old allocation is no news.
    world.open(None);
    world.server.expect(REGISTER).await.json(200, &fine());
    world.server.expect(STATE).await.json(200, &allocated("a2"));
    assert!(is_allocation(&world.event().await, "a2"));
}

#[tokio::test]
async fn an_allocation_under_way_is_polled_for() {
    let mut world = world().await;
    world.open(None);
    world.server.expect(REGISTER).await.json(200, &failed(6));
    world.server.expect(STATE).await.json(200, &allocated("a1"));
    assert!(is_allocation(&world.event().await, "a1"));
}

#[tokio::test(start_paused = true)]
async fn registers_again_when_the_service_forgot_it_or_the_warm_map_changes() {
    let mut world = world().await;
    let poll = world.registered().await;
    poll.json(200, &failed(2));
    world.server.expect(REGISTER).await.json(200, &fine());
    let poll = world.server.expect(STATE).await;
    world.open(Some("dm2"));
    let register = world.server.expect(REGISTER).await;
    assert_eq!(register.body["items"][0]["warm_map"], "dm2");
    register.json(200, &fine());
    drop(poll);
    let poll = world.server.expect(STATE).await;
    // The same offer once more changes nothing.
    world.open(Some("dm2"));
    let again = world.server.expect(STATE).await;
    drop(poll);
    again.json(200, &allocated("a1"));
    assert!(is_allocation(&world.event().await, "a1"));
}

#[tokio::test(start_paused = true)]
async fn a_service_that_does_not_hold_the_call_is_asked_at_intervals() {
    let mut world = world().await;
    let mut poll = world.registered().await;
    for _ in 0..5 {
        let before = tokio::time::Instant::now();
        poll.json(200, &state("allocating"));
        poll = world.server.expect(STATE).await;
        let pause = before.elapsed();
        assert!(pause >= SicSettings::INTERVAL.mul_f64(0.74) && pause <= SicSettings::INTERVAL * 2, "{pause:?}");
    }
    poll.json(200, &allocated("a1"));
    assert!(is_allocation(&world.event().await, "a1"));
    // Nor is it asked further once it has allocated.
    world.server.expect(STATE).await.json(200, &allocated("a1"));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(world.server.is_quiet());
}

#[tokio::test]
async fn a_withdrawal_takes_the_registration_back() {
    let mut world = world().await;
    let _poll = world.registered().await;
    world.offer.send_replace(Offer::Withdrawn);
    world.server.expect(DEREGISTER).await.json(200, &fine());
    assert_eq!(world.events.recv().await, Some(ProviderEvent::Registered { registered: false, trouble: None }));
    world.server.expect(STATE_NOW).await.json(200, &failed(2));
    world.open(None);
    world.server.expect(REGISTER).await.json(200, &fine());
    assert_eq!(world.events.recv().await, Some(registered()));
}

#[tokio::test]
async fn a_withdrawal_that_came_too_late_tells_the_allocation() {
    let mut world = world().await;
    let _poll = world.registered().await;
    world.offer.send_replace(Offer::Withdrawn);
    world.server.expect(DEREGISTER).await.json(200, &fine());
    world.server.expect(STATE_NOW).await.json(200, &allocated("a1"));
    assert!(is_allocation(&world.event().await, "a1"));
}

#[tokio::test(start_paused = true)]
async fn never_gives_up_and_says_what_stands_in_its_way() {
    let mut world = world().await;
    world.open(None);
    for _ in 0..20 {
        world.server.expect(REGISTER).await.json(200, &failed(4));
    }
    assert!(world.trouble().await.contains("error 4: scripted"));
    for _ in 0..20 {
        world.server.expect(REGISTER).await.error(500, "internal_error");
    }
    assert!(world.trouble().await.contains("500"));
    world.server.expect(REGISTER).await.json(200, &fine());
    world.server.expect(STATE).await.json(200, &allocated("a1"));
    assert!(is_allocation(&world.event().await, "a1"));
}

#[tokio::test]
async fn names_one_life_after_the_other_until_the_service_knows_it() {
    let mut world = world_after(&["keeper-3", "keeper-2"]).await;
    world.open(None);
    for (previous, answer) in [("keeper-3", failed(4)), ("keeper-2", failed(5)), ("keeper-2", failed(4))] {
        let asked = world.server.expect(REGISTER).await;
        assert_eq!(asked.body["items"][0]["previous_incarnation"], previous);
        asked.json(200, &answer);
    }
    let asked = world.server.expect(REGISTER).await;
    assert_eq!(asked.body["items"][0]["previous_incarnation"], "keeper-3");
    asked.json(200, &fine());
    world.server.expect(STATE).await.json(200, &state("allocating"));
}

#[tokio::test]
async fn ends_when_nobody_listens() {
    let mut world = world().await;
    let poll = world.registered().await;
    drop(world.offer);
    assert_eq!(world.events.recv().await, None);
    drop(poll);
}
