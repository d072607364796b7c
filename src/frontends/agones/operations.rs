//! The calls of the three packages, one function each, for both wires.

use super::{counters_lists::ListParts, error::RpcError, proto, sdk_server::SdkServer};
use crate::{frontends::game_queue::CallKind, host::clock};

impl SdkServer {
    pub(crate) async fn ready(&self) -> Result<(), RpcError> {
        self.execute(CallKind::Ordinary, super::state::SdkState::ready).await
    }
    pub(crate) async fn allocate(&self) -> Result<(), RpcError> {
        self.execute(CallKind::Ordinary, |state, view| state.allocate(view, clock::wall())).await
    }
    pub(crate) async fn shutdown(&self) -> Result<(), RpcError> {
        self.execute(CallKind::End, |state, _| state.shutdown()).await
    }
    pub(crate) async fn reserve(&self, seconds: i64) -> Result<(), RpcError> {
        self.execute(CallKind::Ordinary, |state, view| state.reserve(seconds, view, clock::wall())).await
    }
    pub(crate) async fn label(&self, key: &str, value: &str) -> Result<(), RpcError> {
        self.execute(CallKind::Ordinary, |state, _| state.label(key, value)).await
    }
    pub(crate) async fn annotate(&self, key: &str, value: &str) -> Result<(), RpcError> {
        self.execute(CallKind::Ordinary, |state, _| state.annotate(key, value)).await
    }

    pub(crate) async fn connect(&self, id: &str) -> Result<bool, RpcError> {
        self.execute(CallKind::Ordinary, |state, _| state.connect(id)).await
    }
    pub(crate) async fn disconnect(&self, id: &str) -> Result<bool, RpcError> {
        self.execute(CallKind::Ordinary, |state, _| state.disconnect(id)).await
    }
    pub(crate) async fn set_player_capacity(&self, capacity: i64) -> Result<(), RpcError> {
        self.execute(CallKind::Ordinary, |state, _| state.set_player_capacity(capacity)).await
    }
    pub(crate) fn player_capacity(&self) -> i64 {
        self.read(|state| state.players.as_ref().map_or(0, |players| players.capacity))
    }
    pub(crate) fn players(&self) -> Vec<String> {
        self.read(|state| state.players.as_ref().map(|players| players.ids.clone()).unwrap_or_default())
    }

    pub(crate) fn counter(&self, name: &str) -> Result<proto::Counter, RpcError> {
        let counter = self.read(|state| state.counter(name))?;
        Ok(proto::Counter { name: name.to_owned(), count: counter.count, capacity: counter.capacity })
    }
    pub(crate) async fn update_counter(&self, update: &proto::CounterUpdate) -> Result<proto::Counter, RpcError> {
        self.execute(CallKind::Ordinary, |state, _| state.update_counter(update, &self.settings)).await
    }

    pub(crate) fn list(&self, name: &str) -> Result<proto::List, RpcError> {
        let list = self.read(|state| state.list(name).cloned())?;
        Ok(proto::List { name: name.to_owned(), capacity: list.capacity, values: list.values })
    }
    pub(crate) async fn update_list(&self, update: &proto::List, parts: ListParts) -> Result<proto::List, RpcError> {
        self.execute(CallKind::Ordinary, |state, _| state.update_list(update, parts, &self.settings)).await
    }
    pub(crate) async fn add_value(&self, name: &str, value: &str) -> Result<proto::List, RpcError> {
        self.execute(CallKind::Ordinary, |state, _| state.add_value(name, value, &self.settings)).await
    }
    pub(crate) async fn remove_value(&self, name: &str, value: &str) -> Result<proto::List, RpcError> {
        self.execute(CallKind::Ordinary, |state, _| state.remove_value(name, value, &self.settings)).await
    }
}
