//! Carrying out an operation, and putting what it changed in place.
//!
//! Everything of a [`Changes`] happens at once, under the lock: rows go to the writer as one piece,
//! then the sessions, their indexes and timers, the signs of life, the servers and the rest in
//! memory. What a change of a session sets off (events, audit, the end of a presence) comes from
//! one comparison of what it was with what it is.

use super::{
    State, Transaction, audit,
    changes::{Changes, Draft},
    diff::SessionDiff,
    entry::Entry,
    event_batch::{EventBatch, FeedItem},
    journal::{self, SpentRow},
    moment::Moment,
};
use crate::{
    model::{ids::SessionId, time::Now},
    service::{
        http::reply::Outcome,
        store::{Seq, Table, writer::Change},
    },
};
use std::sync::Arc;

/// What the writer is to store, and the number of that write.
pub(super) struct Commit {
    pub seq: Seq,
    pub now: Now,
    pub writes: Vec<Change>,
}

impl Commit {
    pub(super) fn row(&mut self, table: Table, key: String, value: Option<Vec<u8>>) {
        self.writes.push(Change::Row(table, key, value));
    }
}

impl State {
    /// Runs an operation. What it changed is committed if it answers success, and forgotten if not. Answers also the write
    /// that must be durable before anybody is told the outcome.
    pub fn transact<T>(
        &mut self,
        moment: &Moment,
        operation: impl FnOnce(&mut Transaction<'_>) -> Outcome<T>,
    ) -> (Outcome<T>, Seq) {
        let mut tx = Transaction::new(self, moment);
        match operation(&mut tx) {
            Ok(answer) => {
                let (changes, seen) = tx.finish();
                let written = self.commit(changes, moment.now);
                (Ok(answer), seen.max(written))
            }
            Err(interrupt) => {
                let seen = tx.seen();
                (Err(interrupt), seen)
            }
        }
    }

    /// Answers the write of these changes; the first number if there was nothing to write.
    fn commit(&mut self, mut changes: Changes, now: Now) -> Seq {
        let mut commit = Commit { seq: self.writer.upcoming(), now, writes: Vec::new() };
        let mut told = Vec::new();
        let mut noted = Vec::new();
        for draft in &changes.sessions {
            let new = draft.after.as_ref().map(|view| &*view.record);
            let Some(diff) = SessionDiff::between(draft.before.as_deref(), new) else { continue };
            noted.extend(audit::events_of(&diff, now.wall));
            for player in diff.left() {
                if self.presence.shows(player, &draft.id) {
                    changes.presence.entry(player).or_insert(None);
                }
            }
            told.extend(self.items_of(&diff, now.wall));
        }
        noted.append(&mut changes.audit);
        told.append(&mut changes.items);
        let mut moved: Vec<SessionId> = changes.sessions.iter().map(|draft| draft.id.clone()).collect();
        for draft in changes.sessions {
            self.commit_session(draft, &mut commit);
        }
        let ttl = self.settings.timings.session_ttl.get();
        for (id, alive) in changes.liveness {
            if let Some(entry) = self.sessions.get_mut(&id)
                && entry.keep_alive(alive, now.mono, ttl)
            {
                moved.push(id);
            }
        }
        self.servers.commit(changes.servers, &mut commit);
        self.presence.commit(changes.presence, &mut commit);
        self.friends.commit(changes.friends, &mut commit);
        self.numbers.commit(changes.numbers, &mut commit);
        self.deserters.commit(changes.marks, changes.cleared, &mut commit);
        self.audit.commit(noted, &self.settings.limits, &mut commit);
        self.tell(told, &mut commit);
        for id in moved {
            self.schedule(&id, now);
        }
        self.writer.commit(commit.writes)
    }

    fn commit_session(&mut self, draft: Draft, commit: &mut Commit) {
        let Draft { id, before, after } = draft;
        let Some(view) = after else {
            if let Some(before) = before {
                self.index.change(Some(&before), None);
                self.sessions.remove(&id);
                commit.row(Table::Sessions, id.as_str().to_owned(), None);
            }
            return;
        };
        self.index.change(before.as_deref(), Some(&view.record));
        self.next_number = self.next_number.max(view.record.number + 1);
        commit.writes.push(Change::Session(view.record.clone()));
        if let Some(entry) = self.sessions.get_mut(&id) {
            entry.replace(view, commit.seq, commit.now.mono);
        } else {
            let entry = Entry::new(view, commit.seq, commit.now.mono, &self.settings);
            self.sessions.insert(id, entry);
        }
    }

    /// Puts what players are told into the journal, in rows that aren't too long.
    fn tell(&mut self, told: Vec<(crate::model::ids::PlayerUuid, Arc<FeedItem>)>, commit: &mut Commit) {
        if told.is_empty() {
            return;
        }
        let limits = &self.settings.limits;
        for batch in EventBatch::split(commit.now.wall, told) {
            let batch = Arc::new(batch);
            commit.writes.push(Change::Events(self.events.last() + 1, batch.clone()));
            self.events.add(&batch, commit.seq, commit.now.mono, limits);
        }
        commit.writes.extend(self.events.expire(commit.now.mono, limits).into_iter().map(spent));
    }

    /// Drops what nobody is told any more.
    pub fn expire_events(&mut self, now: Now) {
        let rows = self.events.expire(now.mono, &self.settings.limits);
        // Nobody need wait for it.
        self.writer.commit(rows.into_iter().map(spent).collect());
    }
}

fn spent(row: SpentRow) -> Change {
    match row {
        SpentRow::Removed(first) => Change::Row(Table::Events, journal::key(first), None),
        SpentRow::Emptied(first, batch) => Change::Events(first, Arc::new(batch)),
    }
}
