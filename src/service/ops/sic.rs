//! Registration of servers ("SIC"): register, and ask for one's state, with a long poll
//! (`?wait=SECONDS`) as an extension.
//!
//! A state call waits while nothing of what it asks for is news: a server that is `allocating`, or
//! one that is `allocated` as the item's own `allocation_id` (extension) says it knows already.
//! `deregister` (extension) takes a free server back at once.
//!
//! | `error_code` | means |
//! |---|---|
//! | 0 | fine |
//! | 2 | no such registration: register |
//! | 3 | the item is malformed |
//! | 4 | the id belongs to another client: try again |
//! | 6 | an allocation is under way: poll on |

use crate::{
    model::{
        parameters::Waiting as WaitQuery,
        sic::{
            ALLOCATION_UNDER_WAY, Register, Registered as RegisteredAnswer, RegisteredItem, Server,
            ServerState as State, Servers, StateItem, States, TAKEN, UNKNOWN_SERVER,
        },
    },
    service::{
        Shared,
        http::{
            reply::{Outcome, Reply},
            request::RequestContext,
            route::{Access, AnswerFuture, Handler, Row},
        },
        state::{
            Transaction,
            registry::{Registered, ServerState},
        },
    },
};
use http::Method;
use std::{sync::Arc, time::Duration};
use tokio::sync::Notify;

/// Servers have credentials of their own: neither a player registers one, nor a client without that permission.
const REGISTER: Access = Access::AnyOf(&["session:instance:register"]);

pub static TABLE: &[Row] = &[
    row!(POST "/instances/sic_registration/v3/register", "sic_register", REGISTER, register),
    row!(later POST "/instances/sic_registration/v1/state", "sic_state", REGISTER, state),
    row!(POST "/instances/sic_registration/v1/deregister", "sic_deregister", REGISTER, deregister),
];

fn fine() -> RegisteredItem {
    RegisteredItem { success: true, error_code: 0, error_message: String::new() }
}

fn register(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let Register { items } = request.body()?;
    let mut answers = Vec::new();
    for registration in items {
        let fresh = tx.new_uuid().to_string();
        let (now, id) = (tx.now.mono, registration.id.clone());
        answers.push(match tx.servers.register(registration, &request.caller.subject, now, fresh) {
            Registered::Free => fine(),
            Registered::UnderWay => RegisteredItem {
                success: false,
                error_code: ALLOCATION_UNDER_WAY,
                error_message: "an allocation is under way: poll its state".to_owned(),
            },
            Registered::Taken => RegisteredItem {
                success: false,
                error_code: TAKEN,
                error_message: "the id belongs to another client, which was heard of lately".to_owned(),
            },
            Registered::Restarted(session) => {
                tx.close_instance(&session, "its server has restarted");
                fine()
            }
        });
        tx.offer_server(&id);
    }
    Ok(Reply::json(&RegisteredAnswer { items: answers }))
}

fn deregister(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let Servers { items } = request.body()?;
    for item in &items {
        tx.servers.withdraw(&item.id, &request.caller.subject);
    }
    Ok(Reply::json(&RegisteredAnswer { items: items.iter().map(|_| fine()).collect() }))
}

fn state(shared: Arc<Shared>, request: RequestContext) -> AnswerFuture {
    Box::pin(async move {
        let Servers { items } = request.body()?;
        let WaitQuery { wait } = request.query()?;
        let longest = shared.settings().limits.longest_wait.get();
        let wait = Duration::from_secs_f64(wait.unwrap_or(0.0)).min(longest);
        let answers = if wait.is_zero() { None } else { Some(wait_for_news(&shared, &request, &items, wait).await?) };
        let answers = match answers {
            Some(answers) => answers,
            None => look(&shared, &request, &items).await?.0,
        };
        Ok(Reply::json(&States { items: answers }).into())
    })
}

/// The items' states, whether any is news, and what to wait for while none is.
async fn look(
    shared: &Arc<Shared>,
    request: &RequestContext,
    items: &[Server],
) -> Outcome<(Vec<StateItem>, bool, Vec<Arc<Notify>>)> {
    let (looked, seen) = shared.transact(&shared.moment(), |tx| {
        let mut news = false;
        let answers: Vec<StateItem> = items
            .iter()
            .map(|item| {
                let answer = state_of(tx, request, item);
                let known = answer.allocation_id == item.allocation_id;
                news |= !(answer.state == Some(State::Allocating) || (answer.state == Some(State::Allocated) && known));
                answer
            })
            .collect();
        let woken = items.iter().filter_map(|item| tx.servers.get(&item.id)).map(|server| server.woken.clone());
        Ok((answers, news, woken.collect()))
    });
    shared.commits.wait(seen).await?;
    looked
}

fn state_of(tx: &mut Transaction<'_>, request: &RequestContext, item: &Server) -> StateItem {
    let now = tx.now.mono;
    let unknown =
        || StateItem { error_code: UNKNOWN_SERVER, error_message: "not registered".to_owned(), ..StateItem::default() };
    let fine = || StateItem { success: true, ..StateItem::default() };
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
        ServerState::Free => StateItem { state: Some(State::Allocating), ..fine() },
        ServerState::Over => StateItem { state: Some(State::Deallocated), ..fine() },
        ServerState::Held { allocation, session, told } => {
            let (allocation, session) = (allocation.clone(), session.clone());
            if !std::mem::replace(told, true) {
                tx.note_delivered(&session);
            }
            StateItem {
                state: Some(State::Allocated),
                allocation_id: Some(allocation),
                session_id: Some(session),
                ..fine()
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
    fn start(shared: &Arc<Shared>, request: &RequestContext, items: &[Server]) -> Waiting {
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
    items: &[Server],
    wait: Duration,
) -> Outcome<Vec<StateItem>> {
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
