//! Where allocations come from. A provider reports facts and never decides.
//!
//! | provider | file | allocations |
//! |---|---|---|
//! | `auto` | [`auto`] | one of the agent's own whenever it is free |
//! | `sic` | [`sic`] | from the session service, with which the agent is registered |
//! | `hook` | [`hook`] | posted to the agent's operator API |
//!
//! A new one is a file, a row here and an arm of [`start`].

pub mod auto;
pub mod hook;
pub mod sic;

use crate::{
    model::{
        allocation::{Allocation, ProviderKind},
        ids::{AllocationId, KeeperId},
    },
    session_api::agent::SessionClient,
};
use tokio::sync::{mpsc, watch};

/// Facts that may wait for the driver; a provider waits when there are more.
const BACKLOG: usize = 8;

/// Which provider, and what only it wants to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProviderSettings {
    Auto,
    Sic(sic::SicSettings),
    Hook,
}

impl ProviderSettings {
    pub fn kind(&self) -> ProviderKind {
        match self {
            ProviderSettings::Auto => ProviderKind::Auto,
            ProviderSettings::Sic(_) => ProviderKind::Sic,
            ProviderSettings::Hook => ProviderKind::Hook,
        }
    }
}

/// Whether the agent is free for an allocation. Every `send` on the watch counts, also of an equal value: it asks anew.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Offer {
    #[default]
    Withdrawn,
    Open {
        warm_map: Option<String>,
        version: Option<semver::Version>,
    },
}

/// A fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProviderEvent {
    Allocated(Allocation),
    Deallocated {
        allocation: AllocationId,
    },
    /// The registration changed, or something stands in its way.
    Registered {
        registered: bool,
        trouble: Option<String>,
    },
}

/// Starts the provider as a task; it ends when the receiver or the sender of offers is dropped.
pub fn start(
    settings: ProviderSettings,
    session_client: SessionClient,
    offers: watch::Receiver<Offer>,
    incarnation: KeeperId,
) -> mpsc::Receiver<ProviderEvent> {
    let (events, facts) = mpsc::channel(BACKLOG);
    match settings {
        ProviderSettings::Auto => tokio::spawn(auto::run(offers, events)),
        ProviderSettings::Sic(settings) => {
            tokio::spawn(sic::run(settings, session_client, offers, incarnation, events))
        }
        ProviderSettings::Hook => tokio::spawn(hook::run(offers, events)),
    };
    facts
}
