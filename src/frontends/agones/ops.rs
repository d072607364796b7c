//! The operations of the three packages, one each, for both wires.

use super::{desk::Desk, fault::Fault, proto, tallies::ListParts};
use crate::host::clock;

impl Desk {
    pub async fn ready(&self) -> Result<(), Fault> {
        self.act(super::book::Book::ready).await
    }
    pub async fn allocate(&self) -> Result<(), Fault> {
        self.act(|book, _| book.allocate(clock::wall())).await
    }
    pub async fn shutdown(&self) -> Result<(), Fault> {
        self.act(|book, _| book.shutdown()).await
    }
    pub async fn reserve(&self, seconds: i64) -> Result<(), Fault> {
        self.act(|book, _| book.reserve(seconds, clock::wall())).await
    }
    pub async fn label(&self, key: &str, value: &str) -> Result<(), Fault> {
        self.act(|book, _| book.label(key, value)).await
    }
    pub async fn annotate(&self, key: &str, value: &str) -> Result<(), Fault> {
        self.act(|book, _| book.annotate(key, value)).await
    }

    pub async fn connect(&self, id: &str) -> Result<bool, Fault> {
        self.act(|book, _| book.connect(id)).await
    }
    pub async fn disconnect(&self, id: &str) -> Result<bool, Fault> {
        self.act(|book, _| book.disconnect(id)).await
    }
    pub async fn set_player_capacity(&self, capacity: i64) -> Result<(), Fault> {
        self.act(|book, _| book.set_player_capacity(capacity)).await
    }
    pub fn player_capacity(&self) -> i64 {
        self.read(|book| book.players.as_ref().map_or(0, |players| players.capacity))
    }
    pub fn players(&self) -> Vec<String> {
        self.read(|book| book.players.as_ref().map(|players| players.ids.clone()).unwrap_or_default())
    }

    pub fn counter(&self, name: &str) -> Result<proto::Counter, Fault> {
        let counter = self.read(|book| book.counter(name))?;
        Ok(proto::Counter { name: name.to_owned(), count: counter.count, capacity: counter.capacity })
    }
    pub async fn update_counter(&self, asked: &proto::CounterUpdate) -> Result<proto::Counter, Fault> {
        self.act(|book, _| book.update_counter(asked, &self.settings)).await
    }

    pub fn list(&self, name: &str) -> Result<proto::List, Fault> {
        let list = self.read(|book| book.list(name).cloned())?;
        Ok(proto::List { name: name.to_owned(), capacity: list.capacity, values: list.values })
    }
    pub async fn update_list(&self, asked: &proto::List, parts: ListParts) -> Result<proto::List, Fault> {
        self.act(|book, _| book.update_list(asked, parts, &self.settings)).await
    }
    pub async fn add_value(&self, name: &str, value: &str) -> Result<proto::List, Fault> {
        self.act(|book, _| book.add_value(name, value, &self.settings)).await
    }
    pub async fn remove_value(&self, name: &str, value: &str) -> Result<proto::List, Fault> {
        self.act(|book, _| book.remove_value(name, value, &self.settings)).await
    }
}
