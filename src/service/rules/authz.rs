//! Who may do what in a session.
//!
//! | standing | is |
//! |---|---|
//! | `admin` | its leader; the credential that made it without a player; the host of its live instance |
//! | `host` | of the instance that lives: the credential that registered or was allocated, or the player who hosts |
//! | last host | the same once that instance is closed: it may write audit and marks of deserters, nothing else |
//! | `active` | leader and members, and admins |
//! | granted | `invite`, `kick`, `move`, each given to a member; admins have all |
//!
//! Elevated auth permissions (`…:any`, `session:*`) go before all of this.

use super::record::{InstanceRecord, SessionRecord};
use crate::{
    model::{
        player::SessionPermission,
        session::{HostType, TeamOverflow},
    },
    service::{
        auth::Caller,
        http::reply::{Outcome, not_permitted},
    },
};

/// A caller's place in a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Role {
    pub admin: bool,
    pub host: bool,
    pub active: bool,
}

pub(crate) fn role(session: &SessionRecord, caller: &Caller) -> Role {
    let host = is_host(session, caller);
    let leader = caller.player.is_some_and(|player| session.leader() == Some(player));
    let owner = session.owner.as_deref() == Some(&*caller.subject);
    let member = caller.player.is_some_and(|player| session.is_active(player));
    let admin = leader || owner || host;
    Role { admin, host, active: member || admin }
}

/// The host of the instance that lives.
pub(crate) fn is_host(session: &SessionRecord, caller: &Caller) -> bool {
    session.live_instance().is_some_and(|instance| hosts(instance, caller))
}

/// The host of the instance that lives, or of the one that was closed last.
pub(crate) fn was_host(session: &SessionRecord, caller: &Caller) -> bool {
    session.instance.as_ref().is_some_and(|instance| hosts(instance, caller))
}

fn hosts(instance: &InstanceRecord, caller: &Caller) -> bool {
    let by_player = caller.player.is_some()
        && instance.info.host_type == HostType::Player
        && instance.info.host_player_uuid == caller.player;
    by_player || instance.host.subject.as_deref() == Some(&*caller.subject)
}

/// A server or another client that runs the session: its host, or the one that made it. Players who host are not: anybody
/// can make itself one.
pub(crate) fn runs(session: &SessionRecord, caller: &Caller) -> bool {
    caller.player.is_none() && role(session, caller).admin
}

/// May do what admins do: with an elevated permission, or as an admin.
pub(crate) fn admin(session: &SessionRecord, caller: &Caller, elevated: &[&str], what: &str) -> Outcome<()> {
    permit(caller.may(elevated) || role(session, caller).admin, what)
}

/// May do what hosts do. The last host is let through, so that it hears that its instance is closed: whoever asks looks
/// at that too.
pub(crate) fn host(session: &SessionRecord, caller: &Caller, elevated: &[&str], what: &str) -> Outcome<()> {
    permit(caller.may(elevated) || was_host(session, caller), what)
}

/// May do what members do.
pub(crate) fn active(session: &SessionRecord, caller: &Caller, elevated: &[&str], what: &str) -> Outcome<()> {
    permit(caller.may(elevated) || role(session, caller).active, what)
}

/// May do what an admin may, or a member who was given this.
pub(crate) fn granted(
    session: &SessionRecord,
    caller: &Caller,
    elevated: &[&str],
    grant: SessionPermission,
    what: &str,
) -> Outcome<()> {
    let given = caller
        .player
        .and_then(|player| session.player(player))
        .is_some_and(|player| player.status.is_active() && player.session_permissions.contains(&grant));
    permit(given || caller.may(elevated) || role(session, caller).admin, what)
}

/// Only admins put more players on a team than it has places.
pub(crate) fn overfill(
    session: &SessionRecord,
    caller: &Caller,
    elevated: &[&str],
    overflow: Option<TeamOverflow>,
) -> Outcome<()> {
    if overflow != Some(TeamOverflow::Overfill) {
        return Ok(());
    }
    admin(session, caller, elevated, "overfill a team of this session")
}

/// Sees everything: members, admins, hosts, and elevated readers.
pub(crate) fn sees_all(session: &SessionRecord, caller: &Caller) -> bool {
    caller.may(&["session:read:any"]) || role(session, caller).active
}

fn permit(may: bool, what: &str) -> Outcome<()> {
    if may { Ok(()) } else { Err(not_permitted(what)) }
}
