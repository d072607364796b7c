//! Registration of servers ("SIC"): register, and ask for one's state, with a long poll (`?wait=SECONDS`) as an extension.
//!
//! A state call waits while nothing of what it asks for is news: a server that is `allocating`, or one that is `allocated` as the
//! item's own `allocation_id` (extension) says it knows already. `deregister` (extension) takes a free server back at once.
//!
//! | `error_code` | means |
//! |---|---|
//! | 0 | fine |
//! | 2 | no such registration: register |
//! | 3 | the item is malformed |
//! | 6 | an allocation is under way: poll on |

use crate::{
    model::{
        errors::Fault,
        ids::{AllocationId, SessionId},
    },
    service::{
        Shared,
        http::{
            read::{self, JsonCursor, ValidationErrors, any_text, id, list, text, unsigned},
            reply::{Outcome, Reply, not_permitted},
            request::RequestContext,
            route::{Access, Answering, Row, Run},
        },
        state::{
            Transaction,
            registry::{Registered, Registration, ServerState},
        },
    },
};
use http::Method;
use serde::Serialize;
use serde_json::json;
use std::{sync::Arc, time::Duration};
use tokio::sync::Notify;

pub static TABLE: &[Row] = &[
    row!(POST "/instances/sic_registration/v3/register", "sic_register", Access::Login, register),
    row!(later POST "/instances/sic_registration/v1/state", "sic_state", Access::Login, state),
    row!(POST "/instances/sic_registration/v1/deregister", "sic_deregister", Access::Login, deregister),
];

/// Items a call may have.
const MAX_ITEMS: usize = 100;
const UNKNOWN: u32 = 2;
const UNDER_WAY: u32 = 6;

/// The answer for one item.
#[derive(Debug, Default, Serialize)]
struct Item {
    success: bool,
    error_code: u32,
    error_message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    allocation_id: Option<AllocationId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<SessionId>,
}

impl Item {
    fn fine() -> Item {
        Item { success: true, ..Item::default() }
    }
    fn failed(error_code: u32, message: &str) -> Item {
        Item { error_code, error_message: message.to_owned(), ..Item::default() }
    }
}

/// Servers have credentials of their own: a player can't register one.
fn only_servers(request: &RequestContext) -> Outcome<()> {
    if request.caller.player.is_none() || request.caller.may(&["session:instance:register"]) {
        return Ok(());
    }
    Err(not_permitted("register servers"))
}

fn registration(at: JsonCursor<'_>, faults: &mut ValidationErrors) -> Option<Registration> {
    let mut item = at.object(faults)?;
    let id = item.required("id", id);
    let public_host = item.required("public_host", text(1, 255));
    let public_port = item.required("public_port", unsigned(1, 65_535));
    Some(Registration {
        group_tags: item.optional("group_tags", any_text).unwrap_or_default(),
        incarnation: item.optional("incarnation", read::id),
        version: item.optional("version", read::version),
        region_id: item.optional("region_id", read::id),
        warm_map: item.optional("warm_map", any_text),
        id: id?,
        public_host: public_host?,
        public_port: public_port?,
    })
}

fn register(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    only_servers(request)?;
    let items = request.body(|object| object.required("items", list(1, MAX_ITEMS, registration)))?;
    let mut answers = Vec::new();
    for registration in items {
        let fresh = tx.new_uuid().to_string();
        let (now, id) = (tx.now.mono, registration.id.clone());
        answers.push(match tx.servers.register(registration, &request.caller.subject, now, fresh) {
            Registered::Free => Item::fine(),
            Registered::UnderWay => Item::failed(UNDER_WAY, "an allocation is under way: poll its state"),
            Registered::Restarted(session) => {
                tx.close_instance(&session, "its server has restarted");
                Item::fine()
            }
        });
        tx.offer_server(&id);
    }
    Ok(Reply::json(&json!({ "items": answers })))
}

fn deregister(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    only_servers(request)?;
    let items = request.body(|object| object.required("items", list(1, MAX_ITEMS, state_item)))?;
    for item in &items {
        tx.servers.withdraw(&item.id, &request.caller.subject);
    }
    let answers: Vec<Item> = items.iter().map(|_| Item::fine()).collect();
    Ok(Reply::json(&json!({ "items": answers })))
}

#[derive(Debug, Clone)]
struct StateItem {
    id: String,
    /// What the asker knows already.
    known: Option<String>,
}

fn state_item(at: JsonCursor<'_>, faults: &mut ValidationErrors) -> Option<StateItem> {
    let mut item = at.object(faults)?;
    let known = item.optional("allocation_id", id);
    Some(StateItem { id: item.required("id", id)?, known })
}

fn state(shared: Arc<Shared>, request: RequestContext) -> Answering {
    Box::pin(async move {
        only_servers(&request)?;
        let items = request.body(|object| object.required("items", list(1, MAX_ITEMS, state_item)))?;
        let longest = shared.settings().limits.longest_wait.get();
        let wait = wait_span(&request)?.min(longest);
        let answers = if wait.is_zero() { None } else { Some(wait_for_news(&shared, &request, &items, wait).await?) };
        let answers = match answers {
            Some(answers) => answers,
            None => look(&shared, &request, &items).await?.0,
        };
        Ok(Reply::json(&json!({ "items": answers })).into())
    })
}

fn wait_span(request: &RequestContext) -> Outcome<Duration> {
    let Some(text) = request.raw_query("wait") else { return Ok(Duration::ZERO) };
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=86_400.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err(crate::service::http::reply::Interrupt::Invalid(vec![Fault {
            loc: vec!["query".into(), "wait".into()],
            msg: "expected seconds, 0 to 86400".into(),
            kind: "value_error.number".into(),
        }])),
    }
}

/// The items' states, whether any is news, and what to wait for while none is.
async fn look(
    shared: &Arc<Shared>,
    request: &RequestContext,
    items: &[StateItem],
) -> Outcome<(Vec<Item>, bool, Vec<Arc<Notify>>)> {
    let (looked, seen) = shared.transact(&shared.moment(), |tx| {
        let mut news = false;
        let answers: Vec<Item> = items
            .iter()
            .map(|item| {
                let answer = state_of(tx, request, item);
                let known = answer.allocation_id.as_ref().map(AllocationId::as_str) == item.known.as_deref();
                news |= !(answer.state == Some("allocating") || (answer.state == Some("allocated") && known));
                answer
            })
            .collect();
        let woken = items.iter().filter_map(|item| tx.servers.get(&item.id)).map(|server| server.woken.clone());
        Ok((answers, news, woken.collect()))
    });
    shared.commits.wait(seen).await?;
    looked
}

fn state_of(tx: &mut Transaction<'_>, request: &RequestContext, item: &StateItem) -> Item {
    let now = tx.now.mono;
    let unknown = || Item::failed(UNKNOWN, "not registered");
    if tx.servers.get(&item.id).is_none_or(|server| server.subject != request.caller.subject) {
        return unknown();
    }
    if let Some(server) = tx.servers.get_mut(&item.id) {
        server.seen = now;
    }
    // It may have been silent for so long that it couldn't be handed out.
    tx.offer_server(&item.id);
    let Some(server) = tx.servers.get_mut(&item.id) else { return unknown() };
    match &mut server.state {
        ServerState::Free => Item { state: Some("allocating"), ..Item::fine() },
        ServerState::Over => Item { state: Some("deallocated"), ..Item::fine() },
        ServerState::Held { allocation, session, told } => {
            let (allocation, session) = (allocation.clone(), session.clone());
            if !std::mem::replace(told, true) {
                tx.note_delivered(&session);
            }
            Item {
                state: Some("allocated"),
                allocation_id: Some(allocation),
                session_id: Some(session),
                ..Item::fine()
            }
        }
    }
}

/// Counts a server as waiting for as long as it lives; a client that goes away takes its wait with it.
struct Waiting {
    shared: Arc<Shared>,
    ids: Vec<String>,
}

impl Waiting {
    fn start(shared: &Arc<Shared>, request: &RequestContext, items: &[StateItem]) -> Waiting {
        let ids: Vec<String> = items.iter().map(|item| item.id.clone()).collect();
        shared.with_state(|state| ids.iter().for_each(|id| state.servers.poll_begins(id, &request.caller.subject)));
        Waiting { shared: shared.clone(), ids }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let now = self.shared.clock.now().mono;
        self.shared.with_state(|state| self.ids.iter().for_each(|id| state.servers.poll_ends(id, now)));
    }
}

async fn wait_for_news(
    shared: &Arc<Shared>,
    request: &RequestContext,
    items: &[StateItem],
    wait: Duration,
) -> Outcome<Vec<Item>> {
    let _waiting = Waiting::start(shared, request, items);
    let over = tokio::time::sleep(wait);
    tokio::pin!(over);
    loop {
        let (answers, news, woken) = look(shared, request, items).await?;
        if news || woken.is_empty() {
            return Ok(answers);
        }
        // Listening must begin before looking again, or a change in between is missed.
        let mut listening: Vec<_> = woken.iter().map(|woken| Box::pin(woken.notified())).collect();
        for listener in &mut listening {
            listener.as_mut().enable();
        }
        let (answers, news, _) = look(shared, request, items).await?;
        if news {
            return Ok(answers);
        }
        tokio::select! {
            _ = futures_util::future::select_all(listening) => {}
            () = &mut over => return Ok(answers),
            () = shared.ended() => return Ok(answers),
        }
    }
}
