//! Describes one operation beyond what its row in the router says: bodies, parameters, refusals.

use crate::model::{
    errors::codes,
    wire::{
        Members, Wire,
        schema::{Member, Schemas},
    },
};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// One operation.
#[derive(Debug)]
pub(super) struct Operation {
    /// As in its row.
    pub(super) id: &'static str,
    pub(super) summary: &'static str,
    pub(super) is_extension: bool,
    pub(super) body: Option<Body>,
    pub(super) query: Option<fn(&mut Schemas) -> Vec<Member>>,
    /// Request headers with a meaning: name, what for.
    pub(super) headers: Vec<(&'static str, &'static str)>,
    pub(super) answers: BTreeMap<u16, Answer>,
    /// Codes by status.
    pub(super) errors: BTreeMap<u16, BTreeSet<&'static str>>,
    /// Places in the session of which the caller needs one, unless a permission makes up for it.
    pub(super) places: &'static [&'static str],
    /// Whether a success has an `ETag`.
    pub(super) is_tagged: bool,
}

#[derive(Debug)]
pub(super) struct Body {
    pub(super) schema: fn(&mut Schemas) -> Value,
    pub(super) required: bool,
}

/// What a success brings.
#[derive(Debug)]
pub(super) enum Answer {
    Nothing,
    Json(fn(&mut Schemas) -> Value),
    /// Any JSON.
    Document,
    /// Text of a media type.
    Text(&'static str),
    /// Server-sent events with this as `data`.
    Events(fn(&mut Schemas) -> Value),
}

pub(super) fn operation(id: &'static str, summary: &'static str) -> Operation {
    Operation {
        id,
        summary,
        is_extension: false,
        body: None,
        query: None,
        headers: Vec::new(),
        answers: BTreeMap::new(),
        errors: BTreeMap::new(),
        places: &[],
        is_tagged: false,
    }
}

impl Operation {
    /// The published contract doesn't have it.
    pub(super) fn extension(mut self) -> Self {
        self.is_extension = true;
        self
    }
    pub(super) fn body<T: Wire>(mut self) -> Self {
        self.body = Some(Body { schema: T::schema, required: true });
        self
    }
    pub(super) fn optional_body<T: Wire>(mut self) -> Self {
        self.body = Some(Body { schema: T::schema, required: false });
        self
    }
    pub(super) fn query<T: Members>(mut self) -> Self {
        self.query = Some(T::members);
        self
    }
    pub(super) fn header(mut self, name: &'static str, about: &'static str) -> Self {
        self.headers.push((name, about));
        self
    }
    /// 200 with a body.
    pub(super) fn answers<T: Wire>(mut self) -> Self {
        self.answers.insert(200, Answer::Json(T::schema));
        self
    }
    /// 204.
    pub(super) fn answers_nothing(mut self) -> Self {
        self.answers.insert(204, Answer::Nothing);
        self
    }
    pub(super) fn answers_as(mut self, answer: Answer) -> Self {
        self.answers.insert(200, answer);
        self
    }
    /// A success has an entity tag.
    pub(super) fn tagged(mut self) -> Self {
        self.is_tagged = true;
        self
    }
    /// A success has an entity tag; 304 for a caller who has it already.
    pub(super) fn conditional(mut self) -> Self {
        self.answers.insert(304, Answer::Nothing);
        self.tagged().header("if-none-match", "The entity tag that the caller has: 304 if nothing has changed since.")
    }
    /// 412 for a caller who has seen an older version.
    pub(super) fn if_match(self) -> Self {
        self.header("if-match", "The entity tag that the caller has seen: 412 if something has changed since.")
            .refuses(412, &[codes::ETAG_MISMATCH])
    }
    /// Answers these codes with a status.
    pub(super) fn refuses(mut self, status: u16, codes: &[&'static str]) -> Self {
        self.errors.entry(status).or_default().extend(codes);
        self
    }
    /// Needs one of these places in the session.
    pub(super) fn places(mut self, places: &'static [&'static str]) -> Self {
        self.places = places;
        self
    }
    /// Keeps what the caller sends, up to some bytes.
    pub(super) fn keeps(self) -> Self {
        self.refuses(409, &[codes::RECORD_TOO_LARGE])
    }
    /// Invites players.
    pub(super) fn asks(self) -> Self {
        self.keeps().refuses(403, &[codes::TEAM_FULL]).refuses(409, &[codes::TOO_MANY_INVITES])
    }
    /// Puts a player into a session.
    pub(super) fn joins(self) -> Self {
        let refusals = [
            codes::VERSION_MISMATCH,
            codes::SANCTIONED,
            codes::NOT_JOINABLE,
            codes::WRONG_PASSWORD,
            codes::FRIENDS_UNAVAILABLE,
            codes::TEAM_FULL,
        ];
        self.keeps().refuses(403, &refusals).refuses(404, &[codes::PLAYER_NOT_FOUND])
    }
    /// For players.
    pub(super) fn for_players(self) -> Self {
        self.refuses(403, &["player_required"])
    }
}
