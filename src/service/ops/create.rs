//! Making sessions, and the settings that they are made with and changed by.

use super::{config::own_network, discovery::places, instances};
use crate::{
    model::{
        CustomData,
        discovery::{CreateSession, SessionSettings},
        errors::codes,
        ids::{PlayerUuid, SessionId},
        player::Password,
        session::{BrowserInfo, Joinability, SessionJoinResponse},
        time::Timestamp,
    },
    service::{
        http::{
            reply::{Interrupt, Need, Outcome, Reply, bad_request, conflict, forbidden},
            request::RequestContext,
            route::{Access, Handler, Row},
        },
        rules::{
            join::{self, JoinBasis, Joining},
            record::{Maker, SessionRecord, empty_team},
            teams,
        },
        settings::ServiceSettings,
        state::Transaction,
        templates::SessionType,
    },
    session_api::endpoints::IDEMPOTENCY_KEY,
};
use http::Method;
use std::collections::{BTreeMap, BTreeSet};

pub static TABLE: &[Row] =
    &[row!(POST "/session/v1/session", "create_or_join_session", Access::AnyOf(&["session:create"]), create_or_join)];

/// The longest key of a request.
const MAX_KEY: usize = 255;

fn create_or_join(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let wanted: CreateSession = request.body()?;
    let maker = maker(request)?;
    if let Some(made) = maker.as_ref().and_then(|maker| tx.index().by_maker(maker)) {
        tx.view_of(made)?;
        return Ok(Reply::json(&SessionJoinResponse { session_id: made.clone() }));
    }
    let settings = tx.settings.clone();
    let kind = session_type(&settings, &wanted)?;
    if kind.attempt_auto_join
        && !wanted.force_create
        && let Some(found) = auto_join(tx, request, &wanted)?
    {
        return Ok(Reply::json(&SessionJoinResponse { session_id: found }));
    }
    let id = make(tx, request, &wanted, kind, maker)?;
    Ok(Reply::json(&SessionJoinResponse { session_id: id }))
}

/// The name that the caller has given this request, if any.
fn maker(request: &RequestContext) -> Outcome<Option<Maker>> {
    let Some(key) = request.headers.get(IDEMPOTENCY_KEY).filter(|_| !request.caller.subject.is_empty()) else {
        return Ok(None);
    };
    let key = key.to_str().ok().filter(|key| (1..=MAX_KEY).contains(&key.len()));
    let Some(key) = key else {
        let desc = format!("Idempotency-Key must have 1 to {MAX_KEY} visible ASCII characters");
        return Err(bad_request("invalid_idempotency_key", desc));
    };
    Ok(Some(Maker { subject: request.caller.subject.clone(), key: key.to_owned() }))
}

/// Makes a session of a type, with the caller in it if that is a player. Changes nothing if it can't.
pub fn make(
    tx: &mut Transaction<'_>,
    request: &RequestContext,
    wanted: &CreateSession,
    kind: &SessionType,
    maker: Option<Maker>,
) -> Outcome<SessionId> {
    if request.caller.player.is_some() && !kind.can_be_created_by_players_directly {
        return Err(forbidden("session_type_not_creatable", "players may not create sessions of this type"));
    }
    let hash = hashed(wanted.password.as_ref().or(wanted.settings.password.as_ref()), request)?;
    let mut record = new_session(tx, request, wanted, kind);
    record.made_by = maker;
    record.password.clone_from(&hash);
    // A password keeps strangers out of a session whose type is public, unless the caller says how
    // it may be joined.
    record.joinability.open &= hash.is_none();
    apply(&mut record, &wanted.settings, kind.players_per_team, hash, tx.now.wall)?;
    record.lan = wanted.settings.lan.unwrap_or(false);
    record.allow_sanctioned = wanted.settings.allow_sanctioned_players.unwrap_or(true);
    if let Some(player) = request.caller.player {
        tx.know_player(player)?;
        tx.may_join_another(player)?;
        let joining = Joining { basis: JoinBasis::Elevated, ..joining(tx, request, player, wanted) };
        join::join(&mut record, joining)?;
    }
    let id = record.id.clone();
    tx.create(record)?;
    instances::start_by_template(tx, &id, kind)?;
    Ok(id)
}

/// The session type that is wanted.
pub fn session_type<'s>(settings: &'s ServiceSettings, wanted: &CreateSession) -> Outcome<&'s SessionType> {
    settings.session_types.get(&wanted.session_type).ok_or_else(|| no_type(&wanted.session_type))
}

/// What is fixed when a session is made can't be changed.
pub fn unchangeable(session: &SessionRecord, wanted: &SessionSettings) -> Outcome<()> {
    let rows = [
        ("lan", wanted.lan, session.lan),
        ("allow_sanctioned_players", wanted.allow_sanctioned_players, session.allow_sanctioned),
    ];
    for (name, wanted, is) in rows {
        if wanted.is_some_and(|wanted| wanted != is) {
            let desc = format!("{name} is fixed when a session is made; make another session");
            return Err(conflict(codes::CONSTANT_SETTING, desc));
        }
    }
    Ok(())
}

fn no_type(kind: &str) -> Interrupt {
    bad_request(codes::TEMPLATE_NOT_FOUND, format!("there is no session type {kind:?}"))
}

/// The hash of a password that is set; computed off the runtime first.
pub fn hashed(password: Option<&Password>, request: &RequestContext) -> Outcome<Option<String>> {
    match (password, &request.supplied.hashed) {
        (None, _) => Ok(None),
        (Some(_), Some(hash)) => Ok(Some(hash.clone())),
        (Some(password), None) => Err(Interrupt::Needs(Need::Hash { password: password.expose().to_owned() })),
    }
}

/// A player who comes in as the one who would create.
pub fn joining(tx: &Transaction<'_>, request: &RequestContext, player: PlayerUuid, wanted: &CreateSession) -> Joining {
    Joining {
        player,
        team: wanted.player.as_ref().map(|player| player.team_id),
        version: Some(wanted.client_version.clone()),
        client_settings: Some(wanted.client_settings.clone()),
        crossplay_preferences: wanted.crossplay_preferences.clone(),
        custom_data: wanted.player.as_ref().map(|player| player.custom_data.clone()).unwrap_or_default(),
        password: None,
        verified: None,
        basis: JoinBasis::Plain,
        sanctioned: tx.sanctioned(&request.caller, player),
        matching: tx.settings.versions,
        now: tx.now.wall,
    }
}

/// Joins the first public session of the type, of the same region and a compatible version, that has room.
fn auto_join(tx: &mut Transaction<'_>, request: &RequestContext, wanted: &CreateSession) -> Outcome<Option<SessionId>> {
    let Some(player) = request.caller.player else { return Ok(None) };
    tx.may_join_another(player)?;
    let near = own_network(tx, request);
    for entry in places(tx, player, &wanted.session_type).0 {
        let record = entry.record();
        let elsewhere =
            wanted.region_id.is_some() && record.region_id.is_some() && wanted.region_id != record.region_id;
        if entry.hidden || elsewhere || !record.joinability.open || (record.lan && !near) {
            continue;
        }
        let joining = joining(tx, request, player, wanted);
        tx.know_player(player)?;
        if tx.update(&record.id, |session| join::join(session, joining)).is_ok() {
            tx.touch(&record.id, &request.caller, true);
            return Ok(Some(record.id.clone()));
        }
    }
    Ok(None)
}

fn new_session(
    tx: &mut Transaction<'_>,
    request: &RequestContext,
    wanted: &CreateSession,
    kind: &SessionType,
) -> SessionRecord {
    let listed = kind
        .auto_add_to_browser
        .then(|| BrowserInfo { custom_data: kind.auto_browser_params.clone(), created_timestamp: Some(tx.now.wall) });
    SessionRecord {
        id: SessionId::from_uuid(tx.new_uuid()),
        session_type: wanted.session_type.clone(),
        version: 1,
        created: tx.now.wall,
        number: tx.new_number(),
        owner: request.caller.player.is_none().then(|| request.caller.subject.clone()),
        creator: request.caller.player,
        region_id: wanted.region_id.clone(),
        client_version: Some(wanted.client_version.clone()),
        joinability: Joinability { open: kind.default_public, ..Joinability::default() },
        password: None,
        allow_new_members: true,
        lan: false,
        allow_sanctioned: false,
        custom_data: CustomData::new(),
        teams: (0..kind.num_teams).map(|number| empty_team(number, kind.players_per_team)).collect(),
        connected: BTreeSet::new(),
        added: BTreeSet::new(),
        invites: BTreeMap::new(),
        instance: None,
        backfill: None,
        browser: listed,
        short_code: None,
        platform_sessions: Vec::new(),
        platform_scouts: BTreeMap::new(),
        created_by_matchmaking: false,
        made_by: None,
    }
}

pub fn apply(
    session: &mut SessionRecord,
    change: &SessionSettings,
    team_size: u32,
    hash: Option<String>,
    now: Timestamp,
) -> Outcome<()> {
    if let Some(wanted) = &change.teams {
        teams::resize(session, wanted, team_size)?;
    }
    session.region_id = change.region_id.clone().or_else(|| session.region_id.take());
    if let Some(data) = &change.custom_data {
        session.custom_data.clone_from(data);
    }
    if let Some(open) = change.joinable {
        session.joinability.open = open;
    }
    session.joinability = change.joinability.unwrap_or(session.joinability);
    session.password = hash.or_else(|| session.password.take());
    session.allow_new_members = change.allow_new_members.unwrap_or(session.allow_new_members);
    list(session, change, now);
    Ok(())
}

/// Puts a session into the browser, changes its listing, or takes it out.
fn list(session: &mut SessionRecord, change: &SessionSettings, now: Timestamp) {
    if change.is_listed == Some(false) {
        session.browser = None;
        return;
    }
    let listed = session.browser.clone();
    let data = change.browser.as_ref().map(|browser| browser.custom_data.clone());
    if data.is_some() || change.is_listed == Some(true) {
        let known = listed.unwrap_or_default();
        let created_timestamp = known.created_timestamp.or(Some(now));
        session.browser = Some(BrowserInfo { custom_data: data.unwrap_or(known.custom_data), created_timestamp });
    }
}
