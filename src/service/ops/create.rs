//! Making sessions, and the settings that they are made with and changed by.

use super::{bodies, config::own_network, discovery::places, instances};
use crate::{
    model::{
        CustomData,
        errors::codes,
        ids::{PlayerUuid, SessionId},
        session::{BrowserInfo, Joinability},
        time::Timestamp,
    },
    service::{
        http::{
            read::{self, JsonCursor, Object, ValidationErrors, custom_data, flag, text},
            reply::{Interrupt, Need, Outcome, Reply, bad_request, conflict, forbidden},
            request::RequestContext,
            route::{Access, Row, Run},
        },
        rules::{
            join::{self, Joining, Way},
            record::{SessionRecord, empty_team},
            teams::{self, TeamChange},
        },
        settings::ServiceSettings,
        state::Transaction,
        templates::SessionType,
    },
};
use http::Method;
use semver::Version;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

pub static TABLE: &[Row] =
    &[row!(POST "/session/v1/session", "create_or_join_session", Access::AnyOf(&["session:create"]), create_or_join)];

/// `CreateOrJoinRequest`, with the extensions `force_create` and `settings`.
pub struct Create {
    version: Version,
    client_settings: Value,
    crossplay: Option<Value>,
    pub kind: String,
    password: Option<String>,
    pub region: Option<String>,
    team: Option<u32>,
    player_data: CustomData,
    force: bool,
    pub settings: Change,
}

/// `SessionUpdate`, with the extensions `browser`, `allow_new_members`, `lan` and `allow_sanctioned_players`. What is named is
/// replaced whole; the last two only when a session is made.
#[derive(Default)]
pub struct Change {
    region: Option<String>,
    custom_data: Option<CustomData>,
    joinability: Option<Joinability>,
    open: Option<bool>,
    teams: Option<Vec<TeamChange>>,
    pub password: Option<String>,
    browser: Option<CustomData>,
    allow_new_members: Option<bool>,
    pub lan: Option<bool>,
    allow_sanctioned: Option<bool>,
}

// Both hold passwords: a derived Debug would put them into a log.
impl std::fmt::Debug for Create {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Create").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Change").field("region", &self.region).finish_non_exhaustive()
    }
}

pub fn change(object: &mut Object<'_, '_>) -> Change {
    Change {
        region: object.optional("region_id", bodies::region),
        custom_data: object.optional("custom_data", custom_data),
        joinability: object.optional("joinability", bodies::joinability),
        open: object.optional("joinable", flag),
        teams: object.optional("teams", bodies::team_changes),
        password: object.optional("password", bodies::password),
        browser: object.optional("browser", browser_data),
        allow_new_members: object.optional("allow_new_members", flag),
        lan: object.optional("lan", flag),
        allow_sanctioned: object.optional("allow_sanctioned_players", flag),
    }
}

fn browser_data(at: JsonCursor<'_>, faults: &mut ValidationErrors) -> Option<CustomData> {
    Some(at.object(faults)?.optional("custom_data", custom_data).unwrap_or_default())
}

pub fn create(object: &mut Object<'_, '_>) -> Option<Create> {
    let version = object.required("client_version", read::version);
    let client_settings = object.required("client_settings", bodies::client_settings);
    let kind = object.required("session_type", text(1, 128));
    let crossplay = object.optional("crossplay_preferences", bodies::crossplay);
    let password = object.optional("password", bodies::password);
    let region = object.optional("region_id", bodies::region);
    let force = object.optional("force_create", flag).unwrap_or(false);
    let settings = object.optional("settings", |at, faults| Some(change(&mut at.object(faults)?)));
    let player = object.optional("player", |at, faults| {
        let mut player = at.object(faults)?;
        let team = player.required("team_id", read::unsigned(0, u32::MAX));
        player.required("client_version", read::version);
        player.required("client_settings", bodies::client_settings);
        Some((team, player.optional("custom_data", custom_data).unwrap_or_default()))
    });
    let (team, player_data) = player.unwrap_or_default();
    Some(Create {
        version: version?,
        client_settings: client_settings?,
        crossplay,
        kind: kind?,
        password,
        region,
        team,
        player_data,
        force,
        settings: settings.unwrap_or_default(),
    })
}

fn create_or_join(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let wanted = request.body(create)?;
    let settings = tx.settings.clone();
    let kind = session_type(&settings, &wanted)?;
    if kind.attempt_auto_join
        && !wanted.force
        && let Some(found) = auto_join(tx, request, &wanted)?
    {
        return Ok(Reply::json(&json!({ "session_id": found })));
    }
    let id = make(tx, request, &wanted, kind)?;
    Ok(Reply::json(&json!({ "session_id": id })))
}

/// Makes a session of a type, with the caller in it if that is a player. Changes nothing if it can't.
pub fn make(
    tx: &mut Transaction<'_>,
    request: &RequestContext,
    wanted: &Create,
    kind: &SessionType,
) -> Outcome<SessionId> {
    if request.caller.player.is_some() && !kind.can_be_created_by_players_directly {
        return Err(forbidden("session_type_not_creatable", "players may not create sessions of this type"));
    }
    let hash = hashed(wanted.password.as_ref().or(wanted.settings.password.as_ref()), request)?;
    let mut record = new_session(tx, request, wanted, kind);
    record.password.clone_from(&hash);
    apply(&mut record, &wanted.settings, kind.players_per_team, hash, tx.now.wall)?;
    record.lan = wanted.settings.lan.unwrap_or(false);
    record.allow_sanctioned = wanted.settings.allow_sanctioned.unwrap_or(false);
    if let Some(player) = request.caller.player {
        let joining = Joining { way: Way::Elevated, ..joining(tx, request, player, wanted) };
        join::join(&mut record, joining)?;
    }
    let id = record.id.clone();
    tx.create(record)?;
    instances::start_by_template(tx, &id, kind)?;
    Ok(id)
}

/// The session type that is wanted.
pub fn session_type<'s>(settings: &'s ServiceSettings, wanted: &Create) -> Outcome<&'s SessionType> {
    settings.session_types.get(&wanted.kind).ok_or_else(|| no_type(&wanted.kind))
}

/// What is fixed when a session is made can't be changed.
pub fn unchangeable(session: &SessionRecord, wanted: &Change) -> Outcome<()> {
    let rows = [
        ("lan", wanted.lan, session.lan),
        ("allow_sanctioned_players", wanted.allow_sanctioned, session.allow_sanctioned),
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
pub fn hashed(password: Option<&String>, request: &RequestContext) -> Outcome<Option<String>> {
    match (password, &request.supplied.hashed) {
        (None, _) => Ok(None),
        (Some(_), Some(hash)) => Ok(Some(hash.clone())),
        (Some(password), None) => Err(Interrupt::Needs(Need::Hash { password: password.clone() })),
    }
}

/// A player who comes in as the one who would create.
pub fn joining(tx: &Transaction<'_>, request: &RequestContext, player: PlayerUuid, wanted: &Create) -> Joining {
    Joining {
        player,
        team: wanted.team,
        version: Some(wanted.version.clone()),
        client_settings: Some(wanted.client_settings.clone()),
        crossplay_preferences: wanted.crossplay.clone(),
        custom_data: wanted.player_data.clone(),
        password: None,
        verified: None,
        way: Way::Plain,
        sanctioned: tx.sanctioned(&request.caller, player),
        matching: tx.settings.versions,
        now: tx.now.wall,
    }
}

/// Joins the first public session of the type, of the same region and a compatible version, that has room.
fn auto_join(tx: &mut Transaction<'_>, request: &RequestContext, wanted: &Create) -> Outcome<Option<SessionId>> {
    let Some(player) = request.caller.player else { return Ok(None) };
    let near = own_network(tx, request);
    for entry in places(tx, player, &wanted.kind).0 {
        let record = entry.record();
        let elsewhere = wanted.region.is_some() && record.region_id.is_some() && wanted.region != record.region_id;
        if entry.hidden || elsewhere || !record.joinability.open || (record.lan && !near) {
            continue;
        }
        let joining = joining(tx, request, player, wanted);
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
    wanted: &Create,
    kind: &SessionType,
) -> SessionRecord {
    let listed = kind
        .auto_add_to_browser
        .then(|| BrowserInfo { custom_data: kind.auto_browser_params.clone(), created_timestamp: Some(tx.now.wall) });
    SessionRecord {
        id: SessionId::from_uuid(tx.new_uuid()),
        session_type: wanted.kind.clone(),
        version: 1,
        created: tx.now.wall,
        number: tx.new_number(),
        owner: request.caller.player.is_none().then(|| request.caller.subject.clone()),
        region_id: wanted.region.clone(),
        client_version: Some(wanted.version.clone()),
        joinability: Joinability { open: kind.default_public, ..Joinability::default() },
        password: None,
        allow_new_members: true,
        lan: false,
        allow_sanctioned: false,
        custom_data: CustomData::new(),
        teams: (0..kind.num_teams).map(|number| empty_team(number, kind.players_per_team)).collect(),
        connected: BTreeSet::new(),
        invites: BTreeMap::new(),
        instance: None,
        backfill: None,
        browser: listed,
        short_code: None,
        platform_sessions: Vec::new(),
        platform_scouts: BTreeMap::new(),
        created_by_matchmaking: false,
    }
}

pub fn apply(
    session: &mut SessionRecord,
    change: &Change,
    team_size: u32,
    hash: Option<String>,
    now: Timestamp,
) -> Outcome<()> {
    if let Some(wanted) = &change.teams {
        teams::resize(session, wanted, team_size)?;
    }
    session.region_id = change.region.clone().or_else(|| session.region_id.take());
    if let Some(data) = &change.custom_data {
        session.custom_data.clone_from(data);
    }
    if let Some(open) = change.open {
        session.joinability.open = open;
    }
    session.joinability = change.joinability.unwrap_or(session.joinability);
    session.password = hash.or_else(|| session.password.take());
    session.allow_new_members = change.allow_new_members.unwrap_or(session.allow_new_members);
    if let Some(data) = &change.browser {
        let listed_since = session.browser.as_ref().and_then(|browser| browser.created_timestamp);
        session.browser =
            Some(BrowserInfo { custom_data: data.clone(), created_timestamp: listed_since.or(Some(now)) });
    }
    Ok(())
}
