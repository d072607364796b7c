//! The driver's inbox: it makes one sequence of what all edges send.
//!
//! One bounded channel an edge; the choice among those that have something is random, so that a
//! chatty edge starves nobody.
//!
//! | from | bound | when it is full |
//! |---|---|---|
//! | keeper, provider, session client, probes | their own | the edge waits; levels coalesce there |
//! | the log's reader | its own | the reader falls behind, and catches up from the file |
//! | answers of calls | one a call under way | the call's task waits |
//! | the SDK gateway | one batch at a time, and what was asked for | the link waits |
//! | orders | [`QUEUE`] | the API answers 503 |
//! | journal | one fact a commit | never: the core commits one at a time |

use super::{log_reader::LogNews, ports::Examined};
use crate::{
    core::io::JournalFact,
    frontends::native::OperatorRequest,
    gateway::client::GatewayEvent,
    keeper::KeeperEvent,
    model::calls::{Answer, Backend, CallId, Refusal},
    probes::Finding,
    providers::ProviderEvent,
};
use std::collections::VecDeque;
use tokio::sync::{mpsc, oneshot};

/// Orders that may wait for the driver.
pub(crate) const QUEUE: usize = 256;

/// The outcome of a call.
pub(crate) type Answered = (CallId, Result<Answer, Refusal>);

/// What the outside wants of the driver itself.
#[derive(Debug)]
pub enum Control {
    /// SIGTERM or SIGINT.
    Terminate,
    /// SIGHUP, with the settings that were read; none: nothing that could be used.
    Reload(Box<crate::core::settings::Settings>),
    /// A line of the agent's own for the timeline.
    Note { kind: &'static str, text: String },
}

/// One thing that came in.
#[derive(Debug)]
pub enum Arrival {
    Keeper(KeeperEvent),
    Journal(JournalFact),
    Answered(Answered),
    Backend(Backend),
    Provider(ProviderEvent),
    Gateway(GatewayEvent),
    Operator(OperatorRequest),
    LivenessCheck(oneshot::Sender<()>),
    Found(Finding),
    Log(LogNews),
    Examined(Examined),
    Control(Control),
}

/// The receiving ends.
#[derive(Debug)]
pub struct Inbox {
    /// What came before there was a driver.
    pub early: VecDeque<Arrival>,
    pub keeper: mpsc::Receiver<KeeperEvent>,
    pub journal: mpsc::UnboundedReceiver<JournalFact>,
    pub answers: mpsc::Receiver<Answered>,
    pub backend: mpsc::Receiver<Backend>,
    pub provider: mpsc::Receiver<ProviderEvent>,
    pub gateway: mpsc::Receiver<GatewayEvent>,
    pub operator: mpsc::Receiver<OperatorRequest>,
    pub liveness: mpsc::Receiver<oneshot::Sender<()>>,
    pub found: mpsc::Receiver<Finding>,
    pub log: mpsc::Receiver<LogNews>,
    /// What the keeper says waits until the output before it has been read.
    pub keeper_waits: bool,
    pub examined: mpsc::Receiver<Examined>,
    pub control: mpsc::Receiver<Control>,
}

impl Inbox {
    /// The next arrival; waits for ever when every edge is gone. Cancel-safe.
    pub async fn next(&mut self) -> Arrival {
        if !self.keeper_waits
            && let Some(arrival) = self.early.pop_front()
        {
            return arrival;
        }
        tokio::select! {
            Some(event) = self.keeper.recv(), if !self.keeper_waits => Arrival::Keeper(event),
            Some(fact) = self.journal.recv() => Arrival::Journal(fact),
            Some(answered) = self.answers.recv() => Arrival::Answered(answered),
            Some(backend) = self.backend.recv() => Arrival::Backend(backend),
            Some(event) = self.provider.recv() => Arrival::Provider(event),
            Some(event) = self.gateway.recv() => Arrival::Gateway(event),
            Some(request) = self.operator.recv() => Arrival::Operator(request),
            Some(alive) = self.liveness.recv() => Arrival::LivenessCheck(alive),
            Some(found) = self.found.recv() => Arrival::Found(found),
            Some(news) = self.log.recv() => Arrival::Log(news),
            Some(examined) = self.examined.recv() => Arrival::Examined(examined),
            Some(control) = self.control.recv() => Arrival::Control(control),
        }
    }
}
