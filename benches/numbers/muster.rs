//! Makes a fleet: agents that are registered, were given sessions, and have a player each.

use crate::{
    service::{Target, join},
    support::world::PATIENCE,
    wire::{Answer, Wire, request},
};
use serde_json::json;
use std::{cell::Cell, rc::Rc};
use tokio::task::JoinSet;

/// Connections over which the fleet is made.
const AT_A_TIME: usize = 64;

/// An agent and its player: what each asks in every cadence.
pub struct Member {
    pub agent: Vec<Step>,
    pub player: Vec<Step>,
}

/// A request that is repeated.
pub enum Step {
    Same(Vec<u8>),
    /// A look at the session, with the tag that was seen last.
    Look {
        path: String,
        token: String,
        tag: String,
    },
}

impl Step {
    pub fn request(&self) -> Vec<u8> {
        match self {
            Step::Same(request) => request.clone(),
            Step::Look { path, token, tag } => request("GET", path, token, &[("if-none-match", tag)], None),
        }
    }
    pub fn learn(&mut self, answer: Answer) {
        match (self, answer.etag) {
            (Step::Look { tag, .. }, Some(new)) => *tag = new,
            (Step::Look { .. }, None) | (Step::Same(_), _) => {}
        }
    }
}

/// Makes so many. Every so manieth player comes and goes.
pub async fn fleet(target: &Rc<Target>, agents: usize, restless: usize) -> Vec<Member> {
    let next = Rc::new(Cell::new(0));
    let mut making = JoinSet::new();
    for _ in 0..AT_A_TIME {
        let (next, target) = (next.clone(), target.clone());
        making.spawn_local(async move {
            let mut wire = Wire::open(target.address).await;
            let mut made = Vec::new();
            while next.get() < agents {
                let number = next.replace(next.get() + 1);
                made.push(member(&target, &mut wire, number, number % restless == 0).await);
            }
            made
        });
    }
    let made = tokio::time::timeout(PATIENCE * 10, making.join_all()).await.expect("the fleet comes up");
    made.into_iter().flatten().collect()
}

async fn member(target: &Target, wire: &mut Wire, number: usize, restless: bool) -> Member {
    let server = target.agent(wire).await;
    let (path, allocation, state) = allocated(target, wire, &server, &format!("server{number}")).await;
    let instance = format!("{path}/instance");
    let up = json!({"allocation_id": allocation, "join_status": "joinable", "join_params": {"public_conn_str": "192.0.2.1:7777", "private_conn_str": ""}});
    let shown = wire.ask(&request("PATCH", &instance, &server, &[], Some(&up))).await;
    let health = json!({"instance_id": shown.text("/instance_id"), "instance_health": "healthy"});
    let health = request("POST", &format!("{instance}/health"), &server, &[], Some(&health));
    wire.ask(&health).await.ok();

    let who = target.player(wire, &format!("fleet{number}")).await;
    let me = format!("{path}/player/me");
    let come = request("POST", &me, &who, &[], Some(&join()));
    let tag = wire.ask(&come).await;
    tag.ok();
    let look = |token: &str| Step::Look {
        path: path.clone(),
        token: token.to_owned(),
        tag: tag.etag.clone().unwrap_or_default(),
    };
    let mut player = vec![look(&who)];
    if restless {
        player.extend([Step::Same(request("DELETE", &me, &who, &[], None)), Step::Same(come)]);
    }
    Member { agent: vec![Step::Same(health), Step::Same(state), look(&server)], player }
}

/// Registers an agent and waits until it is given a session, not always the one that was made for it. The session's path, the
/// allocation, and how the agent asks for its state.
async fn allocated(target: &Target, wire: &mut Wire, server: &str, name: &str) -> (String, String, Vec<u8>) {
    let item = json!({"id": name, "group_tags": format!("server_id:{name}"), "public_host": "192.0.2.1",
        "public_port": 7777, "incarnation": name, "version": "1.0.0", "region_id": "local"});
    let register = "/instances/sic_registration/v3/register";
    wire.ask(&request("POST", register, server, &[], Some(&json!({"items": [item]})))).await.ok();
    let path = target.session(wire).await;
    let wanted = json!({"host_type": "dedicated", "instance_startup_params": {"map": "dm1", "misc_params": ""}});
    wire.ask(&request("POST", &format!("{path}/instance"), &target.platform, &[], Some(&wanted))).await.ok();

    let body = json!({"items": [{"id": name}]});
    let state = "/instances/sic_registration/v1/state";
    let given = loop {
        let waiting = request("POST", &format!("{state}?wait=30"), server, &[], Some(&body));
        let answer = wire.ask(&waiting).await;
        if answer.ok()["items"][0]["state"] == "allocated" {
            break answer;
        }
    };
    let session = given.text("/items/0/session_id");
    let path = format!("/session/v1/session/{session}");
    (path, given.text("/items/0/allocation_id"), request("POST", state, server, &[], Some(&body)))
}
