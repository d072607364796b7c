//! What concerns players beyond a session: friends, and what players are told.

use crate::{
    model::{
        errors::codes,
        events::{AddedNotification, NewNotifications, Notification, Notifications, SessionEvent},
        friends::{FriendNotes, FriendRelationship, FriendsList, FriendsToRemove},
        parameters::{FriendsQuery, LongPoll, NotificationsQuery},
        wire::Wire,
    },
    service::openapi::operation::{Answer, Operation, operation},
};

pub(super) fn friends() -> Vec<Operation> {
    let of_list = |id, summary| operation(id, summary).refuses(409, &[codes::FRIENDS_ELSEWHERE]);
    vec![
        of_list("get_friends_list_for_player_v2", "Reads a page of a player's friends and requests")
            .query::<FriendsQuery>()
            .answers::<FriendsList>()
            .conditional(),
        of_list("delete_friends_v2", "Removes friends, or declines requests")
            .body::<FriendsToRemove>()
            .answers_nothing(),
        of_list("get_friend_relationship_v2", "Reads how one player stands to another")
            .answers::<FriendRelationship>()
            .conditional(),
        of_list("add_friend_v2", "Asks a player to be a friend, or accepts its request")
            .optional_body::<FriendNotes>()
            .answers::<FriendRelationship>()
            .tagged()
            .if_match()
            .refuses(400, &["friend_is_self"])
            .refuses(409, &["friend_limit_reached"]),
        of_list("delete_friend_v2", "Removes a friend, or declines a request").answers_nothing().tagged().if_match(),
    ]
}

pub(super) fn notifications() -> Vec<Operation> {
    let long_poll =
        |id| operation(id, "Waits for what follows a position").query::<LongPoll>().answers::<Notifications>();
    let page = |id| {
        operation(id, "Reads a page of what a player was told, newest first")
            .query::<NotificationsQuery>()
            .answers::<Notifications>()
            .conditional()
    };
    let create = |id| {
        operation(id, "Tells a player something").body::<NewNotifications>().keeps().answers::<AddedNotification>()
    };
    let one = |id| operation(id, "Reads one notification").answers::<Notification>().refuses(404, &[codes::NOT_FOUND]);
    vec![
        operation("get_player_events_self", "A stream of what happens to the caller's sessions")
            .extension()
            .for_players()
            .header("last-event-id", "The last event that was seen: the stream goes on behind it.")
            .answers_as(Answer::Events(SessionEvent::schema)),
        long_poll("player_long_poll_for_notifications_self").for_players(),
        long_poll("player_long_poll_for_notifications"),
        page("player_get_notifications_page_self").for_players(),
        page("player_get_notifications_page"),
        create("player_create_notification_self").for_players(),
        create("player_create_notification"),
        one("player_get_notification_by_id_self").for_players(),
        one("player_get_notification_by_id"),
    ]
}
