//! Instances: request one or register as its host, update, end; health.

use crate::{
    model::{
        ids::{InstanceId, SessionId},
        session::{
            HealthUpdate, HostType, InstanceHealthStatusResponse, InstanceRequest, InstanceUpdate, StartupParams,
        },
        startup::{Destination, fits},
    },
    service::{
        http::{
            reply::{Outcome, Reply, forbidden, invalid},
            request::RequestContext,
            route::{Access, Handler, Row},
        },
        rules::{
            authz,
            instance::{self, NewInstance, no_instance},
            view::{self, Scope},
        },
        settings::ServiceSettings,
        state::Transaction,
        templates::{RequestTemplate, SessionType},
    },
};
use ::http::Method;
use rand::{RngExt, rngs::StdRng};
use uuid::Uuid;

const UPDATE: Access = Access::AnyOf(&["session:update:any", "session:update:self"]);

pub static TABLE: &[Row] = &[
    row!(POST "/session/v1/session/{session_id}/instance", "create_instance_request", UPDATE, post_instance),
    row!(PATCH "/session/v1/session/{session_id}/instance", "update_instance_info", UPDATE, patch_instance),
    row!(DELETE "/session/v1/session/{session_id}/instance", "end_instance", UPDATE, end_instance),
    row!(
        POST "/session/v1/session/{session_id}/instance/health",
        "instance_health_check", Access::AnyOf(&["session:instance:health"]), health_check
    ),
];

fn post_instance(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let refresh = request.refresh_ttl()?;
    let session = tx.session(&request.session_id()?)?;
    authz::admin(&session, &request.caller, &["session:update:any"], "request an instance for this session")?;
    let mut wanted: InstanceRequest = request.body()?;
    if wanted.host_type == Some(HostType::Player) && wanted.host_player_uuid.is_none() {
        wanted.host_player_uuid = request.caller.player;
    }
    let kind = tx.settings.session_types.get(&session.session_type);
    let free = kind.is_some_and(|kind| kind.player_startup) || request.caller.may(&["session:update:any"]);
    // A player who hosts gives them to nobody but itself.
    if request.caller.player.is_some() && !free && wanted.host_type != Some(HostType::Player) {
        wanted.instance_startup_params.as_ref().map_or(Ok(()), plain)?;
    }
    start(tx, &session.id, wanted, Some(&request.caller.subject))?;
    tx.touch(&session.id, &request.caller, refresh);
    show(tx, &session.id)
}

/// What a player may say to a server of somebody else's: nothing raw, and nothing that reads as an option.
fn plain(params: &StartupParams) -> Outcome<()> {
    let refuse = |key: &str, why: String| {
        let why = format!("{why}; servers get this from players only in session types with player_startup");
        Err(invalid(&format!("instance_startup_params.{key}"), why))
    };
    if !params.misc_params.is_empty() {
        return refuse("misc_params", "raw parameters".to_owned());
    }
    let values = [("map", Some(&params.map)), ("mode", params.mode.as_ref())];
    for (key, value) in values.into_iter().filter_map(|(key, value)| Some((key, value?))) {
        if let Err(why) = fits(value, Destination::Argument) {
            return refuse(key, why.to_string());
        }
    }
    match params.custom_data.values().find_map(|value| fits(value, Destination::Data).err()) {
        Some(why) => refuse("custom_data", why.to_string()),
        None => Ok(()),
    }
}

/// Starts the instance that a session type wants with every new session.
pub fn start_by_template(tx: &mut Transaction<'_>, id: &SessionId, kind: &SessionType) -> Outcome<()> {
    let wanted = match (kind.auto_startup_instance_template_id, &kind.auto_startup_params) {
        (Some(template), _) => {
            InstanceRequest { instance_request_template_id: Some(template), ..InstanceRequest::default() }
        }
        (None, Some(params)) => {
            InstanceRequest { instance_startup_params: Some(params.clone()), ..InstanceRequest::default() }
        }
        (None, None) => return Ok(()),
    };
    start(tx, id, wanted, None)
}

fn start(tx: &mut Transaction<'_>, id: &SessionId, wanted: InstanceRequest, subject: Option<&str>) -> Outcome<()> {
    let settings = tx.settings.clone();
    let template = wanted.instance_request_template_id.map(|id| template(&settings, id)).transpose()?;
    let host_type =
        wanted.host_type.or(template.map(|template| template.default_host_type)).unwrap_or(HostType::Dedicated);
    let mut custom_data = template.map(|template| template.custom_data.clone()).unwrap_or_default();
    custom_data.extend(wanted.custom_data);
    let new = NewInstance {
        id: wanted.instance_id.unwrap_or_else(|| InstanceId::from_uuid(tx.new_uuid())),
        host_type,
        startup: wanted.instance_startup_params.or_else(|| template.and_then(|template| pick(template, tx.rng()))),
        host_player: wanted.host_player_uuid,
        custom_data,
        subject: subject.filter(|_| host_type != HostType::Dedicated).map(str::to_owned),
        now: tx.now.wall,
    };
    tx.update(id, |session| instance::start(session, new))?;
    if host_type == HostType::Dedicated {
        tx.request_server(id);
    }
    Ok(())
}

fn template(settings: &ServiceSettings, id: Uuid) -> Outcome<&RequestTemplate> {
    let missing = || invalid("instance_request_template_id", format!("there is no request template {id}"));
    settings.request_templates.get(&id).ok_or_else(missing)
}

/// Picks a map by weight.
fn pick(template: &RequestTemplate, rng: &mut StdRng) -> Option<StartupParams> {
    let total: f64 = template.maps.iter().map(|map| map.map_weight.max(0.0)).sum();
    let mut left = rng.random::<f64>() * total;
    let picked = template.maps.iter().find(|map| {
        left -= map.map_weight.max(0.0);
        left <= 0.0
    });
    picked.or(template.maps.first()).map(|map| StartupParams {
        map: map.map_name.clone(),
        mode: map.mode.clone(),
        misc_params: map.misc_params.clone(),
        custom_data: map.custom_data.clone(),
    })
}

fn show(tx: &mut Transaction<'_>, id: &SessionId) -> Outcome {
    let entry = tx.view_of(id)?;
    let etag = entry.etag(Scope::Full);
    let instance = entry.record.instance.as_ref().ok_or_else(no_instance)?;
    Ok(Reply::json(&view::instance_info(&instance.info, Scope::Full)).tagged(etag))
}

fn patch_instance(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let refresh = request.refresh_ttl()?;
    let session = tx.session(&request.session_id()?)?;
    authz::host(&session, &request.caller, &["session:update:any"], "update this session's instance")?;
    let change: InstanceUpdate = request.body()?;
    super::sessions::if_match(tx, request, &session.id)?;
    let now = tx.now.wall;
    tx.update(&session.id, |session| instance::update(session, change, now))?;
    if session.live_instance().is_some() {
        heard(tx, request, &session.id, refresh);
    }
    show(tx, &session.id)
}

/// A word from the host.
pub fn heard(tx: &mut Transaction<'_>, request: &RequestContext, id: &SessionId, refresh: bool) {
    tx.touch(id, &request.caller, refresh);
    tx.host_spoke(id, &request.caller);
}

fn end_instance(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let refresh = request.refresh_ttl()?;
    let session = tx.session(&request.session_id()?)?;
    authz::host(&session, &request.caller, &["session:update:any"], "end this session's instance")?;
    if session.instance.is_none() {
        return Err(no_instance());
    }
    if session.live_instance().is_none() && !request.caller.may(&["session:update:any"]) {
        return Err(instance::closed());
    }
    super::sessions::if_match(tx, request, &session.id)?;
    tx.update(&session.id, |session| {
        instance::close(session);
        session.instance = None;
        Ok(())
    })?;
    tx.touch(&session.id, &request.caller, refresh);
    let etag = tx.view_of(&session.id)?.etag(Scope::Full);
    Ok(Reply::nothing().tagged(etag))
}

fn health_check(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let refresh = request.refresh_ttl()?;
    let session = tx.session(&request.session_id()?)?;
    authz::host(&session, &request.caller, &["session:update:any"], "report this instance's health")?;
    let said: HealthUpdate = request.body()?;
    instance_is(&session, &said.instance_id)?;
    let shown = tx.beat(&session.id, said.instance_health)?;
    heard(tx, request, &session.id, refresh);
    Ok(Reply::json(&InstanceHealthStatusResponse { updated_instance_health: shown }))
}

/// Whether the live instance is the one that is meant.
pub fn instance_is(session: &crate::service::rules::record::SessionRecord, id: &InstanceId) -> Outcome<()> {
    use crate::model::errors::codes;
    match &session.instance {
        None => Err(no_instance()),
        Some(instance) if instance.id() != id => {
            Err(forbidden(codes::INSTANCE_MISMATCH, format!("the session's instance is {}", instance.id())))
        }
        Some(instance) if !instance.is_live() => Err(forbidden(codes::INSTANCE_CLOSED, "the instance is closed")),
        Some(_) => Ok(()),
    }
}
