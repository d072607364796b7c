//! Leaving a session: by oneself, kicked, by declining an invitation, or because nothing was heard
//! of the player any more. A leader's role passes to whoever has been a member for longest.

use super::{record::SessionRecord, teams::no_player};
use crate::{
    model::{
        ids::PlayerUuid,
        player::{PlayerStatus, SessionPlayer},
        session::JoinStatus,
    },
    service::http::reply::Outcome,
};

/// What a departure did to the session.
#[derive(Debug, Clone, PartialEq)]
pub struct Departure {
    pub player: SessionPlayer,
    /// Nobody active is left; a session with only invited players is empty.
    pub empty: bool,
}

/// Takes a player out. When the host of the instance goes, the instance is closed.
pub(crate) fn leave(session: &mut SessionRecord, id: PlayerUuid) -> Outcome<Departure> {
    let team = session.team_of(id).ok_or_else(|| no_player(id))?;
    let at = session.teams[team].players.iter().position(|player| player.player_uuid == id).unwrap_or(0);
    let player = session.teams[team].players.remove(at);
    session.connected.remove(&id);
    session.added.remove(&id);
    session.invites.remove(&id);
    session.platform_scouts.retain(|_, scout| scout.player_uuid != id);
    if player.status == PlayerStatus::Leader {
        succeed(session);
    }
    if let Some(instance) = session.live_instance_mut()
        && instance.info.host_player_uuid == Some(id)
    {
        instance.info.join_status = JoinStatus::Closed;
        session.backfill = None;
    }
    Ok(Departure { player, empty: session.active().next().is_none() })
}

/// The longest-standing member becomes leader.
fn succeed(session: &mut SessionRecord) {
    let heir = session
        .active()
        .filter(|player| player.status == PlayerStatus::Member)
        .min_by_key(|player| (player.joined, player.player_uuid))
        .map(|player| player.player_uuid);
    if let Some(player) = heir.and_then(|heir| session.player_mut(heir)) {
        player.status = PlayerStatus::Leader;
    }
}

/// Makes a member the leader; the old leader becomes a member.
pub(crate) fn promote(session: &mut SessionRecord, id: PlayerUuid) -> Outcome<()> {
    if !session.is_active(id) {
        return Err(no_player(id));
    }
    if let Some(old) = session.leader().and_then(|leader| session.player_mut(leader)) {
        old.status = PlayerStatus::Member;
    }
    if let Some(new) = session.player_mut(id) {
        new.status = PlayerStatus::Leader;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{super::record::testing::*, *};
    use PlayerStatus::{Invited, Leader, Member};

    #[test]
    fn the_longest_standing_member_succeeds_the_leader() {
        let mut session = session(&[(4, &[(5, Leader), (3, Member)]), (4, &[(2, Member), (1, Invited)])]);
        assert!(!leave(&mut session, uuid(5)).unwrap().empty);
        assert_eq!(session.leader(), Some(uuid(2)));
        leave(&mut session, uuid(3)).unwrap();
        assert_eq!(session.leader(), Some(uuid(2)));
    }

    #[test]
    fn a_session_with_only_invited_players_left_is_empty() {
        let mut session = session(&[(4, &[(1, Leader), (2, Invited)])]);
        let gone = leave(&mut session, uuid(1)).unwrap();
        assert!(gone.empty);
        assert_eq!(session.leader(), None);
    }

    #[test]
    fn promotion_is_explicit_and_leaves_one_leader() {
        let mut session = session(&[(4, &[(1, Leader), (2, Member), (3, Invited)])]);
        assert!(promote(&mut session, uuid(3)).is_err());
        promote(&mut session, uuid(2)).unwrap();
        assert_eq!(session.leader(), Some(uuid(2)));
        assert_eq!(session.player(uuid(1)).unwrap().status, Member);
    }

    #[test]
    fn whoever_is_not_there_can_not_leave() {
        assert!(leave(&mut session(&[(4, &[(1, Leader)])]), uuid(2)).is_err());
    }
}
