//! Where allocations come from. A provider reports facts and never decides.
//!
//! | provider | file | allocations |
//! |---|---|---|
//! | `auto` | [`auto`] | one of the agent's own whenever it is free |
//! | `sic` | [`sic`] | from the session service, with which the agent is registered |
//! | `hook` | [`hook`] | posted to the agent's operator API |
//!
//! A new provider is a file with a `run`, a row here, and its arms below. Each ends when its
//! [`Context`] says that nobody makes offers, or listens to its events, any more.

pub(crate) mod auto;
pub(crate) mod config;
pub(crate) mod hook;
pub(crate) mod sic;

use crate::{
    model::{
        allocation::{Allocation, ProviderKind},
        ids::{AllocationId, KeeperId},
    },
    session_api::agent::SessionClient,
};
use tokio::sync::{mpsc, watch};

/// Events that may wait for the driver; a provider waits when there are more.
const BACKLOG: usize = 8;

/// Which provider, and the settings that only it has.
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

/// Whether the agent is free for an allocation. Every `send` on the watch counts, also of an equal value: it asks for
/// another allocation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Offer {
    #[default]
    Withdrawn,
    Open {
        warm_map: Option<String>,
        version: Option<semver::Version>,
    },
}

/// What a provider reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProviderEvent {
    Allocated(Allocation),
    Deallocated {
        allocation: AllocationId,
    },
    /// The registration changed, or `trouble` keeps it from being made.
    Registered {
        registered: bool,
        trouble: Option<String>,
    },
}

/// Which life of this server it is, and which ones were before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incarnations {
    pub present: KeeperId,
    /// The latest first. One of them may still be registered.
    pub former: Vec<KeeperId>,
}

impl From<KeeperId> for Incarnations {
    fn from(present: KeeperId) -> Self {
        Incarnations { present, former: Vec::new() }
    }
}

/// What every provider works with.
#[derive(Debug)]
struct Context {
    session_client: SessionClient,
    offers: watch::Receiver<Offer>,
    incarnations: Incarnations,
    events: mpsc::Sender<ProviderEvent>,
}

/// Starts the provider as a task; it ends when the receiver or the sender of offers is dropped.
pub fn start(
    settings: ProviderSettings,
    session_client: SessionClient,
    offers: watch::Receiver<Offer>,
    incarnations: Incarnations,
) -> mpsc::Receiver<ProviderEvent> {
    let (events, reported) = mpsc::channel(BACKLOG);
    let context = Context { session_client, offers, incarnations, events };
    match settings {
        ProviderSettings::Auto => tokio::spawn(auto::run(context.offers, context.events)),
        ProviderSettings::Sic(settings) => tokio::spawn(sic::run(settings, context)),
        ProviderSettings::Hook => tokio::spawn(hook::run(context)),
    };
    reported
}
