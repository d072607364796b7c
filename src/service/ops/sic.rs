//! Registration of servers ("SIC"): register, and ask for one's state, with a long poll
//! (`?wait=SECONDS`) as an extension.
//!
//! A state call waits while nothing of what it asks for is news: a server that is `allocating`, or
//! one that is `allocated` as the item's own `allocation_id` (extension) says it knows already.
//! `deregister` (extension) takes a free server back at once; `release` (extension) is how an
//! operator takes any registration away.
//!
//! | `error_code` | means |
//! |---|---|
//! | 0 | fine |
//! | 2 | no such registration: register |
//! | 3 | the item is malformed |
//! | 4 | the id belongs to another client, or to another life of the server that was heard of lately: try again |
//! | 5 | too many servers are registered: try again |
//! | 6 | an allocation is under way: poll on |

use crate::{
    model::{
        parameters::Waiting as WaitQuery,
        sic::{
            ALLOCATION_UNDER_WAY, BAD_SERVER, FULL, Register, Registered as RegisteredAnswer, RegisteredItem, Server,
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
            registry::Registered,
            server::{Poll, ServerState},
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
    row!(
        POST "/instances/sic_registration/v1/release",
        "sic_release", Access::AnyOf(&["session:instance:release"]), release
    ),
];

fn fine() -> RegisteredItem {
    RegisteredItem { success: true, error_code: 0, error_message: String::new() }
}

fn failed(error_code: i32, error_message: impl Into<String>) -> RegisteredItem {
    RegisteredItem { success: false, error_code, error_message: error_message.into() }
}

fn register(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let Register { items } = request.body()?;
    let answer = |registered| match registered {
        Registered::Free | Registered::Restarted(_) | Registered::NeverTold(_) => fine(),
        Registered::UnderWay => failed(ALLOCATION_UNDER_WAY, "an allocation is under way: poll its state"),
        Registered::Taken => failed(TAKEN, "the id belongs to another client, which was heard of lately"),
        Registered::Full => failed(FULL, "too many servers are registered: try again"),
        Registered::TooLarge => failed(BAD_SERVER, "its texts are too long"),
        Registered::Alive => failed(TAKEN, "another life of this server was heard of lately: try again"),
    };
    let items = items.into_iter().map(|item| answer(tx.register_server(item, &request.caller.subject)));
    Ok(Reply::json(&RegisteredAnswer { items: items.collect() }))
}

/// For operators: whosever it is.
fn release(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let Servers { items } = request.body()?;
    let items = items.iter().map(|item| {
        let there = tx.release_server(&item.id, &request.caller.subject);
        if there { fine() } else { failed(UNKNOWN_SERVER, "there is no such registration") }
    });
    Ok(Reply::json(&RegisteredAnswer { items: items.collect() }))
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
    let fine = || StateItem { success: true, ..StateItem::default() };
    match tx.poll_server(&item.id, &request.caller.subject) {
        None => {
            StateItem { error_code: UNKNOWN_SERVER, error_message: "not registered".to_owned(), ..StateItem::default() }
        }
        Some(ServerState::Free) => StateItem { state: Some(State::Allocating), ..fine() },
        Some(ServerState::Over) => StateItem { state: Some(State::Deallocated), ..fine() },
        Some(ServerState::Held { allocation, session, told: _ }) => StateItem {
            state: Some(State::Allocated),
            allocation_id: Some(allocation),
            session_id: Some(session),
            ..fine()
        },
    }
}

/// Counts servers as waiting for as long as it lives; a client that goes away takes its wait with it.
struct Waiting {
    shared: Arc<Shared>,
    polls: Vec<(String, Poll)>,
}

impl Waiting {
    fn start(shared: &Arc<Shared>, request: &RequestContext, items: &[Server]) -> Waiting {
        let now = shared.clock.now().mono;
        let polls = shared.with_state(|state| {
            let begin = |item: &Server| state.servers.poll_begins(&item.id, &request.caller.subject, now);
            let begun = items.iter().map(|item| &item.id).zip(items.iter().map(begin));
            begun.filter_map(|(id, poll)| Some((id.clone(), poll?))).collect()
        });
        Waiting { shared: shared.clone(), polls }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let now = self.shared.clock.now().mono;
        let polls = std::mem::take(&mut self.polls);
        self.shared.with_state(|state| polls.iter().for_each(|(id, poll)| state.servers.poll_ends(id, poll, now)));
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
