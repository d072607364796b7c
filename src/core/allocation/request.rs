//! What is asked of the session service for an allocation, and whether it can be carried out at
//! all.

use crate::{
    core::{
        desired_state,
        facts::Facts,
        instance_outbox::InstanceOutbox,
        launch::{self, WrittenBy},
        settings::Settings,
    },
    model::{
        allocation::{Allocation, ProviderKind},
        calls::NewSession,
        ids::{InstanceId, SessionId},
        orders::Refused,
        session::{HostType, InstanceInfo, InstanceRequest, StartupParams},
    },
};

/// Why an operator's allocation can't be carried out, as far as that is known already.
pub(super) fn unfit(allocation: &Allocation, facts: &Facts) -> Option<Refused> {
    let settings = &facts.settings;
    let provider = match settings.provider {
        ProviderKind::Hook => None,
        ProviderKind::Auto => Some("auto"),
        ProviderKind::Sic => Some("sic"),
    };
    if let Some(provider) = provider {
        return Some(Refused::NotByHook { provider });
    }
    if let Some(expired) = allocation.expires.filter(|expires| facts.wall >= *expires) {
        return Some(Refused::Expired { expired });
    }
    if allocation.session_id.is_some() && allocation.startup_params.is_none() {
        return None; // Its session may say.
    }
    let params = params_for(allocation, None, settings);
    let written_by = written_by(allocation, settings);
    let values = launch::Values { params: Some(&params), written_by, ..launch::own_values(settings) };
    let checked = launch::check_params(&settings.launch, &values, settings.session.join_token);
    checked.err().map(|error| Refused::Launch { why: error.to_string() })
}

/// The name of the request for an allocation's session.
pub(super) fn request(allocation: &Allocation, facts: &Facts) -> String {
    // Where the match has lost a session, this is about the next one.
    let lost = facts.game.game.as_ref().map_or_else(String::new, |game| format!(" after {}", game.session));
    format!("{}{lost}", allocation.allocation_id)
}

pub(super) fn new_session(allocation: &Allocation, facts: &Facts) -> NewSession {
    let own = &facts.settings.session;
    NewSession {
        request: request(allocation, facts),
        session_type: own.session_type.clone(),
        region: own.region.clone(),
        version: desired_state::version(facts),
        startup_params: params_for(allocation, None, &facts.settings),
        joinable: own.joinable,
        browser: own.browser_data.clone(),
        custom_data: own.custom_data.clone(),
        teams: own.teams.clone(),
    }
}

/// The allocation's, else the instance's, else the configured ones. An allocation that names no map
/// plays the others' map, in their mode unless it names one.
pub(super) fn params_for(allocation: &Allocation, info: Option<&InstanceInfo>, settings: &Settings) -> StartupParams {
    let shown = info.and_then(|info| info.instance_startup_params.as_ref());
    let known = shown.or(settings.session.startup_params.as_ref());
    let mut params = allocation.startup_params.as_ref().or(known).cloned().unwrap_or_default();
    if params.map.is_empty()
        && let Some(known) = known
    {
        params.map.clone_from(&known.map);
        params.mode = params.mode.or_else(|| known.mode.clone());
    }
    params
}

/// Whose the startup parameters of an allocation are: the session's are others', whoever asked for it.
pub(in crate::core) fn written_by(allocation: &Allocation, settings: &Settings) -> WrittenBy {
    let from_session = allocation.session_id.is_some() && allocation.startup_params.is_none();
    match settings.provider {
        ProviderKind::Sic => WrittenBy::Others,
        ProviderKind::Hook if from_session => WrittenBy::Others,
        ProviderKind::Hook | ProviderKind::Auto => WrittenBy::Us,
    }
}

pub(super) fn outbox_to_post(
    session: &SessionId,
    instance: &InstanceId,
    params: StartupParams,
    facts: &Facts,
) -> InstanceOutbox {
    let request = InstanceRequest {
        instance_id: Some(instance.clone()),
        instance_startup_params: Some(params),
        host_type: Some(HostType::Preallocated),
        ..InstanceRequest::default()
    };
    let report = facts.settings.session.report;
    InstanceOutbox::to_post(session.clone(), report, request, instance.clone())
}
