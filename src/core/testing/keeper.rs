//! The keeper and the game under it.

use crate::model::{
    ids::KeeperId,
    keeper::{KeeperOrder, LeftReport},
    process::{Containment, KeeperHello, RunState},
};

use std::time::Duration;

/// The keeper and the game under it.
#[derive(Debug)]
pub(crate) struct Keeper {
    pub id: &'static str,
    pub run: RunState,
    pub record: Option<String>,
    pub stop_requested: bool,
    pub host_deadline: Option<Duration>,
    pub starts: Vec<u64>,
    /// Whether the game ends when it is signalled.
    pub game_obeys: bool,
    pub orders: Vec<String>,
    /// Whether the keeper says of a game, as soon as it is started, that it runs.
    pub says_started: bool,
    /// Whether it refuses the next start.
    pub refuses: bool,
    /// It is dead, and none can be had.
    pub gone: bool,
    /// What it has left behind of the game's end.
    pub left: Option<LeftReport>,
}

impl Keeper {
    pub(crate) fn new(id: &'static str) -> Self {
        Keeper {
            id,
            run: RunState::Empty,
            record: None,
            stop_requested: false,
            host_deadline: None,
            starts: Vec::new(),
            game_obeys: true,
            orders: Vec::new(),
            says_started: true,
            refuses: false,
            gone: false,
            left: None,
        }
    }

    pub(crate) fn hello(&self) -> KeeperHello {
        KeeperHello {
            keeper: KeeperId::new(self.id).unwrap(),
            pid: 10,
            epoch: 1,
            run: self.run.clone(),
            containment: Containment::Subreaper,
            record: self.record.clone(),
            listeners: Vec::new(),
            stop_requested: self.stop_requested,
            output_from: None,
            host_deadline: self.host_deadline,
            users: None,
            gateway: false,
        }
    }
}

/// An order in a few words.
pub(super) fn short(order: &KeeperOrder) -> String {
    match order {
        KeeperOrder::Signal { run, signal } => format!("signal {signal} to {run}"),
        KeeperOrder::Stdin { line, .. } => format!("stdin {line}"),
        KeeperOrder::ExitTaken { run } => format!("taken {run}"),
        KeeperOrder::Start { run, .. } | KeeperOrder::Kill { run } => format!("{} {run}", order.name()),
        other => other.name().to_owned(),
    }
}
