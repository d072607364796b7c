//! What an HTTP answer means.
//!
//! | status | body | meaning |
//! |---|---|---|
//! | 2xx, 304 | | [`ResponseKind::Success`] |
//! | 401; 403 with `auth_success: false` | | [`ResponseKind::BadToken`]: log in anew |
//! | 403 | a code about the instance, the session or a team | [`Refusal::Conflict`] |
//! | 403 | anything else | [`Refusal::Credentials`]: a permission is missing |
//! | 404 | `session_not_found` | [`Refusal::SessionNotFound`] |
//! | 404 | another code | [`Refusal::NotFound`] |
//! | 404, 405, 3xx | none of the contract's bodies | [`Refusal::NoSuchApi`] |
//! | 409, 412 | | [`Refusal::Conflict`] |
//! | 429; 503 with Retry-After | | [`Refusal::Busy`] |
//! | 503 where that means [`Unavailable::Expired`] | the contract's | [`Refusal::Gone`] |
//! | other 4xx | | [`Refusal::Invalid`] |
//! | other 5xx, 1xx, 408 | | [`Refusal::Ambiguous`] |

use super::transport::{Response, TransportError, Unavailable};
use crate::model::{
    calls::Refusal,
    errors::{ApiError, Invalid, codes},
    text::printable,
    time::Timestamp,
};
use chrono::DateTime;
use http::{HeaderMap, StatusCode, header};
use std::time::Duration;

/// The longest time that a service may ask to be left alone.
pub(super) const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);

/// The longest explanation that is taken over from an answer, in characters.
const MAX_DESC: usize = 300;

/// The codes of a 403 that speak of a state rather than of a permission.
const STATE_CODES: [&str; 13] = [
    codes::ALLOCATION_MISMATCH,
    codes::INSTANCE_MISMATCH,
    codes::INSTANCE_CLOSED,
    codes::INSTANCE_EXISTS,
    codes::TEAM_BELOW_OCCUPANCY,
    codes::TEAM_FULL,
    codes::NOT_JOINABLE,
    codes::WRONG_PASSWORD,
    codes::VERSION_MISMATCH,
    codes::SANCTIONED,
    codes::NOT_FRIENDS,
    codes::FRIENDS_UNAVAILABLE,
    codes::FRIENDS_ELSEWHERE,
];

/// What an answer means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ResponseKind {
    Success,
    /// The token is missing, bad or expired.
    BadToken {
        desc: String,
    },
    Refused(Refusal),
}

impl ResponseKind {
    /// Reads the table. `now` is needed for a Retry-After that is a date.
    pub(super) fn of(response: &Response, unavailable: Unavailable, now: Timestamp) -> Self {
        let status = response.status;
        if status.is_success() || status == StatusCode::NOT_MODIFIED {
            return ResponseKind::Success;
        }
        let body = serde_json::from_slice::<ApiError>(&response.body).ok();
        let retry_after = retry_after(&response.headers, now);
        let desc = || describe(response, body.as_ref());
        let refusal = match (status.as_u16(), &body) {
            (401, _) => return ResponseKind::BadToken { desc: desc() },
            (403, Some(error)) if !error.auth_success => return ResponseKind::BadToken { desc: desc() },
            (403, Some(error)) if STATE_CODES.contains(&error.error_code.as_str()) => {
                conflict(status, body.as_ref(), desc())
            }
            (403, _) => Refusal::Credentials { desc: desc() },
            (404, Some(error)) if error.error_code == codes::SESSION_NOT_FOUND => Refusal::SessionNotFound,
            (404, Some(error)) => Refusal::NotFound { code: bounded(&error.error_code) },
            (300..=399 | 404 | 405, _) => Refusal::NoSuchApi,
            (409 | 412, _) => conflict(status, body.as_ref(), desc()),
            (429, _) => Refusal::Busy { retry_after },
            (503, _) if retry_after.is_some() => Refusal::Busy { retry_after },
            (503, Some(_)) if unavailable == Unavailable::Expired => Refusal::Gone,
            (408, _) => Refusal::Ambiguous { why: desc() },
            (400..=499, _) => Refusal::Invalid { desc: desc() },
            _ => Refusal::Ambiguous { why: desc() },
        };
        ResponseKind::Refused(refusal)
    }
}

impl From<TransportError> for Refusal {
    fn from(error: TransportError) -> Self {
        match error {
            TransportError::Unreachable(why) => Refusal::Unreachable { why },
            TransportError::Ambiguous(why) => Refusal::Ambiguous { why },
        }
    }
}

/// How long to wait: seconds, or until a date.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let span = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => Timestamp(DateTime::parse_from_rfc2822(text).ok()?.to_utc()).since(now),
    };
    Some(span.min(MAX_RETRY_AFTER))
}

fn conflict(status: StatusCode, error: Option<&ApiError>, desc: String) -> Refusal {
    let code = error.map_or_else(|| format!("http_{}", status.as_u16()), |error| bounded(&error.error_code));
    Refusal::Conflict { code, desc }
}

/// A line for people: `409 instance_exists: …`, with the first faults of a 422.
fn describe(response: &Response, error: Option<&ApiError>) -> String {
    let status = response.status.as_u16();
    if let Some(error) = error {
        return bounded(&format!("{status} {}: {}", error.error_code, error.desc));
    }
    let Ok(invalid) = serde_json::from_slice::<Invalid>(&response.body) else {
        return response.status.to_string();
    };
    let faults = invalid.detail.iter().take(3).map(|fault| {
        let place: Vec<String> = fault.loc.iter().map(|part| part.to_string().replace('"', "")).collect();
        format!("{}: {}", place.join("."), fault.msg)
    });
    bounded(&format!("{status} {}", faults.collect::<Vec<_>>().join("; ")))
}

/// What somebody else wrote: cut to a bearable length, and without control characters.
pub(super) fn bounded(text: &str) -> String {
    printable(text, MAX_DESC)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-11-21T10:00:00Z";

    fn read(unavailable: Unavailable, status: u16, headers: &[(&'static str, &str)], body: &str) -> ResponseKind {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        let status = StatusCode::from_u16(status).unwrap();
        let response = Response { status, headers: map, body: body.to_owned().into() };
        ResponseKind::of(&response, unavailable, Timestamp(NOW.parse().unwrap()))
    }

    fn error(code: &str) -> String {
        format!(r#"{{"auth_success":true,"error_code":"{code}","desc":"why"}}"#)
    }

    #[test]
    fn the_table_of_answers() {
        let conflict = |status: u16, code: &str| {
            ResponseKind::Refused(Refusal::Conflict { code: code.into(), desc: format!("{status} {code}: why") })
        };
        let invalid = |desc: &str| ResponseKind::Refused(Refusal::Invalid { desc: desc.into() });
        let ambiguous = |why: &str| ResponseKind::Refused(Refusal::Ambiguous { why: why.into() });
        let html = "<html>404</html>".to_owned();
        let rows = [
            (200, String::new(), ResponseKind::Success),
            (204, String::new(), ResponseKind::Success),
            (304, String::new(), ResponseKind::Success),
            (301, html.clone(), ResponseKind::Refused(Refusal::NoSuchApi)),
            (400, error("team_below_occupancy"), invalid("400 team_below_occupancy: why")),
            (401, String::new(), ResponseKind::BadToken { desc: "401 Unauthorized".into() }),
            (403, error("allocation_mismatch"), conflict(403, "allocation_mismatch")),
            (403, error("instance_closed"), conflict(403, "instance_closed")),
            (
                403,
                error("insufficient_permissions"),
                ResponseKind::Refused(Refusal::Credentials { desc: "403 insufficient_permissions: why".into() }),
            ),
            (403, html.clone(), ResponseKind::Refused(Refusal::Credentials { desc: "403 Forbidden".into() })),
            (
                403,
                r#"{"auth_success":false,"error_code":"x","desc":"expired"}"#.into(),
                ResponseKind::BadToken { desc: "403 x: expired".into() },
            ),
            (404, error("session_not_found"), ResponseKind::Refused(Refusal::SessionNotFound)),
            (
                404,
                error("backfill_not_found"),
                ResponseKind::Refused(Refusal::NotFound { code: "backfill_not_found".into() }),
            ),
            (404, html, ResponseKind::Refused(Refusal::NoSuchApi)),
            (404, r#"{"detail":"Not Found"}"#.into(), ResponseKind::Refused(Refusal::NoSuchApi)),
            (405, String::new(), ResponseKind::Refused(Refusal::NoSuchApi)),
            (409, error("instance_exists"), conflict(409, "instance_exists")),
            (412, error("etag_mismatch"), conflict(412, "etag_mismatch")),
            (413, String::new(), invalid("413 Payload Too Large")),
            (429, String::new(), ResponseKind::Refused(Refusal::Busy { retry_after: None })),
            (500, error("internal_error"), ambiguous("500 internal_error: why")),
            (502, String::new(), ambiguous("502 Bad Gateway")),
            (503, error("unavailable"), ambiguous("503 unavailable: why")),
        ];
        for (status, body, expected) in rows {
            assert_eq!(read(Unavailable::Unclear, status, &[], &body), expected, "{status} {body}");
        }
    }

    #[test]
    fn only_the_contracts_own_503_ends_a_backfill() {
        let gone = ResponseKind::Refused(Refusal::Gone);
        assert_eq!(read(Unavailable::Expired, 503, &[], &error("unavailable")), gone);
        assert_ne!(read(Unavailable::Expired, 503, &[], "<html>"), gone);
        assert_ne!(read(Unavailable::Expired, 503, &[("retry-after", "1")], &error("unavailable")), gone);
        assert_ne!(read(Unavailable::Unclear, 503, &[], &error("unavailable")), gone);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_bounded() {
        let rows = [
            ("0", Some(0)),
            ("30", Some(30)),
            ("999999999", Some(300)),
            ("Sat, 21 Nov 2026 10:00:07 GMT", Some(7)),
            ("Sat, 21 Nov 2026 09:00:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
        ];
        for (text, seconds) in rows {
            let retry_after = seconds.map(Duration::from_secs);
            assert_eq!(
                read(Unavailable::Unclear, 429, &[("retry-after", text)], ""),
                ResponseKind::Refused(Refusal::Busy { retry_after }),
                "{text}"
            );
        }
        let busy = ResponseKind::Refused(Refusal::Busy { retry_after: Some(Duration::from_secs(2)) });
        assert_eq!(read(Unavailable::Unclear, 503, &[("retry-after", "2")], ""), busy);
    }

    #[test]
    fn faults_are_named_and_foreign_text_is_tamed() {
        let body = r#"{"detail":[{"loc":["body","teams",0],"msg":"too big","type":"x"}]}"#;
        let desc = "422 body.teams.0: too big".to_owned();
        assert_eq!(read(Unavailable::Unclear, 422, &[], body), ResponseKind::Refused(Refusal::Invalid { desc }));
        let body = format!(r#"{{"error_code":"x","desc":"\u001b[2J{}"}}"#, "y".repeat(9999));
        let ResponseKind::Refused(Refusal::Invalid { desc }) = read(Unavailable::Unclear, 400, &[], &body) else {
            panic!()
        };
        assert!(desc.starts_with("400 x: [2Jyy") && desc.len() == MAX_DESC, "{desc}");
    }
}
