//! How a session differs from what it was. Made once for each session that an operation changed;
//! events, audit and presence come from it.

use crate::{
    model::{
        ids::PlayerUuid,
        player::{PlayerStatus, SessionPlayer},
        session::InstanceInfo,
    },
    service::rules::record::SessionRecord,
};

/// A change of a session, from what was to what is. One of the two is there.
#[derive(Debug, Clone, Copy)]
pub(super) struct SessionDiff<'r> {
    pub old: Option<&'r SessionRecord>,
    pub new: Option<&'r SessionRecord>,
    /// The session that was, or is.
    pub record: &'r SessionRecord,
}

/// A player with a place in the session, and what it was before.
pub(super) struct MemberChange<'r> {
    pub player: &'r SessionPlayer,
    pub before: Option<PlayerStatus>,
}

impl<'r> SessionDiff<'r> {
    /// None for a session that was made and removed by the same operation.
    pub(super) fn between(old: Option<&'r SessionRecord>, new: Option<&'r SessionRecord>) -> Option<SessionDiff<'r>> {
        let record = new.or(old)?;
        Some(SessionDiff { old, new, record })
    }

    /// Who was active and is no longer.
    pub(super) fn left(self) -> impl Iterator<Item = PlayerUuid> + 'r {
        let players = self.old.into_iter().flat_map(SessionRecord::active).map(|player| player.player_uuid);
        players.filter(move |player| !self.new.is_some_and(|new| new.is_active(*player)))
    }

    /// Everybody with a place in the session that is.
    pub(super) fn places(self) -> impl Iterator<Item = MemberChange<'r>> + 'r {
        self.new.into_iter().flat_map(SessionRecord::players).map(move |player| MemberChange {
            player,
            before: self.old.and_then(|old| old.player(player.player_uuid)).map(|player| player.status),
        })
    }

    /// The session's top-level members that differ, as they are named on the wire.
    pub(super) fn members(self) -> Vec<String> {
        let (Some(old), Some(new)) = (self.old, self.new) else { return Vec::new() };
        let rows = [
            ("instance", info(old) != info(new)),
            ("backfill", old.backfill != new.backfill),
            ("browser", old.browser != new.browser),
            ("joinability", old.joinability != new.joinability),
            ("allow_new_members", old.allow_new_members != new.allow_new_members),
            ("teams", old.teams != new.teams),
            ("platform_session", old.platform_sessions != new.platform_sessions),
            ("platform_scouts", old.platform_scouts != new.platform_scouts),
            ("custom_data", old.custom_data != new.custom_data),
            ("region_id", old.region_id != new.region_id),
            ("short_code", old.short_code != new.short_code),
        ];
        rows.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name.to_owned()).collect()
    }

    /// The instance, if another one is there, or its status or allocation has changed.
    pub(super) fn instance(self) -> Option<&'r InstanceInfo> {
        let shown = |info: &'r InstanceInfo| (&info.instance_id, info.join_status, info.allocation_id.as_ref());
        let (old, new) = (self.old.and_then(info), self.new.and_then(info));
        new.filter(|_| old.map(shown) != new.map(shown))
    }
}

fn info(record: &SessionRecord) -> Option<&InstanceInfo> {
    record.instance.as_ref().map(|instance| &instance.info)
}
