//! What the tests of every frontend begin with: a status, what a frontend is handed, and the
//! driver's end of it.

use super::{
    Events, GameMessage, GameQueue, Shared, Timeline, TokenStore, Tokens,
    native::{OperatorRequest, OperatorShared},
};
use crate::model::{
    CustomData,
    calls::Backend,
    game::{EventSource, GameEvent},
    ids::RunNumber,
    session::InstanceHealth,
    status::{AgentStatus, GameStatus, KeeperStatus, PhaseName, Status},
    time::Timestamp,
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
};
use tokio::sync::{mpsc, oneshot, watch};

pub(crate) const OPERATOR: &str = "operator-token";
/// The run that [`status`] shows.
pub(crate) const RUN: RunNumber = RunNumber(7);

/// A server that plays.
pub(crate) fn status() -> Status {
    Status {
        name: "arena".to_owned(),
        kind: crate::model::policy::GameKind::default(),
        phase: PhaseName::Serving,
        since: Timestamp::EPOCH,
        join_status: None,
        instance_health: InstanceHealth::Healthy,
        health_reasons: Vec::new(),
        reason: None,
        session_id: None,
        instance_id: None,
        allocation_id: None,
        match_id: None,
        public_conn_str: None,
        private_conn_str: None,
        map: Some("oa_dm1".to_owned()),
        mode: None,
        ports: [("game".to_owned(), 7777)].into(),
        players: Some(2),
        players_said: BTreeMap::new(),
        players_disputed_until: None,
        players_known: Vec::new(),
        players_from: Some(EventSource::Gsdk),
        max_players: Some(8),
        custom_data: CustomData::new(),
        agent: AgentStatus::default(),
        keeper: KeeperStatus { connected: true, ..KeeperStatus::default() },
        gateway: None,
        game: GameStatus { run: Some(RUN), pid: Some(42), ready: true, ..GameStatus::default() },
        machine: None,
        sessions_url: None,
        backend: Backend::Up,
        outbox: Vec::new(),
        backfill_id: None,
        warnings: Vec::new(),
        last_end: None,
        deadline: None,
    }
}

/// A warm game that no match is served by.
pub(crate) fn warm_status() -> Status {
    let game = GameStatus { run: Some(RUN), pid: Some(42), ..GameStatus::default() };
    Status { phase: PhaseName::Idle, map: None, players: Some(0), max_players: None, game, ..status() }
}

/// The agent's end of what a frontend is handed, and a copy of that.
pub(crate) struct TestDriver {
    pub shared: Shared,
    pub operators: OperatorShared,
    pub operator_requests: mpsc::Receiver<OperatorRequest>,
    pub liveness: mpsc::Receiver<oneshot::Sender<()>>,
    pub status: watch::Sender<Arc<Status>>,
    pub tokens: Arc<TokenStore>,
    /// Of the batch that is out, with its number: what nobody has received yet.
    batch: (u64, VecDeque<GameMessage>),
}

impl TestDriver {
    pub(crate) fn new(status: Status) -> Self {
        let (requests, operator_requests) = mpsc::channel(8);
        let (liveness_to, liveness) = mpsc::channel(1);
        let (status, status_rx) = watch::channel(Arc::new(status));
        let tokens = Arc::new(TokenStore::new(OPERATOR.into()));
        let queue = Arc::new(GameQueue::default());
        queue.set_agent(true);
        let shared = Shared {
            queue,
            heartbeats: Arc::default(),
            status: status_rx,
            events: Arc::new(Events::new("life")),
            tokens: Arc::clone(&tokens) as Arc<dyn Tokens>,
            api_counters: Arc::default(),
            connections: Arc::default(),
        };
        let operators = OperatorShared {
            requests,
            liveness: liveness_to,
            status: shared.status.clone(),
            events: Arc::clone(&shared.events),
            timeline: Arc::new(Timeline::new(0)),
            tokens: Arc::clone(&shared.tokens),
            api_counters: Arc::clone(&shared.api_counters),
        };
        TestDriver { shared, operators, operator_requests, liveness, status, tokens, batch: (0, VecDeque::new()) }
    }

    /// Takes one message of the game; a batch is acknowledged with its last.
    pub(crate) async fn receive(&mut self) -> GameMessage {
        loop {
            if let Some(message) = self.try_receive() {
                return message;
            }
            self.shared.queue.sent().await;
        }
    }

    /// The same, if there is one now.
    pub(crate) fn try_receive(&mut self) -> Option<GameMessage> {
        if self.batch.1.is_empty() {
            let batch = self.shared.queue.out()?;
            self.batch = (batch.number, batch.messages.clone().into());
        }
        let message = self.batch.1.pop_front();
        if self.batch.1.is_empty() {
            self.shared.queue.acknowledge(self.batch.0);
        }
        message
    }

    /// From now on acknowledges every message by itself, and notes the events.
    pub(crate) fn record(self, source: EventSource) -> Recorder {
        let recorder = Recorder { shared: self.shared.clone(), events: Arc::default(), status: self.status.clone() };
        let events = Arc::clone(&recorder.events);
        tokio::spawn(async move {
            loop {
                let Some(batch) = self.shared.queue.out() else {
                    self.shared.queue.sent().await;
                    continue;
                };
                for message in &batch.messages {
                    assert_eq!((message.run, message.source), (RUN, source));
                    events.lock().unwrap().push(message.event.clone());
                }
                self.shared.queue.acknowledge(batch.number);
            }
        });
        recorder
    }
}

/// What a driver that only takes note has noted.
pub(crate) struct Recorder {
    pub shared: Shared,
    pub status: watch::Sender<Arc<Status>>,
    events: Arc<Mutex<Vec<GameEvent>>>,
}

impl Recorder {
    /// The events since the last time.
    pub(crate) fn take(&self) -> Vec<GameEvent> {
        std::mem::take(&mut self.events.lock().unwrap())
    }
}
