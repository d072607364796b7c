//! The notification API, over the same journal as the event stream: long poll,
//! pages, one by id, and notifications that callers add.

use super::{
    config::tagged,
    events::Subscription,
    players::{oneself, target},
};
use crate::{
    model::{
        CustomData,
        errors::codes,
        events::{AddedNotification, NewNotifications, Notification, Notifications, SessionEvent},
        ids::PlayerUuid,
        parameters::{self, LongPoll, NotificationsQuery, OffsetReset},
    },
    service::{
        Shared,
        http::{
            reply::{Outcome, Reply, conflict, not_found, not_permitted},
            request::RequestContext,
            route::{Access, AnswerFuture, Handler, Row},
        },
        state::{Transaction, event_batch::FeedItem, journal::FeedEntry},
    },
};
use http::Method;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

const READ: Access = Access::AnyOf(&[
    "notification:player:*",
    "notification:player:read",
    "notification:player:self:*",
    "notification:player:self:read",
]);
const WRITE: Access = Access::AnyOf(&[
    "notification:player:*",
    "notification:player:write",
    "notification:player:self:*",
    "notification:player:self:write",
]);

pub static TABLE: &[Row] = &[
    row!(
        later GET "/notification/v1/player/me/stream/notification/lp",
        "player_long_poll_for_notifications_self", READ, long_poll
    ),
    row!(
        later GET "/notification/v1/player/{player_uuid}/stream/notification/lp",
        "player_long_poll_for_notifications", READ, long_poll
    ),
    row!(GET "/notification/v1/player/me/notification", "player_get_notifications_page_self", READ, page),
    row!(GET "/notification/v1/player/{player_uuid}/notification", "player_get_notifications_page", READ, page),
    row!(POST "/notification/v1/player/me/notification", "player_create_notification_self", WRITE, create),
    row!(
        POST "/notification/v1/player/{player_uuid}/notification",
        "player_create_notification", WRITE, create
    ),
    row!(
        GET "/notification/v1/player/me/notification/{notification_id}",
        "player_get_notification_by_id_self", READ, one
    ),
    row!(
        GET "/notification/v1/player/{player_uuid}/notification/{notification_id}",
        "player_get_notification_by_id", READ, one
    ),
];

/// The largest notification.
const MOST_BYTES: usize = 64 << 10;

/// Whose notifications: the caller's own, or those of the path's player for whoever may.
fn whose(tx: &Transaction<'_>, request: &RequestContext, any: &str) -> Outcome<PlayerUuid> {
    if !request.path.iter().any(|(name, _)| *name == "player_uuid") {
        return oneself(request);
    }
    let player = target(tx, request)?;
    if request.caller.player == Some(player) || request.caller.may(&["notification:player:*", any]) {
        return Ok(player);
    }
    Err(not_permitted("use another player's notifications"))
}

/// The base of every `rh_url`: as configured, else as the caller reached the service.
fn base(configured: &str, request: &RequestContext) -> String {
    match (configured.trim_end_matches('/'), request.header("host")) {
        ("", Some(host)) => format!("http://{host}"),
        ("", None) => String::new(),
        (configured, _) => configured.to_owned(),
    }
}

/// An entry as the contract shows it.
fn notification(id: String, base: &str, told: &FeedItem) -> Notification {
    match told {
        FeedItem::Note(note) => Notification { notification_id: id, ..note.clone() },
        FeedItem::Event(event) => Notification {
            message: event.event.name().to_owned(),
            rh_url: Some(format!("{base}/session/v1/session/{}", event.session_id)),
            custom_data: details(event),
            etag: event.etag.clone(),
            notification_id: id,
            created: event.created,
        },
    }
}

fn details(event: &SessionEvent) -> CustomData {
    let mut details = CustomData::from([
        ("session_id".to_owned(), event.session_id.as_str().to_owned()),
        ("session_type".to_owned(), event.session_type.clone()),
    ]);
    details.extend(event.invite_id.map(|id| ("invite_id".to_owned(), id.to_string())));
    details.extend(event.inviting_player_uuid.map(|player| ("inviting_player_uuid".to_owned(), player.to_string())));
    if event.destroyed {
        details.insert("destroyed".to_owned(), "true".to_owned());
    }
    details
}

fn long_poll(shared: Arc<Shared>, request: RequestContext) -> AnswerFuture {
    Box::pin(async move {
        let (player, _) = shared.transact(&request.moment, |tx| whose(tx, &request, "notification:player:read"));
        let player = player?;
        let asked: LongPoll = request.query()?;
        let most = asked.max_page_size as usize;
        let deadline = Duration::from_secs(asked.deadline.into());
        let deadline = deadline.min(shared.settings().limits.longest_notification_wait.get());
        let (watch, newest) = Subscription::start(&shared, player)?;
        let last = watch.shown(newest).await?;
        let (from, earliest) = shared.with_state(|state| {
            let earliest = state.events.earliest(player);
            let known = asked.exclude_before.as_deref().and_then(|id| state.events.position(id));
            (known.filter(|position| *position >= earliest), earliest)
        });
        let reset = if asked.offset_reset_strategy == Some(OffsetReset::Earliest) { earliest } else { last };
        let from = from.unwrap_or(reset);
        let ((found, newest), _) = watch.next(from, most, Instant::now() + deadline).await?;
        shared.someone_is_here(shared.clock.now().mono);
        let base = base(&shared.settings().public_url, &request);
        // Only a reader that is slower than the retention sees a gap here: it goes on with what
        // there is.
        let kept = found.unwrap_or_default();
        let cursor = match kept.last() {
            Some(last) => last.number,
            None => watch.shown(newest).await?,
        };
        let cursor = watch.id(cursor);
        let notifications = kept.iter().map(|kept| notification(watch.id(kept.number), &base, &kept.told)).collect();
        Ok(Reply::json(&Notifications { notifications, cursor }).into())
    })
}

/// Newest first; the cursor is the `start_at` of the next page.
fn page(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let player = whose(tx, request, "notification:player:read")?;
    let NotificationsQuery { page_size, start_at, exclude_before } = request.query()?;
    let (events, base) = (tx.events(), base(&tx.settings.public_url, request));
    let position = |id: Option<String>| id.and_then(|id| events.position(&id));
    let (start, exclude) = (position(start_at).unwrap_or(u64::MAX), position(exclude_before).unwrap_or(0));
    let kept = events.newest_first(player, tx.now.mono, &tx.settings.limits);
    let mut kept = kept.filter(|entry| entry.number <= start && entry.number > exclude);
    let page: Vec<&FeedEntry> = kept.by_ref().take(page_size as usize).collect();
    let next = kept.next();
    drop(kept);
    tx.durability(page.iter().copied().chain(next).map(|entry| entry.seq));
    let cursor = events.id(next.map_or(0, |next| next.number));
    let notifications = page.iter().map(|entry| notification(events.id(entry.number), &base, &entry.told)).collect();
    Ok(tagged(request, &Notifications { notifications, cursor }))
}

fn one(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let player = whose(tx, request, "notification:player:read")?;
    let id: String = request.path(&parameters::NOTIFICATION_ID)?;
    let (events, position) = (tx.events(), tx.events().position(&id));
    let mut kept = events.newest_first(player, tx.now.mono, &tx.settings.limits);
    let entry = kept.find(|entry| Some(entry.number) == position);
    let entry = entry.ok_or_else(|| not_found(codes::NOT_FOUND, "there is no such notification, or no longer"))?;
    drop(kept);
    tx.durability([entry.seq]);
    let base = base(&tx.settings.public_url, request);
    Ok(Reply::json(&notification(id, &base, &entry.told)))
}

fn create(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let player = whose(tx, request, "notification:player:write")?;
    let NewNotifications { notifications } = request.body()?;
    let mut last = 0;
    for new in notifications {
        let created = tx.now.wall;
        let note = Notification {
            message: new.message,
            rh_url: new.rh_url,
            custom_data: new.custom_data,
            etag: new.etag,
            notification_id: String::new(),
            created,
        };
        let note = FeedItem::Note(note);
        let bytes = note.bytes();
        if bytes > MOST_BYTES {
            let desc = format!("a notification may have {MOST_BYTES} bytes; this has {bytes}");
            return Err(conflict(codes::RECORD_TOO_LARGE, desc));
        }
        last = tx.tell(player, note);
    }
    Ok(Reply::json(&AddedNotification { notification_id: tx.events().id(last) }))
}
