//! Finding sessions by their settings, and matchmaking: extensions. Each is one transaction, so
//! that of two callers who look at the same time the second finds what the first has made. None
//! looks at more than [`MOST_CANDIDATES`] sessions.

use super::{config::own_network, create, players::oneself};
use crate::{
    model::{
        discovery::{CreateSession, Matched, Matchmaking, SearchAnswer, SessionSearch},
        ids::{PlayerUuid, SessionId},
    },
    service::{
        http::{
            reply::{Outcome, Reply},
            request::RequestContext,
            route::{Access, Handler, Row},
        },
        rules::{join, record::SessionRecord, search::CheckedSearch},
        state::{Transaction, entry::Entry},
    },
};
use http::Method;

pub static TABLE: &[Row] = &[
    row!(POST "/session/v1/browser:search", "search_sessions", Access::AnyOf(&["session:read:browser"]), search),
    row!(POST "/session/v1/matchmaking", "start_matchmaking", Access::AnyOf(&["session:create"]), matchmake),
];

/// Sessions that one operation looks at, all others being kept waiting meanwhile.
pub const MOST_CANDIDATES: usize = 2_000;

fn search(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let wanted = CheckedSearch::of(request.body::<SessionSearch>()?);
    let candidates = candidates(tx, request, &wanted);
    let cut = candidates.1;
    let mut found = find(candidates.0, &wanted, |entry| visible(tx, request, entry))?;
    found.truncate(wanted.most);
    // What is shown must be durable.
    tx.durability(found.iter().map(|entry| entry.seq));
    let session_ids = found.iter().map(|entry| entry.record().id.clone()).collect();
    Ok(Reply::json(&SearchAnswer { session_ids, cut }))
}

/// Committed sessions, and whether there are more than may be looked at.
pub type Candidates<'s> = (Vec<&'s Entry>, bool);

/// The sessions among which a search looks: everything that the caller might see.
fn candidates<'s>(tx: &Transaction<'s>, request: &RequestContext, wanted: &CheckedSearch) -> Candidates<'s> {
    let (index, kind) = (tx.index(), wanted.kind.as_deref());
    match (&wanted.session, wanted.player) {
        (Some(id), _) => bounded(tx, tx.stored(id).map(|entry| &entry.record().id).into_iter()),
        (None, Some(player)) => bounded(tx, index.of_player(player)),
        (None, None) if request.caller.may(&["session:read:any"]) => bounded(tx, index.of_kind(kind)),
        (None, None) => {
            let unlisted = |id: &&SessionId| tx.stored(id).is_some_and(|entry| entry.record().browser.is_none());
            let own = request.caller.player.into_iter().flat_map(|player| closed(tx, player));
            bounded(tx, own.chain(index.open(kind)).filter(unlisted).chain(index.listed(kind)))
        }
    }
}

/// The sessions of a type that a player might join: those in which it has a place, and those that could take in somebody.
pub fn places<'s>(tx: &Transaction<'s>, player: PlayerUuid, kind: &str) -> Candidates<'s> {
    let (mut found, cut) = bounded(tx, closed(tx, player).chain(tx.index().open(Some(kind))));
    found.retain(|entry| entry.record().session_type == kind);
    (found, cut)
}

/// Sessions in which a player has a place and that take in nobody else.
fn closed<'s>(tx: &Transaction<'s>, player: PlayerUuid) -> impl Iterator<Item = &'s SessionId> {
    let closed = |id: &&SessionId| tx.stored(id).is_some_and(|entry| !join::takes_newcomers(entry.record()));
    tx.index().of_player(player).filter(closed)
}

/// At most so many sessions, in the order in which they were made.
fn bounded<'s>(tx: &Transaction<'s>, ids: impl Iterator<Item = &'s SessionId>) -> Candidates<'s> {
    let mut found: Vec<&Entry> = ids.take(MOST_CANDIDATES + 1).filter_map(|id| tx.stored(id)).collect();
    let cut = found.len() > MOST_CANDIDATES;
    found.truncate(MOST_CANDIDATES);
    found.sort_by_key(|entry| entry.record().number);
    (found, cut)
}

/// Those that fit, best first.
fn find<'s>(
    candidates: Vec<&'s Entry>,
    wanted: &CheckedSearch,
    shown: impl Fn(&Entry) -> Outcome<bool>,
) -> Outcome<Vec<&'s Entry>> {
    let mut found = Vec::new();
    for entry in candidates {
        if !entry.hidden && wanted.fits(entry.record()) && shown(entry)? {
            found.push(entry);
        }
    }
    found.sort_by(|one, two| wanted.better(one.record(), two.record()));
    Ok(found)
}

/// Listed, or open to the caller; a LAN session only from the own network, or to whoever has a place in it.
fn visible(tx: &Transaction<'_>, request: &RequestContext, entry: &Entry) -> Outcome<bool> {
    let session = entry.record();
    let member = request.caller.player.is_some_and(|player| session.player(player).is_some());
    if member || request.caller.may(&["session:read:any"]) {
        return Ok(true);
    }
    let near = !session.lan || own_network(tx, request);
    Ok(near && (session.browser.is_some() || joinable(tx, request, session)?))
}

/// Whether the caller could come in now.
fn joinable(tx: &Transaction<'_>, request: &RequestContext, session: &SessionRecord) -> Outcome<bool> {
    let Some(player) = request.caller.player else { return Ok(false) };
    let basis = tx.basis_of_friends(request, session, player, None)?;
    Ok(join::could_join(session, player, basis, tx.sanctioned(&request.caller, player)))
}

fn matchmake(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let player = oneself(request)?;
    tx.may_join_another(player)?;
    let Matchmaking { search, create: new } = request.body()?;
    let mut wanted = CheckedSearch::of(search);
    let settings = tx.settings.clone();
    let kind = create::session_type(&settings, &new)?;
    wanted.kind = wanted.kind.or_else(|| Some(new.session_type.clone()));
    wanted.lan = wanted.lan.or_else(|| Some(new.settings.lan.unwrap_or(false)));
    let near = own_network(tx, request);
    let candidates = match (&wanted.session, wanted.player, wanted.kind.as_deref()) {
        (None, None, Some(kind)) => places(tx, player, kind).0,
        _ => candidates(tx, request, &wanted).0,
    };
    let found = find(candidates, &wanted, |entry| {
        let session = entry.record();
        let elsewhere = new.region_id.is_some() && session.region_id.is_some() && new.region_id != session.region_id;
        let fresh = !session.is_active(player);
        Ok(fresh && !elsewhere && (near || !session.lan) && joinable(tx, request, session)?)
    })?;
    for entry in found {
        if let Some(id) = enter(tx, request, entry.record(), &new)? {
            return Ok(Reply::json(&Matched { session_id: id, created: false }));
        }
    }
    let id = create::make(tx, request, &new, kind, None)?;
    Ok(Reply::json(&Matched { session_id: id, created: true }))
}

/// Joins a session if its rules let the caller in: another's version, or a team without room, are no errors here.
fn enter(
    tx: &mut Transaction<'_>,
    request: &RequestContext,
    session: &SessionRecord,
    new: &CreateSession,
) -> Outcome<Option<SessionId>> {
    let player = oneself(request)?;
    let basis = tx.basis_of_friends(request, session, player, None)?;
    let joining = join::Joining { basis, ..create::joining(tx, request, player, new) };
    tx.know_player(player)?;
    if tx.update(&session.id, |session| join::join(session, joining)).is_err() {
        return Ok(None);
    }
    tx.touch(&session.id, &request.caller, true);
    Ok(Some(session.id.clone()))
}
