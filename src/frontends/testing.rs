//! What the tests of every frontend begin with: a status, and the driver's end of everything.

use super::{Events, GameMessage, OperatorRequest, Shared, Timeline, TokenStore, Tokens};
use crate::model::{
    CustomData,
    calls::Backend,
    ids::RunNumber,
    session::InstanceHealth,
    status::{AgentStatus, GameStatus, KeeperStatus, PhaseName, Status},
    time::Timestamp,
};
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::{mpsc, oneshot, watch};

pub const OPERATOR: &str = "operator-token";
/// The run that [`status`] shows.
pub const RUN: RunNumber = RunNumber(7);

/// A server that plays.
pub fn status() -> Status {
    Status {
        name: "arena".to_owned(),
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
        ports: BTreeMap::from([("game".to_owned(), 7777)]),
        players: 2,
        players_known: Vec::new(),
        max_players: Some(8),
        custom_data: CustomData::new(),
        agent: AgentStatus::default(),
        keeper: KeeperStatus { connected: true, ..KeeperStatus::default() },
        game: GameStatus { run: Some(RUN), pid: Some(42), ready: true, ..GameStatus::default() },
        sessions_url: None,
        backend: Backend::Up,
        outbox: Vec::new(),
        backfill_id: None,
        warnings: Vec::new(),
        last_end: None,
        deadline: None,
    }
}

/// The driver's end.
pub struct Driver {
    pub game_messages: mpsc::Receiver<GameMessage>,
    pub operator_requests: mpsc::Receiver<OperatorRequest>,
    pub liveness: mpsc::Receiver<oneshot::Sender<()>>,
    pub status: watch::Sender<Arc<Status>>,
    pub tokens: Arc<TokenStore>,
}

/// What a frontend is handed.
pub fn shared(status: Status) -> (Shared, Driver) {
    let (game_messages_to, game_messages) = mpsc::channel(8);
    let (requests_to, operator_requests) = mpsc::channel(8);
    let (liveness_to, liveness) = mpsc::channel(1);
    let (status, status_rx) = watch::channel(Arc::new(status));
    let tokens = Arc::new(TokenStore::new(OPERATOR.into()));
    let shared = Shared {
        game_messages: game_messages_to,
        operator_requests: requests_to,
        liveness: liveness_to,
        status: status_rx,
        events: Arc::new(Events::new("life")),
        timeline: Arc::new(Timeline::new(0)),
        tokens: Arc::clone(&tokens) as Arc<dyn Tokens>,
    };
    (shared, Driver { game_messages, operator_requests, liveness, status, tokens })
}
