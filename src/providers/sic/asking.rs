//! One request at a time, and the pauses between them. Each is given up for a new offer.

use super::{
    GRACE, LAST_PAUSE, Over, Sic, Woken,
    answers::{News, Trouble, state},
};
use crate::{
    model::{calls::Backend, sic::States},
    session_api::agent::ProviderRequest,
};
use serde::{Serialize, de::DeserializeOwned};
use std::time::Duration;
use tokio::time::sleep;

/// How a request ended.
pub(super) enum Heard<T> {
    Answer(Result<T, Trouble>),
    /// It was given up for a new offer.
    Offer,
}

impl Sic {
    /// Asks for our state, held for up to `wait`.
    pub(super) async fn state(&mut self, wait: Duration) -> Result<Heard<News>, Over> {
        let body = self.server();
        let held = if wait.is_zero() { String::new() } else { format!("?wait={}", wait.as_secs()) };
        Ok(match self.ask::<States>(&format!("/v1/state{held}"), &body, wait).await? {
            Heard::Answer(answer) => Heard::Answer(answer.and_then(state)),
            Heard::Offer => Heard::Offer,
        })
    }

    /// One request, given up when there is a new offer: what it brings is asked for again.
    pub(super) async fn ask<T: DeserializeOwned>(
        &mut self,
        path: &str,
        body: &impl Serialize,
        wait: Duration,
    ) -> Result<Heard<T>, Over> {
        self.backend.mark_unchanged();
        let request = ProviderRequest {
            method: http::Method::POST,
            path: format!("/instances/sic_registration{path}"),
            body: serde_json::to_vec(body).ok(),
            patience: wait + GRACE,
        };
        tokio::select! {
            answer = self.session_client.authorised(request) => Ok(Heard::Answer(answer.map_err(Trouble::Refused).and_then(
                |heard| serde_json::from_slice(&heard.body).map_err(|_| Trouble::Unreadable),
            ))),
            changed = self.offers.changed() => changed.map(|()| Heard::Offer).map_err(|_| Over),
            () = self.events.closed() => Err(Over),
        }
    }

    /// A pause after a failure: longer each time, ended early when the service is back.
    pub(super) async fn rest(&mut self, at_least: Option<Duration>) -> Result<Woken, Over> {
        let pause = self.pause.max(at_least.unwrap_or_default());
        self.pause = (self.pause * 2).min(LAST_PAUSE);
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
            woken = self.wait(jittered(pause)) => woken,
            () = back, if at_least.is_none() => Ok(Woken::Done),
        }
    }

    pub(super) async fn wait(&mut self, span: Duration) -> Result<Woken, Over> {
        tokio::select! {
            () = sleep(span) => Ok(Woken::Done),
            changed = self.offers.changed() => changed.map(|()| Woken::Offer).map_err(|_| Over),
            () = self.events.closed() => Err(Over),
        }
    }

    pub(super) async fn next_offer(&mut self) -> Result<(), Over> {
        tokio::select! {
            changed = self.offers.changed() => changed.map_err(|_| Over),
            () = self.events.closed() => Err(Over),
        }
    }
}

/// Earlier only, so that the longest pause is kept.
pub(super) fn jittered(span: Duration) -> Duration {
    span.mul_f64(rand::random_range(0.75..1.0))
}
