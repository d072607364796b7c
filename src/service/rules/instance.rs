//! The life of a session's instance, from the request for a host to its end. One host's part of it
//! is a *term*.
//!
//! ```text
//!   requested ──► allocated ──► pending ──► joinable ◄──► unjoinable
//!        └─────────────┴──────────────┴──────────┴─────────────┴────► closed (absorbing)
//!     set by the service                    set by the host
//! ```

use super::record::{Host, InstanceRecord, SessionRecord};
use crate::{
    model::{
        CustomData,
        errors::codes,
        ids::{AllocationId, InstanceId, PlayerUuid},
        session::{HostType, InstanceInfo, InstanceUpdate, JoinStatus, StartupParams},
        time::Timestamp,
    },
    service::http::reply::{Interrupt, Outcome, forbidden, invalid, not_found},
};

/// What a new instance is made of, its template already applied.
#[derive(Debug, Clone)]
pub(crate) struct NewInstance {
    pub id: InstanceId,
    pub host_type: HostType,
    pub startup: Option<StartupParams>,
    pub host_player: Option<PlayerUuid>,
    pub custom_data: CustomData,
    /// The credential that hosts; none where a server has yet to be allocated.
    pub subject: Option<String>,
    pub now: Timestamp,
}

/// Starts a term. A live instance with the same id is left as it is (a repeated request); with another id it is in the way.
pub(crate) fn start(session: &mut SessionRecord, new: NewInstance) -> Outcome<()> {
    if let Some(instance) = session.live_instance() {
        if *instance.id() == new.id {
            return Ok(());
        }
        return Err(forbidden(
            codes::INSTANCE_EXISTS,
            format!("the session has the instance {} already; end it first", instance.id()),
        ));
    }
    if new.host_player.is_some() && new.host_type != HostType::Player {
        return Err(invalid("host_player_uuid", "only an instance of the host type player has a player for a host"));
    }
    if let Some(player) = new.host_player.filter(|player| !session.is_active(*player)) {
        return Err(forbidden(codes::PLAYER_NOT_FOUND, format!("player {player} is not a member and can't host")));
    }
    let join_status = if new.host_type == HostType::Dedicated { JoinStatus::Requested } else { JoinStatus::Allocated };
    let info = InstanceInfo {
        allocation_id: None,
        instance_id: new.id,
        host_type: new.host_type,
        host_player_id: None,
        host_player_uuid: new.host_player,
        host_dedicated_process_id: None,
        host_dedicated_server_id: None,
        join_status,
        join_params: None,
        instance_startup_params: new.startup,
        version: None,
        created: new.now,
        custom_data: new.custom_data,
        instance_health: None,
        match_making_profile_id: None,
        match_id: None,
    };
    let host = Host { subject: new.subject, ..Host::default() };
    session.instance = Some(InstanceRecord { info, host, match_since: None, left: Vec::new() });
    Ok(())
}

/// `PATCH …/instance`: what is named is replaced whole.
pub(crate) fn update(session: &mut SessionRecord, change: InstanceUpdate, now: Timestamp) -> Outcome<()> {
    let instance = session.instance.as_mut().ok_or_else(no_instance)?;
    allocation_matches(&instance.info, change.allocation_id.as_ref())?;
    if instance.info.join_status == JoinStatus::Closed {
        // Saying `closed` once more is a repeated report, not a wish to live again.
        let repeated = change.join_status == Some(JoinStatus::Closed);
        return if repeated { Ok(()) } else { Err(closed()) };
    }
    let info = &mut instance.info;
    if let Some(status) = change.join_status {
        if matches!(status, JoinStatus::Requested | JoinStatus::Allocated) && status != info.join_status {
            return Err(forbidden("join_status_not_settable", "requested and allocated are set by the service"));
        }
        info.join_status = status;
    }
    if change.match_id.is_some() && change.match_id != info.match_id {
        info.match_id = change.match_id;
        instance.match_since = Some(now);
    }
    info.allocation_id = change.allocation_id.or_else(|| info.allocation_id.take());
    info.join_params = change.join_params.or_else(|| info.join_params.take());
    info.version = change.version.or_else(|| info.version.take());
    if let Some(data) = change.custom_data {
        info.custom_data = data;
    }
    if info.join_status == JoinStatus::Closed {
        session.backfill = None;
    }
    Ok(())
}

/// An allocated instance takes updates only with its own allocation id; any other instance may be given one.
fn allocation_matches(info: &InstanceInfo, given: Option<&AllocationId>) -> Outcome<()> {
    match (&info.allocation_id, given) {
        (Some(own), Some(given)) if own == given => Ok(()),
        (None, _) => Ok(()),
        (Some(own), _) => Err(forbidden(
            codes::ALLOCATION_MISMATCH,
            format!("the instance belongs to the allocation {own}; send that id"),
        )),
    }
}

/// Ends the term, whatever its status. Nothing happens to one that has ended.
pub(crate) fn close(session: &mut SessionRecord) {
    if let Some(instance) = session.live_instance_mut() {
        instance.info.join_status = JoinStatus::Closed;
        session.backfill = None;
    }
}

pub(crate) fn no_instance() -> Interrupt {
    not_found(codes::NO_INSTANCE, "the session has no instance")
}

pub(crate) fn closed() -> Interrupt {
    forbidden(codes::INSTANCE_CLOSED, "the instance is closed; nothing follows that")
}

#[cfg(test)]
mod tests {
    use super::{super::record::testing::*, *};
    use JoinStatus::{Allocated, Closed, Joinable, Pending, Requested, Unjoinable};

    fn new(id: &str, host_type: HostType) -> NewInstance {
        NewInstance {
            id: InstanceId::new(id).unwrap(),
            host_type,
            startup: None,
            host_player: None,
            custom_data: CustomData::new(),
            subject: Some("client:a".into()),
            now: at(1),
        }
    }

    fn say(status: JoinStatus) -> InstanceUpdate {
        InstanceUpdate { join_status: Some(status), ..InstanceUpdate::default() }
    }

    #[test]
    fn closed_is_absorbing_and_only_the_service_says_requested_or_allocated() {
        let rows = [
            (Allocated, Pending, true),
            (Pending, Joinable, true),
            (Joinable, Unjoinable, true),
            (Unjoinable, Joinable, true),
            (Joinable, Requested, false),
            (Pending, Allocated, false),
            (Joinable, Closed, true),
            (Closed, Joinable, false),
            (Closed, Closed, true),
        ];
        for (from, to, fine) in rows {
            let mut session = session(&[(4, &[])]);
            start(&mut session, new("i", HostType::Preallocated)).unwrap();
            session.instance.as_mut().unwrap().info.join_status = from;
            assert_eq!(update(&mut session, say(to), at(2)).is_ok(), fine, "{from:?} → {to:?}");
        }
    }

    #[test]
    fn an_update_needs_the_instance_s_own_allocation_id() {
        let allocation = |id: &str| Some(AllocationId::new(id).unwrap());
        let rows = [
            (allocation("a"), allocation("a"), true),
            (allocation("a"), allocation("b"), false),
            (allocation("a"), None, false),
            (None, allocation("b"), true),
            (None, None, true),
        ];
        for (own, given, fine) in rows {
            let mut session = session(&[(4, &[])]);
            start(&mut session, new("i", HostType::Preallocated)).unwrap();
            session.instance.as_mut().unwrap().info.allocation_id.clone_from(&own);
            let change = InstanceUpdate { allocation_id: given.clone(), ..say(Pending) };
            assert_eq!(update(&mut session, change, at(2)).is_ok(), fine, "{own:?} {given:?}");
        }
    }

    #[test]
    fn a_repeated_request_changes_nothing_and_another_is_refused_until_closed() {
        let mut session = session(&[(4, &[])]);
        start(&mut session, new("i", HostType::Preallocated)).unwrap();
        update(&mut session, say(Joinable), at(2)).unwrap();
        start(&mut session, new("i", HostType::Preallocated)).unwrap();
        assert_eq!(session.instance.as_ref().unwrap().info.join_status, Joinable);
        assert!(start(&mut session, new("j", HostType::Preallocated)).is_err());
        close(&mut session);
        start(&mut session, new("j", HostType::Dedicated)).unwrap();
        assert_eq!(session.instance.unwrap().info.join_status, Requested);
    }
}
