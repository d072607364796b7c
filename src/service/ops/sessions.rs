//! Sessions: create or join, read, update, delete, find by allocation.

use super::{bodies, instances};
use crate::{
    model::{
        CustomData,
        errors::codes,
        ids::{AllocationId, SessionId},
        session::{BrowserInfo, Joinability},
    },
    service::{
        http::{
            asked::Asked,
            read::{self, At, Faults, Object, custom_data, flag, text},
            reply::{Outcome, Refused, Reply, Stop, bad_request, forbidden, not_found, not_permitted},
            route::{Needs, Row, Run},
        },
        rules::{
            gate,
            join::{self, Joining, Way},
            record::{SessionRecord, empty_team},
            teams::{self, TeamChange},
            view::Scope,
        },
        templates::SessionType,
        world::World,
    },
};
use http::{Method, StatusCode};
use semver::Version;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

pub static TABLE: &[Row] = &[
    Row {
        method: Method::POST,
        path: "/session/v1/session",
        operation: "create_or_join_session",
        needs: Needs::AnyOf(&["session:create"]),
        run: Run::Now(create_or_join),
    },
    Row {
        method: Method::GET,
        path: "/session/v1/session/{session_id}",
        operation: "get_session_by_id",
        needs: Needs::AnyOf(&["session:read:any", "session:read:self"]),
        run: Run::Now(read_session),
    },
    Row {
        method: Method::PATCH,
        path: "/session/v1/session/{session_id}",
        operation: "update_session_by_id",
        needs: Needs::AnyOf(&["session:update:any", "session:update:self"]),
        run: Run::Now(update_session),
    },
    Row {
        method: Method::DELETE,
        path: "/session/v1/session/{session_id}",
        operation: "delete_session",
        needs: Needs::Login,
        run: Run::Now(delete_session),
    },
    Row {
        method: Method::PATCH,
        path: "/session/v1/session/{session_id}/team/{team_id}",
        operation: "update_team_by_id",
        needs: Needs::AnyOf(&["session:update:any", "session:update:self"]),
        run: Run::Now(update_team),
    },
    Row {
        method: Method::GET,
        path: "/session/v1/session/allocation/{allocation_id}",
        operation: "get_session_by_allocation_id",
        needs: Needs::AnyOf(&["session:read:allocation"]),
        run: Run::Now(read_by_allocation),
    },
];

/// `CreateOrJoinRequest`, with the extensions `force_create` and `settings`.
struct Create {
    version: Version,
    client_settings: Value,
    crossplay: Option<Value>,
    kind: String,
    password: Option<String>,
    region: Option<String>,
    team: Option<u32>,
    player_data: CustomData,
    force: bool,
    settings: Change,
}

/// `SessionUpdate`, with the extensions `browser` and `allow_new_members`. What is named is replaced whole.
#[derive(Default)]
struct Change {
    region: Option<String>,
    custom_data: Option<CustomData>,
    joinability: Option<Joinability>,
    open: Option<bool>,
    teams: Option<Vec<TeamChange>>,
    password: Option<String>,
    browser: Option<CustomData>,
    allow_new_members: Option<bool>,
}

fn change(object: &mut Object<'_, '_>) -> Change {
    Change {
        region: object.optional("region_id", bodies::region),
        custom_data: object.optional("custom_data", custom_data),
        joinability: object.optional("joinability", bodies::joinability),
        open: object.optional("joinable", flag),
        teams: object.optional("teams", bodies::team_changes),
        password: object.optional("password", bodies::password),
        browser: object.optional("browser", browser_data),
        allow_new_members: object.optional("allow_new_members", flag),
    }
}

fn browser_data(at: At<'_>, faults: &mut Faults) -> Option<CustomData> {
    Some(at.object(faults)?.optional("custom_data", custom_data).unwrap_or_default())
}

fn create(object: &mut Object<'_, '_>) -> Option<Create> {
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

fn create_or_join(world: &mut World, asked: &Asked) -> Outcome {
    let wanted = asked.body(create)?;
    let settings = world.settings.clone();
    let kind = settings.session_types.get(&wanted.kind).ok_or_else(|| no_type(&wanted.kind))?;
    if kind.attempt_auto_join
        && !wanted.force
        && let Some(found) = auto_join(world, asked, &wanted)?
    {
        return Ok(Reply::json(&json!({ "session_id": found })));
    }
    if asked.caller.player.is_some() && !kind.can_be_created_by_players_directly {
        return Err(forbidden("session_type_not_creatable", "players may not create sessions of this type"));
    }
    let hash = hashed(wanted.password.as_ref().or(wanted.settings.password.as_ref()), asked)?;
    let mut record = new_session(world, asked, &wanted, kind);
    record.password.clone_from(&hash);
    if let Some(player) = asked.caller.player {
        let joining = Joining { way: Way::Elevated, ..joining(world, player, &wanted) };
        apply(&mut record, &wanted.settings, kind, hash, world)?;
        join::join(&mut record, joining)?;
    } else {
        apply(&mut record, &wanted.settings, kind, hash, world)?;
    }
    let id = record.id.clone();
    world.create(record)?;
    instances::start_by_template(world, &id, kind)?;
    Ok(Reply::json(&json!({ "session_id": id })))
}

fn no_type(kind: &str) -> Stop {
    bad_request(codes::TEMPLATE_NOT_FOUND, format!("there is no session type {kind:?}"))
}

/// The hash of a password that is set; computed off the runtime first.
fn hashed(password: Option<&String>, asked: &Asked) -> Outcome<Option<String>> {
    match (password, &asked.hashed) {
        (None, _) => Ok(None),
        (Some(_), Some(hash)) => Ok(Some(hash.clone())),
        (Some(password), None) => Err(Stop::Hash { password: password.clone() }),
    }
}

fn joining(world: &World, player: crate::model::ids::PlayerUuid, wanted: &Create) -> Joining {
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
        matching: world.settings.versions,
        now: world.now.wall,
    }
}

/// Joins the first public session of the type, of the same region and a compatible version, that has room.
fn auto_join(world: &mut World, asked: &Asked, wanted: &Create) -> Outcome<Option<SessionId>> {
    let Some(player) = asked.caller.player else { return Ok(None) };
    let candidates: Vec<SessionId> = world.index().of_type(&wanted.kind, 0).map(|(_, id)| id.clone()).collect();
    for id in candidates {
        let entry = world.entry(id.as_str())?;
        let record = &entry.record;
        let elsewhere = wanted.region.is_some() && record.region_id.is_some() && wanted.region != record.region_id;
        if entry.hidden || elsewhere || !record.joinability.open {
            continue;
        }
        let joining = joining(world, player, wanted);
        if world.update(&id, |session| join::join(session, joining)).is_ok() {
            world.touch(&id, &asked.caller, true);
            return Ok(Some(id));
        }
    }
    Ok(None)
}

fn new_session(world: &mut World, asked: &Asked, wanted: &Create, kind: &SessionType) -> SessionRecord {
    let listed = kind.auto_add_to_browser.then(|| BrowserInfo {
        custom_data: kind.auto_browser_params.clone(),
        created_timestamp: Some(world.now.wall),
    });
    SessionRecord {
        id: SessionId::from_uuid(Uuid::new_v4()),
        session_type: wanted.kind.clone(),
        version: 1,
        created: world.now.wall,
        number: world.new_number(),
        owner: asked.caller.player.is_none().then(|| asked.caller.subject.clone()),
        region_id: wanted.region.clone(),
        client_version: Some(wanted.version.clone()),
        joinability: Joinability { open: kind.default_public, ..Joinability::default() },
        password: None,
        allow_new_members: true,
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

fn apply(
    session: &mut SessionRecord,
    change: &Change,
    kind: &SessionType,
    hash: Option<String>,
    world: &World,
) -> Outcome<()> {
    if let Some(wanted) = &change.teams {
        teams::resize(session, wanted, kind.players_per_team)?;
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
            Some(BrowserInfo { custom_data: data.clone(), created_timestamp: listed_since.or(Some(world.now.wall)) });
    }
    Ok(())
}

fn read_session(world: &mut World, asked: &Asked) -> Outcome {
    let id = world.session(&asked.session_id()?)?.id.clone();
    let refresh = asked.refresh_ttl()?;
    show(world, asked, &id, refresh)
}

fn read_by_allocation(world: &mut World, asked: &Asked) -> Outcome {
    let wanted = asked.id("allocation_id")?;
    let found = AllocationId::new(wanted.as_str()).ok().and_then(|id| world.index().by_allocation(&id));
    let id = found.ok_or_else(|| not_found("allocation_not_found", format!("there is no allocation {wanted:?}")))?;
    show(world, asked, &id, true)
}

/// Answers with the session as the caller may see it, and keeps it alive.
pub fn show(world: &mut World, asked: &Asked, id: &SessionId, refresh: bool) -> Outcome {
    world.touch(id, &asked.caller, refresh);
    let entry = world.entry(id.as_str())?;
    let scope = if gate::sees_all(&entry.record, &asked.caller) { Scope::Full } else { Scope::Limited };
    let etag = entry.etag(scope);
    if asked.has(&etag) {
        return Ok(Reply::not_modified(etag));
    }
    Ok(Reply::raw(entry.json(scope)).tagged(etag))
}

/// `If-Match`: somebody else was faster.
pub fn if_match(world: &mut World, asked: &Asked, id: &SessionId) -> Outcome<()> {
    let entry = world.entry(id.as_str())?;
    let (full, limited) = (entry.etag(Scope::Full), entry.etag(Scope::Limited));
    if asked.wants_other(&full) && asked.wants_other(&limited) {
        let desc = "the session has changed since; read it again";
        return Err(Refused::new(StatusCode::PRECONDITION_FAILED, codes::ETAG_MISMATCH, desc).into());
    }
    Ok(())
}

fn update_session(world: &mut World, asked: &Asked) -> Outcome {
    let session = world.session(&asked.session_id()?)?;
    gate::admin(&session, &asked.caller, &["session:update:any"], "update this session")?;
    let wanted = asked.body(|object| Some(change(object)))?;
    if_match(world, asked, &session.id)?;
    let hash = hashed(wanted.password.as_ref(), asked)?;
    let settings = world.settings.clone();
    let kind = settings.session_types.get(&session.session_type).cloned().unwrap_or_default();
    let mut changed = (*session).clone();
    apply(&mut changed, &wanted, &kind, hash, world)?;
    world.update(&session.id, |session| {
        *session = changed;
        Ok(())
    })?;
    show(world, asked, &session.id, asked.refresh_ttl()?)
}

fn update_team(world: &mut World, asked: &Asked) -> Outcome {
    let session = world.session(&asked.session_id()?)?;
    gate::admin(&session, &asked.caller, &["session:update:any"], "update this session's teams")?;
    let number = asked.path_number("team_id")?;
    let number = u32::try_from(number).map_err(|_| not_found(codes::NOT_FOUND, "there is no such team"))?;
    let change = asked.body(|object| Some(bodies::team_change_of(object)))?;
    if_match(world, asked, &session.id)?;
    world.update(&session.id, |session| teams::change_team(session, number, &change))?;
    world.touch(&session.id, &asked.caller, asked.refresh_ttl()?);
    let entry = world.entry(session.id.as_str())?;
    let team = entry.record.teams.get(number as usize);
    Ok(Reply::json(&team).tagged(entry.etag(Scope::Full)))
}

fn delete_session(world: &mut World, asked: &Asked) -> Outcome {
    let session = world.session(&asked.session_id()?)?;
    let caller = &asked.caller;
    if !caller.may(&["session:delete:any"]) && !gate::standing(&session, caller).admin {
        return Err(not_permitted("delete this session"));
    }
    world.remove(&session.id)?;
    Ok(Reply::nothing())
}
