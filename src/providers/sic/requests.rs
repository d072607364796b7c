//! One request at a time, and the pauses between them. Each ends early when there is a new offer.

use super::{
    FIRST_PAUSE, GRACE, LAST_PAUSE, Sic, Stopped, WaitEnd,
    answers::{SicError, StateReport, state},
};
use crate::{
    model::calls::{Backend, Refusal},
    session_api::endpoints::{ApiRequest, SIC_STATE},
};
use serde::de::DeserializeOwned;
use std::time::Duration;
use tokio::time::sleep;

/// How a request ended.
pub(super) enum Reply<T> {
    Answer(Result<T, SicError>),
    /// It was given up for a new offer.
    NewOffer,
}

impl Sic {
    /// Asks for this server's state; the service may hold the answer for up to `wait`.
    pub(super) async fn state(&mut self, wait: Duration) -> Result<Reply<StateReport>, Stopped> {
        let mut request = SIC_STATE.request_with([], &self.server());
        if !wait.is_zero() {
            request = request.map(|request| request.query("wait", wait.as_secs()));
        }
        Ok(match self.ask(request, wait).await? {
            Reply::Answer(answer) => Reply::Answer(answer.and_then(state)),
            Reply::NewOffer => Reply::NewOffer,
        })
    }

    /// One request. If it is given up for a new offer, a later request brings what its answer would have brought.
    pub(super) async fn ask<T: DeserializeOwned>(
        &mut self,
        request: Result<ApiRequest<T>, Refusal>,
        wait: Duration,
    ) -> Result<Reply<T>, Stopped> {
        self.backend.mark_unchanged();
        let request = match request {
            Ok(request) => request,
            Err(refusal) => return Ok(Reply::Answer(Err(refusal.into()))),
        };
        tokio::select! {
            answer = self.context.session_client.request(request, wait + GRACE) => {
                Ok(Reply::Answer(answer.map_err(SicError::from)))
            }
            changed = self.context.offers.changed() => changed.map(|()| Reply::NewOffer).map_err(|_| Stopped),
            () = self.context.events.closed() => Err(Stopped),
        }
    }

    /// The pause after a failure: longer each time, `at_least` as long as the service asked for; it ends early when the
    /// service is back.
    pub(super) async fn back_off(&mut self, at_least: Option<Duration>) -> Result<WaitEnd, Stopped> {
        let usual = self.backoff.next(FIRST_PAUSE, LAST_PAUSE, rand::random());
        let pause = usual.max(at_least.unwrap_or_default());
        let mut backend = self.backend.clone();
        let back = async {
            while backend.changed().await.is_ok() {
                if *backend.borrow_and_update() == Backend::Up {
                    return;
                }
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            end = self.wait(pause) => end,
            () = back, if at_least.is_none() => Ok(WaitEnd::Elapsed),
        }
    }

    pub(super) async fn wait(&mut self, span: Duration) -> Result<WaitEnd, Stopped> {
        tokio::select! {
            () = sleep(span) => Ok(WaitEnd::Elapsed),
            changed = self.context.offers.changed() => changed.map(|()| WaitEnd::NewOffer).map_err(|_| Stopped),
            () = self.context.events.closed() => Err(Stopped),
        }
    }

    pub(super) async fn next_offer(&mut self) -> Result<(), Stopped> {
        tokio::select! {
            changed = self.context.offers.changed() => changed.map_err(|_| Stopped),
            () = self.context.events.closed() => Err(Stopped),
        }
    }
}
